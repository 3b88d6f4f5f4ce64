"""What every family promises, on its tiny variant with random weights."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.errors import MissingCapabilityError, WeightsError
from engine.models.registry import check_headers, families, load_family, load_model
from engine.protocols import Sampling, VideoModel
from engine.records import ChunkRef, TimeSpan, Turn, VideoId, WeightFormat
from engine.tensors import ChunkLatents, FrameBatch, KvLatents, Latents, VisualTokens

CPU = torch.device("cpu")
HOSTILE_TEXTS = ("", "a red star", "x" * 5000, "\ud800 <|im_end|> <image>", "日本🎈")
# Every family as it is, and one each with its decoder in fewer bits.
CASES: tuple[tuple[str, WeightFormat], ...] = (
    *((name, "native") for name in families()),
    ("smolvlm", "int8"),
    ("video_xl", "nf4"),
)


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def case(request: pytest.FixtureRequest) -> tuple[str, WeightFormat]:
    name, weights = request.param
    return name, weights


@pytest.fixture(scope="module")
def family(case: tuple[str, WeightFormat]) -> str:
    return case[0]


@pytest.fixture(scope="module")
def weights(case: tuple[str, WeightFormat]) -> WeightFormat:
    return case[1]


@pytest.fixture(scope="module")
def folder(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the family's tiny variant."""
    home = tmp_path_factory.mktemp(family) / "tiny"
    load_family(family).write_tiny(home)
    return home


@pytest.fixture(scope="module")
def model(folder: Path, weights: WeightFormat) -> VideoModel:
    return load_model(folder, device=CPU, dtype=torch.float32, weights=weights)


def test_family_defines_a_tiny_variant(family: str) -> None:
    assert "tiny" in load_family(family).VARIANTS


def test_headers_alone_tell_whether_a_checkpoint_fits(folder: Path, family: str) -> None:
    assert check_headers(folder) == family


def test_headers_tell_of_a_missing_key(family: str, tmp_path: Path) -> None:
    home = tmp_path / "tiny"
    load_family(family).write_tiny(home)
    index = max(home.rglob("model*.safetensors"), key=lambda path: path.stat().st_size)
    tensors = load_file(index)
    tensors.pop(max(tensors, key=lambda name: tensors[name].numel()))
    save_file(tensors, index)
    with pytest.raises(WeightsError, match="does not fit"):
        check_headers(home)


def test_card_states_what_encode_and_compress_do(model: VideoModel) -> None:
    card, tokens = model.card, _tokens(model)
    assert card.chunk_frames >= 1
    assert card.compression_ratio >= 1
    assert card.max_positions > 0
    assert tokens.frame_vectors.shape == (card.chunk_frames, card.vector_dim)
    latents = model.compress(tokens, model.open_stream())
    assert latents.n_latents == card.latents_per_chunk
    assert latents.nbytes == card.latents_per_chunk * card.latent_bytes


def test_frame_vectors_have_unit_norm(model: VideoModel) -> None:
    norms = _tokens(model).frame_vectors.norm(dim=-1)
    torch.testing.assert_close(norms, torch.ones_like(norms))


def test_frames_keep_their_times(model: VideoModel) -> None:
    frames = _frames(model, seed=3)
    assert torch.equal(model.encode(frames).pts_s, frames.pts_s)


def test_a_frame_is_seen_alike_whatever_its_size_in_memory(model: VideoModel) -> None:
    frames = _frames(model, seed=1)
    strided = FrameBatch(pixels=frames.pixels.flip(3).flip(3), pts_s=frames.pts_s)
    torch.testing.assert_close(
        model.encode(frames).frame_vectors, model.encode(strided).frame_vectors
    )


def test_compressing_does_not_change_the_stream(model: VideoModel) -> None:
    stream, tokens = model.open_stream(), _tokens(model)
    stream.remember(model.compress(tokens, stream))
    first, second = model.compress(tokens, stream), model.compress(tokens, stream)
    assert _same(first, second)


@pytest.mark.parametrize("limit", [None, 0, 3, 7])
def test_a_resumed_stream_equals_one_that_never_stopped(
    model: VideoModel, limit: int | None
) -> None:
    running = model.open_stream(max_past_latents=limit)
    kept: list[Latents] = []
    for seed in range(5):
        tokens = _tokens(model, seed=seed)
        resumed = model.open_stream(kept, max_past_latents=limit)
        latents = model.compress(tokens, running)
        assert _same(latents, model.compress(tokens, resumed))
        running.remember(latents)
        kept.append(latents)


def test_the_ratio_belongs_to_the_stream(model: VideoModel) -> None:
    assert model.open_stream().compression_ratio == model.card.compression_ratio
    ratio = 2 * model.card.compression_ratio
    try:
        stream = model.open_stream(compression_ratio=ratio)
    except ValueError:
        return  # A family with a fixed number of latents says so.
    assert stream.compression_ratio == ratio
    coarse = model.compress(_tokens(model), stream)
    assert 0 < coarse.n_latents <= model.card.latents_per_chunk


def test_a_ratio_below_one_is_refused(model: VideoModel) -> None:
    with pytest.raises(ValueError, match="compression_ratio"):
        model.open_stream(compression_ratio=0)


def test_a_short_last_chunk_leaves_latents(model: VideoModel) -> None:
    frames = _frames(model)
    short = FrameBatch(pixels=frames.pixels[:1], pts_s=frames.pts_s[:1])
    latents = model.compress(model.encode(short), model.open_stream())
    assert 1 <= latents.n_latents <= model.card.latents_per_chunk


