"""What is shown of a video before anything is asked."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.services.context import ServiceContext
from app.services.models import active_model
from app.services.moments import NOT_OBSERVED, OBSERVING, list_moments
from app.services.observe import enqueue_observe
from app.services.overview import show_overview
from app.worker.foreground import ingest_now
from engine.records import Observed, TimeSpan
from storage.records import VideoRow
from tests.app.services.conftest import DURATION_S, open_library
from tests.support.observations import COCO, track


@pytest.fixture
def library(tmp_path: Path, checkpoint: Path, clip: Path) -> Iterator[ServiceContext]:
    """One video, read and not observed."""
    opened = open_library(tmp_path / "home", checkpoint, sight__observers=["objects"])
    ingest_now(opened, [str(clip)], name="door", observes=False)
    for job in opened.catalog.jobs.list("queued"):
        opened.catalog.jobs.cancel(job.id)
    yield opened
    opened.close()


def state_visits(context: ServiceContext, video: VideoRow) -> None:
    """Write down two visits, as an observer would."""
    rows = [
        track("person", 2, 6, video=video.id),
        track("person", 14, 20, number=2, video=video.id),
    ]
    whole = TimeSpan(start_s=0.0, end_s=float(DURATION_S))
    reach = Observed(video=video.id, kind="object", model="by hand", labels=COCO, span=whole)
    context.catalog.observations.replace(video.id, "object", rows, reach)


def test_video_that_nobody_observed_has_a_reason_and_no_question(library: ServiceContext) -> None:
    overview = show_overview(library, "door")
    assert overview.questions == []
    assert overview.note is not None
    assert overview.note.startswith("Nothing was observed in this video yet")


def test_observed_video_has_counts_and_questions(library: ServiceContext) -> None:
    video = library.catalog.videos.resolve("door")
    state_visits(library, video)
    overview = show_overview(library, "door")
    assert [(label.label, label.count) for label in overview.observed[0].labels] == [("person", 2)]
    assert overview.questions[0] == "How many people come by?"
    assert overview.note is None


def test_job_that_observes_is_shown_in_place_of_a_reason(library: ServiceContext) -> None:
    assert list_moments(library, "door").summary == NOT_OBSERVED
    job = enqueue_observe(library, library.catalog.videos.resolve("door"))
    assert list_moments(library, "door").summary == OBSERVING
    overview = show_overview(library, "door")
    assert job is not None
    assert overview.job is not None
    assert (overview.job.job_id, overview.job.state) == (job.id, "queued")
    assert overview.note is None


def test_observers_that_recognised_nothing_are_named(library: ServiceContext) -> None:
    video = library.catalog.videos.resolve("door")
    whole = TimeSpan(start_s=0.0, end_s=float(DURATION_S))
    reach = Observed(video=video.id, kind="object", model="by hand", labels=COCO, span=whole)
    library.catalog.observations.replace(video.id, "object", [], reach)
    assert (
        show_overview(library, "door").note == "Nothing was recognised in this video by: objects."
    )


def test_nothing_offers_to_observe_where_no_observer_is_named(
    library: ServiceContext, tmp_path: Path, checkpoint: Path
) -> None:
    assert show_overview(library, "door").can_observe
    state_visits(library, library.catalog.videos.resolve("door"))
    blind = open_library(tmp_path / "home", checkpoint, sight__observers=[])
    # What was observed before is still shown.
    overview = show_overview(blind, "door")
    assert (overview.observed != [], overview.can_observe) == (True, False)
    blind.close()


def test_observing_again_takes_rows_away_once(library: ServiceContext) -> None:
    video = library.catalog.videos.resolve("door")
    state_visits(library, video)
    first = enqueue_observe(library, video, again=True)
    assert show_overview(library, "door").questions == []
    # While it waits or runs another click takes nothing away of what it found meanwhile.
    state_visits(library, video)
    assert enqueue_observe(library, video, again=True) == first
    assert show_overview(library, "door").questions != []


def test_model_of_a_narrow_world_says_so_before_it_is_loaded(
    library: ServiceContext, tmp_path: Path
) -> None:
    assert active_model(library.settings).note is None
    nano = ServiceContext(library.settings.model_copy(update={"model": "nano"}))
    note = active_model(nano.settings).note
    assert note is not None
    assert "only the footage that Longwatch draws" in note
