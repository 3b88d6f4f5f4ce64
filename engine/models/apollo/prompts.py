"""Apollo's prompt: its chat template, and the text that gives each clip its time.

Source: arXiv:2412.10360 and the released loader; checked by `tests/golden/apollo/host_side`.
"""

from collections.abc import Sequence
from datetime import timedelta

from engine.models.layers.number_words import number_words
from engine.models.layers.tokenizer import ChatTemplate

TEMPLATE = ChatTemplate(
    system="<|im_start|>system\n\nYou are a helpful vision-language assistant.<|im_end|>\n",
    user="<|im_start|>user\n",
    assistant="<|im_start|>assistant\n",
    end="<|im_end|>\n",
)
"""Upstream's "qwen_2", with the empty line behind "system" that the release was trained with."""


def introduce(
    spans: Sequence[tuple[float, float]], *, clip_s: float, duration_s: float
) -> tuple[str, ...]:
    """Write the text around the clips of a video: one piece before each clip.

    Args:
        spans: First and last frame of each clip, in seconds.
        clip_s: Nominal length of a clip.
        duration_s: Length of the video that they come from.
    """
    opening = (
        f"You are provided the following series of {number_words(len(spans))}, {clip_s:g} second "
        f"clips from a {timedelta(seconds=duration_s)} [H:MM:SS] video.\n"
    )
    times = [f"{round(start_s, 1)}-{round(end_s, 1)} seconds: " for start_s, end_s in spans]
    return tuple((opening if index == 0 else ",\n") + time for index, time in enumerate(times))
