"""Still images of Qwen3-VL against transformers' processor, prompts and model."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers.models.qwen2_vl.image_processing_pil_qwen2_vl as theirs_images
from transformers import PreTrainedTokenizerFast

from engine.errors import InputRefusedError, WeightsError
from engine.models.layers.preprocess import CLIP_MEAN, normalise
from engine.models.layers.prompt_rows import embed_ids, lay_out, prefill
from engine.models.qwen3_vl.images import CONFIG, ImageConfig, fit_image, image_size
from engine.models.qwen3_vl.model import Qwen3Vl, write_tiny
from engine.models.registry import load_model
from engine.protocols import ReadsImages, Sampling
from engine.tensors import TokenLatents
from tests.support.oracle_frames import chunks_of, pictures
from tests.support.oracle_qwen3_vl import IMAGE_ID, patchify, save_random

CPU = torch.device("cpu")
QUESTION = "what is seen?"


@pytest.fixture(scope="module", params=range(10))
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, Qwen3Vl, Path]:
    """Their model, and ours from the files that they wrote."""
    folder = tmp_path_factory.mktemp("qwen3_vl") / "theirs"
    model = save_random(folder, request.param)
    ours = load_model(folder, device=CPU, dtype=torch.float32)
    assert isinstance(ours, Qwen3Vl)
    ours.images = ImageConfig(
        factor_px=ours.images.factor_px,
        least_pixels=ours.images.factor_px**2,
        most_pixels=12 * ours.images.factor_px**2,
    )
    return model, ours, folder


@torch.inference_mode()
def test_logits_and_answers_about_images_are_theirs(pair: tuple[Any, Qwen3Vl, Path]) -> None:
    theirs_model, ours, folder = pair
    shown = [pictures(2, 1)[0], pictures(4, 1)[0]]
    images = [ours.read_image(pixels) for pixels in shown]
    frames, vision = ours.net.config.frames, ours.net.config.vision
    patches, grids, text = [], [], ""
    for pixels, image in zip(shown, images, strict=True):
        ready = normalise(fit_image(pixels, ours.images), frames.mean, frames.std)
        flat, grid = patchify(ready.expand(2, -1, -1, -1), vision.patch_px, vision.merge)
        patches.append(flat)
        grids.append(grid)
        text += f"<|vision_start|>{'<|image_pad|>' * image.n_latents}<|vision_end|>"
    written = f"<|im_start|>user\n{text}{QUESTION}<|im_end|>\n<|im_start|>assistant\n"
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    ids = tokenizer.encode(written.replace("<|image_pad|>", "<|video_pad|>"),
                           add_special_tokens=False)  # fmt: skip
    ids = [IMAGE_ID if token == tokenizer.convert_tokens_to_ids("<|video_pad|>") else token
           for token in ids]  # fmt: skip
    prompt = ours.prompt(QUESTION, [], (), images)
    own = list(prompt.before)
    for label, image in zip(prompt.labels, images, strict=True):
        own += [*label, *[IMAGE_ID] * image.n_latents]
    assert own + list(prompt.after) == ids
    batch = {
        "input_ids": torch.tensor([ids]),
        "pixel_values": torch.cat(patches),
        "image_grid_thw": torch.cat(grids),
        "mm_token_type_ids": torch.tensor([[int(token == IMAGE_ID) for token in ids]]),
    }
    latents = [part for image in images for part in image.latents]
    assert all(isinstance(part, TokenLatents) for part in latents)
    laid = lay_out(
        ours.decoder,
        prompt,
        [part.embeddings for part in latents if isinstance(part, TokenLatents)],
        [part.places for part in latents],
    )
    buffer = ours.decoder.buffer(len(laid.rows))
    prefill(ours.decoder, laid.rows[None], buffer, laid.positions)
    hidden = ours.decoder.extend(embed_ids(ours.decoder, prompt.after)[None], buffer)
    logits = ours.decoder.logits(hidden[0])
    expected = theirs_model(**batch).logits[0, -len(logits) :]
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)
    ends = {"eos_token_id": sorted(ours._stop), "pad_token_id": 256}
    steps = theirs_model.generate(**batch, **ends, max_new_tokens=6, do_sample=False)
    answer = ours.tokenizer.decode(steps[0, len(ids) :].tolist())
    said = "".join(
        token.text for token in ours.generate(QUESTION, [], Sampling(max_tokens=6), images=images)
    )
    assert said == answer or said == answer.rstrip("\ufffd")


def test_images_stand_before_the_video(pair: tuple[Any, Qwen3Vl, Path]) -> None:
    _, ours, _ = pair
    assert isinstance(ours, ReadsImages)
    images = [ours.read_image(pictures(2, 1)[0])]
    chunks = chunks_of(ours, pictures(3, 11), 0.5)
    prompt, alone = ours.prompt("where?", chunks, (), images), ours.prompt("where?", chunks)
    assert list(prompt.parts) == [1, *alone.parts]
    assert list(prompt.after) == list(alone.after)
    tokens = list(ours.generate("where?", chunks, Sampling(max_tokens=2), images=images))
    assert all(len(t.chunk_mass) == len(chunks) for t in tokens if t.chunk_mass is not None)


def test_pictures_have_the_size_of_their_resize() -> None:
    draw = random.Random(5)
    for _ in range(1000):
        height, width = draw.randint(1, 3000), draw.randint(1, 3000)
        if max(height, width) / min(height, width) > 200:
            continue
        factor = draw.choice([8, 28, 32])
        least = draw.randint(1, 80) * factor**2
        config = ImageConfig(
            factor_px=factor,
            least_pixels=least,
            most_pixels=least + draw.randint(1, 400) * factor**2,
        )
        assert image_size(height, width, config) == theirs_images.smart_resize(
            height, width, factor, config.least_pixels, config.most_pixels
        )


def test_pictures_are_prepared_as_their_own_config_says(tmp_path: Path) -> None:
    write_tiny(tmp_path)
    fields = {"size": {"shortest_edge": 64, "longest_edge": 2048}, "patch_size": 4, "merge_size": 2}
    for changes, least, mean in (
        ({"image_mean": [0.1, 0.2, 0.3]}, 64, (0.1, 0.2, 0.3)),
        ({"min_pixels": 256}, 256, CLIP_MEAN),
    ):
        (tmp_path / CONFIG).write_text(json.dumps(fields | changes))
        model = load_model(tmp_path, device=CPU, dtype=torch.float32)
        assert isinstance(model, Qwen3Vl)
        assert (model.images.least_pixels, model.images.mean) == (least, mean)
        pixels = pictures(2, 1)[0]
        ready = normalise(fit_image(pixels, model.images), mean, model.images.std)
        with torch.inference_mode():
            tokens, _ = model.net.tower(ready.expand(2, -1, -1, -1))
        (latents,) = model.read_image(pixels).latents
        assert isinstance(latents, TokenLatents)
        assert torch.equal(latents.embeddings, tokens[0])
    for name, value in (("patch_size", 8), ("do_rescale", False), ("resample", 2)):
        (tmp_path / CONFIG).write_text(json.dumps(fields | {name: value}))
        with pytest.raises(WeightsError, match=name):
            load_model(tmp_path, device=CPU, dtype=torch.float32)


def test_too_narrow_a_picture_is_refused() -> None:
    with pytest.raises(InputRefusedError, match="narrower than 1 : 200"):
        fit_image(torch.zeros(3, 2, 900, dtype=torch.uint8), ImageConfig(factor_px=8))
