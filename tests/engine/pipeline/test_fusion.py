"""Fusion of moments from several sources: order, distance in time, and agreement."""

from engine.pipeline.fusion import AGREEING, Moment, fuse
from engine.records import MomentKind, TimeSpan, VideoId


def moment(
    at_s: float, relevance: float, *, claim: float = 1.0, kind: MomentKind = "vector",
    video: str = "a",
) -> Moment:  # fmt: skip
    return Moment(
        video=VideoId(video),
        span=TimeSpan(start_s=at_s, end_s=at_s + 1),
        peak_s=at_s,
        kind=kind,
        relevance=relevance,
        log_odds=claim,
    )


def test_what_is_found_precedes_what_is_merely_near() -> None:
    near, found = moment(0.0, 9.0, claim=-1.0), moment(20.0, 0.5)
    assert fuse([near, found], top=5) == (found, near)


def test_two_moments_of_a_video_are_apart_and_of_two_videos_need_not_be() -> None:
    first, beside, other = moment(10.0, 3.0), moment(12.0, 2.0), moment(12.0, 1.0, video="b")
    assert fuse([beside, other, first], top=5) == (first, other)


def test_another_source_that_agrees_lifts_a_moment() -> None:
    seen, said = moment(10.0, 3.0), moment(10.0, 2.0, kind="speech")
    (fused,) = fuse([seen, said], top=5)
    assert (fused.kind, fused.relevance) == ("vector", 3.0 + AGREEING)
    doubtful = moment(10.0, 2.0, kind="speech", claim=-1.0)
    assert fuse([seen, doubtful], top=5) == (seen,)


def test_no_more_than_the_best_are_returned() -> None:
    moments = [moment(10.0 * idx, float(idx)) for idx in range(6)]
    assert [kept.peak_s for kept in fuse(moments, top=2)] == [50.0, 40.0]
