"""The way of a question: observations first, then a model that can know, else the nearest."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.cli.main import main
from app.schemas.ask import AnswerResponse
from app.services.answers import knows_footage
from app.services.ask import ask
from app.services.context import ServiceContext
from app.services.moments import list_moments
from app.services.observed_footage import MANY_VIDEOS, gather_footage
from app.services.scope import narrowing, resolve_scope
from app.services.search import search
from app.worker.foreground import ingest_now
from engine.media.encode import write_video
from engine.pipeline.fusion import Moment
from engine.pipeline.question_kinds import read_question
from engine.pipeline.world import FILE_NAME
from engine.records import ALL_TIME, Observation, Observed, TimeSpan, VideoId
from engine.sight import sentences
from engine.synthetic.story import draw_story
from tests.app.services.conftest import DURATION_S, open_library
from tests.support.observations import COCO, track, words

STARTS = datetime(2026, 3, 1, 21, 59, 50, tzinfo=UTC)


@pytest.fixture
def library(tmp_path: Path, checkpoint: Path, clip: Path) -> Iterator[ServiceContext]:
    """A clip from ten seconds before ten in the evening, in which two people and a dog came."""
    context = open_library(tmp_path / "home", checkpoint, sight__observers=())
    ingest_now(context, [str(clip)], start_at=STARTS)
    (video,) = context.catalog.videos.list()
    note(
        context,
        video.id,
        track("person", 2, 6, video=video.id, number=1),
        track("person", 14, 20, video=video.id, number=2),
        track("dog", 15, 19, confidence=0.95, x=(0.2, 0.8), video=video.id, number=3),
    )
    note(context, video.id, words("speech", 3, 5, "Good evening.", video=video.id))
    yield context
    context.close()


def note(context: ServiceContext, video: VideoId, *rows: Observation) -> None:
    """Write rows of one kind, from an observer that looked to the end."""
    kind = rows[0].kind
    context.catalog.observations.extend(
        rows,
        Observed(
            video=video,
            kind=kind,
            model=rows[0].model,
            labels=COCO if kind == "object" else frozenset(),
            span=TimeSpan(start_s=0.0, end_s=float(DURATION_S)),
        ),
    )


def put(context: ServiceContext, question: str) -> AnswerResponse:
    return ask(context, question, resolve_scope(context))


def test_observations_answer_with_their_rows(library: ServiceContext) -> None:
    document = put(library, "How many people come?")
    assert document.answered_by == "observations"
    assert document.answer.startswith("2 visits, one at a time")
    assert [item.origin for item in document.evidence] == ["observation"] * 2
    assert document.evidence[0].observations[0].label == "person"
    assert document.recalled_chunks == 0
    assert document.nearest == []


def test_times_of_day_stand_beside_offsets(library: ServiceContext) -> None:
    answer = put(library, "When is the dog in view?").answer
    assert answer == "A dog is in view from 0:15 (22:00:05) to 0:19 (22:00:09)."


def test_question_about_hours_is_answered_from_them(library: ServiceContext) -> None:
    answer = put(library, "What happened between 22:00 and 6:00?").answer
    assert "a dog" in answer
    assert "Good evening" not in answer
    assert put(library, "How many people came between 22:00 and 6:00?").answer.startswith("1 ")


def test_large_library_is_read_for_the_thing_alone(library: ServiceContext) -> None:
    videos = library.catalog.videos
    for number in range(MANY_VIDEOS):
        row = videos.add(name=f"yard {number}", uri=f"/yard/{number}.mp4")
        note(library, row.id, track("car", 1, 3, video=row.id), track("cat", 1, 3, video=row.id))
    scope = [(row.id, ALL_TIME) for row in videos.list()]
    asked_for = read_question("Is there a dog?")
    (near,) = (row for row in videos.list() if row.name == "front door")
    span = TimeSpan(start_s=1.0, end_s=2.0)
    nearest = [
        Moment(video=near.id, span=span, peak_s=1.0, kind="vector", relevance=2.0, log_odds=2.0)
    ]
    large = gather_footage(library, scope, nearest, asked_for)
    assert {row.label for row in large.rows} == {"dog"}
    yard = [(video, span) for video, span in scope if video != near.id][:1]
    few = gather_footage(library, yard, nearest, asked_for)
    assert {row.label for row in few.rows} == {"car", "cat"}


@pytest.mark.parametrize(
    "question",
    ["Is there a dog?", "How many people come?", "What is said?", "Why is the sky so dark?"],
)
def test_a_scope_of_everything_is_answered_as_none_is(
    library: ServiceContext, question: str
) -> None:
    everything = resolve_scope(library)
    assert narrowing(library, everything) is None
    assert resolve_scope(library) is everything, "it is made once while no row changes"
    named = [*everything]
    assert narrowing(library, named) is named
    of_all, of_named = (ask(library, question, scope) for scope in (everything, named))
    assert of_all.model_dump(exclude={"timing"}) == of_named.model_dump(exclude={"timing"})
    found, expected = (search(library, question, scope) for scope in (everything, named))
    assert found.model_dump(exclude={"timing"}) == expected.model_dump(exclude={"timing"})


def test_a_video_that_is_no_part_of_a_scope_keeps_it_a_filter(library: ServiceContext) -> None:
    row = library.catalog.videos.add(name="yard", uri="/yard.mp4")
    note(library, row.id, track("cat", 1, 3, video=row.id))
    scope = resolve_scope(library)
    assert narrowing(library, scope) is scope
    assert row.id not in {hit.video_id for hit in search(library, "a cat", scope).hits}


def test_model_answers_what_no_row_grounds(library: ServiceContext) -> None:
    document = put(library, "Why is the sky so dark?")
    assert document.answered_by in {"model", "nothing"}
    assert document.model_note is None


def test_moments_tell_what_happens_with_pictures(library: ServiceContext) -> None:
    (video,) = library.catalog.videos.list()
    document = list_moments(library, video.id)
    titles = [moment.title for moment in document.moments]
    assert any(title.startswith("A person") for title in titles)
    assert document.observed == ["object", "speech"]
    assert "Good evening" in document.summary
    late = list_moments(library, video.id, hours="22:00-06:00")
    assert late.moments[0].start_s == 10.0


def test_moments_of_what_was_not_observed_say_so(
    tmp_path: Path, checkpoint: Path, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--home", str(tmp_path), "--json"]
    model = ["--model", str(checkpoint)]
    assert main(["ingest", str(clip), "--no-observe", *model, *common]) == 0
    capsys.readouterr()
    assert main(["moments", "front door", *common]) == 0
    document = json.loads(capsys.readouterr().out)
    assert "observed in this video yet" in document["summary"]
    assert set(document["moments"][0]) >= {"start_s", "end_s", "title", "keyframe_s"}


@pytest.mark.parametrize("is_drawn", [True, False])
def test_nano_answers_only_on_footage_of_its_own_world(
    tmp_path: Path, clip: Path, is_drawn: bool
) -> None:
    path = tmp_path / "drawn.mp4" if is_drawn else clip
    if is_drawn:
        write_video(path, iter(draw_story(7, 40.0, 2.0)), 2.0)
    context = open_library(tmp_path / "home", Path("nano"), sight__observers=())
    try:
        ingest_now(context, [str(path)])
        scope = resolve_scope(context)
        assert knows_footage(context.engine, scope) is is_drawn
        document = ask(context, "Is there a unicorn?", scope)
        assert document.model_note is not None
        if not is_drawn:
            assert document.answered_by == "nothing"
            assert document.answer == "Nothing here can recognise a unicorn."
            assert document.nearest
    finally:
        context.close()


def test_shipped_model_states_its_world() -> None:
    stated = json.loads(Path("assets/models/nano", FILE_NAME).read_text())
    assert len(stated["phrases"]) == 12


def test_vectors_of_what_was_said_come_from_the_library(library: ServiceContext) -> None:
    (unread,) = library.catalog.observations.without_vector(
        library.catalog.videos.list()[0].id, sentences.NAME
    )
    asked = library.sentences.encode_phrase("the weather")
    # Not what the encoder would make of it: what is kept is taken.
    kept = asked.half().numpy().astype("<f2").tobytes()
    library.catalog.observations.set_vectors({unread.id: kept}, sentences.NAME)
    look = gather_footage(library, resolve_scope(library)).look
    likeness = look.likeness("the weather", ["Good evening.", "the weather", "a stone"])
    assert likeness == pytest.approx(
        [1.0, 1.0, float(library.sentences.encode(["a stone"])[0] @ asked)], abs=2e-3
    )
