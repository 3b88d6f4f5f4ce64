"""Observing behind an ingest: rows with times, resumable, named where a part is missing."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import gradio
import pytest

from app.config.settings import load_settings
from app.services.ask import ask
from app.services.context import ServiceContext
from app.services.library import show_video
from app.services.observations import list_observations
from app.services.observe import enqueue_observe, is_observed, stages
from app.services.scope import resolve_scope
from app.services.search import search
from app.worker.foreground import ingest_now, observe_now
from app.worker.handlers import open_worker
from engine.errors import InputRefusedError, NotFoundError, SettingsError, SoundOnlyError
from engine.sight.observers.objects import STEP_S
from storage.records import JobProgress
from tests.support.visits import LENGTH_S, VISITS_S, write_visits

VOICE = Path(gradio.__file__).parent / "media_assets" / "audio" / "cate_blanch.mp3"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A woman in view twice, on the clock of `VISITS_S`."""
    return write_visits(tmp_path_factory.mktemp("clips") / "lobby.mp4")


def open_library(home: Path, *observers: str) -> ServiceContext:
    return ServiceContext(load_settings({"sight.observers": list(observers)}, home=home))


@pytest.fixture(scope="module")
def read_home(tmp_path_factory: pytest.TempPathFactory, clip: Path) -> Path:
    home = tmp_path_factory.mktemp("home")
    context = open_library(home, "objects")
    ingest_now(context, [str(clip)], observes=False)
    context.close()
    return home


@pytest.fixture
def service(read_home: Path) -> Iterator[ServiceContext]:
    """The clip, read and not yet observed."""
    context = open_library(read_home, "objects")
    video = context.catalog.videos.resolve("lobby")
    context.catalog.observations.forget(video.id, ["object"])
    yield context
    context.close()


def visits(context: ServiceContext) -> list[tuple[float, float]]:
    document = list_observations(context, "lobby", labels=["person"])
    return [(item.start_s, item.end_s) for item in document.observations]


def test_observing_is_queued_behind_the_ingest_and_done_by_a_worker(
    service: ServiceContext,
) -> None:
    video = service.catalog.videos.resolve("lobby")
    assert [job.kind for job in service.catalog.jobs.list("queued", video=video.id)] == ["observe"]
    scope = resolve_scope(service)
    (waiting,) = search(service, "a person", scope).observing
    assert (waiting.video, waiting.note) == ("lobby", "")
    open_worker(service).run(until_idle=True)
    assert search(service, "a person", scope).observing == []
    assert visits(service) == VISITS_S
    assert service.catalog.jobs.list("queued", video=video.id) == ()
    assert is_observed(service, video)


def test_foreground_ingest_observes_and_tells_how_far(tmp_path: Path, clip: Path) -> None:
    context, notes = open_library(tmp_path, "objects"), []
    ingest_now(context, [str(clip)], report=lambda update: notes.append(update.note))
    assert visits(context) == VISITS_S
    assert notes[-1] == "everything observed"
    assert any(note.startswith("objects: 0:30 of ") for note in notes)
    n_notes = len(notes)
    ingest_now(context, [str(clip)], report=lambda update: notes.append(update.note))
    assert len(notes) == n_notes
    context.close()


def test_what_is_read_behind_a_job_that_runs_is_observed_by_another(
    service: ServiceContext,
) -> None:
    video, jobs = service.catalog.videos.resolve("lobby"), service.catalog.jobs
    waiting = enqueue_observe(service, video, has_more=True)
    assert waiting is not None
    assert enqueue_observe(service, video, has_more=True) == waiting
    assert jobs.claim("somebody", ["observe"], lease_s=60.0, job=waiting.id) is not None
    behind = enqueue_observe(service, video, has_more=True)
    assert behind is not None
    assert behind.id != waiting.id
    # Of those who only want to see it observed it is still one.
    assert enqueue_observe(service, video, has_more=True) == behind
    # One at a time: both are of one stream.
    assert jobs.claim("somebody", ["observe"], lease_s=60.0) is None
    jobs.finish(jobs.get(waiting.id))
    open_worker(service).run(until_idle=True)
    assert visits(service) == VISITS_S


