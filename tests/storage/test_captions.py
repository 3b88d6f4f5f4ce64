"""Captions: one a chunk, found by their words, gone with their video."""

import pytest

from engine.errors import NotFoundError
from engine.records import Caption, ChunkRef, Fingerprint, TimeSpan, VideoId
from storage.catalog import Catalog

PIPELINE = Fingerprint("p1")
ALL = TimeSpan(start_s=0.0, end_s=1e12)


def add_video(catalog: Catalog, name: str = "lobby", pipeline: Fingerprint = PIPELINE) -> VideoId:
    video = catalog.videos.add(name=name, uri=name).id
    read(catalog, video, pipeline)
    return video


def read(catalog: Catalog, video: VideoId, pipeline: Fingerprint) -> None:
    catalog.videos.begin_ingest(
        video, fingerprint=pipeline, model="video_xl/nano", sample_fps=1.0, compression_ratio=8
    )


def caption(video: VideoId, ordinal: int, text: str, pipeline: Fingerprint = PIPELINE) -> Caption:
    span = TimeSpan(start_s=4.1 * ordinal, end_s=4.1 * (ordinal + 1))
    return Caption(
        ref=ChunkRef(video=video, ordinal=ordinal, span=span),
        fingerprint=pipeline,
        model="video_xl/nano",
        text=text,
    )


def test_captions_come_back_in_order_and_twice_is_once(catalog: Catalog) -> None:
    video = add_video(catalog)
    second, first = (
        caption(video, 1, "A dog runs to the left."),
        caption(video, 0, "An empty street."),
    )
    for added in (second, first, first):
        catalog.captions.add(added)
    assert catalog.captions.list(video) == (first, second)
    better = caption(video, 1, "A brown dog runs.")
    catalog.captions.add(better)
    assert catalog.captions.list(video) == (first, better)


def test_the_more_words_the_better(catalog: Catalog) -> None:
    video = add_video(catalog)
    for ordinal, text in enumerate(["A red bus.", "A RED car, at night.", "A carpet.", ""]):
        catalog.captions.add(caption(video, ordinal, text))
    matches = catalog.captions.matching("the red Car", [(video, ALL)])
    assert [(match.caption.ref.ordinal, match.share) for match in matches] == [(1, 1.0), (0, 0.5)]
    assert catalog.captions.matching("the red Car", [(video, ALL)], top=1) == matches[:1]


@pytest.mark.parametrize("query", ["", "is it in the", "%", "_", "%red%", "zebra", "re_"])
def test_what_nothing_holds_is_not_found(catalog: Catalog, query: str) -> None:
    video = add_video(catalog)
    catalog.captions.add(caption(video, 0, "A redder bus in the dark."))
    assert catalog.captions.matching(query, [(video, ALL)]) == ()


def test_words_of_every_script_are_folded(catalog: Catalog) -> None:
    video = add_video(catalog)
    catalog.captions.add(caption(video, 0, "Ein ÄLTERER Mann; СОБАКА"))
    for query in ("älterer", "собака"):
        assert len(catalog.captions.matching(query, [(video, ALL)])) == 1


def test_only_what_lies_within_is_found(catalog: Catalog) -> None:
    lobby, yard = add_video(catalog), add_video(catalog, "yard")
    for video in (lobby, yard):
        for ordinal in range(3):
            catalog.captions.add(caption(video, ordinal, "A dog."))
    within = [(yard, TimeSpan(start_s=5.0, end_s=6.0))]
    (match,) = catalog.captions.matching("dog", within)
    assert (match.caption.ref.video, match.caption.ref.ordinal) == (yard, 1)
    assert catalog.captions.matching("dog", []) == ()


def test_a_question_of_a_thousand_words_is_answered(catalog: Catalog) -> None:
    video = add_video(catalog)
    catalog.captions.add(caption(video, 0, "word0"))
    query = " ".join(f"word{number}" for number in range(1000))
    assert len(catalog.captions.matching(query, [(video, ALL)])) == 1


def test_captions_of_another_pipeline_rest(catalog: Catalog) -> None:
    video = add_video(catalog)
    catalog.captions.add(caption(video, 0, "A dog."))
    read(catalog, video, Fingerprint("p2"))
    assert catalog.captions.list(video) == ()
    assert catalog.captions.matching("dog", [(video, ALL)]) == ()
    read(catalog, video, PIPELINE)
    assert len(catalog.captions.list(video)) == 1


def test_captions_leave_with_their_video(catalog: Catalog) -> None:
    video = add_video(catalog)
    catalog.captions.add(caption(video, 0, "A dog."))
    catalog.videos.remove(video)
    assert catalog.captions.list(video) == ()
    with pytest.raises(NotFoundError):
        catalog.captions.add(caption(video, 1, "A cat."))
