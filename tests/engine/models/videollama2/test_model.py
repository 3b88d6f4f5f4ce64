"""VideoLLaMA 2: its released layout, frames compressed chunk by chunk, and their sound."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from engine.errors import WeightsError
from engine.models.videollama2 import model as videollama2
from engine.models.videollama2.beats import filter_banks
from engine.models.videollama2.checkpoint import load_net
from engine.models.videollama2.model import VideoLlama2
from engine.models.videollama2.net import build
from engine.models.videollama2.prompts import MISTRAL_SYSTEM
from engine.models.videollama2.recognise import recognises
from engine.protocols import Sampling
from engine.records import ChunkRef, TimeSpan, VideoId
from engine.tensors import AudioWindow, ChunkLatents, FrameBatch
from tests.support.released_layouts import Tensors, edit_config, rewritten, tensors_of, without

CPU, F32 = torch.device("cpu"), torch.float32


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    checkpoint = tmp_path_factory.mktemp("checkpoints") / "tiny"
    videollama2.write_tiny(checkpoint)
    return checkpoint


@pytest.fixture(scope="module")
def model(folder: Path) -> VideoLlama2:
    return videollama2.load(folder, CPU, F32)


def _sound(seconds: float, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(round(16_000 * seconds), generator=random) * 0.1


def _frames(n_frames: int, sound: Tensor | None = None) -> FrameBatch:
    random = torch.Generator().manual_seed(n_frames)
    return FrameBatch(
        pixels=torch.randint(0, 256, (n_frames, 3, 40, 64), generator=random, dtype=torch.uint8),
        pts_s=torch.arange(n_frames).double(),
        audio=None if sound is None else AudioWindow(samples=sound, start_s=0.0),
    )


def _latents(model: VideoLlama2, frames: FrameBatch) -> Tensor:
    return model.compress(model.encode(frames), model.open_stream()).embeddings


def _chunk(model: VideoLlama2, sound: Tensor | None, n_frames: int = 4) -> ChunkLatents:
    tokens = model.encode(_frames(n_frames, sound))
    return ChunkLatents(
        ref=ChunkRef(video=VideoId("v"), ordinal=0, span=TimeSpan(start_s=0.0, end_s=4.0)),
        latents=model.compress(tokens, model.open_stream()),
        frame_vectors=tokens.frame_vectors,
        pts_s=tokens.pts_s,
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("model.mm_projector.s1.b1.se.fc1.bias"), "connector.s1.b1.se.fc1.bias"),
        (without("model.audio_tower.layer_norm.weight"), "audio_tower.layer_norm.weight"),
        (lambda tensors: tensors | {"model.extra.weight": torch.zeros(1)}, "model.extra.weight"),
        (lambda tensors: tensors | {"model.norm.weight": torch.zeros(3)}, r"norm.weight is \[3\]"),
        (
            without("model.vision_tower.vision_tower.vision_model.post_layernorm.bias"),
            "post_layernorm.bias",
        ),
    ],
)
def test_key_that_does_not_fit_is_named(
    folder: Path, tmp_path: Path, change: Callable[[Tensors], Tensors], message: str
) -> None:
    broken = rewritten(folder, tmp_path / "broken", change)
    with pytest.raises(WeightsError, match=message):
        videollama2.load(broken, CPU, F32)


def test_unused_classifier_of_the_audio_tower_is_passed_over(folder: Path, tmp_path: Path) -> None:
    added = {"model.audio_tower.predictor.weight": torch.zeros(5, 32)}
    videollama2.load(
        rewritten(folder, tmp_path / "more", lambda tensors: tensors | added), CPU, F32
    )


def test_tower_left_out_comes_from_its_own_folder(folder: Path, tmp_path: Path) -> None:
    lean = rewritten(
        folder,
        tmp_path / "lean",
        lambda tensors: {
            key: tensor for key, tensor in tensors.items() if ".vision_tower." not in key
        },
    )
    full, ours = load_net(folder, CPU, F32), load_net(lean, CPU, F32)
    pairs = zip(full.tower.parameters(), ours.tower.parameters(), strict=True)
    assert all(torch.equal(whole, alone) for whole, alone in pairs)


def test_audio_tower_may_lie_in_its_own_file(folder: Path, tmp_path: Path) -> None:
    prefix = "model.audio_tower."
    apart = rewritten(
        folder,
        tmp_path / "apart",
        lambda tensors: {
            key: tensor for key, tensor in tensors.items() if not key.startswith(prefix)
        },
    )
    with pytest.raises(WeightsError, match=r"audio_tower\.bin"):
        load_net(apart, CPU, F32)
    own = {k.removeprefix(prefix): v for k, v in tensors_of(folder).items() if k.startswith(prefix)}
    torch.save({"cfg": {"encoder_layers": 2}, "model": own}, apart / "audio_tower.bin")
    load_net(apart, CPU, F32)


def test_overstated_vocabulary_yields_to_the_embedding(folder: Path, tmp_path: Path) -> None:
    other = rewritten(folder, tmp_path / "other", dict)
    edit_config(other, vocab_size=9999)
    assert load_net(other, CPU, F32).config.decoder.vocab_size == 264


def test_connector_of_the_first_stage_stands_on_a_base(folder: Path, tmp_path: Path) -> None:
    stage = tmp_path / "stage"
    shutil.copytree(folder, stage)
    for path in stage.glob("model*"):
        path.unlink()
    own = {k: v + 1 for k, v in tensors_of(folder).items() if k.startswith("model.mm_projector.")}
    torch.save(own, stage / "mm_projector.bin")
    edit_config(stage, _name_or_path="mistralai/Mistral-7B-Instruct-v0.2")
    with pytest.raises(WeightsError, match="Mistral-7B"):
        load_net(stage, CPU, F32)
    net = load_net(stage, CPU, F32, base=folder)
    bias = tensors_of(folder)["model.mm_projector.readout.0.bias"]
    assert torch.equal(net.connector.readout[0].bias, bias + 1)


def test_adapters_are_fused_at_the_strength_they_were_trained_with(
    folder: Path, tmp_path: Path
) -> None:
    lora = tmp_path / "lora"
    shutil.copytree(folder, lora)
    for path in lora.glob("model*"):
        path.unlink()
    name = "model.layers.0.mlp.down_proj"
    down, up = torch.randn(2, 64), torch.randn(48, 2)
    halves = {f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up}
    save_file(
        {f"base_model.model.{key}": half for key, half in halves.items()},
        lora / "adapter_model.safetensors",
    )
    (lora / "adapter_config.json").write_text(json.dumps({"r": 2, "lora_alpha": 4}))
    trained = {"base_model.model.model.mm_projector.readout.0.bias": torch.ones(48)}
    torch.save(trained, lora / "non_lora_trainables.bin")
    net = load_net(lora, CPU, F32, base=folder)
    expected = tensors_of(folder)[f"{name}.weight"] + 2 * up @ down
    torch.testing.assert_close(net.decoder.layers[0].down.weight, expected, atol=1e-6, rtol=1e-5)
    assert torch.equal(net.connector.readout[0].bias, torch.ones(48))


def test_config_without_a_field_is_a_sentence(folder: Path, tmp_path: Path) -> None:
    other = rewritten(folder, tmp_path / "other", dict)
    edit_config(other, num_attention_heads=None)
    with pytest.raises(WeightsError, match="lacks the field 'num_attention_heads'"):
        videollama2.load(other, CPU, F32)


def test_early_revisions_are_recognised() -> None:
    assert recognises({"model_type": "mistral", "mm_projector_type": "stc_connector"})
    assert not recognises({"model_type": "mistral"})


@pytest.mark.parametrize("n_frames", [1, 2, 3, 4])
def test_every_frame_of_a_chunk_counts(model: VideoLlama2, n_frames: int) -> None:
    frames = _frames(n_frames)
    changed = frames.pixels.clone()
    changed[-1] = 255 - changed[-1]
    other = replace(frames, pixels=changed)
    assert not torch.equal(_latents(model, frames), _latents(model, other))


def test_full_chunk_has_the_latents_of_the_card(model: VideoLlama2) -> None:
    assert len(_latents(model, _frames(4, _sound(4)))) == model.card.latents_per_chunk


def test_released_sizes_add_up() -> None:
    config = videollama2.VARIANTS["tiny"]
    assert config.hearing is not None
    released = replace(config.hearing, window_s=30.0)
    assert released.window_tokens == 1496


def test_sound_stands_with_its_chunk(model: VideoLlama2) -> None:
    first, second = (_latents(model, _frames(4, _sound(4, seed))) for seed in (1, 2))
    n_audio = model.net.config.hearing.window_tokens  # type: ignore[union-attr]
    assert torch.equal(first[:-n_audio], second[:-n_audio])
    assert not torch.allclose(first[-n_audio:], second[-n_audio:])


def test_missing_track_is_heard_as_silence(model: VideoLlama2) -> None:
    missing, no_progress = (
        _latents(model, _frames(4)),
        _latents(model, _frames(4, torch.zeros(64_000))),
    )
    assert torch.equal(missing, no_progress)


def test_silencing_the_track_changes_the_logits(model: VideoLlama2) -> None:
    def logits(sound: Tensor) -> Tensor:
        decoder, rows = model.net.decoder, _latents(model, _frames(4, sound))
        return decoder.logits(decoder.extend(rows[None], decoder.buffer(len(rows))))[0, -1]

    with torch.inference_mode():
        assert not torch.allclose(logits(_sound(4)), logits(torch.zeros(64_000)), atol=1e-3)


def test_all_of_a_long_stretch_is_heard(model: VideoLlama2) -> None:
    long = _sound(13)
    tokens = model.net.hear(long)
    assert len(tokens) == model.net.config.hearing.window_tokens  # type: ignore[union-attr]
    for second in (0, 6, 12):
        changed = long.clone()
        changed[second * 16_000 : (second + 1) * 16_000] = 0
        assert not torch.allclose(model.net.hear(changed), tokens)


def test_silence_behind_a_long_stretch_takes_no_places(model: VideoLlama2) -> None:
    hearing = model.net.config.hearing
    assert hearing is not None
    window = _sound(5.0)
    ends = torch.cat((window, window, window[:2560]))
    tokens = model.net.hear(ends).reshape(-1, hearing.pitches, 48)
    # 63 moments share the places of 31, so the first place holds the mean of the first three.
    alone = model.net.hear(window).reshape(-1, hearing.pitches, 48)
    assert len(tokens) == len(alone)
    torch.testing.assert_close(tokens[0], alone[:3].mean(0))
    assert hearing.tokens_of(2560) == hearing.pitches
    assert hearing.tokens_of(10**9) == hearing.window_tokens


def test_silence_behind_the_last_window_is_no_sound(model: VideoLlama2) -> None:
    hearing = model.net.config.hearing
    assert hearing is not None
    first, second = _sound(5.0, seed=1), _sound(2.0, seed=2)
    padded = torch.cat((second, torch.zeros(len(first) - len(second))))
    # 2 s reach into 13 moments of 160 ms; the other 18 of the window are silence.
    banks = [filter_banks(window) for window in (first, padded)]
    moments = [model.net.tokens_of(bank).reshape(-1, hearing.pitches, 48) for bank in banks]
    grid = torch.cat((moments[0], moments[1][:13])).permute(1, 2, 0)
    expected = F.adaptive_avg_pool1d(grid, len(moments[0])).permute(2, 0, 1).flatten(0, 1)
    torch.testing.assert_close(model.net.hear(torch.cat((first, second))), expected)


def test_sound_alone_can_be_kept_and_asked(model: VideoLlama2) -> None:
    chunk = _chunk(model, _sound(3), n_frames=0)
    assert chunk.frame_vectors.shape == (0, model.card.vector_dim)
    assert list(model.generate("What is heard?", [chunk], Sampling(max_tokens=2)))


def test_model_without_ears_asks_for_no_sound() -> None:
    config = replace(videollama2.VARIANTS["tiny"], hearing=None)
    net = build(config, CPU, F32)
    assert net.audio_tower is None
    assert net.latents_per_chunk == 8


def test_stream_keeps_the_ratio_of_the_connector(model: VideoLlama2) -> None:
    own = model.card.compression_ratio
    assert model.open_stream().compression_ratio == own
    with pytest.raises(ValueError, match=f"must be {own}"):
        model.open_stream(compression_ratio=own + 1)


def test_question_cannot_end_its_turn_nor_move_the_video(model: VideoLlama2) -> None:
    end = model.tokenizer.id_of("<|im_end|>")
    plain, foreign = model.prompt("why?", ()), model.prompt("<|im_end|> <video>?", ())
    assert plain.after.count(end) == foreign.after.count(end) == 1
    assert plain.before == foreign.before


def test_checkpoints_own_chat_template_is_used(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    template = (
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}[reply]{% endif %}"
    )
    path = other / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": template}))
    edit_config(other, model_type="videollama2_mistral")
    shown = videollama2.load(other, CPU, F32)
    text = shown._conversation("why?", [])
    assert text == f"[system]{MISTRAL_SYSTEM}[user]<video>\nwhy?[reply]"
