"""Apollo's released way with a file of known length: at most 84 clips, nothing kept.

The product streams clips without gaps instead; parity cases and the family's tests compare both.
"""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.models.apollo.model import Apollo
from engine.models.apollo.prompts import introduce
from engine.models.layers.generate import generate
from engine.models.layers.prompt_rows import embed_ids
from engine.models.layers.splice import PLACEHOLDER_ID
from engine.models.token_model import prefill_chunks
from engine.protocols import Sampling
from engine.tensors import FrameBatch, Token


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipSampling:
    """The released rule that picks clips from a file of known length."""

    clip_s: float = 2.0
    frames_per_clip: int = 4
    tokens_per_clip: int = 128
    max_positions: int = 16384
    budget: float = 0.65
    """Share of the positions that clips may fill: the value of the released recipe."""

    def keep_share(self, duration_s: float) -> float:
        """Return the share of a video's clips that the budget allows: 1 up to 166 s as released."""
        wanted = duration_s * self.tokens_per_clip / self.clip_s
        return min(1.0, self.max_positions * self.budget / wanted)

    def n_clips(self, n_frames: int, fps: float) -> int:
        """Count the clips of a video; rounding up may pass the budget by less than one clip."""
        duration_s = n_frames / fps
        return math.ceil(duration_s / self.clip_s * self.keep_share(duration_s))

    def clips(self, n_frames: int, fps: float) -> list[list[int]]:
        """Choose the frame numbers of every clip.

        Args:
            n_frames: Frames of the file.
            fps: Their mean rate.
        """
        if n_frames < 1 or fps <= 0:
            raise ValueError(f"a video needs frames and a rate, not {n_frames} at {fps} fps")
        step = fps * self.clip_s / self.frames_per_clip
        n_clips = self.n_clips(n_frames, fps)
        if step <= 0.5:
            return self._repeated(n_frames, n_clips, step)
        return self._stepped(n_frames, n_clips, max(1, int(step)))

    def _stepped(self, n_frames: int, n_clips: int, step: int) -> list[list[int]]:
        part, span = n_frames // n_clips, self.frames_per_clip * step
        if part > span:
            # Clips lie apart: each in the middle of its share of the video.
            start = (part - span) // 2
            first = list(range(start, start + span, step))
            return [[i * part + frame for frame in first] for i in range(n_clips)]
        n_real = min(span, n_frames)
        shift = (n_frames - span) // max(1, n_clips - 1) if n_frames > span else 0
        return self._shifted(list(range(0, n_real, step)), n_real, n_clips, shift)

    def _repeated(self, n_frames: int, n_clips: int, step: float) -> list[list[int]]:
        # Differs from upstream: at under half a frame a second upstream asks for frame -1, and
        # with clips of other lengths it returns more frames than a clip holds. Ours starts at
        # frame 0 and cuts; a test holds both (fps 0.3; 8 frames a clip at step 0.4).
        n_real = max(1, int(self.frames_per_clip * step))
        frames = [frame for frame in range(n_real) for _ in range(math.ceil(1 / step))]
        known = min(n_real, n_frames)
        shift = max(0, n_frames - n_real) // max(1, n_clips - 1)
        return self._shifted(frames[: self.frames_per_clip], known, n_clips, shift)

    def _shifted(self, frames: list[int], known: int, n_clips: int, shift: int) -> list[list[int]]:
        frames = frames + [known] * (self.frames_per_clip - len(frames))
        frames = [min(frame, known - 1) for frame in frames]
        return [[i * shift + frame for frame in frames] for i in range(n_clips)]


@torch.inference_mode()
def answer_file(
    model: Apollo,
    question: str,
    read: Callable[[Sequence[int]], FrameBatch],
    n_frames: int,
    fps: float,
    sampling: Sampling,
) -> Iterator[Token]:
    """Answer about a file of known length.

    Args:
        model: The family.
        question: As people type it.
        read: Hands out the frames of these numbers, repeated ones as often as they are named.
        n_frames: Frames of the file.
        fps: Their mean rate.
        sampling: How tokens are drawn.
    """
    vision, decoder = model.net.config.vision, model.decoder
    budget = ClipSampling(
        frames_per_clip=vision.grid[0],
        tokens_per_clip=vision.connector.n_queries,
        max_positions=model.net.config.max_positions,
    )
    stream, clips, spans = model.open_stream(), list[Tensor](), list[tuple[float, float]]()
    for numbers in budget.clips(n_frames, fps):
        frames = read(numbers)
        clips.append(model.compress(model.encode(frames), stream).embeddings)
        spans.append((float(frames.pts_s[0]), float(frames.pts_s[-1])))
    labels = introduce(spans, clip_s=budget.clip_s, duration_s=n_frames / fps)
    prompt = model.prompt_with(labels, question)
    buffer, parts = prefill_chunks(decoder, prompt, clips, max_tokens=sampling.max_tokens)
    yield from generate(
        decoder,
        buffer,
        embed_ids(decoder, prompt.after),
        model.tokenizer,
        sampling,
        stop=model.tokenizer.ends() | frozenset(model.net.config.eos_ids),
        chunks=[part for chunk in parts for part in chunk],
    )


def encode_with_placeholders(
    text: str, placeholders: Sequence[str], encode: Callable[[str], list[int]]
) -> list[int]:
    """Encode a text that spells its placeholders: each becomes one `PLACEHOLDER_ID`.

    Args:
        text: The whole conversation.
        placeholders: Their spellings.
        encode: The tokenizer, for the pieces between them.
    """
    pattern = "|".join(re.escape(spelling) for spelling in placeholders)
    ids: list[int] = []
    for idx, piece in enumerate(re.split(pattern, text)):
        ids += [PLACEHOLDER_ID] if idx else []
        ids += encode(piece) if piece else []
    return ids
