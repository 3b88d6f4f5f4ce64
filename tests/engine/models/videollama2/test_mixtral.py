"""VideoLLaMA 2's mixture of experts against transformers' Mixtral, and experts near and far."""

from pathlib import Path
from typing import Any

import pytest
import torch

from engine.errors import InputRefusedError, WeightsError
from engine.models.layers.expert_budget import ExpertBudget
from engine.models.layers.prompt_rows import embed_ids, lay_out
from engine.models.registry import check_headers, load_model
from engine.models.videollama2 import model as videollama2
from engine.models.videollama2.checkpoint import load_net
from engine.models.videollama2.model import VideoLlama2
from engine.protocols import Sampling
from engine.records import ChunkRef, TimeSpan, VideoId
from engine.tensors import ChunkLatents, FrameBatch, TokenLatents
from tests.support.oracle_mixtral import save_random
from tests.support.released_layouts import edit_config, rewritten, without

CPU, F32 = torch.device("cpu"), torch.float32
SEEDS = range(8)


@pytest.fixture(scope="module", params=SEEDS)
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, Path]:
    """Their decoder, and the folder of a model that stands on it."""
    folder = tmp_path_factory.mktemp("mixtral") / "model"
    return save_random(folder, request.param), folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("mixtral") / "model"
    save_random(made, 3)
    return made


def opened(folder: Path, budget: ExpertBudget | None = None) -> VideoLlama2:
    model = load_model(folder, device=CPU, dtype=F32, experts=budget)
    assert isinstance(model, VideoLlama2)
    return model


def chunk_of(model: VideoLlama2) -> ChunkLatents:
    random = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (4, 3, 40, 64), generator=random, dtype=torch.uint8)
    frames = FrameBatch(pixels=pixels, pts_s=torch.arange(4).double())
    tokens = model.encode(frames)
    return ChunkLatents(
        ref=ChunkRef(video=VideoId("v"), ordinal=0, span=TimeSpan(start_s=0.0, end_s=4.0)),
        latents=model.compress(tokens, model.open_stream()),
        frame_vectors=tokens.frame_vectors,
        pts_s=tokens.pts_s,
    )


def rows_of(model: VideoLlama2, question: str) -> torch.Tensor:
    """Embeddings of a whole prompt around one chunk."""
    chunk = chunk_of(model)
    assert isinstance(chunk.latents, TokenLatents)
    prompt = model.prompt(question, [chunk])
    laid = lay_out(model.decoder, prompt, [chunk.latents.embeddings])
    return torch.cat([laid.rows, embed_ids(model.decoder, prompt.after)])


def said(model: VideoLlama2) -> list[str]:
    sampling = Sampling(max_tokens=24)
    return [token.text for token in model.generate("Who came?", [chunk_of(model)], sampling)]


@torch.inference_mode()
def test_logits_are_theirs(pair: tuple[Any, Path]) -> None:
    theirs, folder = pair
    model = opened(folder)
    rows = rows_of(model, "Who came?")
    hidden = model.decoder.extend(rows[None], model.decoder.buffer(len(rows)))
    expected = theirs(inputs_embeds=rows[None]).logits
    torch.testing.assert_close(model.decoder.logits(hidden), expected, atol=1e-4, rtol=0)


@torch.inference_mode()
def test_answers_are_theirs(pair: tuple[Any, Path]) -> None:
    theirs, folder = pair
    model = opened(folder)
    rows = rows_of(model, "Who came?")
    ends = {"eos_token_id": sorted(model._stop), "pad_token_id": 256}
    ids = theirs.generate(inputs_embeds=rows[None], **ends, max_new_tokens=24, do_sample=False)
    answer = model.tokenizer.decode(ids[0].tolist())
    ours = "".join(said(model))
    # A letter that is not whole when the answer ends is left out.
    assert ours == answer or ours == answer.rstrip("\ufffd")


