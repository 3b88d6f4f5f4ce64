"""Single still pictures that people hand in: JPEG, PNG and WebP, upright and in RGB.

Pictures are as foreign as video: sizes are checked before any pixel is decoded, and the shell
decodes them in its child process.
"""

import warnings
from typing import Final

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from engine.errors import LimitExceededError, MediaDecodeError, MediaRefusedError

FORMATS: Final = ("JPEG", "PNG", "WEBP")
_HINT: Final = "save it as JPEG, PNG or WebP"


def decode_picture(path: str, *, max_side_px: int, shown_px: int) -> UInt8[np.ndarray, "h w 3"]:
    """Decode a picture as it is meant to be seen.

    What is transparent stands on white. A picture that moves is its first frame.

    Args:
        path: Of the file.
        max_side_px: Longest side that is decoded at all; its square limits the pixels.
        shown_px: Longest side of what is returned: a larger picture is scaled down.
    Raises:
        MediaRefusedError: It is no picture of these formats.
        LimitExceededError: It has too many pixels.
        MediaDecodeError: It is damaged.
    """
    try:
        with warnings.catch_warnings():
            # Pillow's own warning about many pixels; our limit is below and its own.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as picture:
                if max(picture.size) > max_side_px:
                    raise LimitExceededError(
                        "the size of the picture",
                        f"{picture.width}x{picture.height}",
                        f"{max_side_px} pixels a side",
                        field="max_side_px",
                    )
                # JPEGs are decoded at a half, a quarter or an eighth where that is enough.
                picture.draft("RGB", (shown_px, shown_px))
                upright = ImageOps.exif_transpose(_on_white(picture))
    except UnidentifiedImageError as error:
        raise MediaRefusedError(path, "it is no JPEG, PNG or WebP picture", hint=_HINT) from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise MediaDecodeError(path, f"{error}" or "it is damaged", hint=_HINT) from error
    if max(upright.size) > shown_px:
        upright.thumbnail((shown_px, shown_px), Image.Resampling.LANCZOS)
    return np.array(upright)


def _on_white(picture: Image.Image) -> Image.Image:
    picture.load()
    has_alpha = "A" in picture.getbands() or "transparency" in picture.info
    if not has_alpha:
        plain = picture.convert("RGB")
    else:
        layered = picture.convert("RGBA")
        canvas = Image.new("RGBA", layered.size, (255, 255, 255, 255))
        plain = Image.alpha_composite(canvas, layered).convert("RGB")
    # The orientation, which a converted copy may not carry on.
    exif = picture.getexif()
    if exif:
        plain.info["exif"] = exif.tobytes()
    return plain
