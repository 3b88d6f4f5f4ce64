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
from engine.models.layers.preprocessor_files import FILES
from engine.models.layers.prompt_rows import Prompt, embed_ids, lay_out, prefill
from engine.models.qwen3_vl.frames import fit
from engine.models.qwen3_vl.images import ImageConfig, fit_image, image_size
from engine.models.qwen3_vl.model import Qwen3Vl, write_tiny
from engine.models.registry import load_model
from engine.protocols import ReadsImages, Sampling
from engine.tensors import Latents, TokenLatents
from tests.support.oracle_frames import FRAMES, chunks_of, pictures
from tests.support.oracle_qwen3_vl import (
    IMAGE_ID,
    VIDEO_ID,
    grid_of,
    patchify,
    save_random,
    video_text,
)

CPU = torch.device("cpu")
QUESTION = "what is seen?"
STEP_S = 0.5


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
@pytest.mark.parametrize("n_frames", [0, sum(FRAMES)], ids=["alone", "beside video"])
def test_logits_and_answers_about_images_are_theirs(
    pair: tuple[Any, Qwen3Vl, Path], n_frames: int
) -> None:
    theirs_model, ours, folder = pair
    video = pictures(3, n_frames)
    recalled = chunks_of(ours, video, STEP_S) if n_frames else []
    shown = [pictures(2, 1)[0], pictures(4, 1)[0]]
    images = [ours.read_image(pixels) for pixels in shown]
    batch = their_images(ours, shown)
    text = "".join(f"<|vision_start|>{'<|image_pad|>' * i.n_latents}<|vision_end|>" for i in images)
    if n_frames:
        frames, vision = ours.net.config.frames, ours.net.config.vision
        ready = normalise(fit(video, frames), frames.mean, frames.std)
        patches, grid = patchify(ready, vision.patch_px, vision.merge)
        batch |= {"pixel_values_videos": patches, "video_grid_thw": grid}
        text += video_text([STEP_S * number for number in range(n_frames)], grid_of(ours, video))
    ids = written_ids(folder, text)
    prompt = ours.prompt(QUESTION, recalled, (), images)
    sizes = [image.n_latents for image in images]
    sizes += [
        part.latents.n_latents // ours.parts_of(part)
        for part in recalled
        for _ in range(ours.parts_of(part))
    ]
    kinds = [IMAGE_ID] * len(images) + [VIDEO_ID] * (len(sizes) - len(images))
    own = list(prompt.before)
    for label, size, kind in zip(prompt.labels, sizes, kinds, strict=True):
        own += [*label, *[kind] * size]
    assert own + list(prompt.after) == ids
    batch["input_ids"] = torch.tensor([ids])
    batch["mm_token_type_ids"] = torch.tensor(
        [[{IMAGE_ID: 1, VIDEO_ID: 2}.get(token, 0) for token in ids]]
    )
    latents = [*(part for image in images for part in image.latents)]
    latents += [chunk.latents for chunk in recalled]
    logits = logits_of(ours, prompt, latents)
    expected = theirs_model(**batch).logits[0, -len(logits) :]
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)
    ends = {"eos_token_id": sorted(ours._stop), "pad_token_id": 256}
    steps = theirs_model.generate(**batch, **ends, max_new_tokens=6, do_sample=False)
    answer = ours.tokenizer.decode(steps[0, len(ids) :].tolist())
    tokens = ours.generate(QUESTION, recalled, Sampling(max_tokens=6), images=images)
    said = "".join(token.text for token in tokens)
    assert said == answer or said == answer.rstrip("\ufffd")


def their_images(model: Qwen3Vl, shown: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    """Pictures as their processor hands them to their model."""
    config, vision = model.images, model.net.config.vision
    cut = [
        patchify(
            normalise(fit_image(pixels, config), config.mean, config.std).expand(2, -1, -1, -1),
            vision.patch_px,
            vision.merge,
        )
        for pixels in shown
    ]
    return {
        "pixel_values": torch.cat([patches for patches, _ in cut]),
        "image_grid_thw": torch.cat([grid for _, grid in cut]),
    }


def written_ids(folder: Path, text: str) -> list[int]:
    """Ids of their conversation; a placeholder of images is no token of the tiny tokenizer."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    written = f"<|im_start|>user\n{text}{QUESTION}<|im_end|>\n<|im_start|>assistant\n"
    first, *others = written.split("<|image_pad|>")
    ids: list[int] = tokenizer.encode(first, add_special_tokens=False)
    for other in others:
        ids += [IMAGE_ID, *tokenizer.encode(other, add_special_tokens=False)]
    return ids


def logits_of(model: Qwen3Vl, prompt: Prompt, latents: list[Latents]) -> torch.Tensor:
    """Logits behind the last image or chunk of a prompt."""
    kept = [part for part in latents if isinstance(part, TokenLatents)]
    assert len(kept) == len(latents)
    embeddings, places = [part.embeddings for part in kept], [part.places for part in kept]
    laid = lay_out(model.decoder, prompt, embeddings, places)
    buffer = model.decoder.buffer(len(laid.rows))
    prefill(model.decoder, laid.rows[None], buffer, laid.positions)
    hidden = model.decoder.extend(embed_ids(model.decoder, prompt.after)[None], buffer)
    return model.decoder.logits(hidden[0])


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
        (tmp_path / FILES["image"]).write_text(json.dumps(fields | changes))
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
        (tmp_path / FILES["image"]).write_text(json.dumps(fields | {name: value}))
        with pytest.raises(WeightsError, match=name):
            load_model(tmp_path, device=CPU, dtype=torch.float32)


def test_too_narrow_a_picture_is_refused() -> None:
    with pytest.raises(InputRefusedError, match="narrower than 1 : 200"):
        fit_image(torch.zeros(3, 2, 900, dtype=torch.uint8), ImageConfig(factor_px=8))