def test_look_at_everything_gives_way_to_an_urgent_one_and_is_finished_behind_it(
    read_home: Path,
) -> None:
    service = open_library(read_home, "objects", "motion")
    video = service.catalog.videos.resolve("lobby")
    open_worker(service).run(until_idle=True)
    service.catalog.observations.forget(video.id, ["object", "motion"])
    last = max((job.id for job in service.catalog.jobs.list()), default=0)
    enqueue_observe(service, video, has_more=True)
    enqueue_observe(service, video, ["objects"], has_more=True, urgent=True)
    # What waits for an observer is not what waits for all of them.
    assert len(service.catalog.jobs.list("queued")) == 2
    open_worker(service).run(until_idle=True)
    jobs = [job for job in reversed(service.catalog.jobs.list()) if job.id > last]
    assert [job.state for job in jobs] == ["done"] * 3
    names = [*stages(service.settings)]
    assert [job.payload["observers"] for job in jobs] == [names, ["objects"], names]
    assert is_observed(service, video)
    # Others of these tests observe things alone.
    service.catalog.observations.forget(video.id, ["motion"])
    service.close()


def test_observing_that_was_cut_off_goes_on(service: ServiceContext) -> None:
    video = service.catalog.videos.resolve("lobby")
    job = enqueue_observe(service, video)
    assert job is not None
    assert enqueue_observe(service, video) == job
    worker = open_worker(service)

    def stop_after_a_step(progress: JobProgress) -> None:
        worker.stop()

    worker.run_job(job.id, watch=stop_after_a_step)
    (reach,) = service.catalog.observations.reach(video.id)
    assert (reach.kind, reach.span.end_s) == ("object", STEP_S)
    assert service.catalog.jobs.get(job.id).state == "queued"
    observe_now(service, "lobby")
    assert visits(service) == VISITS_S
    assert service.catalog.observations.reach(video.id)[0].span.end_s == LENGTH_S


def test_observing_again_begins_anew(service: ServiceContext) -> None:
    observe_now(service, "lobby")
    ids = {item.track for item in list_observations(service, "lobby").observations}
    observe_now(service, "lobby", again=True)
    document = list_observations(service, "lobby")
    assert {item.track for item in document.observations} == ids
    assert visits(service) == VISITS_S


def test_another_detector_begins_anew(service: ServiceContext) -> None:
    observe_now(service, "lobby")
    video = service.catalog.videos.resolve("lobby")
    (reach,) = service.catalog.observations.reach(video.id)
    rows = service.catalog.observations.list([(video.id, reach.span)])
    service.catalog.observations.replace(
        video.id, "object", rows[:1], replace(reach, model="older detector")
    )
    observe_now(service, "lobby")
    assert visits(service) == VISITS_S


def test_rows_are_found_by_words_and_the_video_says_what_was_seen(
    service: ServiceContext,
) -> None:
    observe_now(service, "lobby")
    found = list_observations(service, "lobby", find="persons in hats", kinds=["object"])
    assert {item.label for item in found.observations} == {"person"}
    assert found.observations[0].share == 0.5
    (item,) = show_video(service, "lobby").videos[0].observed
    assert (item.observer, item.kind, item.reach_s) == ("objects", "object", LENGTH_S)
    counts = {label.label: label.count for label in item.labels}
    assert counts["person"] == 2
    assert item.count == sum(counts.values())
    with pytest.raises(InputRefusedError, match="of kind 'smell'"):
        list_observations(service, "lobby", kinds=["smell"])


