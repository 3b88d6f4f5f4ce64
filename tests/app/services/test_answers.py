"""The way of a question: observations first, then a model that can know, else the nearest."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.cli.main import main
from app.schemas.ask import AnswerResponse
from app.services import asked_time
from app.services.answers import join, knows_footage
from app.services.ask import ask
from app.services.asked_time import narrow
from app.services.context import ServiceContext
from app.services.moments import list_moments
from app.services.observed_footage import MANY_VIDEOS, gather_footage
from app.services.overview import NO_OBSERVER
from app.services.scope import narrowing, resolve_scope
from app.services.search import search
from app.worker.foreground import ingest_now
from engine.media.encode import write_video
from engine.pipeline.compose.composer import compose
from engine.pipeline.fusion import Moment
from engine.pipeline.query import parse, parts_of
from engine.pipeline.question_kinds import read_question
from engine.pipeline.world import FILE_NAME
from engine.records import ALL_TIME, Observation, Observed, TimeSpan, VideoId
from engine.sight import sentences
from engine.synthetic.story import draw_story
from tests.app.services.conftest import DURATION_S, open_library
from tests.support.observations import COCO, footage, track, words

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


def test_times_of_an_answer_lie_in_the_asked_hours(library: ServiceContext) -> None:
    document = put(library, "How long is a person in view between 21:59 and 22:00?")
    assert document.answer.startswith("About 4 seconds")
    (video,) = library.catalog.videos.list()
    scope = resolve_scope(library, [video.id], after=16.0, before=18.0)
    rows = gather_footage(library, scope).rows
    assert {(row.label, row.span) for row in rows} == {
        (label, TimeSpan(start_s=16.0, end_s=18.0)) for label in ("person", "dog")
    }


def test_hours_in_which_nothing_was_filmed_are_said(library: ServiceContext) -> None:
    document = put(library, "What happened around noon?")
    assert document.answer == "Nothing is known of the time between 11:30 and 12:30."
    assert (document.answered_by, document.evidence, document.nearest) == ("nothing", [], [])


@pytest.mark.parametrize(
    ("question", "aside"),
    [
        ("Is there a dog at noon?", "hours of the day"),
        ("What happened yesterday?", "\u201cyesterday\u201d"),
    ],
)
def test_times_are_left_aside_aloud_where_no_clock_is_known(
    library: ServiceContext, question: str, aside: str
) -> None:
    row = library.catalog.videos.add(name="yard", uri="/yard.mp4")
    asked = narrow(library, parse(question), [(row.id, ALL_TIME)])
    assert asked.note == f"No wall clock is known of this footage; left aside: {aside}."
    assert [video for video, _ in asked.scope] == [row.id]


@pytest.mark.parametrize(
    ("words", "start_s", "end_s"),
    [
        ("yesterday", 0.0, 86400.0 - STARTS.hour * 3600 - STARTS.minute * 60 - STARTS.second),
        ("yesterday evening", 0.0, 10.0),
        ("last night", 10.0, 8 * 3600 + 10.0),
        ("on 1 March after 10 pm", 10.0, 20.0),
    ],
)
def test_day_of_a_question_is_on_the_clock_of_the_video(
    library: ServiceContext,
    monkeypatch: pytest.MonkeyPatch,
    words: str,
    start_s: float,
    end_s: float,
) -> None:
    monkeypatch.setattr(asked_time, "local_now", lambda zone: datetime(2026, 3, 2, 9))
    asked = narrow(library, parse(f"Who came {words}?"), resolve_scope(library))
    assert asked.note == ""
    ((_, span),) = asked.scope
    assert (span.start_s, min(span.end_s, end_s)) == (start_s, end_s)


def test_day_on_which_nothing_was_filmed_is_said(
    library: ServiceContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asked_time, "local_now", lambda zone: datetime(2026, 3, 2, 9))
    document = put(library, "Who came today?")
    assert document.answer == "Nothing is known of \u201ctoday\u201d, 2026-03-02."
    assert (document.answered_by, document.evidence) == ("nothing", [])
    assert put(library, "Who came on 30 February?").answer.startswith("There is no such day: ")
    assert put(library, "How many people came last night?").answer.startswith("1 ")


def test_model_begins_with_what_was_left_aside(
    tmp_path: Path, checkpoint: Path, clip: Path
) -> None:
    context = open_library(tmp_path / "home", checkpoint, sight__observers=())
    ingest_now(context, [str(clip)])
    answer = put(context, "Why is the grass so green today?").answer
    context.close()
    note = "No wall clock is known of this footage; left aside: \u201ctoday\u201d."
    assert answer.startswith(f"{note} ")


def test_time_that_no_video_is_long_enough_for_is_one_of_the_day(library: ServiceContext) -> None:
    assert put(library, "Is there a dog at 22:00?").answer.startswith("Yes: a dog is in view")
    for time in ("12:00", "99:00"):
        document = put(library, f"Is there a dog at {time}?")
        assert document.answer.startswith("Nothing is known of that time")
        assert (document.answered_by, document.evidence, document.nearest) == ("nothing", [], [])


def test_several_questions_are_answered_in_their_order(library: ServiceContext) -> None:
    document = put(library, "How many people come? And is there a dog?")
    first, second = document.answer.split(" Yes: ")
    assert first.startswith("2 visits, one at a time")
    assert second.startswith("a dog is in view")
    assert document.answered_by == "observations"
    assert len(document.evidence) == 3


def test_part_of_a_question_that_is_open_is_said_beside_what_is_answered() -> None:
    seen = footage(track("dog", 1, 9, confidence=0.95))
    parts = [compose(seen, query.form) for query in parts_of("Is there a dog or a unicorn?")]
    joined = join(parts, seen)
    assert joined is not None
    assert joined.text == (
        "Yes: a dog is in view from 0:01 to 0:09. Nothing here can recognise a unicorn."
    )
    assert (joined.verdict, len(joined.evidence)) == ("answered", 1)
    assert join([None], seen) is None


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
    assert document["summary"] == NO_OBSERVER
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
