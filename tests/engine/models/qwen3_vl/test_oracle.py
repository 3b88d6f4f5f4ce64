"""Qwen3-VL against transformers' implementation, over many random configurations."""

import random
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers.models.qwen3_vl.video_processing_qwen3_vl as theirs
from transformers import PreTrainedTokenizerFast

from engine.errors import InputRefusedError
from engine.models.layers.preprocess import normalise
from engine.models.layers.prompt_rows import embed_ids, lay_out, prefill
from engine.models.qwen3_vl.frames import CHUNK_FRAMES, FrameConfig, fit, fitted_size
from engine.models.qwen3_vl.model import VARIANTS, Qwen3Vl
from engine.models.registry import load_model
from engine.records import Turn
from engine.tensors import ChunkLatents, TokenLatents
from tests.support.oracle_frames import (
    FRAMES,
    assert_same_answer,
    chunks_of,
    pictures,
    placeholders,
)
from tests.support.oracle_qwen3_vl import VIDEO_ID, grid_of, patchify, save_random, video_text

CPU = torch.device("cpu")
SEEDS = range(20)
STEP_S = 0.5


@pytest.fixture(scope="module", params=SEEDS)
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, Qwen3Vl, Path]:
    """Their model, and ours from the files that they wrote."""
    folder = tmp_path_factory.mktemp("qwen3_vl") / "theirs"
    model = save_random(folder, request.param)
    ours = load_model(folder, device=CPU, dtype=torch.float32)
    assert isinstance(ours, Qwen3Vl)
    return model, ours, folder


def logits_of(model: Qwen3Vl, question: str, recalled: list[ChunkLatents]) -> torch.Tensor:
    """Logits of the question behind the recalled chunks."""
    prompt = model.prompt(question, recalled)
    latents = [chunk.latents for chunk in recalled]
    assert all(isinstance(part, TokenLatents) for part in latents)
    laid = lay_out(
        model.decoder,
        prompt,
        [part.embeddings for part in latents if isinstance(part, TokenLatents)],
        [part.places for part in latents],
    )
    buffer = model.decoder.buffer(len(laid.rows))
    prefill(model.decoder, laid.rows[None], buffer, laid.positions)
    hidden = model.decoder.extend(embed_ids(model.decoder, prompt.after)[None], buffer)
    return model.decoder.logits(hidden[0])


@torch.inference_mode()
def test_logits_and_answers_are_theirs(pair: tuple[Any, Qwen3Vl, Path]) -> None:
    theirs_model, ours, folder = pair
    pixels, question = pictures(len(folder.parent.name), sum(FRAMES)), "what is seen?"
    recalled, grid = chunks_of(ours, pixels, STEP_S), grid_of(ours, pixels)
    text = video_text([STEP_S * number for number in range(sum(FRAMES))], grid)
    written = f"<|im_start|>user\n{text}{question}<|im_end|>\n<|im_start|>assistant\n"
    ids = PreTrainedTokenizerFast.from_pretrained(folder).encode(written, add_special_tokens=False)
    assert placeholders(ours, VIDEO_ID, question, recalled) == ids
    config, vision = ours.net.config.frames, ours.net.config.vision
    ready = normalise(fit(pixels, config), config.mean, config.std)
    patches, video_grid = patchify(ready, vision.patch_px, vision.merge)
    is_video = torch.tensor([[2 * (token == VIDEO_ID) for token in ids]])
    batch = {
        "input_ids": torch.tensor([ids]),
        "pixel_values_videos": patches,
        "video_grid_thw": video_grid,
        "mm_token_type_ids": is_video,
    }
    logits = logits_of(ours, question, recalled)
    expected = theirs_model(**batch).logits[0, -len(logits) :]
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)
    assert_same_answer(theirs_model, ours, batch, question, recalled)


def test_conversations_are_written_as_released(pair: tuple[Any, Qwen3Vl, Path]) -> None:
    _, ours, folder = pair
    pixels = pictures(5, sum(FRAMES))
    recalled, grid = chunks_of(ours, pixels, STEP_S), grid_of(ours, pixels)
    text = video_text([STEP_S * number for number in range(sum(FRAMES))], grid)
    turn = Turn(question="Who came?", answer="\n A dog.")
    for shown, chunks in ((text, recalled), ("", [])):
        written = (
            f"<|im_start|>user\n{shown}Who came?<|im_end|>\n<|im_start|>assistant\n\n A dog."
            "<|im_end|>\n<|im_start|>user\nAnd  then?\n<|im_end|>\n<|im_start|>assistant\n"
        )
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        ids = tokenizer.encode(written, add_special_tokens=False)
        assert placeholders(ours, VIDEO_ID, "And  then?\n", chunks, turn) == ids


def test_frames_have_the_size_of_their_resize() -> None:
    draw = random.Random(3)
    for _ in range(2000):
        height, width = draw.randint(1, 2500), draw.randint(1, 2500)
        factor = draw.choice([8, 28, 32])
        config = FrameConfig(
            factor_px=factor,
            frame_pixels=2 * draw.randint(1, 400) * factor**2,
            least_pixels=draw.choice([4096, 128 * 32 * 32, 10**6]),
        )
        if config.least_pixels > CHUNK_FRAMES * config.frame_pixels:
            continue
        sizes = {
            "num_frames": CHUNK_FRAMES,
            "factor": config.factor_px,
            "min_pixels": config.least_pixels,
            "max_pixels": CHUNK_FRAMES * config.frame_pixels,
        }
        try:
            expected = theirs.smart_resize(height=height, width=width, **sizes)
        except ValueError:
            with pytest.raises(InputRefusedError):
                fitted_size(height, width, config)
            continue
        assert fitted_size(height, width, config) == expected


@pytest.mark.parametrize("size", [(36, 60), (64, 32), (7, 90), (1, 1), (2000, 31)])
def test_fitted_frames_are_left_as_they_are(size: tuple[int, int]) -> None:
    config = VARIANTS["4b"].frames
    once = fit(torch.zeros(1, 3, *size, dtype=torch.uint8), config)
    assert once.shape[2] * once.shape[3] <= config.frame_pixels
    assert fit(once, config) is once
    # Upstream's rule would not change them either.
    assert fitted_size(once.shape[2], once.shape[3], config) == tuple(once.shape[2:])


@pytest.mark.parametrize("size", [(36, 60), (60, 36), (720, 1280), (33, 17), (480, 64)])
def test_frames_are_those_of_their_video_processor(size: tuple[int, int]) -> None:
    pytest.importorskip("torchvision", reason="their video processor resizes with torchvision")
    config = FrameConfig(factor_px=8, frame_pixels=2048, least_pixels=1024)
    processor = theirs.Qwen3VLVideoProcessor(
        size={"longest_edge": CHUNK_FRAMES * 2048, "shortest_edge": 1024},
        patch_size=4,
        merge_size=2,
        temporal_patch_size=2,
        cap_pixels_per_frame=False,
    )
    generator = torch.Generator().manual_seed(sum(size))
    shape = (CHUNK_FRAMES, 3, *size)
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    expected = processor(videos=[pixels], do_sample_frames=False, return_tensors="pt")
    ready = normalise(fit(pixels, config), config.mean, config.std)
    patches, grid = patchify(ready, 4, 2)
    assert torch.equal(grid, expected["video_grid_thw"])
    torch.testing.assert_close(patches, expected["pixel_values_videos"], atol=1e-6, rtol=0)
