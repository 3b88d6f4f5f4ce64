"""Spans of evidence: cut to what matches, merged where they touch, best first."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.pipeline.config import RetrievalConfig, SignalsUsed
from engine.pipeline.engine import Engine
from engine.pipeline.evidence import (
    ATTENTION_SHARE,
    combine,
    from_attention,
    from_hits,
    merge_adjacent,
    within_scope,
)
from engine.pipeline.ingest import ingest
from engine.pipeline.query import parse
from engine.pipeline.retrieve import retrieve
from engine.pipeline.scoring import SUPPORTED
from engine.pipeline.search import search
from engine.records import ChunkRef, Evidence, Origin, TimeSpan, VideoId
from tests.engine.pipeline.conftest import CAMERA
from tests.support.fakes import story


def evidence(
    start_s: float | int,
    end_s: float | int,
    score: float = 0.5,
    video: str = "camera",
    origin: Origin = "retrieval",
) -> Evidence:
    return Evidence(
        video=VideoId(video),
        span=TimeSpan(start_s=float(start_s), end_s=float(end_s)),
        score=score,
        origin=origin,
        keyframe_s=float(start_s),
    )


def refs(count: int, video: str = "camera") -> list[ChunkRef]:
    return [
        ChunkRef(
            video=VideoId(video),
            ordinal=2 * idx,
            span=TimeSpan(start_s=8.0 * idx, end_s=8.0 * idx + 4.0),
        )
        for idx in range(count)
    ]


def test_spans_that_touch_become_one_with_the_best_ones_score_and_keyframe() -> None:
    merged = merge_adjacent([evidence(4, 8, 0.9), evidence(0, 4, 0.6), evidence(8.5, 9, 0.7)])
    assert [(item.span.start_s, item.span.end_s) for item in merged] == [(0, 8), (8.5, 9)]
    assert (merged[0].score, merged[0].keyframe_s) == (0.9, 4)


def test_spans_of_different_videos_are_never_merged() -> None:
    assert len(merge_adjacent([evidence(0, 4), evidence(2, 6, video="other")])) == 2


pieces = st.builds(
    lambda start, length, score, video: evidence(start, start + length, score, video),
    start=st.integers(0, 30),
    length=st.integers(1, 6),
    score=st.floats(0, 1),
    video=st.sampled_from(["a", "b"]),
)


@given(spans=st.lists(pieces))
def test_merging_covers_the_same_seconds_and_leaves_no_two_spans_that_touch(
    spans: list[Evidence],
) -> None:
    def seconds(items: list[Evidence]) -> set[tuple[str, int]]:
        return {
            (item.video, second)
            for item in items
            for second in range(int(item.span.start_s), int(item.span.end_s))
        }

    merged = list(merge_adjacent(spans))
    assert seconds(merged) == seconds(spans)
    assert [item.score for item in merged] == sorted((i.score for i in merged), reverse=True)
    for item in merged:
        assert item.score == max(
            part.score
            for part in spans
            if part.video == item.video and part.span.overlap_s(item.span) > 0
        )
        for other in merged:
            assert (
                other is item
                or other.video != item.video
                or other.span.end_s < item.span.start_s
                or item.span.end_s < other.span.start_s
            )


@pytest.mark.parametrize(("factor", "is_evidence"), [(0.99, False), (1.01, True)])
def test_a_chunk_is_evidence_from_twice_its_even_share_of_attention(
    factor: float, is_evidence: bool
) -> None:
    chunks = refs(8)
    share = factor * ATTENTION_SHARE / len(chunks)
    mass = torch.full((len(chunks),), (1 - share) / (len(chunks) - 1))
    mass[3] = share
    # Attention on the prompt is no part of the shares: they are of the chunks' sum.
    found = from_attention(chunks, 0.4 * mass)
    assert [item.span for item in found] == ([chunks[3].span] if is_evidence else [])
    assert all(item.score == pytest.approx(share) for item in found)
    assert all(item.origin == "attention" for item in found)


def test_attention_proves_nothing_where_it_is_unknown_or_had_no_choice() -> None:
    assert from_attention(refs(4), None) == ()
    assert from_attention(refs(1), torch.ones(1)) == ()
    assert from_attention(refs(4), torch.zeros(4)) == ()


def test_attention_adds_only_what_retrieval_did_not_show() -> None:
    by_hits = (evidence(0, 8, 0.9),)
    again, elsewhere = evidence(4, 12, 0.5), evidence(20, 24, 0.4)
    other_video = evidence(0, 8, 0.3, video="other")
    assert combine(by_hits, (again, elsewhere, other_video)) == (*by_hits, elsewhere, other_video)


def test_evidence_of_a_strong_hit_reaches_into_the_chunk_beside_it(
    build: Callable[..., Engine],
) -> None:
    engine = build()
    # Chunks of four frames: red lies in the last two of one and the first of the next.
    list(ingest(engine, CAMERA, story("grey*22 red*3 grey*40")))
    retrieved = retrieve(engine, parse("Is there a red flash?"))
    (moment,) = from_hits(engine, retrieved)
    assert moment.span == TimeSpan(start_s=21.5, end_s=24.5)
    assert (moment.origin, moment.score) == ("retrieval", retrieved.hits[0].support)


def test_evidence_of_a_weak_hit_stays_in_its_chunk(build: Callable[..., Engine]) -> None:
    engine = build()
    list(ingest(engine, CAMERA, story("grey*120")))
    retrieved = retrieve(engine, parse("Is there a red flash?"))
    assert all(hit.support < SUPPORTED for hit in retrieved.hits)
    chunks = {hit.hit.peak_s: hit.hit.chunk.span for hit in retrieved.hits}
    moments = from_hits(engine, retrieved, least_support=0.0)
    assert len(moments) == len(chunks) > 1
    for moment in moments:
        assert moment.span.overlap_s(chunks[moment.keyframe_s]) == moment.span.duration_s


def test_hits_below_the_least_support_are_no_evidence(build: Callable[..., Engine]) -> None:
    engine = build()
    list(ingest(engine, CAMERA, story("grey*22 red*3 grey*40")))
    retrieved = retrieve(engine, parse("Is there a red flash?"))
    assert len(retrieved.hits) > 1
    assert len(from_hits(engine, retrieved)) == 1
    assert len(from_hits(engine, retrieved, least_support=0.0)) > 1


def test_a_hit_by_attention_is_its_whole_chunk(build: Callable[..., Engine]) -> None:
    engine = build(retrieval=RetrievalConfig(signals="attention"))
    list(ingest(engine, CAMERA, story("grey*20 red grey*19")))
    retrieved = retrieve(engine, parse("Is there a red flash?"))
    moments = from_hits(engine, retrieved, least_support=0.0)
    assert {moment.origin for moment in moments} == {"attention"}
    chunk_bounds = {bound for ref in retrieved.refs for bound in (ref.span.start_s, ref.span.end_s)}
    assert all(moment.span.start_s in chunk_bounds for moment in moments)
    assert all(moment.span.end_s in chunk_bounds for moment in moments)


def test_evidence_never_leaves_the_bounds_that_were_asked_for() -> None:
    camera, other = VideoId("camera"), VideoId("other")
    scope = [
        (camera, TimeSpan(start_s=15.0, end_s=40.0)),
        (camera, TimeSpan(start_s=60.0, end_s=70.0)),
        (other, TimeSpan(start_s=0.0, end_s=5.0)),
    ]
    cut = within_scope([evidence(0, 90), evidence(38, 50), evidence(5, 9, video="other")], scope)
    assert [(part.span.start_s, part.span.end_s) for part in cut] == [(15, 40), (60, 70), (38, 40)]
    assert all(part.span.contains(part.keyframe_s) for part in cut)
    assert cut[2].keyframe_s == 38, "its own keyframe lies inside"
    assert within_scope([evidence(0, 90)], None) == (evidence(0, 90),)


@pytest.mark.parametrize("signals", ["vectors", "attention", "both"])
def test_search_inside_a_chunk_stays_inside_the_bounds(
    build: Callable[..., Engine], signals: SignalsUsed
) -> None:
    engine = build(retrieval=RetrievalConfig(top_chunks=1, signals=signals))
    list(ingest(engine, CAMERA, story("grey*2 red*12 grey*10")))
    bounds = TimeSpan(start_s=4.5, end_s=6.5)
    found = search(engine, "red", scope=[(CAMERA, bounds)])
    assert found.moments
    for moment in found.moments:
        assert bounds.start_s <= moment.span.start_s < moment.span.end_s <= bounds.end_s
        assert bounds.contains(moment.keyframe_s)
