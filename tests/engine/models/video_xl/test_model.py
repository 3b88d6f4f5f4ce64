"""Video-XL's folders: what loads, what is completed, what is refused, and what may be asked."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.errors import MissingCapabilityError, WeightsError
from engine.models.registry import checkpoint_home, load_model
from engine.models.video_xl.model import load, write_tiny
from engine.models.video_xl.net import VideoXlNet, load_net
from engine.models.video_xl.vst import open_cache
from engine.records import ChunkRef, TimeSpan, VideoId
from engine.tensors import ChunkLatents, FrameBatch, Latents, TokenLatents
from tests.support.random_video_xl import fork

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_tiny(tmp_path / "tiny")
    _join(tmp_path / "tiny")
    return tmp_path / "tiny"


def test_missing_summary_weights_start_from_the_base_ones(folder: Path) -> None:
    _change(folder, lambda name, tensor: None if "beacon" in name else tensor)
    decoder = _net(folder).decoder
    for layer in decoder.stack():
        assert layer.attention.vst_qkv is not None
        assert torch.equal(layer.attention.vst_qkv.weight, layer.attention.qkv.weight)
        assert torch.equal(layer.attention.vst_qkv.bias, layer.attention.qkv.bias)
    assert decoder.vst_embed is not None
    assert torch.equal(decoder.vst_embed[0], decoder.embed.weight[258])


def test_half_of_the_summary_weights_is_refused(folder: Path) -> None:
    _change(folder, lambda name, tensor: None if "beacon_q" in name else tensor)
    with pytest.raises(WeightsError, match=r"missing: decoder\.layers\.0\.attention\.vst_qkv\.q"):
        _net(folder)


def test_rows_beyond_the_vocabulary_are_ignored(folder: Path) -> None:
    before = _net(folder).decoder.embed.weight.detach().clone()

    def grow(name: str, tensor: torch.Tensor) -> torch.Tensor:
        grows = name in ("model.embed_tokens.weight", "lm_head.weight")
        return torch.cat((tensor, torch.full((1, tensor.shape[1]), 99.0))) if grows else tensor

    _change(folder, grow)
    net = _net(folder)
    assert torch.equal(net.decoder.embed.weight, before)
    assert net.decoder.logits(torch.zeros(1, 48)).shape == (1, 264)


def test_the_repository_root_leads_to_the_released_subfolder(folder: Path) -> None:
    home = folder.rename(folder.parent / "VideoXL_weight_8")
    assert checkpoint_home(folder.parent) == home
    model = load_model(folder.parent, device=CPU, dtype=torch.float32)
    assert model.card.family == "video_xl"


def test_a_finetuned_tower_makes_tokens_and_the_whole_clip_makes_vectors(folder: Path) -> None:
    alone = load(folder, CPU, torch.float32)
    clip = load_file(folder / "clip" / "model.safetensors")
    prefix = "model.vision_tower.vision_tower."
    own = {prefix + key: tensor * 1.5 for key, tensor in clip.items() if "vision_model" in key}
    tensors = load_file(folder / "model.safetensors") | own
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    tuned = load(folder, CPU, torch.float32)
    frames = _frames(4)
    ours, theirs = tuned.encode(frames), alone.encode(frames)
    assert torch.equal(ours.frame_vectors, theirs.frame_vectors)
    assert not torch.allclose(ours.embeddings, theirs.embeddings)


def test_the_same_tower_twice_is_kept_once(folder: Path) -> None:
    clip = load_file(folder / "clip" / "model.safetensors")
    prefix = "model.vision_tower.vision_tower."
    own = {prefix + key: tensor for key, tensor in clip.items() if "vision_model" in key}
    tensors = load_file(folder / "model.safetensors") | own
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    net = _net(folder)
    assert net.joint is None
    assert net.tower is not None
    assert net.tower.has_text


def test_without_a_text_side_vectors_are_pooled_and_text_is_refused(folder: Path) -> None:
    clip = load_file(folder / "clip" / "model.safetensors")
    prefix = "model.vision_tower.vision_tower."
    own = {prefix + key: tensor for key, tensor in clip.items() if "vision_model" in key}
    tensors = load_file(folder / "model.safetensors") | own
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "clip" / "model.safetensors").unlink()
    model = load(folder, CPU, torch.float32)
    vectors = model.encode(_frames(4)).frame_vectors
    assert vectors.shape == (4, model.card.vector_dim)
    torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(4))
    with pytest.raises(MissingCapabilityError) as caught:
        model.embed_text("a red star")
    assert "CLIP" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("beacon_pos", "append"),
        ("beacon_attn", "segmentation"),
        ("beacon_stride", 8),
        ("beacon_sink_size", 4),
        ("beacon_accum", False),
        ("beacon_param", ["q", "k", "v", "o"]),
        ("mm_projector_type", "linear"),
        ("mm_spatial_pool_mode", "bilinear"),
        ("use_sliding_window", True),
        ("beacon_attend_prev", False),
        ("beacon_parallel_window", 2),
        ("enable_beacon", False),
    ],
)
def test_what_we_do_not_compute_is_refused_by_name(folder: Path, field: str, value: Any) -> None:
    _configure(folder, **{field: value})
    with pytest.raises(WeightsError, match=field):
        _net(folder)


def test_a_decoder_whose_heads_are_normed_is_refused(folder: Path) -> None:
    _configure(folder, model_type="qwen3", attention_bias=True)
    with pytest.raises(WeightsError, match="without norms of heads"):
        _net(folder)


def test_a_missing_tower_says_where_to_put_it(folder: Path) -> None:
    _change(folder, lambda name, tensor: None if "vision_tower" in name else tensor)
    (folder / "clip" / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match="vision tower") as caught:
        _net(folder)
    assert caught.value.hint


@pytest.mark.parametrize(("ratio", "n_frames", "n_latents"), [(8, 4, 2), (8, 1, 1), (5, 4, 4)])
def test_nothing_of_a_remainder_is_lost(
    folder: Path, ratio: int, n_frames: int, n_latents: int
) -> None:
    model = load(folder, CPU, torch.float32)
    stream = model.open_stream(compression_ratio=ratio)
    latents = model.compress(model.encode(_frames(n_frames)), stream)
    assert latents.n_latents == n_latents


def test_more_than_a_chunk_is_refused(folder: Path) -> None:
    model = load(folder, CPU, torch.float32)
    with pytest.raises(ValueError, match="one chunk"):
        model.compress(model.encode(_frames(5)), model.open_stream())


def test_latents_of_another_kind_are_refused(folder: Path) -> None:
    model = load(folder, CPU, torch.float32)
    with pytest.raises(TypeError, match="TokenLatents"):
        model.open_stream([TokenLatents(embeddings=torch.zeros(2, 48))])


def test_recall_in_order_equals_never_having_forgotten(folder: Path) -> None:
    model = load(folder, CPU, torch.float32)
    stream = model.open_stream()
    chunks: list[ChunkLatents] = []
    for i in range(4):
        tokens = model.encode(_frames(4, seed=i))
        latents = model.compress(tokens, stream)
        stream.remember(latents)
        chunks.append(_chunk(i, latents, tokens.frame_vectors))
    buffer = stream.cache.buffer
    with torch.inference_mode():
        prompt = model._embed(model.tokenizer.plain("what?"))
        live = model.net.decoder.extend(prompt[None], fork(stream.cache, 9))
        recalled = open_cache(model.net.decoder, model._sink, [c.latents for c in chunks])
        again = model.net.decoder.extend(prompt[None], fork(recalled, 9))
    assert buffer.n == recalled.buffer.n
    assert torch.equal(live, again)


def _net(folder: Path) -> VideoXlNet:
    return load_net(folder, CPU, torch.float32)


def _join(folder: Path) -> None:
    """Shards to one file, which the tests here edit."""
    tensors: dict[str, torch.Tensor] = {}
    for shard in sorted(folder.glob("model-*.safetensors")):
        tensors |= load_file(shard)
        shard.unlink()
    (folder / "model.safetensors.index.json").unlink()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _change(folder: Path, change: Any) -> None:
    tensors = load_file(folder / "model.safetensors")
    changed = {name: change(name, tensor) for name, tensor in tensors.items()}
    kept = {name: tensor for name, tensor in changed.items() if tensor is not None}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})


def _configure(folder: Path, **fields: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | fields))


def _frames(n: int, *, seed: int = 0) -> FrameBatch:
    random = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (n, 3, 40, 56), dtype=torch.uint8, generator=random)
    return FrameBatch(pixels=pixels, pts_s=torch.arange(n, dtype=torch.float64))


def _chunk(i: int, latents: Latents, vectors: torch.Tensor) -> ChunkLatents:
    ref = ChunkRef(
        video=VideoId("v"), ordinal=i, span=TimeSpan(start_s=float(i), end_s=float(i + 1))
    )
    pts_s = torch.arange(vectors.shape[0], dtype=torch.float64)
    return ChunkLatents(ref=ref, latents=latents, frame_vectors=vectors, pts_s=pts_s)