def test_speech_of_a_file_of_sound_alone_is_found(tmp_path: Path) -> None:
    context = open_library(tmp_path, "objects", "speech")
    ingest_now(context, [str(VOICE)])
    row = context.catalog.videos.resolve("cate_blanch")
    assert (row.status, row.n_chunks) == ("ready", 0)
    assert row.duration_s is not None
    # Nobody looked at it: a picture that is not there must not be denied.
    assert [reach.kind for reach in context.catalog.observations.reach(row.id)] == ["speech"]
    assert is_observed(context, row)
    spoken = list_observations(context, "cate_blanch").observations
    assert sum(len(item.text.split()) for item in spoken) > 10
    assert all(item.end_s <= row.duration_s + 0.1 for item in spoken)
    ((video, span),) = resolve_scope(context, after=1.0)
    assert (video, span.start_s) == (row.id, 1.0)
    context.close()


def test_sound_alone_is_asked_about_and_searched_by_what_is_said(tmp_path: Path) -> None:
    context = open_library(tmp_path, "speech")
    ingest_now(context, [str(VOICE)])
    (video,) = context.catalog.videos.list()
    response = ask(context, "What is said?", resolve_scope(context, [video.id]))
    assert response.answered_by == "observations"
    assert response.evidence[0].observations[0].kind == "speech"
    assert response.searched_s == pytest.approx(video.duration_s)
    words = response.evidence[0].observations[0].text
    found = search(context, words, resolve_scope(context, [video.id]))
    assert (found.hits[0].kind, found.hits[0].confirmed) == ("speech", True)
    assert found.searched_s == pytest.approx(video.duration_s)
    context.close()


def test_sound_alone_is_refused_where_nobody_listens(tmp_path: Path) -> None:
    context = open_library(tmp_path, "objects")
    with pytest.raises(SoundOnlyError):
        ingest_now(context, [str(VOICE)])
    context.close()


def test_subtitles_beside_a_file_are_taken(tmp_path: Path, clip: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(clip.read_bytes())
    words = "WEBVTT\n\n00:02.000 --> 00:03.500\nWhere is the dog?\n"
    (tmp_path / "film.en.vtt").write_text(words, encoding="utf-8")
    context = open_library(tmp_path / "home", "speech")
    ingest_now(context, [str(film)])
    (item,) = list_observations(context, "film", find="dogs").observations
    assert (item.text, item.start_s, item.end_s) == ("Where is the dog?", 2.0, 3.5)
    assert item.model == "subtitles"
    context.close()


def test_unknown_observers_are_refused_by_name(service: ServiceContext, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no 'smell' in observers; there are .*objects"):
        observe_now(service, "lobby", ["smell"])
    with pytest.raises(SettingsError, match=r"no observer 'smell'; there are .*objects"):
        open_library(tmp_path, "smell")


def test_part_that_is_missing_is_named_and_the_others_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if RapidOCR were not installed.
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    context, notes = open_library(tmp_path, "text", "speech"), []
    ingest_now(context, [str(VOICE)], report=lambda update: notes.append(update.note))
    assert notes[-1] == ("text: the package rapidocr is not installed (pip install rapidocr)")
    text, speech = show_video(context, "cate_blanch").videos[0].observed
    assert text.missing == "the package rapidocr is not installed (pip install rapidocr)"
    assert (text.reach_s, speech.missing) == (0.0, None)
    assert speech.count > 0
    context.close()


def test_missing_detector_fails_with_what_to_do(
    service: ServiceContext, tmp_path: Path, read_home: Path
) -> None:
    flags = {"sight.observers": ["objects"], "sight.detector": str(tmp_path / "nowhere")}
    context = ServiceContext(load_settings(flags, home=read_home))
    with pytest.raises(NotFoundError, match="no detector there"):
        observe_now(context, "lobby")
    context.close()


def test_nothing_is_queued_where_nobody_observes(tmp_path: Path, clip: Path) -> None:
    context = open_library(tmp_path)
    ingest_now(context, [str(clip)], observes=False)
    video = context.catalog.videos.resolve("lobby")
    assert context.catalog.jobs.list("queued", video=video.id) == ()
    with pytest.raises(NotFoundError, match=r"sight\.observers is empty"):
        observe_now(context, "lobby")
    context.close()
