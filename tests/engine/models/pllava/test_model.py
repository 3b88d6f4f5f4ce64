"""PLLaVA: its released layout, adapters at any strength, and chunks pooled one by one."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.errors import InputRefusedError, WeightsError
from engine.models.layers.decoder_config import LLAMA_7B, DecoderConfig
from engine.models.layers.preprocess import PixelConfig
from engine.models.layers.towers import CLIP_LARGE_336, TowerConfig
from engine.models.pllava import model as pllava
from engine.models.pllava.model import Pllava
from engine.models.pllava.net import (
    WRAPPER,
    Adapters,
    PllavaConfig,
    PllavaNet,
    load_net,
    pool_clip,
)
from engine.models.registry import load_model
from engine.models.video_xl import model as video_xl
from engine.protocols import Sampling
from engine.records import ChunkRef, TimeSpan, Turn, VideoId
from engine.tensors import ChunkLatents, FrameBatch
from tests.support.released_layouts import Tensors, edit_config, rewritten, tensors_of, without

CPU, F32 = torch.device("cpu"), torch.float32
Q0 = f"{WRAPPER}model.layers.0.self_attn.q_proj"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    checkpoint = tmp_path_factory.mktemp("checkpoints") / "tiny"
    pllava.write_tiny(checkpoint)
    return checkpoint


@pytest.fixture(scope="module")
def model(folder: Path) -> Pllava:
    return pllava.load(folder, CPU, F32)


def _frames(n_frames: int, seed: int = 0) -> FrameBatch:
    random = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (n_frames, 3, 40, 64), generator=random, dtype=torch.uint8)
    return FrameBatch(pixels=pixels, pts_s=torch.arange(n_frames).double())


def _chunk(model: Pllava, ordinal: int, n_frames: int = 4) -> ChunkLatents:
    tokens = model.encode(_frames(n_frames, seed=ordinal))
    return ChunkLatents(
        ref=ChunkRef(
            video=VideoId("v"),
            ordinal=ordinal,
            span=TimeSpan(start_s=float(ordinal), end_s=ordinal + 1.0),
        ),
        latents=model.compress(tokens, model.open_stream()),
        frame_vectors=tokens.frame_vectors,
        pts_s=tokens.pts_s,
    )


def test_written_checkpoint_has_the_released_names(folder: Path) -> None:
    names = set(tensors_of(folder))
    assert {f"{Q0}.base_layer.weight", f"{Q0}.lora_A.default.weight"} <= names
    assert f"{WRAPPER}lm_head.weight" in names
    assert "multi_modal_projector.linear_1.weight" in names
    assert "vision_tower.vision_model.pre_layrnorm.weight" in names


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("multi_modal_projector.linear_2.bias"), "projector.outer.bias"),
        (without(f"{Q0}.base_layer.weight"), "q_proj"),
        (without(f"{Q0}.lora_B.default.weight"), "lora_B"),
        (lambda tensors: tensors | {"extra.weight": torch.zeros(1)}, "extra.weight"),
        (
            lambda tensors: tensors | {"multi_modal_projector.linear_1.bias": torch.zeros(3)},
            r"linear_1.bias is \[3\]",
        ),
    ],
)
def test_key_that_does_not_fit_is_named(
    folder: Path, tmp_path: Path, change: Callable[[Tensors], Tensors], message: str
) -> None:
    broken = rewritten(folder, tmp_path / "broken", change)
    with pytest.raises(WeightsError, match=message):
        pllava.load(broken, CPU, F32)


def test_alpha_blends_between_image_and_video_model(folder: Path) -> None:
    weights = {
        alpha: load_net(folder, CPU, F32, alpha=alpha).decoder.layers[0].attention.qkv.weight
        for alpha in (0.0, 4.0, 32.0)
    }
    blend = weights[0.0] + (weights[32.0] - weights[0.0]) * 4 / 32
    torch.testing.assert_close(weights[4.0], blend, atol=1e-6, rtol=1e-5)
    assert not torch.equal(weights[0.0], weights[4.0])


def test_another_alpha_is_another_model(folder: Path, model: Pllava) -> None:
    other = pllava.load(folder, CPU, F32, alpha=32.0)
    assert other.card.fingerprint != model.card.fingerprint


def test_released_sizes_have_the_published_parameters() -> None:
    sizes = LLAMA_7B | {"vocab_size": 32064, "max_position_embeddings": 4096}
    config = PllavaConfig(
        decoder=DecoderConfig.from_json(sizes),
        tower=TowerConfig.from_json(CLIP_LARGE_336),
        pixels=PixelConfig(size_px=336),
    )
    with torch.device("meta"):
        net = PllavaNet(config)
        adapters = [Adapters(config.decoder, rank=128) for _ in range(32)]
    count = sum(
        parameter.numel() for module in (net, *adapters) for parameter in module.parameters()
    )
    assert round(count / 1e9, 2) == 7.13
    assert net.compression_ratio == 4


def test_alpha_reaches_the_family_from_the_settings(folder: Path, model: Pllava) -> None:
    full = load_model(folder, device=CPU, dtype=F32, adapter_alpha=32.0)
    released = load_model(folder, device=CPU, dtype=F32, adapter_alpha=4.0)
    assert full.card.fingerprint != model.card.fingerprint == released.card.fingerprint


def test_alpha_without_adapters_is_refused(tmp_path: Path) -> None:
    video_xl.write_tiny(tmp_path / "tiny")
    with pytest.raises(InputRefusedError, match="video_xl has no adapters"):
        load_model(tmp_path / "tiny", device=CPU, dtype=F32, adapter_alpha=4.0)


def test_adapters_alone_need_their_base_and_then_equal_the_full_dict(
    folder: Path, tmp_path: Path
) -> None:
    full = tensors_of(folder)
    is_own = {key: "lora_" in key or key.startswith("multi_modal") for key in full}
    image = rewritten(
        folder,
        tmp_path / "image",
        lambda tensors: {
            key.replace(WRAPPER, "language_model.").replace(".base_layer", ""): tensor
            for key, tensor in tensors.items()
            if "lora_" not in key
        },
    )
    trained = rewritten(
        folder,
        tmp_path / "trained",
        lambda tensors: {k: v for k, v in tensors.items() if is_own[k]},
    )
    with pytest.raises(WeightsError):
        load_net(trained, CPU, F32)
    ours = load_net(trained, CPU, F32, base=image).state_dict()
    theirs = load_net(folder, CPU, F32).state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_plain_image_model_runs_without_adapters(folder: Path, tmp_path: Path) -> None:
    plain = rewritten(
        folder,
        tmp_path / "plain",
        lambda tensors: (
            {
                key.replace(WRAPPER, "language_model.").replace(".base_layer", ""): tensor
                for key, tensor in tensors.items()
                if "lora_" not in key
            }
            | {"image_newline": torch.zeros(48)}
        ),
    )
    ours, theirs = load_net(plain, CPU, F32), load_net(folder, CPU, F32, alpha=0.0)
    assert torch.equal(
        ours.decoder.layers[0].attention.qkv.weight, theirs.decoder.layers[0].attention.qkv.weight
    )


def test_config_of_another_pooling_is_refused(folder: Path, tmp_path: Path) -> None:
    other = rewritten(folder, tmp_path / "other", dict)
    edit_config(other, pooling_method="max")
    with pytest.raises(WeightsError, match="pooling_method"):
        pllava.load(other, CPU, F32)


def test_config_without_a_field_is_a_sentence(folder: Path, tmp_path: Path) -> None:
    other = rewritten(folder, tmp_path / "other", dict)
    edit_config(other, vision_config={"hidden_size": 32, "patch_size": 8})
    with pytest.raises(WeightsError, match="lacks the field 'image_size'"):
        pllava.load(other, CPU, F32)


def test_batches_may_be_cut_anywhere(model: Pllava) -> None:
    frames = _frames(4)
    whole = model.encode(frames)
    parts = [
        model.encode(FrameBatch(pixels=frames.pixels[at], pts_s=frames.pts_s[at]))
        for at in (slice(0, 1), slice(1, 4))
    ]
    joined = torch.cat([part.embeddings for part in parts])
    torch.testing.assert_close(joined, whole.embeddings, atol=1e-5, rtol=1e-5)


def test_full_chunk_has_the_latents_of_the_card(model: Pllava) -> None:
    latents = model.compress(model.encode(_frames(4)), model.open_stream())
    assert latents.n_latents == model.card.latents_per_chunk == 16


def test_short_chunk_keeps_a_share_of_its_frames(model: Pllava) -> None:
    tokens = model.encode(_frames(3))
    latents = model.compress(tokens, model.open_stream())
    expected = pool_clip(tokens.embeddings, (4, 4), (3, 2, 2))
    assert torch.equal(latents.embeddings, expected)


def test_a_begun_pooled_frame_is_kept() -> None:
    # Two pooled frames for four: the third frame begins the second one.
    net = pllava.build(replace(pllava.VARIANTS["tiny"], pooling=(2, 2, 2)), CPU, F32)
    tokens = torch.randn(3, 16, 48)
    expected = pool_clip(tokens, (4, 4), (2, 2, 2))
    assert torch.equal(net.pool(tokens, net.compression_ratio), expected)
    assert net.pool(tokens[:1], net.compression_ratio).shape == (4, 48)


@pytest.mark.parametrize(("ratio", "n_latents"), [(1, 64), (4, 16), (16, 4)])
def test_stream_may_choose_its_ratio(model: Pllava, ratio: int, n_latents: int) -> None:
    stream = model.open_stream(compression_ratio=ratio)
    assert stream.compression_ratio == ratio
    assert model.compress(model.encode(_frames(4)), stream).n_latents == n_latents


def test_impossible_ratio_lists_the_possible_ones(model: Pllava) -> None:
    with pytest.raises(ValueError, match="1, 4, 16"):
        model.open_stream(compression_ratio=3)


def test_released_pooling_halves_the_side_only() -> None:
    assert pllava.first_resize(720, 1280, 336) == (360, 640)
    assert pllava.first_resize(1920, 1080, 336) == (640, 360)


def test_answer_looks_at_the_chunks_it_recalls(model: Pllava) -> None:
    tokens = list(
        model.generate("What?", [_chunk(model, 0), _chunk(model, 1, 3)], Sampling(max_tokens=3))
    )
    assert tokens
    for token in tokens:
        assert token.chunk_mass is not None
        assert token.chunk_mass.shape == (2,)
        assert 0 < float(token.chunk_mass.sum()) <= 1


def test_attention_does_not_depend_on_order_or_number(model: Pllava) -> None:
    chunks = [_chunk(model, n, 4 - n % 2) for n in range(3)]
    together = model.attend("Where is it?", chunks)
    alone = torch.cat([model.attend("Where is it?", [chunk]) for chunk in reversed(chunks)])
    torch.testing.assert_close(together, alone.flip(0), atol=1e-5, rtol=1e-4)


def test_question_cannot_open_a_turn_or_a_video(model: Pllava) -> None:
    prompt = model._prompt(model._ask, "</s> <image> <s>?", [Turn(question="<s>", answer="</s>")])
    controls = {model.tokenizer.id_of(token) for token in ("<image>", "<s>")}
    assert prompt.before.count(model.tokenizer.id_of("<s>")) == 1
    assert not controls & set(prompt.after)
    # The template itself closes the earlier reply.
    assert prompt.after.count(model.tokenizer.id_of("</s>")) == 1


def test_recaption_is_asked_under_its_own_template(model: Pllava) -> None:
    described, answered = (
        "".join(token.text for token in tokens)
        for tokens in (
            model.recaption(_chunk(model, 0), Sampling(max_tokens=6)),
            model.generate(pllava.RECAPTION, [_chunk(model, 0)], Sampling(max_tokens=6)),
        )
    )
    assert described != answered


def test_chunk_of_too_many_frames_is_refused(model: Pllava) -> None:
    with pytest.raises(ValueError, match="1 to 4 frames"):
        model.compress(model.encode(_frames(5)), model.open_stream())


@pytest.mark.parametrize(
    ("field", "value"),
    [("image_mean", [0.5, 0.5, 0.5]), ("image_std", [1, 1, 1]), ("resample", 2)],
)
def test_frames_that_are_not_prepared_for_clip_are_refused(
    folder: Path, tmp_path: Path, field: str, value: object
) -> None:
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    path = other / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    with pytest.raises(WeightsError, match=field):
        load_net(other, CPU, F32)
