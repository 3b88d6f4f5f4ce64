"""Chunks compared with words and with a frame."""

from collections.abc import Callable

import pytest

from engine.errors import NotFoundError
from engine.pipeline.engine import Engine
from engine.pipeline.ingest import ingest
from engine.pipeline.similar import like_frame, similarity
from engine.records import ALL_TIME, VideoId
from tests.engine.pipeline.conftest import CAMERA
from tests.support.fakes import ColourModel, story

OTHER = VideoId("other")


def test_similarity_is_1_for_the_best_chunk_and_0_up_to_the_average(
    build: Callable[..., Engine],
) -> None:
    engine = build()
    list(ingest(engine, CAMERA, story("grey*8 red*4 grey*8")))
    by_ordinal = similarity(engine, CAMERA, "red")
    assert by_ordinal == pytest.approx({0: 0.0, 1: 0.0, 2: 1.0, 3: 0.0, 4: 0.0})


def test_there_is_no_similarity_without_words_or_without_a_second_chunk(
    build: Callable[..., Engine],
) -> None:
    mute = build(ColourModel(knows_text=False))
    list(ingest(mute, CAMERA, story("grey*8 red*4")))
    assert similarity(mute, CAMERA, "red") == {}
    short = build(home="short")
    list(ingest(short, CAMERA, story("red*4")))
    assert similarity(short, CAMERA, "red") == {}
    assert similarity(short, OTHER, "red") == {}


def test_moments_like_a_frame_leave_out_its_own_chunk(build: Callable[..., Engine]) -> None:
    engine = build()
    list(ingest(engine, CAMERA, story("grey*8 red*2 grey*10 red grey*3")))
    list(ingest(engine, OTHER, story("blue*8 red*4")))
    scope = [(CAMERA, ALL_TIME), (OTHER, ALL_TIME)]
    hits = like_frame(engine, CAMERA, 9.0, scope=scope, top=2)
    assert {(hit.chunk.video, hit.chunk.ordinal) for hit in hits} == {(CAMERA, 5), (OTHER, 2)}
    within = like_frame(engine, CAMERA, 9.0, scope=scope[1:], top=1)
    assert [(hit.chunk.video, hit.chunk.ordinal) for hit in within] == [(OTHER, 2)]


def test_a_time_that_is_not_read_yet_is_named(build: Callable[..., Engine]) -> None:
    engine = build()
    list(ingest(engine, CAMERA, story("grey*8")))
    with pytest.raises(NotFoundError, match=r"camera is read at 50\.0 s"):
        like_frame(engine, CAMERA, 50.0, scope=[(CAMERA, ALL_TIME)], top=3)
