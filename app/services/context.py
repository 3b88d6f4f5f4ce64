"""The composition root: the use cases, where engine and storage meet.

A service opens what it needs when it is first needed: the database for everything, the model
only for what reads, asks, searches or probes.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path

from app.cli.render import ProgressUpdate
from app.config.engine_config import choose_threads, engine_config, media_limits
from app.config.settings import Settings
from app.schemas.ask import AnswerResponse, describe_answer
from app.schemas.captions import CaptionItem, describe_caption
from app.schemas.common import MessageResponse, VideoLabel, VideoLabels, describe_span
from app.schemas.errors import describe_error
from app.schemas.search import SearchHit, SearchResponse, SearchTiming
from app.schemas.videos import IngestItem, IngestResponse, LibraryItem, LibraryResponse
from app.services.ingest import KIND, Reading, add_source, read_video
from app.services.sources import expand
from app.worker.worker import JobContext, Worker
from engine.errors import InputRefusedError, LimitExceededError, LongwatchError, NotFoundError
from engine.media.clip import cut
from engine.pipeline.answer import answer
from engine.pipeline.engine import Engine, assemble
from engine.pipeline.evidence import search
from engine.pipeline.ingest import stored_chunks
from engine.protocols import Sampling
from engine.records import Answer, Recall, TimeSpan, Turn, VideoId
from engine.tensors import Token
from storage.catalog import Catalog, open_catalog
from storage.files import Blobs
from storage.records import JobProgress, JobRow, VideoRow

Scope = tuple[tuple[VideoId, TimeSpan], ...]
ProgressCallback = Callable[[ProgressUpdate], None]
Bound = float | datetime | None

WATCH_EVERY_S = 5.0
"""Pause between two looks at watched sources."""

_END_OF_TIME_S = 1e12
"""Later than any video: the end of a scope that has none."""


def no_progress(step: ProgressUpdate) -> None:
    """Progress that nobody watches."""


class Service:
    """What Longwatch can do, for the command line and the web app alike."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @cached_property
    def catalog(self) -> Catalog:
        """Everything that is written down."""
        self.settings.home.mkdir(parents=True, exist_ok=True)
        return open_catalog(
            self.settings.catalog_url, busy_timeout_s=float(self.settings.database_wait_s)
        )

    @cached_property
    def engine(self) -> Engine:
        """The model with its memory; loading takes seconds."""
        homes = {row.id: row.fingerprint for row in self.catalog.videos.listed() if row.fingerprint}
        config = engine_config(self.settings)
        choose_threads(config.model.folder)
        return assemble(config, homes=homes)

    def close(self) -> None:
        """Give back connections; the service may be used again."""
        if "catalog" in self.__dict__:
            self.catalog.close()

    def ingest(
        self,
        sources: Sequence[str],
        *,
        name: str | None = None,
        start_at: datetime | None = None,
        report: ProgressCallback = no_progress,
    ) -> IngestResponse:
        """Read sources to their end, here and now; what was read before is not read again.

        Of several sources, one that fails does not stop the others: the document names it.
        """
        found = list(expand(list(sources)))
        rows, failures = [], []
        for source in found:
            try:
                video = self.add_source(source, name=name, start_at=start_at)
                rows.append(self._read_now(video, report))
            except LongwatchError as error:
                if len(found) == 1:
                    raise
                failures.append(error)
        return IngestResponse(
            videos=[describe_ingest(row) for row in rows],
            failures=[describe_error(error).error for error in failures],
        )

    def watch(
        self,
        sources: Sequence[str],
        *,
        name: str | None = None,
        start_at: datetime | None = None,
        report: ProgressCallback = no_progress,
    ) -> IngestResponse:
        """Ingest again and again until Ctrl-C: files that are new in a folder, cameras that return.

        What was read before is known by its content and costs a look, nothing more.
        """
        document = IngestResponse(videos=[])
        try:
            while True:
                document = self.ingest(sources, name=name, start_at=start_at, report=report)
                time.sleep(WATCH_EVERY_S)
        except KeyboardInterrupt:
            return document

    def add_source(
        self, source: str, *, name: str | None = None, start_at: datetime | None = None
    ) -> VideoRow:
        """Write down a source, which is probed first; `enqueue` then has it read."""
        return add_source(self.catalog, self.settings, source, name=name, start_at=start_at)

    def enqueue(self, video: VideoRow) -> JobRow:
        """Ask for a video to be read by whichever worker is free; asking twice is asking once."""
        for job in self.catalog.jobs.listed("queued", "running", video=video.id):
            if job.kind == KIND:
                return job
        return self.catalog.jobs.add(KIND, {}, video=video.id, stream=video.id)

    def worker(self) -> Worker:
        """What works off jobs, as many at a time as the settings allow."""
        # These are built on a service themselves.
        from app.services import captions as captioning
        from app.services import previews, probes

        return Worker(
            self.catalog.jobs,
            {
                KIND: self._handle_ingest,
                captioning.KIND: captioning.caption_handler(self),
                previews.KIND: previews.preview_handler(self),
                probes.KIND: probes.probe_handler(self),
            },
            n_slots=self.settings.limits.concurrent_ingests,
        )

    def scope(
        self, videos: Sequence[str] = (), *, after: Bound = None, before: Bound = None
    ) -> Scope:
        """Which stretches of which videos to look at.

        Args:
            videos: Ids or names; all when empty.
            after: From here on: seconds of media time, or a moment on the wall clock.
            before: Until here.
        Raises:
            NotFoundError: A video that is not there, or nothing lies within the bounds.
        """
        rows = [self.catalog.videos.resolve(video) for video in videos]
        if not rows:
            rows = [row for row in self.catalog.videos.listed() if row.n_chunks]
        if not rows:
            raise NotFoundError("the library is empty", hint="longwatch ingest VIDEO")
        spans = ((row.id, _bounded(row, after, before)) for row in rows)
        scope = tuple((video, span) for video, span in spans if span is not None)
        if not scope:
            raise NotFoundError(
                "no video reaches into these bounds",
                hint="`longwatch videos list` shows what there is; --start-at gives a wall clock",
            )
        return scope

    def ask(
        self,
        question: str,
        scope: Scope,
        *,
        history: Sequence[Turn] = (),
        recall: Recall | None = None,
        say: Callable[[str], None] = lambda text: None,
    ) -> AnswerResponse:
        """Answer a question; `say` hears the words as they come."""
        for step in self.ask_stream(question, scope, history=history, recall=recall):
            if isinstance(step, Answer):
                return describe_answer(question, step, self.labels())
            say(step.text)
        raise AssertionError("the last step of an answer is the Answer")

    def ask_stream(
        self,
        question: str,
        scope: Scope,
        *,
        history: Sequence[Turn] = (),
        recall: Recall | None = None,
    ) -> Iterator[Token | Answer]:
        """Tokens as they come, then the Answer."""
        limits, chosen = self.settings.limits, self.settings.retrieval.recall
        _check_words("question", question, limits.question_chars)
        return answer(
            self.engine,
            question,
            scope=scope,
            sampling=Sampling(max_tokens=limits.answer_tokens),
            history=history,
            recall=recall or (None if chosen == "auto" else chosen),
        )

    def search(self, query: str, scope: Scope, *, top: int = 10) -> SearchResponse:
        """The moments that match a description, best first."""
        _check_words("query", query, self.settings.limits.question_chars)
        found = search(self.engine, query, scope=scope, top=top)
        labels = self.labels()
        hits = [
            SearchHit(
                **describe_span(moment.video, moment.span, labels).model_dump(),
                rank=rank,
                peak_s=moment.keyframe_s,
                score=moment.score,
            )
            for rank, moment in enumerate(found.moments, start=1)
        ]
        return SearchResponse(
            query=query,
            hits=hits,
            captions=self.search_captions(query, scope, top=top),
            searched_s=found.searched_s,
            timing=SearchTiming(total_ms=found.total_ms),
        )

    def search_captions(
        self, query: str, scope: Scope, *, top: int | None = None
    ) -> list[CaptionItem]:
        """The captions that hold words of a query: beside what vectors find, never mixed in."""
        _check_words("query", query, self.settings.limits.question_chars)
        labels = self.labels()
        return [
            describe_caption(match.caption, labels, share=match.share)
            for match in self.catalog.captions.matching(query, scope, top=top)
        ]

    def labels(self) -> VideoLabels:
        """What every video is called."""
        return {
            row.id: VideoLabel(name=row.name, start_at=row.start_at)
            for row in self.catalog.videos.listed()
        }

    def list_videos(self) -> LibraryResponse:
        """The library, oldest first."""
        return LibraryResponse(videos=[describe_video(row) for row in self.catalog.videos.listed()])

    def show_video(self, video: str) -> LibraryResponse:
        """One video by id or name."""
        return LibraryResponse(videos=[describe_video(self.catalog.videos.resolve(video))])

    def remove_video(self, video: str) -> MessageResponse:
        """Forget a video: latents, index, stills and rows; a file outside the library stays."""
        row = self.catalog.videos.resolve(video)
        for job in self.catalog.jobs.listed("queued", "running", video=row.id):
            self.catalog.jobs.cancel(job.id)
        self.engine.forget(row.id)
        Blobs(self.settings.home).remove(row.id)
        uploaded = Path(row.uri).parent == self.settings.home / "media"
        if uploaded:
            Path(row.uri).unlink(missing_ok=True)
        self.catalog.videos.remove(row.id)
        fate = "its upload is deleted" if uploaded else f"{row.uri} was left alone"
        return MessageResponse(message=f"{row.name} is forgotten; {fate}")

    def export_clip(self, video: str, start_s: float, end_s: float, path: Path) -> MessageResponse:
        """Cut a clip out of the original."""
        if end_s <= start_s:
            raise InputRefusedError(f"the clip ends at {end_s} s, before it starts at {start_s} s")
        row = self.catalog.videos.resolve(video)
        limits = media_limits(self.settings)
        clip = cut(row.uri, TimeSpan(start_s=start_s, end_s=end_s), path, limits=limits)
        moment = describe_span(row.id, clip.span, self.labels())
        how = "encoded again" if clip.reencoded else "copied"
        return MessageResponse(
            message=f"{path} holds {moment.start} to {moment.end} of {row.name}, {how}"
        )

    def reindex(self) -> MessageResponse:
        """Rebuild chunk rows and the vector index from the latent files."""
        n_chunks = 0
        for row in self.catalog.videos.listed():
            chunks = tuple(stored_chunks(self.engine, row.id))
            if chunks:
                self.catalog.videos.replace_chunks(row.id, self.engine.fingerprint, chunks)
            n_chunks += len(chunks)
        self.engine.save_index()
        return MessageResponse(message=f"{n_chunks} chunks are indexed")

    def _read_now(self, video: VideoRow, report: ProgressCallback) -> VideoRow:
        """Read one video in this process, as a job, so that no other worker reads it too."""
        if video.status == "ready" and video.fingerprint == self.engine.fingerprint:
            return video
        job = self.enqueue(video)

        def watch(progress: JobProgress) -> None:
            report(
                ProgressUpdate(
                    what=video.name, done=progress.done, total=progress.total, note=progress.note
                )
            )

        row = self.worker().run_job(job.id, watch=watch)
        if row.failure is not None:
            raise InputRefusedError(row.failure.message, hint=row.failure.hint)
        return self.catalog.videos.get(video.id)

    def _handle_ingest(self, job: JobRow, context: JobContext) -> None:
        assert job.video is not None, "an ingest job belongs to a video"

        def report(reading: Reading) -> None:
            context.progress(
                done=reading.position_s,
                total=reading.duration_s,
                note=f"chunk {reading.n_chunks}, {reading.realtime_factor:.1f}x real time",
            )

        read_video(
            self.catalog,
            self.engine,
            self.settings,
            self.catalog.videos.get(job.video),
            report=report,
            should_stop=context.should_stop,
            is_cancelled=context.is_cancelled,
        )