@pytest.mark.parametrize("n_near", [0, 1, 3, 1000])
def test_an_answer_does_not_depend_on_where_experts_lie(folder: Path, n_near: int) -> None:
    whole = opened(folder)
    expert = whole.decoder.stack()[0].experts
    assert expert is not None
    each = sum(parameter.nbytes for parameter in expert.each[0].parameters())
    thrifty = opened(folder, ExpertBudget(device_bytes=n_near * each))
    far = [name for name, weight in thrifty.net.named_parameters() if weight.is_meta]
    assert far
    assert all(".experts.each." in name for name in far)
    assert said(thrifty) == said(whole)
    assert thrifty.card == whole.card


def test_near_experts_are_not_read_again(folder: Path) -> None:
    for budget, reads_again in ((1 << 30, False), (0, True)):
        net = load_net(folder, CPU, F32, experts=ExpertBudget(device_bytes=budget))
        assert net.experts is not None
        x = torch.randn(1, 6, net.config.decoder.width)
        net.decoder.extend(x, net.decoder.buffer(6))
        n_read = net.experts.n_read
        assert n_read
        net.decoder.extend(x, net.decoder.buffer(6))
        assert (net.experts.n_read > n_read) is reads_again


def test_experts_in_main_memory_are_not_read_again(folder: Path) -> None:
    """The meta device stands for an accelerator: it holds nothing, and copies to it are free."""
    source = load_net(folder, CPU, F32, experts=ExpertBudget(device_bytes=0)).expert_files
    assert source is not None
    net = load_net(folder, CPU, F32)
    pool = source.attach(
        net.decoder, ExpertBudget(device_bytes=0, host_bytes=1 << 30), torch.device("meta")
    )
    experts = [pool.take(0, idx) for idx in (0, 1, 0, 1)]
    assert pool.n_read == 2
    assert all(expert.down.weight.is_meta for expert in experts)


def test_the_layout_is_checked_key_by_key(folder: Path, tmp_path: Path) -> None:
    assert check_headers(folder) == "videollama2"
    key = "model.layers.0.block_sparse_moe.experts.1.w2.weight"
    lacking = rewritten(folder, tmp_path / "lacking", without(key))
    for budget in (None, ExpertBudget(device_bytes=0)):
        with pytest.raises(WeightsError, match=r"layers\.0\.experts\.each\.1\.down"):
            load_net(lacking, CPU, F32, experts=budget)


def test_a_budget_of_experts_needs_experts(folder: Path, tmp_path: Path) -> None:
    videollama2.write_tiny(tmp_path / "tiny")
    budget = ExpertBudget(device_bytes=0)
    with pytest.raises(InputRefusedError, match="has none"):
        load_net(tmp_path / "tiny", CPU, F32, experts=budget)
    with pytest.raises(InputRefusedError, match="only a part"):
        load_net(folder, CPU, F32, base=folder, experts=budget)
    with pytest.raises(ValueError, match="host_bytes"):
        ExpertBudget(device_bytes=0, host_bytes=-1)


@pytest.mark.parametrize("connector", ["linear", "mlp1x_gelu", "mlp2x_gelu", "mlp3x_gelu"])
def test_ablated_connectors_average_frames_before_their_layers(
    connector: str, tmp_path: Path
) -> None:
    save_random(tmp_path / "model", 5, connector=connector)
    model = opened(tmp_path / "model")
    weights = dict(model.net.connector.named_parameters())
    patches = torch.randn(4, 16, 32)
    rows = patches.mean(0)
    layers = sorted({name.removesuffix(".weight").removesuffix(".bias") for name in weights})
    for place, layer in enumerate(layers):
        rows = torch.nn.functional.gelu(rows) if place else rows
        rows = rows @ weights[f"{layer}.weight"].T + weights[f"{layer}.bias"]
    torch.testing.assert_close(model.net.compress(patches), rows, atol=1e-5, rtol=1e-4)
    assert model.card.compression_ratio == 4
    assert chunk_of(model).latents.n_latents == 16


def test_a_connector_without_a_route_is_refused(folder: Path, tmp_path: Path) -> None:
    other = rewritten(folder, tmp_path / "other", dict)
    for kind in ("identity", "mlp0x_gelu", "mlp2x_relu"):
        edit_config(other, mm_projector_type=kind)
        with pytest.raises(WeightsError, match="mlpNx_gelu"):
            load_net(other, CPU, F32)
