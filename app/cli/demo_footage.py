"""A recording of real pictures and voices, put together from what installed packages bring.

None of it may be redistributed here, so it is put together on the user's machine. What is not
installed there is left out, with its questions.
"""

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from engine.media.audio import AudioReader
from engine.media.encode import SOUND_RATE_HZ, Sound, write_video
from engine.media.sample import frame_at
from engine.media.source import MediaLimits
from engine.records import TimeSpan
from engine.synthetic.questions import Question

FPS: Final = 10.0
SCENE_S: Final = 8.0
SIZE_PX: Final = (360, 640)
_ZOOM = 1.25
"""The camera moves in by a quarter while it shows a picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownScene:
    """A picture that is shown for a while, perhaps with a voice, and what can be asked of it."""

    package: str
    picture: str
    question: str
    answer: str
    aliases: tuple[str, ...] = ()
    voice: str | None = None


SCENES: Final = (
    ShownScene(
        package="gradio",
        picture="media_assets/images/lion.jpg",
        question="Is there a lion?",
        answer="Yes",
    ),
    ShownScene(
        package="matplotlib",
        picture="mpl-data/sample_data/grace_hopper.jpg",
        question="How many people are there?",
        answer="1",
        aliases=("one",),
    ),
    ShownScene(
        package="gradio",
        picture="media_assets/images/tower.jpg",
        question="What is said about doing something for free?",
        answer="never do it for free",
        voice="media_assets/audio/heath_ledger.mp3",
    ),
    ShownScene(
        package="gradio",
        picture="media_assets/videos/a.mp4",
        question="What is written on the screen?",
        answer="thanks for watching",
    ),
    ShownScene(
        package="gradio",
        picture="media_assets/images/cheetah1.jpg",
        question="Is there a cheetah?",
        answer="Yes",
    ),
)


def compose_recording(path: Path) -> tuple[Question, ...]:
    """Write the recording, and return what can be asked of it, with the true moments.

    Returns:
        Nothing where none of the pictures is installed; then no file is written.
    """
    scenes = [scene for scene in SCENES if _find(scene.package, scene.picture) is not None]
    if not scenes:
        return ()
    end_s = len(scenes) * SCENE_S
    sound = Sound(read=_Voices(scenes).read, end_s=end_s)
    write_video(path, _frames(scenes), FPS, sound=sound)
    return tuple(
        Question(
            kind="real",
            text=scene.question,
            answer=scene.answer,
            aliases=scene.aliases,
            spans=(TimeSpan(start_s=idx * SCENE_S, end_s=(idx + 1) * SCENE_S),),
        )
        for idx, scene in enumerate(scenes)
    )


def _frames(scenes: list[ShownScene]) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    n_frames = round(SCENE_S * FPS)
    for scene in scenes:
        path = _find(scene.package, scene.picture)
        assert path is not None
        picture = _picture(path)
        for idx in range(n_frames):
            yield _framed(picture, 1 + (_ZOOM - 1) * idx / n_frames)


def _picture(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    if path.suffix == ".mp4":
        return frame_at(str(path), 4.0, max_side_px=1280).pixels
    return np.asarray(Image.open(path).convert("RGB"))


def _framed(picture: UInt8[np.ndarray, "h w 3"], zoom: float) -> UInt8[np.ndarray, "h w 3"]:
    """Return the middle of a picture, as wide as the frame holds, over its own blurred self."""
    height, width = SIZE_PX
    scale = min(height / picture.shape[0], width / picture.shape[1]) * zoom
    backdrop = cv2.GaussianBlur(cv2.resize(picture, (width, height)), (0, 0), 25)
    left, top = (width - picture.shape[1] * scale) / 2, (height - picture.shape[0] * scale) / 2
    matrix = np.array([[scale, 0, left], [0, scale, top]], dtype=np.float32)
    shown = cv2.warpAffine(
        picture,
        matrix,
        (width, height),
        dst=backdrop.copy(),
        flags=cv2.INTER_AREA,
        borderMode=cv2.BORDER_TRANSPARENT,
    )
    return np.asarray(shown, dtype=np.uint8)


class _Voices:
    """The voices of the scenes, each from the beginning of its scene."""

    def __init__(self, scenes: list[ShownScene]) -> None:
        self._samples = np.zeros((2, round(len(scenes) * SCENE_S * SOUND_RATE_HZ)), np.float32)
        for idx, scene in enumerate(scenes):
            path = None if scene.voice is None else _find(scene.package, scene.voice)
            if path is not None:
                start = round(idx * SCENE_S * SOUND_RATE_HZ)
                voice = _voice(path)[:, : self._samples.shape[1] - start]
                self._samples[:, start : start + voice.shape[1]] += voice

    def read(self, span: TimeSpan) -> Float32[np.ndarray, "channel sample"] | None:
        """Return a stretch, `None` behind the end."""
        first, last = (round(time_s * SOUND_RATE_HZ) for time_s in (span.start_s, span.end_s))
        samples = self._samples[:, first:last]
        return samples if samples.shape[1] == last - first else None


def _voice(path: Path) -> Float32[np.ndarray, "channel sample"]:
    whole = TimeSpan(start_s=0.0, end_s=SCENE_S)
    with AudioReader(
        str(path), limits=MediaLimits(), rate_hz=SOUND_RATE_HZ, layout="stereo"
    ) as reader:
        samples = reader.window(whole)
    return np.zeros((2, 0), np.float32) if samples is None else samples


def _find(package: str, name: str) -> Path | None:
    """Return a file of an installed package; nothing of the package is run."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / name
    return path if path.is_file() else None
