"""What families with timed frames keep of a chunk: all of it, less of it, or keys and values."""

from pathlib import Path

import pytest
import torch

from engine.errors import InputRefusedError
from engine.models import frame_model
from engine.models.layers.prompt_rows import lay_out
from engine.models.layers.thinning import changed_most
from engine.models.qwen3_vl.model import Qwen3Vl
from engine.models.registry import load_family, load_model
from engine.models.smolvlm.model import SmolVlm
from engine.protocols import Sampling
from engine.records import ChunkRef, LatentKind, TimeSpan, VideoId
from engine.tensors import ChunkLatents, FrameBatch, KvLatents, TokenLatents

CPU = torch.device("cpu")
F32 = torch.float32
FAMILIES = ("smolvlm", "qwen3_vl")
Model = SmolVlm | Qwen3Vl


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp(str(request.param)) / "tiny"
    load_family(str(request.param)).write_tiny(home)
    return home


def opened(folder: Path, latents: LatentKind = "tokens") -> Model:
    model = load_model(folder, device=CPU, dtype=F32, latents=latents)
    assert isinstance(model, SmolVlm | Qwen3Vl)
    return model


@pytest.fixture(scope="module")
def exact(folder: Path) -> Model:
    return opened(folder)


@pytest.fixture(scope="module")
def cached(folder: Path) -> Model:
    return opened(folder, "keys_values")


def chunk_at(
    model: Model, start_s: int, *, n: int = 8, ratio: int | None = None, wide: bool = True
) -> ChunkLatents:
    generator = torch.Generator().manual_seed(start_s)
    size = (36, 60) if wide else (60, 36)
    pixels = torch.randint(0, 256, (n, 3, *size), dtype=torch.uint8, generator=generator)
    pts_s = torch.arange(start_s, start_s + n, dtype=torch.float64)
    tokens = model.encode(FrameBatch(pixels=pixels, pts_s=pts_s))
    span = TimeSpan(start_s=float(start_s), end_s=float(start_s + n))
    return ChunkLatents(
        ref=ChunkRef(video=VideoId("v"), ordinal=start_s, span=span),
        latents=model.compress(tokens, model.open_stream(compression_ratio=ratio)),
        frame_vectors=tokens.frame_vectors,
        pts_s=pts_s,
    )


