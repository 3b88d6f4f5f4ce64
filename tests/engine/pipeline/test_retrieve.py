"""Retrieval: one pass over the index, attention on the right chunk, recall within its room."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import Float, Float32, Float64
from torch import Tensor

from engine.chunk_refs import ChunkRefs
from engine.errors import NotFoundError
from engine.pipeline.answer import answer
from engine.pipeline.config import RetrievalConfig
from engine.pipeline.coverage import searched_s
from engine.pipeline.engine import Engine
from engine.pipeline.ingest import ingest
from engine.pipeline.query import parse
from engine.pipeline.retrieve import (
    ATTEND_BATCH,
    evenly_spaced,
    interleave,
    keep_diverse,
    retrieve,
)
from engine.pipeline.scoring import HitFeatures, ScoredHit
from engine.pipeline.search import search
from engine.protocols import VectorIndex
from engine.records import (
    ALL_TIME,
    ChunkRef,
    Fingerprint,
    Hit,
    IndexResult,
    Scope,
    TimeSpan,
    VideoId,
)
from engine.tensors import ChunkLatents, ChunkVectors, FrameScores
from tests.engine.pipeline.conftest import CAMERA
from tests.support.fakes import CARD, ColourModel, FakeSource, painted, story


@dataclass
class CountingIndex:
    """An index that counts how often its rows are searched."""

    index: VectorIndex
    n_searches: int = 0

    @property
    def n_vectors(self) -> int:
        return self.index.n_vectors

    def add(self, chunks: Iterable[ChunkVectors]) -> None:
        self.index.add(chunks)

    def remove(self, video: VideoId, ordinal: int | None = None) -> None:
        self.index.remove(video)

    def search(
        self, query: Float[Tensor, " dim"], top: int, *, within: Scope | None = None
    ) -> IndexResult:
        self.n_searches += 1
        return self.index.search(query, top, within=within)

    def scores(
        self,
        queries: Float[Tensor, "query dim"],
        *,
        within: Scope | None = None,
        most: int | None = None,
    ) -> FrameScores:
        raise AssertionError("a question of the model asks for hits")

    def frames(
        self, video: VideoId, ordinal: int
    ) -> tuple[Float32[Tensor, "frame dim"], Float64[Tensor, " frame"]] | None:
        return self.index.frames(video, ordinal)

    def refs(self, within: Scope | None = None) -> ChunkRefs:
        return self.index.refs(within)

    @property
    def marks(self) -> Mapping[VideoId, int]:
        return self.index.marks

    def save(
        self, path: Path, fingerprint: Fingerprint, marks: Mapping[VideoId, int] | None = None
    ) -> None:
        raise AssertionError("a question saves nothing")


@dataclass(frozen=True)
class OrdinalModel(ColourModel):
    """Attends to a chunk by its ordinal alone, whatever it shows."""

    attention: dict[int, float] = field(default_factory=dict)
    """By ordinal; minus the ordinal where it is not named."""

    def attend(
        self, question: str, candidates: Sequence[ChunkLatents]
    ) -> Float32[Tensor, " chunk"]:
        ordinals = (chunk.ref.ordinal for chunk in candidates)
        return torch.tensor([self.attention.get(ordinal, -float(ordinal)) for ordinal in ordinals])


@pytest.mark.parametrize(
    ("question", "n_phrases"),
    [
        ("When does the red flash come?", 1),
        ("How many red flashes are there?", 1),
        ("Which came first, the red flash or the blue flash?", 2),
        ("What do you see?", 0),
    ],
)
def test_the_index_is_searched_once_for_each_phrase(
    build: Callable[..., Engine], question: str, n_phrases: int
) -> None:
    engine = build()
    list(ingest(engine, CAMERA, story("grey*30 red grey*20 blue*6 grey*40")))
    index = CountingIndex(engine.index)
    list(answer(replace(engine, index=index), question))
    assert index.n_searches == n_phrases


def test_a_search_searches_the_index_once(build: Callable[..., Engine]) -> None:
    engine = build()
    list(ingest(engine, CAMERA, story("grey*30 red grey*20")))
    index = CountingIndex(engine.index)
    assert search(replace(engine, index=index), "red").moments
    assert index.n_searches == 1


def test_a_search_for_no_moment_says_how_much_there_is_without_searching(
    build: Callable[..., Engine],
) -> None:
    engine = build()
    list(ingest(engine, CAMERA, story("grey*30 red grey*20")))
    index = CountingIndex(engine.index)
    counted = replace(engine, index=index)
    scope = [(CAMERA, TimeSpan(start_s=6.0, end_s=90.0))]
    read_to_s = {CAMERA: 80.0}
    found = search(counted, "red", scope=scope, read_to_s=read_to_s)
    result = search(counted, "red", scope=scope, read_to_s=read_to_s, top=0)
    assert index.n_searches == 1
    assert found.moments
    assert not result.moments
    assert found.left_out
    assert result.left_out == found.left_out
    assert result.searched_s == found.searched_s > 0
    with pytest.raises(NotFoundError, match="no video"):
        search(engine, "red", scope=[(VideoId("gone"), ALL_TIME)], top=0)


def test_attention_counts_for_the_chunk_that_it_was_measured_on(
    build: Callable[..., Engine],
) -> None:
    # The best match lies late, attention prefers early chunks: the two orders contradict.
    engine = build(OrdinalModel(), retrieval=RetrievalConfig(per_attention=0.5))
    list(ingest(engine, CAMERA, story("grey*40 red grey*20 blue grey*20")))
    retrieved = retrieve(engine, parse("When does the red flash come?"))
    assert retrieved.hits[0].hit.chunk.ordinal == 10
    scored = sorted((*retrieved.hits, *retrieved.nearby), key=lambda hit: hit.hit.chunk.ordinal)
    attention = [hit.features.attention for hit in scored]
    assert len(attention) == 21
    assert attention == sorted(attention, reverse=True)
    assert attention[0] > 1 > -1 > attention[-1]


def test_attention_decides_between_equal_matches(build: Callable[..., Engine]) -> None:
    model = OrdinalModel(attention={25: 99.0})
    engine = build(model, retrieval=RetrievalConfig(per_attention=1.0))
    list(ingest(engine, CAMERA, story("grey*40 red grey*59 red grey*40")))
    ordinals = [hit.hit.chunk.ordinal for hit in retrieve(engine, parse("a red flash")).hits]
    assert ordinals[:2] == [25, 10]


def test_attention_alone_finds_a_chunk_in_any_batch(build: Callable[..., Engine]) -> None:
    strongest = ATTEND_BATCH + 6
    engine = build(
        OrdinalModel(attention={strongest: 999.0}), retrieval=RetrievalConfig(signals="attention")
    )
    list(ingest(engine, CAMERA, story(f"grey*{4 * (ATTEND_BATCH + 20)}")))
    first = retrieve(engine, parse("a red flash")).hits[0]
    assert first.hit.chunk.ordinal == strongest
    assert first.origin == "attention"


def test_where_all_frames_look_alike_attention_is_asked(build: Callable[..., Engine]) -> None:
    engine = build(OrdinalModel())
    frame = painted("grey", 0.0)
    list(ingest(engine, CAMERA, FakeSource([replace(frame, pts_s=float(s)) for s in range(40)])))
    retrieved = retrieve(engine, parse("When does the bell ring?"))
    assert retrieved.phrases == ()
    assert {hit.origin for hit in retrieved.hits} == {"attention"}
    assert retrieved.hits[0].hit.chunk.ordinal == 0


@pytest.mark.parametrize("max_latents", [3, 4, 11, 12, 50, 79])
def test_latents_that_are_recalled_fit_into_the_room_that_is_left(
    build: Callable[..., Engine], max_latents: int
) -> None:
    # A chunk has four latents; a frame has two tokens, which is another number.
    assert CARD.latents_per_chunk == 4 != CARD.tokens_per_frame
    engine = build()
    list(ingest(engine, CAMERA, story("grey*40 red grey*39")))
    query = parse("When does the red flash come?")
    retrieved = retrieve(engine, query, recall="all", max_latents=max_latents)
    assert retrieved.recall == "overview"
    most = max(1, max_latents // 4)
    # An even step may fall on the best hit, which is there already.
    assert most - 1 <= len(retrieved.chunks) <= most
    assert 10 in [ref.ordinal for ref in retrieved.chunks]
    overview = retrieve(engine, query, recall="overview", max_latents=max_latents)
    assert len(overview.chunks) <= most


def test_everything_is_recalled_where_there_is_just_enough_room(
    build: Callable[..., Engine],
) -> None:
    engine = build()
    list(ingest(engine, CAMERA, story("grey*80")))
    query = parse("When does the red flash come?")
    assert retrieve(engine, query, recall="all", max_latents=80).recall == "all"
    assert retrieve(engine, query, recall="all", max_latents=79).recall == "overview"


def test_a_retrieval_by_top_recalls_the_best_chunks_in_time_order(
    build: Callable[..., Engine],
) -> None:
    engine = build(retrieval=RetrievalConfig(top_chunks=2))
    list(ingest(engine, CAMERA, story("grey*20 red grey*30 red*3 grey*39")))
    retrieved = retrieve(engine, parse("When does the red flash come?"))
    assert retrieved.recall == "top"
    assert [ref.ordinal for ref in retrieved.chunks] == [5, 12]


def test_an_overview_holds_what_stands_out_and_even_steps_through_the_rest(
    build: Callable[..., Engine],
) -> None:
    engine = build(retrieval=RetrievalConfig(top_chunks=1, overview_chunks=4))
    list(ingest(engine, CAMERA, story("grey*20 red grey*139")))
    retrieved = retrieve(engine, parse("How many red flashes are there?"))
    assert retrieved.recall == "overview"
    assert [ref.ordinal for ref in retrieved.chunks] == [5, 15, 25, 35]
    elsewhere = retrieve(engine, parse("Summarise the video."))
    assert elsewhere.hits == ()
    assert [ref.ordinal for ref in elsewhere.chunks] == [5, 15, 25, 35]


def test_only_the_seconds_inside_the_scope_were_searched(build: Callable[..., Engine]) -> None:
    engine = build()
    list(ingest(engine, CAMERA, story("grey*40")))
    scope = [(CAMERA, TimeSpan(start_s=6.0, end_s=17.0))]
    retrieved = retrieve(engine, parse("a red flash"), scope=scope)
    assert retrieved.searched_s == 11.0
    assert [ref.ordinal for ref in retrieved.refs] == [1, 2, 3, 4]
    assert searched_s(retrieved.refs, None) == 16.0


def test_videos_are_recalled_in_the_order_of_the_scope(build: Callable[..., Engine]) -> None:
    engine = build()
    later = VideoId("later")
    for video in (later, CAMERA):
        list(ingest(engine, video, story("grey*8")))
    scope = [(CAMERA, ALL_TIME), (later, ALL_TIME)]
    retrieved = retrieve(engine, parse("Summarise the video."), scope=scope)
    assert [ref.video for ref in retrieved.chunks] == [CAMERA, CAMERA, later, later]


def test_a_scope_without_any_chunk_is_an_error(build: Callable[..., Engine]) -> None:
    engine = build()
    list(ingest(engine, CAMERA, story("grey*8")))
    with pytest.raises(NotFoundError, match="no video"):
        retrieve(engine, parse("red"), scope=[(CAMERA, TimeSpan(start_s=50.0, end_s=60.0))])


def scored(video: str, ordinal: int, support: float) -> ScoredHit:
    span = TimeSpan(start_s=4.0 * ordinal, end_s=4.0 * ordinal + 4.0)
    ref = ChunkRef(video=VideoId(video), ordinal=ordinal, span=span)
    return ScoredHit(
        hit=Hit(chunk=ref, score=0.5, peak_s=span.start_s),
        features=HitFeatures(cosine=0.5, deviation=0.0, attention=0.0),
        support=support,
        origin="retrieval",
        phrase_idx=0,
    )


def keys(hits: Sequence[ScoredHit]) -> list[tuple[str, int]]:
    return [(hit.hit.chunk.video, hit.hit.chunk.ordinal) for hit in hits]


ranked = st.lists(
    st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 12)), unique=True, max_size=16
).map(lambda chunks: [scored(*chunk, 1 - idx / 16) for idx, chunk in enumerate(chunks)])


@given(ranked=ranked)
def test_no_two_hits_are_neighbours_and_every_candidate_is_kept_somewhere(
    ranked: list[ScoredHit],
) -> None:
    hits, nearby = keep_diverse(ranked, 32)
    assert sorted(keys([*hits, *nearby])) == sorted(keys(ranked))
    assert list(hits[:1]) == ranked[:1]
    chosen = keys(hits)
    assert all((video, ordinal + 1) not in chosen for video, ordinal in chosen)
    for video, ordinal in keys(nearby):
        assert {(video, ordinal - 1), (video, ordinal + 1)} & set(chosen)


@given(lists=st.lists(ranked, max_size=3))
def test_phrases_take_turns_and_a_chunk_comes_once(lists: list[list[ScoredHit]]) -> None:
    hits, _ = interleave([(tuple(hits), ()) for hits in lists])
    merged = keys(hits)
    assert len(set(merged)) == len(merged)
    assert set(merged) == {key for hits in lists for key in keys(hits)}
    for place, key in enumerate(merged):
        # A chunk is no later than its place in any of the lists allows.
        least_rank = min(keys(hits).index(key) for hits in lists if key in keys(hits))
        assert place < len(lists) * (least_rank + 1)


@given(n_refs=st.integers(0, 40), count=st.integers(-3, 50))
def test_even_steps_are_distinct_ordered_and_as_many_as_there_are(n_refs: int, count: int) -> None:
    refs = [scored("a", ordinal, 0.5).hit.chunk for ordinal in range(n_refs)]
    ordinals = [ref.ordinal for ref in evenly_spaced(refs, count)]
    assert len(ordinals) == max(0, min(count, n_refs))
    assert ordinals == sorted(set(ordinals))
    steps = {after - before for before, after in pairwise(ordinals)}
    assert max(steps, default=0) - min(steps, default=0) <= 1