def describe_ingest(row: VideoRow) -> IngestItem:
    """A video after its ingest, as its document."""
    return IngestItem(
        video_id=row.id,
        name=row.name,
        status=row.status,
        duration_s=row.duration_s,
        chunks=row.n_chunks,
        frames_encoded=row.stats.frames_sampled,
        frames_skipped_static=row.stats.frames_skipped_static,
        latent_bytes=row.latent_bytes,
        wall_s=row.wall_s,
        realtime_factor=row.ingested_s / row.wall_s if row.wall_s else 0.0,
        model=row.model or "",
        fps=row.sample_fps or 0.0,
        compression_ratio=row.compression_ratio or 0,
        warnings=list(row.warnings),
    )


def describe_video(row: VideoRow) -> LibraryItem:
    """A video of the library, as its document."""
    return LibraryItem(
        video_id=row.id,
        name=row.name,
        status=row.status,
        duration_s=row.duration_s,
        start_at=None if row.start_at is None else row.start_at.isoformat(),
        uri=row.uri,
        chunks=row.n_chunks,
        latent_bytes=row.latent_bytes,
        fps=row.sample_fps,
        compression_ratio=row.compression_ratio,
        warnings=list(row.warnings),
        error=None if row.failure is None else row.failure.message,
    )


def _bounded(row: VideoRow, after: Bound, before: Bound) -> TimeSpan | None:
    start_s = _media_time(row, after, 0.0)
    end_s = _media_time(row, before, _END_OF_TIME_S)
    if start_s is None or end_s is None:
        return None
    start_s = max(0.0, start_s)
    reaches_in = start_s < end_s and start_s < max(row.ingested_s, 1e-9)
    return TimeSpan(start_s=start_s, end_s=end_s) if reaches_in else None


def _media_time(row: VideoRow, bound: Bound, unbounded_s: float) -> float | None:
    """A bound on a video's own clock; `None` where it needs a wall clock that is not known."""
    if bound is None:
        return unbounded_s
    if not isinstance(bound, datetime):
        return float(bound)
    if row.start_at is None:
        return None
    return (bound - row.start_at).total_seconds()


def _check_words(what: str, text: str, most_chars: int) -> None:
    if not text.strip():
        raise InputRefusedError(f"the {what} is empty", hint="say what you want to know")
    if len(text) > most_chars:
        raise LimitExceededError(
            f"the length of the {what}",
            f"{len(text)} characters",
            f"{most_chars} characters",
            field="question_chars",
        )
