"""A recording of somebody who comes twice, from a picture that an installed package brings."""

from pathlib import Path

import av
import matplotlib
import numpy as np
from PIL import Image

from engine.media.encode import write_video

LENGTH_S = 38
VISITS_S = [(5.0, 8.0), (32.0, 35.0)]


def write_visits(path: Path, *, length_s: int = LENGTH_S) -> Path:
    """Write a woman in view twice, on the clock of `VISITS_S`; else a wall whose light changes."""
    file = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    portrait = np.asarray(Image.open(file).convert("RGB").resize((256, 300)))
    frames = (
        portrait
        if any(start_s <= second < end_s for start_s, end_s in VISITS_S)
        else np.full_like(portrait, 100 + second % 2 * 40)
        for second in range(length_s)
    )
    write_video(path, frames, 1.0)
    return path


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
