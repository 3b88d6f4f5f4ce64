"""Still images of SmolVLM2 against transformers' processor, prompts and model."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers.models.smolvlm.image_processing_pil_smolvlm as theirs_images
from transformers import PreTrainedTokenizerFast
from transformers.models.smolvlm import processing_smolvlm as theirs

from engine.errors import WeightsError
from engine.models.layers.preprocess import normalise, prepare
from engine.models.layers.preprocessor_files import FILES
from engine.models.layers.prompt_rows import Prompt, embed_ids, lay_out
from engine.models.registry import load_model
from engine.models.smolvlm.frames import FrameConfig, fit
from engine.models.smolvlm.images import ImageConfig, cut
from engine.models.smolvlm.model import SmolVlm, write_tiny
from engine.protocols import ReadsImages, Sampling
from engine.records import Turn
from engine.tensors import ChunkLatents, ImageLatents, TokenLatents
from tests.support.oracle_frames import FRAMES, chunks_of, pictures
from tests.support.oracle_smolvlm import IMAGE_ID, save_random

CPU = torch.device("cpu")
QUESTION = "what is seen?"
SIZES = ((36, 60), (60, 36), (24, 24), (9, 77))


@pytest.fixture(scope="module", params=range(10))
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, SmolVlm, Path]:
    """Their model, and ours from the files that they wrote."""
    folder = tmp_path_factory.mktemp("smolvlm") / "theirs"
    model = save_random(folder, request.param)
    ours = load_model(folder, device=CPU, dtype=torch.float32)
    assert isinstance(ours, SmolVlm)
    return model, ours, folder


def picture(seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    size = SIZES[seed % len(SIZES)]
    return torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator)


def written_ids(folder: Path, images: list[ImageLatents], turns: list[str], n_tokens: int) -> Any:
    """Ids of a conversation about images as their template and their processor write it."""
    shown: list[dict[str, str]] = [{"type": "image"} for _ in images]
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": [*shown, {"type": "text", "text": turns[0]}]}
    ]
    for number, text in enumerate(turns[1:]):
        role = "user" if number % 2 else "assistant"
        messages.append({"role": role, "content": [{"type": "text", "text": text}]})
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    written = tokenizer.apply_chat_template(
        messages,
        chat_template=theirs.DEFAULT_CHAT_TEMPLATE,
        add_generation_prompt=True,
        tokenize=False,
    )
    for image in images:
        text = theirs.get_image_prompt_string(
            *image.tiles,
            n_tokens,
            fake_token_around_image="<fake_token_around_image>",
            image_token="<IMAGE>",
            global_image_token="<global-img>",
        )
        written = written.replace("<image>", text, 1)
    written = written.replace("<IMAGE>", "<image>")
    return tokenizer.encode(written, add_special_tokens=False)


def our_ids(model: SmolVlm, prompt: Prompt) -> list[int]:
    """Ids of a prompt, with theirs in the place of visual tokens."""
    ids = list(prompt.before)
    for label in prompt.labels:
        ids += [*label, *[IMAGE_ID] * model.card.tokens_per_frame]
    return ids + list(prompt.after)


@torch.inference_mode()
@pytest.mark.parametrize("n_frames", [0, sum(FRAMES)], ids=["alone", "beside video"])
def test_logits_and_answers_about_images_are_theirs(
    pair: tuple[Any, SmolVlm, Path], n_frames: int
) -> None:
    theirs_model, ours, folder = pair
    video = pictures(3, n_frames)
    recalled = chunks_of(ours, video, 1.0) if n_frames else []
    shown = [picture(len(str(folder))), picture(len(str(folder)) + 3)]
    images = [ours.read_image(image) for image in shown]
    prompt = ours.prompt(QUESTION, recalled, (), images)
    ids = our_ids(ours, prompt)
    if not n_frames:
        assert ids == written_ids(folder, images, [QUESTION], ours.card.tokens_per_frame)
    tiles = [cut(image, ours.images)[0] for image in shown]
    seen = [prepare(torch.cat(tiles), ours.images.frames.pixels)]
    if n_frames:
        frames = ours.net.config.frames
        seen.append(prepare(fit(video, frames), frames.pixels))
    batch = {"input_ids": torch.tensor([ids]), "pixel_values": torch.cat(seen)[None]}
    expected = theirs_model(**batch).logits[0]
    latents = [part for image in images for part in image.latents]
    embeddings = [
        part.embeddings
        for part in [*latents, *(chunk.latents for chunk in recalled)]
        if isinstance(part, TokenLatents)
    ]
    laid = lay_out(ours.decoder, prompt, embeddings)
    rows = torch.cat([laid.rows, embed_ids(ours.decoder, prompt.after)])
    hidden = ours.decoder.extend(rows[None], ours.decoder.buffer(len(rows)))
    torch.testing.assert_close(ours.decoder.logits(hidden[0]), expected, atol=1e-4, rtol=0)
    ends = {"eos_token_id": sorted(ours._stop), "pad_token_id": 256}
    steps = theirs_model.generate(**batch, **ends, max_new_tokens=6, do_sample=False)
    answer = ours.tokenizer.decode(steps[0, len(ids) :].tolist())
    tokens = ours.generate(QUESTION, recalled, Sampling(max_tokens=6), images=images)
    said = "".join(token.text for token in tokens)
    assert said == answer or said == answer.rstrip("\ufffd")


def test_conversations_about_images_are_written_as_theirs(pair: tuple[Any, SmolVlm, Path]) -> None:
    _, ours, folder = pair
    images = [ours.read_image(picture(1))]
    turn = Turn(question="Who came?", answer="A dog.")
    assert our_ids(ours, ours.prompt("When?", [], (turn,), images)) == written_ids(
        folder, images, ["Who came?", "A dog.", "When?"], ours.card.tokens_per_frame
    )


def test_images_stand_before_the_video(pair: tuple[Any, SmolVlm, Path]) -> None:
    _, ours, _ = pair
    assert isinstance(ours, ReadsImages)
    images = [ours.read_image(picture(1))]
    chunks: list[ChunkLatents] = chunks_of(ours, pictures(3, 11), 1.0)
    prompt = ours.prompt("where?", chunks, (), images)
    n_tiles = max(1, images[0].tiles[0] * images[0].tiles[1] + 1)
    assert list(prompt.parts) == [n_tiles if images[0].tiles[0] else 1, 8, 3]
    alone = ours.prompt("where?", chunks)
    assert len(prompt.labels) == prompt.parts[0] + 11
    assert list(prompt.after) == list(alone.after)
    tokens = list(ours.generate("where?", chunks, Sampling(max_tokens=2), images=images))
    masses = [token.chunk_mass for token in tokens if token.chunk_mass is not None]
    assert all(len(mass) == len(chunks) for mass in masses)


@pytest.mark.parametrize("size", [(36, 60), (60, 36), (32, 32), (720, 1280), (33, 17), (480, 64)])
@pytest.mark.parametrize("long_side", [32, 48, 128])
def test_tiles_are_those_of_their_processor(size: tuple[int, int], long_side: int) -> None:
    config = FrameConfig(size_px=32, long_side_px=long_side)
    processor = theirs_images.SmolVLMImageProcessorPil(
        **(config.to_json() | {"do_pad": False, "return_row_col_info": True})
    )
    generator = torch.Generator().manual_seed(sum(size))
    # Smooth, so that two ways to resize differ by roundings alone.
    coarse = torch.rand(1, 3, 4, 4, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size, mode="bicubic").clamp(0, 1)
    pixels = (smooth[0] * 255).to(torch.uint8)
    expected = processor([pixels.numpy()], return_tensors="pt", input_data_format="channels_first")
    tiles, grid = cut(pixels, ImageConfig(frames=config))
    assert [[grid[0]], [grid[1]]] == [list(expected["rows"][0]), list(expected["cols"][0])]
    ready = prepare(tiles, config.pixels)
    theirs_pixels = torch.as_tensor(expected["pixel_values"][0])
    assert ready.shape == theirs_pixels.shape
    # Theirs is Pillow's resize here, and torch's where torchvision is installed: grey levels.
    assert (ready - theirs_pixels).abs().max() < 4 / 127.5


def test_without_tiles_a_picture_is_shown_whole() -> None:
    frames = FrameConfig(size_px=32, long_side_px=64)
    tiles, grid = cut(picture(0), ImageConfig(frames=frames, has_tiles=False))
    assert tiles.shape == (1, 3, 32, 32)
    assert grid == (0, 0)


def test_pictures_are_prepared_as_their_own_config_says(tmp_path: Path) -> None:
    write_tiny(tmp_path)
    own = json.loads((tmp_path / FILES["image"]).read_text())
    (tmp_path / "video_preprocessor_config.json").write_text(json.dumps(own))
    (tmp_path / FILES["image"]).write_text(json.dumps(own | {"image_mean": [0.1, 0.2, 0.3]}))
    model = load_model(tmp_path, device=CPU, dtype=torch.float32)
    assert isinstance(model, SmolVlm)
    tiles, _ = cut(picture(0), model.images)
    with torch.inference_mode():
        ready = normalise(tiles, (0.1, 0.2, 0.3), (0.5, 0.5, 0.5))
        tokens, _ = model.net.visual_tokens(ready)
    (latents,) = model.read_image(picture(0)).latents
    assert isinstance(latents, TokenLatents)
    assert torch.equal(latents.embeddings, tokens.flatten(0, 1))
    for name, value, reason in (
        ("max_image_size", {"longest_edge": 16}, "tiles of 16 pixels, and the tower takes 32"),
        ("do_normalize", False, "do_normalize"),
    ):
        (tmp_path / FILES["image"]).write_text(json.dumps(own | {name: value}))
        with pytest.raises(WeightsError, match=reason):
            load_model(tmp_path, device=CPU, dtype=torch.float32)
