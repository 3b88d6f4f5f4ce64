"""Observers over a video as a job: behind its ingest, step by step, so that a cut-off run goes on.

One stage an observer. How far each has looked is in the database with its rows, in one transaction;
a stage whose part is missing is named and left out, never silently.
"""

import os
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final, TypeVar

from app.config.engine_config import models_folder
from app.config.settings import Settings
from app.config.sight_settings import MODEL_ENCODER
from app.progress import JobControl
from app.services.alert_gate import urgent_observers
from app.services.context import ServiceContext
from app.services.footage import LibraryFootage
from app.services.job_kinds import OBSERVE
from app.services.vectors import STAGE as VECTORS
from app.services.vectors import embed_texts, encode_video, has_vectors
from app.timefmt import format_clock
from engine.errors import LeaseLostError, LongwatchError, NotFoundError
from engine.media.address import is_live_uri
from engine.records import ALL_TIME, ChunkCommitted, Observed, TimeSpan
from engine.sight.observer import Observer, ObserverConfig, kind_of, open_observer
from storage.records import JobRow, JobState, VideoRow

LIVE_STEP_S: Final = 60.0
"""Footage of a camera between two looks at it: what it showed is found a minute later."""
_NICE: Final = 10
"""Whatever else runs on the machine comes first."""
_END_SLACK_S: Final = 1e-3

T = TypeVar("T")
OnStep = Callable[[], object]
"""Called whenever more was observed and is written down."""


def nothing_to_do() -> None:
    """Do nothing behind a step."""


def enqueue_observe(
    context: ServiceContext,
    video: VideoRow,
    only: Sequence[str] = (),
    *,
    again: bool = False,
    has_more: bool = False,
    urgent: bool = False,
) -> JobRow | None:
    """Queue the observing of a video; one of the same that waits or runs already is returned.

    Args:
        only: Observers; those of the settings when empty.
        again: Whether to delete first what they said before; of a job that waits or runs already
            nothing is taken away.
        has_more: Whether more was read just now: a job that runs has passed some of it by, and
            another is queued behind it.
        urgent: Whether jobs that run give way to it, behind their next step.
    Returns:
        `None` where the settings name neither an observer nor an encoder of stills.
    Raises:
        NotFoundError: No such observer.
    """
    names = [*(only or stages(context.settings))]
    if not names:
        return None
    known: tuple[JobState, ...] = ("queued",) if has_more else ("queued", "running")
    for job in context.catalog.jobs.list(*known, video=video.id):
        if job.kind == OBSERVE and job.payload.get("observers") == names:
            return job
    if again:
        context.catalog.observations.forget(
            video.id, [kind_of(name) for name in names if name != VECTORS]
        )
    # Not in the stream of its ingest: that of a camera never ends.
    payload: dict[str, object] = {"observers": names, **({"urgent": True} if urgent else {})}
    return context.catalog.jobs.add(
        OBSERVE, payload, video=video.id, stream=f"{OBSERVE}/{video.id}"
    )


def run_observe(
    context: ServiceContext,
    job: JobRow,
    control: JobControl,
    *,
    on_step: Callable[[VideoRow], object] = lambda video: None,
) -> None:
    """Run the observers of a job, each from where it stopped; on a thread of low priority.

    Args:
        on_step: Called with the video whenever more was observed and is written down.
    """
    assert job.video is not None, "observing belongs to a video"
    video = context.catalog.videos.get(job.video)
    names = [str(name) for name in job.payload.get("observers") or stages(context.settings)]
    rest = _at_low_priority(
        lambda: observe(
            context,
            video,
            names,
            control,
            on_step=lambda: on_step(video),
            gives_way=lambda: not job.payload.get("urgent") and _is_any_urgent(context),
            holder=job,
        )
    )
    if rest:
        enqueue_observe(context, video, rest, has_more=True)


def observe(
    context: ServiceContext,
    video: VideoRow,
    names: Sequence[str],
    control: JobControl,
    *,
    on_step: OnStep = nothing_to_do,
    gives_way: Callable[[], bool] = lambda: False,
    holder: JobRow | None = None,
) -> Sequence[str]:
    """Run observers over a video, one after the other; `vectors` stands for the encoders.

    Args:
        on_step: Called whenever more was observed and is written down.
        gives_way: Asked behind every step whether something else comes first.
        holder: The job that observes it: a worker that has lost it to another changes nothing.
    Returns:
        Those that are left because something else comes first.
    Raises:
        LeaseLostError: Another worker observes it by now.
        LongwatchError: Every one of them failed; else the last progress names those that did.
    """
    config = observer_config(context.settings)
    work = _GivingWay(control, gives_way)
    failures: dict[str, LongwatchError] = {}
    with LibraryFootage(context, video) as footage:
        for idx, name in enumerate(names):
            if work.should_stop():
                return names[idx:] if work.gave_way else ()
            try:
                if name == VECTORS:
                    encode_video(context, video, work, stage=(idx, len(names)), holder=holder)
                    on_step()
                else:
                    _run_stage(
                        context,
                        footage,
                        open_observer(name, config),
                        work,
                        stage=(name, idx, len(names)),
                        on_step=on_step,
                        holder=holder,
                    )
            except (NotFoundError, LeaseLostError):
                # The video was removed, or another worker has it, or there is no such observer:
                # nothing goes on.
                raise
            except LongwatchError as error:
                failures[name] = error
            if work.gave_way:
                # It goes on from where it stopped.
                return names[idx:]
        if failures and len(failures) == len(names):
            raise next(iter(failures.values()))
        embed_texts(context, video.id, holder=holder)
        if not work.should_stop():
            end_s = footage.end_s * len(names)
            work.progress(end_s, end_s, describe_failures(failures) or "everything observed")
    return ()


