"""A recording of somebody who comes twice, from a picture that an installed package brings."""

from collections.abc import Sequence
from pathlib import Path

import av
import matplotlib
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from engine.media.encode import write_video
from tests.support.clock_camera import FPS, GOP_FRAMES
from tests.support.synthetic import encoded_video, read_index, spelled

LENGTH_S = 38
VISITS_S = [(5.0, 8.0), (32.0, 35.0)]
SIZE_PX = (360, 640)
STRIP_PX = 20
"""Height of the bars of a clock, above and below the picture."""


def write_visits(path: Path, *, length_s: int = LENGTH_S) -> Path:
    """Write a woman in view twice, on the clock of `VISITS_S`; else a wall whose light changes."""
    portrait = _portrait((256, 300))
    frames = (
        portrait
        if any(start_s <= second < end_s for start_s, end_s in VISITS_S)
        else np.full_like(portrait, 100 + second % 2 * 40)
        for second in range(length_s)
    )
    write_video(path, frames, 1.0)
    return path


def write_watched_room(
    path: Path,
    visits_s: Sequence[tuple[float, float]],
    *,
    length_s: int,
    light: float = 1.0,
    has_clock: bool = True,
) -> Path:
    """Write what a fixed camera sees of a room in which a woman walks at some times.

    As `drawn_clock` it is encoded as cameras do, for `open_clock_camera`.

    Args:
        light: Share of the light of day.
        has_clock: Whether the picture spells its index, for `read_clock`.
    """
    portrait = _portrait((273, SIZE_PX[0] - 2 * STRIP_PX))

    def draw(index: int) -> UInt8[np.ndarray, "h w 3"]:
        frame = np.full((*SIZE_PX, 3), 110, np.uint8)
        if any(start_s <= index / FPS < end_s for start_s, end_s in visits_s):
            left = 100 + 4 * (index % 50)
            frame[STRIP_PX:-STRIP_PX, left : left + portrait.shape[1]] = portrait
        frame = (frame * light).astype(np.uint8)
        if has_clock:
            bars = spelled(index, height=2 * STRIP_PX, width=SIZE_PX[1])
            frame[:STRIP_PX], frame[-STRIP_PX:] = bars[:STRIP_PX], bars[STRIP_PX:]
        return frame

    return encoded_video(
        path,
        length_s * FPS,
        fps=FPS,
        gop_frames=GOP_FRAMES,
        size_px=SIZE_PX,
        options={"bf": "0", "preset": "ultrafast"},
        draw=draw,
    )


def read_clock(pixels: UInt8[np.ndarray, "h w 3"]) -> int:
    """Return the index that a picture of a watched room spells."""
    return read_index(np.concatenate([pixels[:STRIP_PX], pixels[-STRIP_PX:]]))


def _portrait(size_px: tuple[int, int]) -> UInt8[np.ndarray, "h w 3"]:
    file = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    return np.asarray(Image.open(file).convert("RGB").resize(size_px))


def as_stream(clip: Path) -> bytes:
    """Return a clip as a camera sends it: MPEG-TS."""
    path = clip.with_suffix(".ts")
    with av.open(clip) as source, av.open(path, "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    return path.read_bytes()