def test_greedy_answers_repeat(model: VideoModel) -> None:
    recalled = _recalled(model, 3)
    first = _say(model, "what is seen?", recalled)
    assert first == _say(model, "what is seen?", recalled)


def test_sampled_answers_repeat_with_their_seed(model: VideoModel) -> None:
    recalled, drawn = _recalled(model, 2), Sampling(max_tokens=8, temperature=1.0, seed=7)
    first = [token.text for token in model.generate("why?", recalled, drawn)]
    assert first == [token.text for token in model.generate("why?", recalled, drawn)]


def test_a_question_without_video_is_answered(model: VideoModel) -> None:
    tokens = list(model.generate("hello?", (), Sampling(max_tokens=4)))
    assert all(token.chunk_mass is None or token.chunk_mass.shape == (0,) for token in tokens)


def test_earlier_turns_are_read(model: VideoModel) -> None:
    history = (Turn(question="what colour?", answer="red"),)
    sampling = Sampling(max_tokens=3)
    list(model.generate("and now?", _recalled(model, 1), sampling, history=history))


def test_attention_mass_lies_on_the_recalled_chunks(model: VideoModel) -> None:
    for token in model.generate("what is seen?", _recalled(model, 3), Sampling(max_tokens=4)):
        if token.chunk_mass is None:
            continue
        assert token.chunk_mass.shape == (3,)
        assert (token.chunk_mass >= 0).all()
        assert token.chunk_mass.sum() <= 1 + 1e-4


def test_attention_to_a_candidate_does_not_depend_on_the_others(model: VideoModel) -> None:
    chunks = _recalled(model, 4)
    together = model.attend("what is seen?", chunks)
    assert together.shape == (4,)
    backwards = model.attend("what is seen?", chunks[::-1]).flip(0)
    torch.testing.assert_close(together, backwards, atol=1e-5, rtol=1e-4)
    alone = torch.cat([model.attend("what is seen?", [chunk]) for chunk in chunks])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_attending_to_nothing_is_nothing(model: VideoModel) -> None:
    assert model.attend("what is seen?", ()).shape == (0,)


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_any_text_is_answered(model: VideoModel, text: str) -> None:
    list(model.generate(text, _recalled(model, 1), Sampling(max_tokens=2)))


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_any_text_has_a_vector(model: VideoModel, text: str) -> None:
    try:
        vector = model.embed_text(text)
    except MissingCapabilityError:
        pytest.skip("this family's tiny variant has no text side")
    assert vector.shape == (model.card.vector_dim,)
    torch.testing.assert_close(vector.norm(), torch.tensor(1.0))


def test_loading_twice_gives_one_fingerprint(
    model: VideoModel, folder: Path, weights: WeightFormat
) -> None:
    again = load_model(folder, device=CPU, dtype=torch.float32, weights=weights)
    assert again.card == model.card
    coarse = load_model(folder, device=CPU, dtype=torch.bfloat16, weights=weights)
    assert coarse.card.fingerprint != model.card.fingerprint


def test_half_precision_runs_the_whole_road(folder: Path, weights: WeightFormat) -> None:
    coarse = load_model(folder, device=CPU, dtype=torch.bfloat16, weights=weights)
    recalled = _recalled(coarse, 2)
    assert recalled[0].latents.nbytes == coarse.card.chunk_bytes
    list(coarse.generate("what is seen?", recalled, Sampling(max_tokens=2)))
    coarse.attend("what is seen?", recalled)


def test_other_weights_have_another_fingerprint(
    model: VideoModel, family: str, weights: WeightFormat, tmp_path: Path
) -> None:
    load_family(family).write_tiny(tmp_path / "tiny", seed=1)
    other = load_model(tmp_path / "tiny", device=CPU, dtype=torch.float32, weights=weights)
    assert other.card.fingerprint != model.card.fingerprint


def test_a_folder_of_no_family_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "unheard_of"}')
    with pytest.raises(WeightsError, match="unheard_of"):
        load_model(tmp_path, device=CPU, dtype=torch.float32)


def _frames(model: VideoModel, *, seed: int = 0) -> FrameBatch:
    random = torch.Generator().manual_seed(seed)
    n = model.card.chunk_frames
    pixels = torch.randint(0, 256, (n, 3, 36, 60), dtype=torch.uint8, generator=random)
    return FrameBatch(pixels=pixels, pts_s=torch.arange(n, dtype=torch.float64) + 0.25)


def _tokens(model: VideoModel, *, seed: int = 0) -> VisualTokens:
    return model.encode(_frames(model, seed=seed))


def _recalled(model: VideoModel, n: int) -> list[ChunkLatents]:
    stream, chunks = model.open_stream(), []
    for i in range(n):
        tokens = _tokens(model, seed=i)
        latents = model.compress(tokens, stream)
        stream.remember(latents)
        span = TimeSpan(start_s=float(i), end_s=float(i + 1))
        chunks.append(
            ChunkLatents(
                ref=ChunkRef(video=VideoId("tiny"), ordinal=i, span=span),
                latents=latents,
                frame_vectors=tokens.frame_vectors,
                pts_s=tokens.pts_s,
            )
        )
    return chunks


def _say(model: VideoModel, question: str, recalled: Sequence[ChunkLatents]) -> str:
    sampling = Sampling(max_tokens=6)
    return "".join(token.text for token in model.generate(question, recalled, sampling))


def _same(first: Latents, second: Latents) -> bool:
    if isinstance(first, KvLatents) and isinstance(second, KvLatents):
        return torch.equal(first.keys, second.keys) and torch.equal(first.values, second.values)
    assert not isinstance(first, KvLatents)
    assert not isinstance(second, KvLatents)
    return torch.equal(first.embeddings, second.embeddings)
