"""Still pictures as people hand them in: upright, in RGB, within limits."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.errors import LimitExceededError, MediaDecodeError, MediaRefusedError
from engine.media.picture import decode_picture

LIMITS = {"max_side_px": 512, "shown_px": 128}


def write(path: Path, image: Image.Image, kind: str, **options: object) -> str:
    image.save(path, kind, **options)
    return str(path)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
def test_a_picture_is_decoded_in_rgb(tmp_path: Path, kind: str) -> None:
    image = Image.new("RGB", (60, 40), (200, 30, 90))
    pixels = decode_picture(write(tmp_path / "picture", image, kind), **LIMITS)
    assert pixels.shape == (40, 60, 3)
    assert np.abs(pixels.astype(int) - (200, 30, 90)).max() <= 4


def test_a_large_picture_is_scaled_down(tmp_path: Path) -> None:
    path = write(tmp_path / "wide", Image.new("L", (500, 100), 90), "PNG")
    assert decode_picture(path, **LIMITS).shape == (26, 128, 3)


def test_a_picture_is_turned_as_its_camera_says(tmp_path: Path) -> None:
    image = Image.new("RGB", (64, 32), (0, 0, 0))
    image.paste((255, 255, 255), (0, 0, 32, 32))
    exif = Image.Exif()
    exif[0x0112] = 6  # Turned by a quarter to the right when shown.
    pixels = decode_picture(write(tmp_path / "turned", image, "JPEG", exif=exif), **LIMITS)
    assert pixels.shape == (64, 32, 3)
    assert pixels[:24].mean() > 200
    assert pixels[40:].mean() < 50


def test_what_is_transparent_stands_on_white(tmp_path: Path) -> None:
    path = write(tmp_path / "clear", Image.new("RGBA", (8, 8), (0, 0, 0, 0)), "PNG")
    assert (decode_picture(path, **LIMITS) == 255).all()


def test_too_many_pixels_are_refused_before_any_is_decoded(tmp_path: Path) -> None:
    path = write(tmp_path / "bomb", Image.new("1", (600, 8)), "PNG")
    with pytest.raises(LimitExceededError, match="600x8"):
        decode_picture(path, **LIMITS)


def test_other_formats_and_damage_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "moves", Image.new("P", (8, 8)), "GIF")
    with pytest.raises(MediaRefusedError, match="no JPEG, PNG or WebP"):
        decode_picture(path, **LIMITS)
    text = tmp_path / "text"
    text.write_text("not a picture")
    with pytest.raises(MediaRefusedError, match="no JPEG, PNG or WebP"):
        decode_picture(str(text), **LIMITS)
    whole = io.BytesIO()
    Image.effect_noise((100, 100), 90).save(whole, "PNG")
    cut = tmp_path / "cut"
    cut.write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    with pytest.raises(MediaDecodeError):
        decode_picture(str(cut), **LIMITS)
