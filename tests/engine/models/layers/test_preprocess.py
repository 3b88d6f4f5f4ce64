"""Frames against transformers' and Pillow's own way."""

import numpy as np
import pytest
import torch
from PIL import Image

from engine.models.layers.fingerprint import hashed_fields
from engine.models.layers.preprocess import CLIP_MEAN, CLIP_STD, PixelConfig, prepare


def _frame(height: int, width: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(height * width)
    return torch.randint(0, 256, (1, 3, height, width), dtype=torch.uint8, generator=random)


def _normal(image: Image.Image) -> torch.Tensor:
    levels = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).double() * (1 / 255)
    mean, std = torch.tensor(CLIP_MEAN), torch.tensor(CLIP_STD)
    return (levels.float() - mean[:, None, None]) / std[:, None, None]


def _image(frame: torch.Tensor) -> Image.Image:
    return Image.fromarray(frame[0].permute(1, 2, 0).contiguous().numpy())


@pytest.mark.parametrize("size", [(48, 80), (80, 48), (64, 64), (33, 47), (20, 90), (32, 32)])
def test_crop_keeps_the_middle_of_the_short_side(size: tuple[int, int]) -> None:
    frame, side = _frame(*size), 32
    image = _image(frame)
    short, long = min(image.size), max(image.size)
    grown = int(side * long / short)
    sized = (side, grown) if image.width <= image.height else (grown, side)
    image = image.resize(sized, Image.Resampling.BICUBIC)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    expected = _normal(image.crop((left, top, left + side, top + side)))
    assert torch.equal(prepare(frame, PixelConfig(size_px=side))[0], expected)


def test_squash_keeps_all_and_bends_it() -> None:
    frame = _frame(48, 80)
    expected = _normal(_image(frame).resize((32, 32), Image.Resampling.BICUBIC))
    assert torch.equal(prepare(frame, PixelConfig(size_px=32, fit="squash"))[0], expected)


def test_the_quick_squash_is_at_most_one_level_off() -> None:
    smooth = torch.nn.functional.avg_pool2d(_frame(200, 300).float(), 5, 1).to(torch.uint8)
    exact = prepare(smooth, PixelConfig(size_px=32, fit="squash", std=(1.0, 1.0, 1.0)))
    quick = prepare(
        smooth, PixelConfig(size_px=32, fit="squash", std=(1.0, 1.0, 1.0), is_exact=False)
    )
    assert (exact - quick).abs().max() < 1.01 / 255


def test_letterbox_pads_with_the_mean() -> None:
    white = torch.full((1, 3, 16, 64), 255, dtype=torch.uint8)
    pixels = prepare(white, PixelConfig(size_px=32, fit="letterbox"))[0]
    assert pixels[:, 0].abs().max() < 0.02
    assert pixels[:, 16].min() > 1.5


@pytest.mark.parametrize("number", [1, 2, 3])
def test_the_filter_is_the_one_that_a_config_names(number: int) -> None:
    frame, filter = _frame(48, 80), Image.Resampling(number)
    size = {"height": 32, "width": 32}
    config = PixelConfig.from_json({"size": size, "resample": number})
    assert torch.equal(prepare(frame, config)[0], _normal(_image(frame).resize((32, 32), filter)))
    crop = PixelConfig.from_json({"size": {"shortest_edge": 32}, "resample": number})
    expected = _normal(_image(frame).resize((53, 32), filter).crop((10, 0, 42, 32)))
    assert torch.equal(prepare(frame, crop)[0], expected)


def test_fingerprints_know_a_filter_that_came_later() -> None:
    fields = hashed_fields(PixelConfig(size_px=32))
    assert list(fields) == ["size_px", "fit", "mean", "std", "is_exact"]
    assert hashed_fields(PixelConfig(size_px=32, filter=2)) == fields | {"filter": 2}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"resample": 0}, "resample must be one of 1, 2, 3, not 0"),
        ({"do_resize": False}, "do_resize must be true"),
        ({"do_rescale": False}, "do_rescale must be true"),
        ({"do_normalize": False}, "do_normalize must be true"),
        ({"rescale_factor": 1 / 127.5}, "rescale_factor must be 1/255"),
        ({"size": {"height": 32, "width": 48}}, "square, not 48 x 32"),
        ({"size": {"shortest_edge": 36}, "crop_size": 32}, "crop_size must be that of size, 36"),
        ({"size": {"shortest_edge": 32}, "do_center_crop": False}, "do_center_crop must be true"),
    ],
)
def test_other_steps_are_refused(fields: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        PixelConfig.from_json(fields)


def test_config_reads_back_what_it_writes() -> None:
    for fit in ("crop", "squash", "letterbox"):
        config = PixelConfig(size_px=48, fit=fit, filter=2)
        assert PixelConfig.from_json(config.to_json()) == config