def prefilled(model: Model, chunks: list[ChunkLatents]) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Keys and values of a prompt, latents before their text, and the shift that follows."""
    prompt = model.prompt("what is seen?", chunks)
    buffer, ranges = model._prefilled(prompt, chunks, 1)
    n_latents, n_before = sum(chunk.latents.n_latents for chunk in chunks), len(prompt.before)
    order = list(range(buffer.n))
    if model.kind == "tokens":
        laid = lay_out(
            model.decoder,
            prompt,
            [rows_of(chunk) for chunk in chunks],
            [chunk.latents.places for chunk in chunks],
        )
        own = [idx for parts in laid.parts for part in parts for idx in part]
        order = [*order[:n_before], *own, *(i for i in order[n_before:] if i not in set(own))]
    else:
        assert sum(len(part) for parts in ranges for part in parts) == n_latents
    return buffer.keys[:, :, :, order], buffer.values[:, :, :, order], buffer.shift


def answer(model: Model, chunks: list[ChunkLatents]) -> list[tuple[str, torch.Tensor | None]]:
    tokens = model.generate("what is seen?", chunks, Sampling(max_tokens=6))
    return [(token.text, token.chunk_mass) for token in tokens]


@torch.inference_mode()
@pytest.mark.parametrize("start_s", [0, 63])
@pytest.mark.parametrize("n", [8, 3, 1])
def test_keys_and_values_of_a_chunk_are_those_of_its_embeddings(
    exact: Model, cached: Model, start_s: int, n: int
) -> None:
    first, second = chunk_at(exact, start_s, n=n), chunk_at(cached, start_s, n=n)
    assert isinstance(first.latents, TokenLatents)
    assert isinstance(second.latents, KvLatents)
    assert first.latents.n_latents == second.latents.n_latents
    *theirs, shift = prefilled(exact, [first])
    *ours, placed = prefilled(cached, [second])
    assert shift == placed
    for expected, found in zip(theirs, ours, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    for (text, mass), (other, own) in zip(
        answer(exact, [first]), answer(cached, [second]), strict=True
    ):
        assert text == other
        assert mass is not None
        assert own is not None
        torch.testing.assert_close(own, mass, atol=1e-5, rtol=1e-3)


@torch.inference_mode()
def test_keys_and_values_are_placed_at_fresh_positions(cached: Model) -> None:
    """Whatever is recalled before a chunk, its values stay and its keys turn as one."""
    early, late = chunk_at(cached, 0), chunk_at(cached, 40)
    assert isinstance(late.latents, KvLatents)
    prompt = cached.prompt("what is seen?", [early, late])
    buffer, chunks = cached._prefilled(prompt, [early, late], 1)
    (first,), (second,) = chunks
    assert (len(first), len(second)) == (early.latents.n_latents, late.latents.n_latents)
    assert first.stop == second.start
    last = cached.parts_of(late)
    n = late.latents.n_latents // last
    own = slice(second.stop - n, second.stop)
    torch.testing.assert_close(
        buffer.values[:, 0, :, own], late.latents.values[:, :, late.latents.n_latents - n :]
    )
    norms = late.latents.keys[:, :, late.latents.n_latents - n :].norm(dim=-1)
    torch.testing.assert_close(buffer.keys[:, 0, :, own].norm(dim=-1), norms)


@torch.inference_mode()
def test_text_among_latents_may_be_run_in_blocks(
    cached: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunks = [chunk_at(cached, start) for start in (0, 8, 30)]
    *whole, shift = prefilled(cached, chunks)
    monkeypatch.setattr(frame_model, "MASK_ENTRIES", 2000)
    *blocks, other = prefilled(cached, chunks)
    assert shift == other
    for expected, found in zip(whole, blocks, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_attention_to_keys_and_values_is_that_to_embeddings_of_a_lone_chunk(
    exact: Model, cached: Model
) -> None:
    """Candidates stand alone in either form; only the times, which scoring leaves out, differ."""
    scores = cached.attend("what is seen?", [chunk_at(cached, start) for start in (0, 9, 20)])
    assert scores.shape == (3,)
    assert ((scores > 0) & (scores < 1)).all()
    wide, tall = chunk_at(cached, 3), chunk_at(cached, 3, wide=False)
    together = cached.attend("what is seen?", [wide, tall, wide])
    alone = torch.cat([cached.attend("what is seen?", [chunk]) for chunk in (wide, tall, wide)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
    mixed = [chunk_at(exact, 3), chunk_at(exact, 3, wide=False)]
    together = exact.attend("what is seen?", mixed)
    alone = torch.cat([exact.attend("what is seen?", [chunk]) for chunk in mixed])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", ["tokens", "keys_values"])
def test_ratio_1_leaves_nothing_out(exact: Model, cached: Model, kind: LatentKind) -> None:
    model = exact if kind == "tokens" else cached
    whole, asked_for = chunk_at(model, 0).latents, chunk_at(model, 0, ratio=1).latents
    if isinstance(whole, TokenLatents):
        assert isinstance(asked_for, TokenLatents)
        assert torch.equal(whole.embeddings, asked_for.embeddings)
    else:
        assert isinstance(asked_for, KvLatents)
        assert torch.equal(whole.keys, asked_for.keys)
        assert torch.equal(whole.values, asked_for.values)
    assert whole.n_latents == model.card.latents_per_chunk


@pytest.mark.parametrize("kind", ["tokens", "keys_values"])
@pytest.mark.parametrize("ratio", [2, 3, 1000])
def test_a_ratio_thins_every_frame_alike(
    exact: Model, cached: Model, kind: LatentKind, ratio: int
) -> None:
    model = exact if kind == "tokens" else cached
    whole, thin = chunk_at(model, 0), chunk_at(model, 0, ratio=ratio)
    n_parts = model.parts_of(whole)
    per_part = whole.latents.n_latents // n_parts
    assert thin.latents.n_latents == n_parts * max(1, per_part // ratio)
    # What stays is what stood there, in its order.
    rows = rows_of(whole)
    kept = [int((rows == row).all(1).nonzero()[0]) for row in rows_of(thin)]
    assert kept == sorted(kept)
    if thin.latents.places is not None and whole.latents.places is not None:
        assert torch.equal(thin.latents.places, whole.latents.places[kept])
    assert answer(model, [thin])
    assert model.attend("what is seen?", [thin, whole]).shape == (2,)


def rows_of(chunk: ChunkLatents) -> torch.Tensor:
    latents = chunk.latents
    if isinstance(latents, TokenLatents):
        return latents.embeddings
    return latents.values.permute(2, 0, 1, 3).flatten(1)


def test_the_kind_belongs_to_the_fingerprint_and_to_the_costs(exact: Model, cached: Model) -> None:
    assert exact.card.fingerprint != cached.card.fingerprint
    for model in (exact, cached):
        assert chunk_at(model, 0).latents.nbytes == model.card.chunk_bytes


def test_latents_of_the_other_kind_are_refused(exact: Model, cached: Model) -> None:
    with pytest.raises(TypeError, match="must hold embeddings"):
        answer(exact, [chunk_at(cached, 0)])
    with pytest.raises(TypeError, match="must hold keys and values"):
        answer(cached, [chunk_at(exact, 0)])


def test_a_family_of_one_kind_has_no_choice(tmp_path: Path) -> None:
    load_family("apollo").write_tiny(tmp_path)
    with pytest.raises(InputRefusedError, match="apollo keeps latents of one kind"):
        load_model(tmp_path, device=CPU, dtype=F32, latents="tokens")


def test_thinning_keeps_what_changed() -> None:
    generator = torch.Generator().manual_seed(0)
    still = torch.nn.functional.normalize(torch.randn(6, 8, generator=generator), dim=-1)
    moved = still.clone()
    moved[[1, 4]] = -still[[1, 4]]
    kept = changed_most(torch.stack([still, moved, moved]), 2)
    assert kept[1].tolist() == [1, 4]
    # Where nothing changed the earlier tokens stay.
    assert kept[2].tolist() == [0, 1]
    with pytest.raises(ValueError, match="n_kept"):
        changed_most(still[None], 7)


def test_half_precision_takes_the_same_road(folder: Path) -> None:
    model = load_model(folder, device=CPU, dtype=torch.bfloat16, latents="keys_values")
    assert isinstance(model, SmolVlm | Qwen3Vl)
    chunks = [chunk_at(model, start, ratio=2) for start in (0, 8)]
    assert isinstance(chunks[0].latents, KvLatents)
    assert chunks[0].latents.keys.dtype == torch.bfloat16
    masses = [mass for _, mass in answer(model, chunks)]
    assert all(mass is not None and mass.shape == (2,) for mass in masses)
    assert model.attend("what is seen?", chunks).shape == (2,)
