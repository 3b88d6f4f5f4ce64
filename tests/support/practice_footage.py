"""Recordings to practise on: compositions of pictures that packages bring, with their truth.

`python -m tests.support.practice_footage FOLDER` writes them with a `manifest.json` and a
`searches.json`, so that `longwatch eval recordings|searches --root FOLDER` runs on them. What
`practice_scenes.txt` lists was written down before anything was fitted to it, and none of it is
in the clips of others: thresholds may be looked at here, and are stated there.

Nothing of the pictures is ours to hand on: they are taken from packages that are installed, or
were unpacked below a folder: Debian's `tuxpaint-stamps-default` (cut-outs) and `opencv-doc`,
`scikit-image`, `scikit-learn`, `gradio`, `matplotlib` and `ultralytics` of PyPI. What is missing
is left out and named.
"""

import argparse
import importlib.util
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image, ImageDraw, ImageFont

from engine.media.encode import write_video
from engine.media.sample import frame_at

FPS: Final = 10.0
REEL_S: Final = 5.0
"""Seconds of each recording in the one that holds them all."""
REEL_FPS: Final = 5.0
SIZE_PX: Final = (360, 640)
SCENES: Final = Path(__file__).with_name("practice_scenes.txt")
_STAMPS: Final = "usr/share/tuxpaint/stamps"
_OPENCV: Final = "usr/share/doc/opencv-doc/examples/data"
_ZOOM: Final = 1.15
"""The camera moves in a little while it shows a picture."""
_BACKDROPS: Final = {
    # Upper and lower colour, and where they meet, in shares of the height.
    "meadow": ((150, 190, 225), (95, 135, 65), 0.4),
    "savanna": ((170, 200, 230), (190, 170, 110), 0.45),
    "street": ((190, 195, 200), (105, 105, 108), 0.55),
    "sky": ((110, 160, 220), (175, 205, 235), 0.9),
    "sea": ((180, 205, 230), (50, 90, 125), 0.45),
    "table": ((200, 198, 192), (150, 115, 80), 0.5),
    "floor": ((215, 210, 200), (165, 150, 130), 0.45),
    "room": ((205, 200, 190), (120, 100, 85), 0.8),
    "ice": ((190, 210, 230), (235, 240, 245), 0.35),
    "night": ((22, 26, 38), (30, 34, 30), 0.7),
    "dark": ((20, 20, 24), (20, 20, 24), 0.5),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A cut-out or words, for a time, on a way from one place to another."""

    picture: str
    """A file of the cut-outs; empty for words."""
    words: str
    start_s: float
    end_s: float
    places: tuple[tuple[float, float], tuple[float, float]]
    """Middle at the start and at the end, in shares of width and height."""
    heights: tuple[float, float]
    """In shares of the picture's height."""
    is_flipped: bool = False


@dataclass(slots=True, kw_only=True)
class Scene:
    """A recording to be made, with what is true of it."""

    name: str
    backdrop: str
    duration_s: float
    layers: list[Layer] = field(default_factory=list)
    questions: list[dict[str, Any]] = field(default_factory=list)
    searches: list[dict[str, Any]] = field(default_factory=list)


def read_scenes(text: str) -> tuple[Scene, ...]:
    """Read scenes as `practice_scenes.txt` explains them.

    Raises:
        ValueError: A line has too few parts.
    """
    scenes: list[Scene] = []
    for line in text.splitlines():
        mark, _, rest = line.partition(" ")
        if not line.strip() or mark == "#":
            continue
        if mark in {"+", "="}:
            scenes[-1].layers.append(_layer(rest, is_words=mark == "="))
        elif mark == "?":
            question, answer, proof = (part.strip() for part in rest.split("|"))
            first_s, last_s = _seconds(proof)
            scenes[-1].questions.append(
                {"question": question, "answer": answer, "start_s": first_s, "end_s": last_s}
            )
        elif mark == "!":
            phrase, kind, proof = (part.strip() for part in rest.split("|"))
            span = [*_seconds(proof)]
            scenes[-1].searches.append(
                {"query": phrase, "kind": kind, "spans": [span] if proof else []}
            )
        else:
            name, backdrop, duration_s = line.split()
            scenes.append(Scene(name=name, backdrop=backdrop, duration_s=float(duration_s)))
    return tuple(scenes)


def write_recordings(folder: Path, unpacked: Sequence[Path] = ()) -> tuple[str, ...]:
    """Write all recordings whose pictures are there, with the truth beside them.

    Args:
        folder: Gets the recordings; those that are there already are kept.
        unpacked: Folders below which packages were unpacked; installed ones are found without.
    Returns:
        The names of pictures that are missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    finder = _Finder(unpacked)
    clips: list[dict[str, Any]] = []
    searches: dict[str, Any] = {}
    missing: list[str] = []
    for scene in read_scenes(SCENES.read_text(encoding="utf-8")):
        lacking = [name for name in _pictures(scene) if finder.find(name) is None]
        if lacking:
            missing += lacking
            continue
        path = folder / f"{scene.name}.mp4"
        if not path.is_file():
            write_video(path, _frames(scene, finder), FPS)
        clips.append({"file": path.name, "qa": scene.questions})
        for item in scene.searches:
            found = searches.setdefault(
                item["query"], {"query": item["query"], "kind": item["kind"], "truth": []}
            )
            found["truth"].append({"clip": path.name, "spans": item["spans"]})
    reel = _write_reel(folder, clips, searches)
    listed = [{"id": f"p{idx:02d}", **item} for idx, item in enumerate(searches.values())]
    (folder / "manifest.json").write_text(json.dumps({"clips": clips, "long": [reel]}, indent=1))
    (folder / "searches.json").write_text(json.dumps({"searches": listed}, indent=1))
    return tuple(dict.fromkeys(missing))


def _write_reel(
    folder: Path, clips: Sequence[dict[str, Any]], searches: dict[str, Any]
) -> dict[str, Any]:
    """Write some seconds of every recording as one, with a question for what is in one of them."""
    starts = {clip["file"]: idx * REEL_S for idx, clip in enumerate(clips)}
    path = folder / "reel.mp4"
    if not path.is_file():
        write_video(path, _reel(folder, list(starts)), REEL_FPS)
    questions = []
    for phrase, item in searches.items():
        (clip, *more), is_text = item["truth"], item["kind"] == "text"
        first_s, last_s = (clip["spans"] or [[0.0, REEL_S]])[0]
        if more or is_text or first_s > REEL_S - 2:
            continue
        start_s = starts[clip["clip"]]
        questions.append(
            {
                "question": f"When is {phrase} in view?",
                "answer": f"from {start_s + first_s:.0f} s",
                "start_s": start_s + first_s,
                "end_s": start_s + min(last_s, REEL_S),
            }
        )
    return {"file": path.name, "qa": questions}


def _reel(folder: Path, names: Sequence[str]) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    for name in names:
        reader = cv2.VideoCapture(str(folder / name))
        frame = np.zeros((*SIZE_PX, 3), np.uint8)
        for idx in range(round(REEL_S * FPS)):
            is_read, pixels = reader.read()
            # One that is shorter stands still at its end.
            frame = pixels if is_read else frame
            if idx % round(FPS / REEL_FPS) == 0:
                yield np.ascontiguousarray(frame[:, :, ::-1])


class _Finder:
    """Files of packages, installed or unpacked."""

    def __init__(self, unpacked: Sequence[Path]) -> None:
        self._roots = (*unpacked, Path("/"))

    def find(self, name: str) -> Path | None:
        """Return the file of a picture; nothing of its package is run."""
        package, _, rest = name.partition("/")
        names = [f"{_OPENCV}/{rest}"] if package == "opencv" else [f"{_STAMPS}/{name}", name]
        for root in self._roots:
            for part in names:
                if (root / part).is_file():
                    return root / part
        spec = importlib.util.find_spec(package) if package.isidentifier() else None
        if spec is None or spec.origin is None:
            return None
        path = Path(spec.origin).parent / rest
        return path if path.is_file() else None


def _pictures(scene: Scene) -> list[str]:
    names = [layer.picture for layer in scene.layers if layer.picture]
    return names if scene.backdrop in _BACKDROPS else [scene.backdrop, *names]


def _frames(scene: Scene, finder: _Finder) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    layers = [(layer, _cut_out(layer, finder)) for layer in scene.layers]
    path = None if scene.backdrop in _BACKDROPS else finder.find(scene.backdrop)
    still = _backdrop(scene.backdrop) if path is None else None
    if path is not None and path.suffix not in {".avi", ".mp4"}:
        still = np.asarray(Image.open(path).convert("RGB"))
    n_frames = round(scene.duration_s * FPS)
    noise = np.random.default_rng(0)
    for idx in range(n_frames):
        time_s = idx / FPS
        if still is None:
            # A video of somebody goes on as it is.
            assert path is not None
            shown = _fitted(frame_at(str(path), time_s, max_side_px=640).pixels, 1.0)
        elif path is None:
            shown = still.astype(np.float32)
        else:
            shown = _fitted(still, 1 + (_ZOOM - 1) * idx / n_frames)
        for layer, picture in layers:
            if layer.start_s <= time_s < layer.end_s:
                _paint(shown, picture, layer, time_s)
        # Noise of a camera, so that no two frames are the same.
        grain = noise.normal(0, 2, shown.shape[:2])[..., None]
        yield np.clip(shown + grain, 0, 255).astype(np.uint8)


def _backdrop(name: str) -> UInt8[np.ndarray, "h w 3"]:
    """Return a plain place: two colours that meet at a horizon, with texture."""
    upper, lower, horizon = _BACKDROPS[name]
    height, width = SIZE_PX
    rows = np.linspace(0, 1, height)[:, None, None]
    share = np.clip((rows - horizon) * 25 + 0.5, 0, 1)
    plain = np.array(upper) * (1 - share) + np.array(lower) * share
    shade = 1 - 0.15 * np.abs(rows - horizon)
    texture = np.random.default_rng(1).normal(0, 14, (height // 4, width // 4)).astype(np.float32)
    rough = cv2.resize(texture, (width, height))[..., None] * share
    return np.asarray(np.clip(plain * shade + rough, 0, 255), dtype=np.uint8)


def _fitted(picture: UInt8[np.ndarray, "h w 3"], zoom: float) -> Float32[np.ndarray, "h2 w2 3"]:
    """Return a picture as wide or high as the frame, over its own blurred self."""
    height, width = SIZE_PX
    scale = min(height / picture.shape[0], width / picture.shape[1]) * zoom
    backdrop = cv2.GaussianBlur(cv2.resize(picture, (width, height)), (0, 0), 25)
    left, top = (width - picture.shape[1] * scale) / 2, (height - picture.shape[0] * scale) / 2
    matrix = np.array([[scale, 0, left], [0, scale, top]], dtype=np.float32)
    cv2.warpAffine(
        picture,
        matrix,
        (width, height),
        dst=backdrop,
        flags=cv2.INTER_AREA,
        borderMode=cv2.BORDER_TRANSPARENT,
    )
    return np.asarray(backdrop, dtype=np.float32)


def _cut_out(layer: Layer, finder: _Finder) -> UInt8[np.ndarray, "h w 4"]:
    """Return the picture of a layer with its opacity."""
    if not layer.picture:
        return _words(layer.words)
    path = finder.find(layer.picture)
    assert path is not None
    picture = np.asarray(Image.open(path).convert("RGBA"))
    return np.ascontiguousarray(picture[:, ::-1]) if layer.is_flipped else picture


def _words(text: str) -> UInt8[np.ndarray, "h w 4"]:
    font = ImageFont.load_default(72)
    left, top, right, bottom = (int(side) for side in font.getbbox(text))
    picture = Image.new("RGBA", (right - left + 24, bottom - top + 24), (15, 15, 15, 255))
    ImageDraw.Draw(picture).text((12 - left, 12 - top), text, font=font, fill=(245, 245, 240, 255))
    return np.asarray(picture)


def _paint(
    shown: Float32[np.ndarray, "h w 3"],
    picture: UInt8[np.ndarray, "h2 w2 4"],
    layer: Layer,
    time_s: float,
) -> None:
    """Draw a layer into a frame, where it is at that time."""
    share = (time_s - layer.start_s) / max(layer.end_s - layer.start_s, 1e-6)
    (x, y), (u, v) = layer.places
    size = layer.heights[0] + (layer.heights[1] - layer.heights[0]) * share
    height, width = SIZE_PX
    rows = max(2, round(size * height))
    columns = max(2, round(picture.shape[1] * rows / picture.shape[0]))
    scaled = cv2.resize(picture, (columns, rows), interpolation=cv2.INTER_AREA).astype(np.float32)
    left = round((x + (u - x) * share) * width - columns / 2)
    top = round((y + (v - y) * share) * height - rows / 2)
    first_row, last_row = max(0, top), min(height, top + rows)
    first_column, last_column = max(0, left), min(width, left + columns)
    if first_row >= last_row or first_column >= last_column:
        return
    part = scaled[first_row - top : last_row - top, first_column - left : last_column - left]
    opacity = part[..., 3:] / 255
    under = shown[first_row:last_row, first_column:last_column]
    shown[first_row:last_row, first_column:last_column] = part[..., :3] * opacity + under * (
        1 - opacity
    )


def _layer(text: str, *, is_words: bool) -> Layer:
    parts = text.split()
    is_flipped = parts[-1] == "flip"
    *name, times, places, heights = parts[:-1] if is_flipped else parts
    start_s, end_s = _seconds(times)
    assert start_s is not None
    assert end_s is not None
    ends = [tuple(float(part) for part in place.split(",")) for place in places.split(">")]
    sizes = [float(part) for part in heights.split(",")]
    return Layer(
        picture="" if is_words else name[0],
        words=" ".join(name) if is_words else "",
        start_s=start_s,
        end_s=end_s,
        places=((ends[0][0], ends[0][1]), (ends[-1][0], ends[-1][1])),
        heights=(sizes[0], sizes[-1]),
        is_flipped=is_flipped,
    )


def _seconds(text: str) -> tuple[float | None, float | None]:
    if not text:
        return None, None
    first, _, last = text.partition("-")
    return float(first), float(last)


def main(arguments: Sequence[str]) -> None:
    """Write the recordings into a folder and name what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--unpacked", type=Path, action="append", default=[])
    options = parser.parse_args(arguments)
    missing = write_recordings(options.folder, options.unpacked)
    for name in missing:
        sys.stderr.write(f"left out, not installed: {name}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
