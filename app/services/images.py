"""Still images beside a question: read with limits, decoded in the sandbox, shown to the model.

Nothing is ever fetched: an image is a file of this machine, or a `data:` address that holds it.
What is shown again with a conversation, or sent to an answerer of one's own, is drawn anew from
the pixels: nothing else that a file held (a place, a device, a name) goes along.
"""

import base64
import binascii
import io
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from app.config.engine_config import media_limits
from app.sandbox.reader import picture_foreign
from app.services.context import ServiceContext
from engine.errors import (
    InputRefusedError,
    LimitExceededError,
    MediaDecodeError,
    MediaRefusedError,
    MissingCapabilityError,
    UnreachableError,
)
from engine.protocols import ReadsImages
from engine.records import Recall
from engine.tensors import ImageLatents

Picture = UInt8[np.ndarray, "h w 3"]

KEPT_SIDE_PX: Final = 1024
"""Longest side, in pixels, of an image as it is kept with its conversation."""
_QUALITY: Final = 85
_DATA: Final = re.compile(r"data:image/[a-z.+-]{1,40};base64,")


def read_files(context: ServiceContext, paths: Sequence[str]) -> tuple[Picture, ...]:
    """Read image files of this machine.

    Raises:
        UnreachableError: A file is not there.
        LongwatchError: One cannot be decoded, or there are too many, or too large ones.
    """
    _check_count(context, len(paths))
    sizes = []
    for path in paths:
        if not Path(path).is_file():
            raise UnreachableError(f"there is no file {path}")
        sizes.append(Path(path).stat().st_size)
    _check_bytes(context, sum(sizes))
    return tuple(_decode(context, path, path) for path in paths)


def read_addresses(context: ServiceContext, urls: Sequence[str]) -> tuple[Picture, ...]:
    """Read images that `data:` addresses hold.

    Raises:
        InputRefusedError: An address names another place, which is not fetched.
        LongwatchError: One cannot be decoded, or there are too many, or too large ones.
    """
    _check_count(context, len(urls))
    contents = [_content(number, url) for number, url in enumerate(urls, start=1)]
    _check_bytes(context, sum(map(len, contents)))
    pictures = []
    with tempfile.TemporaryDirectory(prefix="longwatch-images-") as folder:
        for number, content in enumerate(contents, start=1):
            path = Path(folder) / str(number)
            path.write_bytes(content)
            pictures.append(_decode(context, str(path), f"image {number}"))
    return tuple(pictures)


def takes_images(context: ServiceContext) -> bool:
    """Return whether a question may come with images: the loaded model reads them, or they go on.

    An answerer of one's own (`answer.base_url`) is shown images as it is shown stills.
    """
    return context.settings.answer.base_url is not None or _reader(context) is not None


def check_takes_images(context: ServiceContext, recall: Recall | None = None) -> None:
    """Refuse images that nothing here reads.

    Args:
        recall: Which chunks the model shall read; when given, nothing but the model answers.
    Raises:
        MissingCapabilityError: The loaded model reads none, and no other answerer is asked.
    """
    if not goes_elsewhere(context, recall):
        check_reads_images(context)


def goes_elsewhere(context: ServiceContext, recall: Recall | None = None) -> bool:
    """Return whether questions with images are sent to an answerer of one's own."""
    return context.settings.answer.base_url is not None and recall is None


def check_reads_images(context: ServiceContext) -> ReadsImages:
    """Return the loaded model as one that reads images.

    Raises:
        MissingCapabilityError: It reads none.
    """
    reader = _reader(context)
    if reader is not None:
        return reader
    card = context.engine.model.card
    raise MissingCapabilityError(
        f"the model {card.family}/{card.variant} reads no still images here, only video",
        hint="ask about video, or load SmolVLM2, Qwen3-VL or Video-XL",
    )


def show(context: ServiceContext, pictures: Sequence[Picture]) -> tuple[ImageLatents, ...]:
    """Bring pictures into the model's space, in their order.

    Raises:
        MissingCapabilityError: The loaded model reads none.
    """
    model = check_reads_images(context)
    return tuple(
        model.read_image(torch.from_numpy(picture).permute(2, 0, 1)) for picture in pictures
    )


def draw_jpeg(picture: Picture) -> bytes:
    """Return a picture as a JPEG of its own size."""
    return _packed(Image.fromarray(picture))


def draw_kept(picture: Picture) -> bytes:
    """Return a picture as it is kept with its conversation: a JPEG of at most `KEPT_SIDE_PX`."""
    drawn = Image.fromarray(picture)
    drawn.thumbnail((KEPT_SIDE_PX, KEPT_SIDE_PX))
    return _packed(drawn)


def as_address(image: bytes) -> str:
    """Return the `data:` address that holds an image; what decodes it goes by its content."""
    return f"data:image/jpeg;base64,{base64.b64encode(image).decode()}"


def _packed(drawn: Image.Image) -> bytes:
    packed = io.BytesIO()
    drawn.save(packed, "JPEG", quality=_QUALITY, optimize=True)
    return packed.getvalue()


def _reader(context: ServiceContext) -> ReadsImages | None:
    model = context.engine.model
    return model if isinstance(model, ReadsImages) and model.reads_images else None


def _check_count(context: ServiceContext, n: int) -> None:
    most = context.settings.limits.images
    if n > most:
        raise LimitExceededError("the number of images", n, most, field="images")


def _check_bytes(context: ServiceContext, n_bytes: int) -> None:
    most = int(context.settings.limits.image_bytes)
    if n_bytes > most:
        raise LimitExceededError("the size of the images", n_bytes, most, field="image_bytes")


def _content(number: int, url: str) -> bytes:
    match = _DATA.match(url)
    if match is None:
        raise InputRefusedError(
            f"image {number} is no data: address of an image, and nothing is fetched",
            hint="send it as data:image/jpeg;base64,...",
        )
    try:
        return base64.b64decode(url[match.end() :], validate=True)
    except binascii.Error as error:
        raise InputRefusedError(f"image {number} is not whole: {error}") from error


def _decode(context: ServiceContext, path: str, name: str) -> Picture:
    """Decode a file; what goes wrong is said of the name that the user knows."""
    try:
        return picture_foreign(
            path,
            shown_px=context.settings.limits.image_side_px,
            limits=media_limits(context.settings),
        )
    except MediaRefusedError as error:
        raise MediaRefusedError(name, error.reason, hint=error.hint) from error
    except MediaDecodeError as error:
        raise MediaDecodeError(name, error.reason, hint=error.hint) from error
