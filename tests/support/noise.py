"""Small clips of noise with tags, for what is known of a file and not for what it shows."""

from pathlib import Path

import av
import numpy as np


def write_clip(
    path: Path, *, seconds: int = 8, seed: int = 0, format: str | None = None, **tags: str
) -> Path:
    """Write noise at 4 frames a second, with tags in its container."""
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format=format) as out:
        out.metadata.update(tags)
        stream = out.add_stream("libx264", rate=4, options={"g": "4", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(4 * seconds):
            pixels = rng.integers(0, 255, (48, 64, 3), np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        out.mux(stream.encode())
    return path