class _GivingWay:
    """A job that stops for another, though not before it has come a step further."""

    def __init__(self, job: JobControl, gives_way: Callable[[], bool]) -> None:
        self._job, self._gives_way = job, gives_way
        self._has_moved = False
        self.gave_way = False

    def progress(self, done: float, total: float | None = None, note: str = "") -> None:
        """Pass progress on."""
        self._has_moved = True
        self._job.progress(done, total, note)

    def is_cancelled(self) -> bool:
        """Tell whether somebody cancelled it."""
        return self._job.is_cancelled()

    def should_stop(self) -> bool:
        """Tell whether it ends here, for whatever reason."""
        if self._job.should_stop():
            return True
        self.gave_way = self.gave_way or (self._has_moved and self._gives_way())
        return self.gave_way


def _is_any_urgent(context: ServiceContext) -> bool:
    jobs = context.catalog.jobs.list("queued")
    return any(job.kind == OBSERVE and job.payload.get("urgent") for job in jobs)


def is_observed(context: ServiceContext, video: VideoRow) -> bool:
    """Tell whether every observer and encoder of the settings has looked at a video to its end."""
    if VECTORS in stages(context.settings) and not has_vectors(context, video.id):
        return False
    reach = {row.kind: row.span.end_s for row in context.catalog.observations.reach(video.id)}
    with LibraryFootage(context, video) as footage:
        end_s = footage.end_s - _END_SLACK_S
        kinds = [kind_of(name) for name in context.settings.sight.observers]
        wanted = [kind for kind in kinds if footage.can_show(kind)]
    return all(reach.get(kind, 0.0) >= end_s for kind in wanted)


def stages(settings: Settings) -> tuple[str, ...]:
    """Return the stages of observing: vectors first, for what is searched most, then observers."""
    encodes = any(name != MODEL_ENCODER for name in settings.sight.encoder)
    return (*((VECTORS,) if encodes else ()), *settings.sight.observers)


def observer_config(settings: Settings) -> ObserverConfig:
    """Return the choices of observers, as the settings say."""
    sight = settings.sight
    return ObserverConfig(
        models=models_folder(settings),
        detector=sight.detector,
        speech_model=sight.speech_model,
        speech_language=sight.speech_language,
        text_frames_per_minute=sight.text_frames_per_minute,
    )


def describe_failures(failures: dict[str, LongwatchError]) -> str:
    """Return one line for the observers that failed, each with what brings it."""
    lines = []
    for name, error in failures.items():
        hint = f" ({error.hint})" if error.hint else ""
        lines.append(f"{name}: {error.message}{hint}")
    return "; ".join(lines)


def _run_stage(
    context: ServiceContext,
    footage: LibraryFootage,
    observer: Observer,
    control: JobControl,
    *,
    stage: tuple[str, int, int],
    on_step: OnStep,
    holder: JobRow | None,
) -> None:
    """Run one observer from where it stopped; a change of its model begins anew.

    Args:
        stage: Its name, its position, and how many there are.
    """
    name, idx, n_stages = stage
    if not footage.can_show(observer.kind):
        # Without a reach: what nobody could see must not be denied.
        return
    observations = context.catalog.observations
    reach = {row.kind: row for row in observations.reach(footage.video)}.get(observer.kind)
    if reach is not None and reach.model != observer.model:
        observations.forget(footage.video, [observer.kind], holder=holder)
        reach = None
    after_s = 0.0 if reach is None else reach.span.end_s
    end_s = footage.end_s
    if after_s >= end_s - _END_SLACK_S and reach is not None:
        return
    before = observations.list([(footage.video, ALL_TIME)], kinds=[observer.kind])
    for step in observer.observe(footage, after_s=after_s, before=before):
        observed = Observed(
            video=footage.video,
            kind=observer.kind,
            model=observer.model,
            labels=observer.labels,
            span=TimeSpan(start_s=0.0, end_s=max(after_s, step.end_s)),
        )
        observations.extend(step.rows, observed, holder=holder)
        on_step()
        end_s = max(end_s, step.end_s)
        note = f"{name}: {format_clock(step.end_s)} of {format_clock(end_s)}"
        control.progress(idx * end_s + step.end_s, n_stages * end_s, note)
        if control.should_stop():
            return


def _at_low_priority(work: Callable[[], T]) -> T:
    """Do something on a thread of its own that gives way to everything else."""
    with ThreadPoolExecutor(1, "observe", initializer=_give_way) as pool:
        return pool.submit(work).result()


def _give_way() -> None:
    # On Linux a priority is that of a thread, and threads that it starts take it over; elsewhere it
    # is the whole process's, which also serves pages.
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


def observe_camera(
    context: ServiceContext,
    video: VideoRow,
    committed: ChunkCommitted,
    only: Sequence[str] = (),
) -> None:
    """Queue a look at a live camera whenever another stretch of it was read.

    All of its eyes look once in a while; those that a rule of alerts waits for at once, where
    something happened.

    Args:
        committed: The chunk that has been read now.
        only: Observers; those of the settings when empty.
    """
    if not is_live_uri(video.uri):
        return
    span = committed.ref.span
    if span.start_s // LIVE_STEP_S != span.end_s // LIVE_STEP_S:
        enqueue_observe(context, video, only, has_more=True)
    elif names := urgent_observers(context, video, committed):
        enqueue_observe(context, video, names, has_more=True, urgent=True)
