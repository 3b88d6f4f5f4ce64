"""Still images of Video-XL: anyres tiles, compressed like the frames of a video of their own."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from engine.errors import WeightsError
from engine.models.registry import load_model
from engine.models.video_xl.images import best_size, cut, tile_sizes
from engine.models.video_xl.model import VideoXl, write_tiny
from engine.protocols import ReadsImages, Sampling
from engine.tensors import FrameBatch, KvLatents

CPU = torch.device("cpu")
POINTS = [[32, 64], [64, 32], [64, 64], [96, 32], [32, 96]]


def load(folder: Path, **config: object) -> VideoXl:
    write_tiny(folder)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    model = load_model(folder, device=CPU, dtype=torch.float32)
    assert isinstance(model, VideoXl)
    return model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> VideoXl:
    folder = tmp_path_factory.mktemp("video_xl") / "anyres"
    return load(folder, image_aspect_ratio="anyres", image_grid_pinpoints=POINTS)


def noise(height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(height * width)
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator)


def test_the_size_that_keeps_most_is_taken() -> None:
    sizes = tuple((width, height) for width, height in POINTS)
    assert best_size(64, 64, sizes) == (64, 64)
    assert best_size(120, 30, sizes) == (96, 32)
    assert best_size(30, 120, sizes) == (32, 96)
    # Both keep all of it: the smaller one wastes less.
    assert best_size(30, 30, ((64, 64), (32, 64))) == (32, 64)


def test_tiles_are_cut_row_by_row_from_the_picture_on_black() -> None:
    pixels = noise(50, 70)
    tiles, grid = cut(pixels, ((64, 64),), 32)
    assert grid == (2, 2)
    # 64 wide, 46 high, 9 rows of black above.
    image = Image.fromarray(pixels.permute(1, 2, 0).numpy())
    resized = np.asarray(image.resize((64, 46), Image.Resampling.BICUBIC))
    whole = np.zeros((64, 64, 3), dtype=np.uint8)
    whole[9:55] = resized
    for number, (top, left) in enumerate([(0, 0), (0, 32), (32, 0), (32, 32)]):
        expected = whole[top : top + 32, left : left + 32].transpose(2, 0, 1)
        assert (tiles[number].numpy() == expected).all()


def test_grids_are_read_as_sizes_and_as_a_range() -> None:
    config = {"image_aspect_ratio": "anyres", "image_grid_pinpoints": "(1x1),...,(2x3)"}
    assert tile_sizes(config, 32) == (
        (32, 32), (32, 64), (32, 96), (64, 32), (64, 64), (64, 96),
    )  # fmt: skip
    assert tile_sizes({"image_grid_pinpoints": POINTS}, 32) == ()
    with pytest.raises(WeightsError, match="multiples of 32"):
        tile_sizes({"image_aspect_ratio": "anyres", "image_grid_pinpoints": [[48, 32]]}, 32)


@torch.inference_mode()
def test_an_image_is_compressed_like_a_video_of_its_tiles(model: VideoXl) -> None:
    pixels = noise(40, 150)
    image = model.read_image(pixels)
    tiles, grid = cut(pixels, model._image_sizes, 32)
    assert image.tiles == grid == (1, 3)
    tokens = model.encode(FrameBatch(pixels=tiles, pts_s=torch.arange(3).double()))
    assert model.card.chunk_frames >= 3
    expected = model.compress(tokens, model.open_stream())
    assert isinstance(image.latents[0], KvLatents)
    torch.testing.assert_close(image.latents[0].keys, expected.keys)
    assert image.n_latents == -(-3 * model.card.tokens_per_frame // model.card.compression_ratio)


def test_a_question_about_images_is_written_like_one_about_video(model: VideoXl) -> None:
    assert isinstance(model, ReadsImages)
    images = [model.read_image(noise(64, 64)), model.read_image(noise(30, 90))]
    tokens = list(model.generate("what?", [], Sampling(max_tokens=4), images=images))
    assert tokens
    other = list(model.generate("what?", [], Sampling(max_tokens=4), images=images[:1]))
    assert tokens[0].text != "" or other[0].text != ""


def test_a_checkpoint_trained_on_video_alone_says_so(tmp_path: Path) -> None:
    model = load(tmp_path / "plain")
    assert isinstance(model, ReadsImages)
    assert not model.reads_images
