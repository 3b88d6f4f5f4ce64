"""SmolVLM2 against transformers' implementation, over many random configurations."""

import random
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers.models.smolvlm.video_processing_smolvlm as theirs
from transformers import SmolVLMVisionConfig
from transformers.models.smolvlm.modeling_smolvlm import SmolVLMVisionEmbeddings

from engine.models.layers.preprocess import prepare
from engine.models.layers.prompt_rows import embed_ids, lay_out, prefill
from engine.models.registry import load_model
from engine.models.smolvlm.frames import FrameConfig, fit, long_side_size
from engine.models.smolvlm.model import SmolVlm
from engine.records import Turn
from engine.tensors import ChunkLatents, TokenLatents
from tests.support.oracle_frames import (
    FRAMES,
    assert_same_answer,
    chunks_of,
    pictures,
    placeholders,
)
from tests.support.oracle_smolvlm import IMAGE_ID, prompt_ids, save_random

CPU = torch.device("cpu")
SEEDS = range(16)
STEP_S = 1.0


@pytest.fixture(scope="module", params=SEEDS)
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, SmolVlm, Path]:
    """Their model, and ours from the files that they wrote."""
    folder = tmp_path_factory.mktemp("smolvlm") / "theirs"
    model = save_random(folder, request.param)
    ours = load_model(folder, device=CPU, dtype=torch.float32)
    assert isinstance(ours, SmolVlm)
    return model, ours, folder


def logits_of(model: SmolVlm, question: str, recalled: list[ChunkLatents]) -> torch.Tensor:
    """Logits of every token of a prompt."""
    prompt = model.prompt(question, recalled)
    latents = [chunk.latents for chunk in recalled]
    embeddings = [part.embeddings for part in latents if isinstance(part, TokenLatents)]
    laid = lay_out(model.decoder, prompt, embeddings)
    rows = torch.cat([laid.rows, embed_ids(model.decoder, prompt.after)])
    laid.positions.text(len(prompt.after))
    buffer = model.decoder.buffer(len(rows))
    hidden = model.decoder.extend(rows[None], buffer)
    again = model.decoder.buffer(len(rows))
    prefill(model.decoder, rows[None], again, laid.positions)
    torch.testing.assert_close(again.keys, buffer.keys)
    return model.decoder.logits(hidden[0])


@torch.inference_mode()
def test_logits_and_answers_are_theirs(pair: tuple[Any, SmolVlm, Path]) -> None:
    theirs_model, ours, folder = pair
    pixels = pictures(3, sum(FRAMES))
    recalled = chunks_of(ours, pixels, STEP_S)
    ids = prompt_ids(folder, ["what is seen?"], range(11), sum(FRAMES), ours.card.tokens_per_frame)
    assert placeholders(ours, IMAGE_ID, "what is seen?", recalled) == ids
    frames = ours.net.config.frames
    ready = prepare(fit(pixels, frames), frames.pixels)[None]
    batch = {"input_ids": torch.tensor([ids]), "pixel_values": ready}
    expected = theirs_model(**batch).logits[0]
    torch.testing.assert_close(
        logits_of(ours, "what is seen?", recalled), expected, atol=1e-4, rtol=0
    )
    assert_same_answer(theirs_model, ours, batch, "what is seen?", recalled)


def test_conversations_are_written_as_theirs(pair: tuple[Any, SmolVlm, Path]) -> None:
    _, ours, folder = pair
    recalled = chunks_of(ours, pictures(5, sum(FRAMES)), STEP_S)
    turns = (Turn(question="Who came?", answer="A dog."), Turn(question="When?", answer="At 3."))
    said = ["Who came?", "A dog.", "When?", "At 3.", "And  then?\n"]
    n_tokens = ours.card.tokens_per_frame
    assert placeholders(ours, IMAGE_ID, "And  then?\n", recalled, *turns) == prompt_ids(
        folder, said, range(11), sum(FRAMES), n_tokens
    )
    assert placeholders(ours, IMAGE_ID, "And  then?\n", [], *turns) == prompt_ids(
        folder, said, (), 0, 0
    )


@pytest.mark.parametrize(("image_px", "patch_px"), [(512, 16), (384, 14)])
def test_in_released_frames_every_patch_has_its_own_position(image_px: int, patch_px: int) -> None:
    """Theirs are computed from shares of a side, which round to a neighbour in some other grids."""
    sizes = {"hidden_size": 1, "image_size": image_px, "patch_size": patch_px}
    embeddings = SmolVLMVisionEmbeddings(SmolVLMVisionConfig(**sizes, num_attention_heads=1))
    grid = image_px // patch_px
    with torch.no_grad():
        embeddings.patch_embedding.weight.zero_()
        embeddings.patch_embedding.bias.zero_()
        embeddings.position_embedding.weight.copy_(torch.arange(grid**2)[:, None])
        pixels = torch.zeros(1, 3, image_px, image_px)
        placed = embeddings(pixels, torch.ones(1, grid, grid, dtype=torch.bool))
    assert placed[0, :, 0].tolist() == list(range(grid**2))


def test_the_first_resize_has_their_size() -> None:
    draw = random.Random(7)
    for _ in range(500):
        height, width = draw.randint(1, 3000), draw.randint(1, 3000)
        side = draw.choice([384, 512, 1456, 5000, draw.randint(8, 800)])
        frame = torch.empty(1, 3, height, width, device="meta")
        expected = theirs.get_resize_output_image_size(frame, side)
        assert long_side_size((height, width), side) == expected


@pytest.mark.parametrize("size", [(36, 60), (60, 36), (32, 32), (720, 1280), (33, 17), (480, 64)])
def test_frames_are_those_of_their_video_processor(size: tuple[int, int]) -> None:
    pytest.importorskip("torchvision", reason="their video processor resizes with torchvision")
    config = FrameConfig(size_px=32, long_side_px=48)
    if size == (32, 32):
        config = FrameConfig(size_px=32, long_side_px=32)
    processor = theirs.SmolVLMVideoProcessor(**config.to_json())
    generator = torch.Generator().manual_seed(sum(size))
    pixels = torch.randint(0, 256, (5, 3, *size), dtype=torch.uint8, generator=generator)
    expected = processor(videos=[pixels], do_sample_frames=False, return_tensors="pt")
    ours = prepare(fit(pixels, config), config.pixels)
    torch.testing.assert_close(ours, expected["pixel_values"][0], atol=1e-6, rtol=0)


def test_a_fitted_frame_is_left_as_it_is() -> None:
    config = FrameConfig(size_px=32, long_side_px=48)
    once = fit(pictures(1, 2), config)
    assert once.shape == (2, 3, 32, 32)
    assert fit(once, config) is once
