"""Filming of a camera: connect, read part by part, record, and come back after whatever happens.

    connection -> drain thread -> files of the recording
                              \\-> bounded queue -> job thread -> chunks, stills, observers

Decision: every connection begins a new part, which is a video of its own with a wall clock of its
own. Because a feed that comes back has another clock, and perhaps another picture; what lies
between two parts is a gap that everybody sees.
Decision: the frame rate of a camera is not part of the pipeline's fingerprint, unlike that of the
settings, because its parts are never read again and must be found beside all others.
"""

import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from app.config.engine_config import media_limits
from app.progress import JobControl
from app.sandbox.live import LiveChild, LiveFrame
from app.services.camera_files import save_camera
from app.services.camera_parts import finish_part, settle_parts
from app.services.camera_retention import keep_within_limits
from app.services.cameras import camera_address
from app.services.context import ServiceContext
from app.services.frame_queue import FrameQueue, PartFrames, RecentDrops
from app.services.observe import observe_camera
from app.services.recorder import Recorder
from app.services.sidecar import save_sidecar
from app.services.wall_clock import kept_zone
from app.timefmt import clock_text, wall_clock
from engine.allocator import MemoryReturn
from engine.errors import (
    FeedRefusedError,
    InputRefusedError,
    LeaseLostError,
    LongwatchError,
    MediaDecodeError,
    UnreachableError,
)
from engine.media.live import LiveConfig, LivePart
from engine.media.recording import SEGMENT_S, RecordedBytes
from engine.pipeline.ingest import ingest
from engine.pipeline.resume import ResumePoint
from engine.records import ChunkCommitted, MediaInfo, SampleStats
from storage.camera_records import CameraRow, CameraState
from storage.files import HomeFolder
from storage.records import CameraId, JobRow, StartClock, VideoRow

STALLED_AFTER_S: Final = 5.0
"""Silence after which a camera is no longer called live."""
LOOK_EVERY_S: Final = 2.0
"""How soon a camera that is changed or switched off is heard of."""
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0
_PAUSE_STEP_S: Final = 0.3
SAVE_INDEX_EVERY: Final = 64
"""Chunks between two saves of the index."""
_memory: Final = MemoryReturn(60.0)
"""Shared by all cameras of this process, whose memory it is."""
_BEGINNING: Final = ResumePoint(ordinal=0, after_s=None, frames_sampled=0)


def run_filming(context: ServiceContext, job: JobRow, control: JobControl) -> None:
    """Film a camera until it is switched off or removed, or this process stops."""
    camera_id = CameraId(job.payload["camera"])
    cameras = context.catalog.cameras
    # Cameras of earlier versions have no file; a full disk stops nobody from filming.
    with suppress(UnreachableError):
        save_camera(context, cameras.get(camera_id))
    settle_parts(context, cameras.get(camera_id), holder=job)
    pause_s = FIRST_PAUSE_S
    try:
        while not control.should_stop():
            camera = cameras.get(camera_id)
            if not camera.enabled:
                return
            connection = CameraConnection(context, camera, control, job)
            outcome = connection.film()
            if outcome is None:
                continue
            if connection.had_picture:
                pause_s = FIRST_PAUSE_S
                note = f"connecting again: {outcome.message}"
                cameras.set_state(camera_id, "starting", note, holder=job)
            else:
                state: CameraState = "refused" if _is_refusal(outcome) else "unreachable"
                cameras.set_state(camera_id, state, _sentence(outcome), holder=job)
            _pause(context, camera_id, control, pause_s)
            pause_s = min(LONGEST_PAUSE_S, pause_s * 2)
    finally:
        _switch_off(context, camera_id, job)


class CameraConnection:
    """One connection to a camera, from its first picture to its end."""

    def __init__(
        self, context: ServiceContext, camera: CameraRow, control: JobControl, holder: JobRow
    ) -> None:
        self._context = context
        self._camera = camera
        self._control = control
        self._holder = holder
        self._way = _way(context, camera.id)
        self._queue = FrameQueue()
        self._parts: dict[int, _Part] = {}
        self._newest: _Part | None = None
        self._state: CameraState = "starting"
        self._looked_at = time.monotonic()
        self._heard_at = time.monotonic()
        self._n_dropped = 0
        self._drops = RecentDrops()
        self._outcome: LongwatchError | None = None
        self._ends = threading.Event()
        self.had_picture = False
        self._recorder = Recorder(context, camera, on_closed=self._keep_within_limits)

    def film(self) -> LongwatchError | None:
        """Film until the connection ends; return why, or `None` where nobody wants more of it."""
        if self._camera.state not in {"unreachable", "refused"}:
            # While it is tried again it stays what it was, since when it was.
            self._say("starting", "")
        try:
            child = LiveChild(
                camera_address(self._context, self._camera),
                replace(
                    self._context.engine.sampling,
                    fps=self._camera.fps or self._context.engine.sampling.fps,
                ),
                LiveConfig(
                    records=self._camera.records,
                    records_sound=self._camera.records_sound,
                    segment_s=SEGMENT_S,
                ),
                limits=replace(
                    media_limits(self._context.settings), rtsp_transport=self._camera.transport
                ),
                while_waiting=self._while_waiting,
            )
        except _NobodyWantsMoreError:
            return None
        except LongwatchError as error:
            return error
        self.had_picture = True
        self._context.catalog.cameras.count(self._camera.id, connects=1, holder=self._holder)
        with child:
            drain = threading.Thread(target=self._drain, args=(child,), name="filming")
            drain.start()
            try:
                self._read_parts(child.info)
            except LongwatchError as error:
                self._outcome = error
            finally:
                self._ends.set()
                drain.join()
                self._recorder.close()
        self._finish_parts()
        return self._outcome

    def _drain(self, child: LiveChild) -> None:
        """Take what comes from the camera, whatever the model does; on a thread of its own."""
        try:
            for message in child.messages():
                # What a worker that lost the camera meanwhile still hears is another's to keep.
                if self._ends.is_set() or self._control.should_stop():
                    return
                self._heard_at = time.monotonic()
                if isinstance(message, LivePart):
                    self._begin_or_correct(message, child.info)
                elif isinstance(message, RecordedBytes):
                    self._record(message)
                elif isinstance(message, LiveFrame):
                    self._queue.offer(message)
                self._look()
        except _NobodyWantsMoreError:
            pass
        except LongwatchError as error:
            self._outcome = error
        finally:
            self._queue.close()

    def _begin_or_correct(self, part: LivePart, media: MediaInfo) -> None:
        start_at = datetime.fromtimestamp(part.start_at_s, UTC)
        known = self._parts.get(part.ordinal)
        if known is None:
            video = self._add_video(start_at, media)
            known = _Part(video=video, start_at=start_at, written_at=start_at)
            self._parts[part.ordinal] = self._newest = known
            return
        known.start_at = start_at

    def _write_clocks(self) -> None:
        """Write down what is known better by now of when parts began."""
        for part in list(self._parts.values()):
            if part.start_at != part.written_at:
                clock = StartClock(at=part.start_at, source="live")
                self._context.catalog.videos.set_clock(
                    part.video.id, clock, timezone=part.video.timezone, holder=self._holder
                )
                part.written_at = part.start_at

    def _add_video(self, start_at: datetime, media: MediaInfo) -> VideoRow:
        settings, camera = self._context.settings, self._camera
        clock = StartClock(at=start_at, source="live")
        timezone = kept_zone(settings, clock, camera.timezone)
        local = clock_text(wall_clock(start_at, 0.0, settings.media.zone(timezone)) or "")
        return self._context.catalog.videos.add(
            name=f"{camera.name} {local}",
            uri=camera.address,
            media=replace(media, uri=camera.address, is_live=True, duration_s=None),
            clock=clock,
            timezone=timezone,
            camera=camera.id,
            holder=self._holder,
        )

    def _record(self, piece: RecordedBytes) -> None:
        part = self._newest
        if part is not None:
            self._recorder.take(piece, part.video.id, part.start_at)

    def _look(self) -> None:
        """Say how the camera is doing, and end the connection where nobody wants more."""
        now = time.monotonic()
        if now - self._looked_at < LOOK_EVERY_S and self._state == "live":
            return
        self._looked_at = now
        self._check_wanted()
        if self._newest is None:
            return
        self._write_clocks()
        dropped = self._queue.n_dropped - self._n_dropped
        self._n_dropped += dropped
        self._drops.add(dropped, now)
        self._say("live", self._recorder.trouble or self._drops.describe(now))
        self._context.catalog.cameras.count(
            self._camera.id,
            dropped=dropped,
            last_frame_at=datetime.now(UTC),
            holder=self._holder,
        )

    def _while_waiting(self, silent_s: float) -> None:
        """Hear that nothing comes; called twice a second."""
        self._check_wanted()
        if self._newest is not None and time.monotonic() - self._heard_at > STALLED_AFTER_S:
            self._write_clocks()
            self._say("stalled", "the camera is connected and sends nothing")

    def _check_wanted(self) -> None:
        if self._control.should_stop() or self._ends.is_set():
            raise _NobodyWantsMoreError
        if _way(self._context, self._camera.id) != self._way:
            raise _NobodyWantsMoreError

    def _say(self, state: CameraState, note: str) -> None:
        self._context.catalog.cameras.set_state(self._camera.id, state, note, holder=self._holder)
        self._state = state

    def _keep_within_limits(self) -> None:
        keep_within_limits(self._context, self._camera, datetime.now(UTC))

    def _read_parts(self, media: MediaInfo) -> None:
        before = SampleStats()
        while (ordinal := self._queue.next_part()) is not None:
            part = self._parts[ordinal]
            frames = PartFrames(self._queue, ordinal, part.video.media or media, before)
            self._read(part, frames)
            before = frames.latest

    def _read(self, part: "_Part", frames: PartFrames) -> None:
        """Commit chunk after chunk of one part."""
        context, engine = self._context, self._context.engine
        video = context.catalog.videos.begin_ingest(
            part.video.id,
            fingerprint=engine.fingerprint,
            model=f"{engine.model.card.family}/{engine.model.card.variant}",
            sample_fps=self._camera.fps or engine.sampling.fps,
            compression_ratio=engine.compression_ratio,
            holder=self._holder,
        )
        save_sidecar(context, video)
        engine.attach(video.id, engine.fingerprint)
        started = time.monotonic()
        try:
            for committed in ingest(
                engine,
                video.id,
                frames,
                resume=_BEGINNING,
                stills=context.stills,
                trim_chunks=None,
            ):
                self._commit(committed)
                _memory.beat()
                span, ordinal = committed.ref.span, committed.ref.ordinal
                observe_camera(context, video, committed, self._camera.watch)
                self._control.progress(span.end_s, None, f"{self._camera.name}: {self._state}")
                if ordinal % SAVE_INDEX_EVERY == SAVE_INDEX_EVERY - 1:
                    engine.save_index()
        finally:
            engine.save_index()
            part.wall_s += time.monotonic() - started
            part.stats = frames.stats

    def _commit(self, committed: ChunkCommitted) -> None:
        chunks = self._context.catalog.chunks
        try:
            chunks.commit(committed, holder=self._holder)
        except LeaseLostError:
            # Whoever films it now has counted the chunks of this part, and this is none of them.
            known = chunks.file_bytes(committed.ref.video, committed.fingerprint)
            if committed.ref.ordinal not in known:
                self._context.engine.drop_last(committed.ref.video)
            raise

    def _finish_parts(self) -> None:
        # Whoever films the camera now has ended them, if that is another.
        self._context.catalog.jobs.check_held(self._holder)
        self._write_clocks()
        for part in self._parts.values():
            finish_part(
                self._context,
                self._camera,
                part.video.id,
                part.stats,
                wall_s=part.wall_s,
                holder=self._holder,
            )


@dataclass(slots=True, kw_only=True)
class _Part:
    video: VideoRow
    start_at: datetime
    written_at: datetime
    """The beginning as its row has it."""
    stats: SampleStats = field(default_factory=SampleStats)
    wall_s: float = 0.0


class _NobodyWantsMoreError(Exception):
    """The camera was changed or switched off, or this process stops."""


def _way(context: ServiceContext, camera: CameraId) -> tuple[object, ...]:
    """Return what a connection depends on, as it is now."""
    row = context.catalog.cameras.get(camera)
    # A new password leaves the address that is shown as it was.
    secret = HomeFolder(context.settings.home).read_secret(camera)
    return (
        row.enabled,
        row.address,
        secret,
        row.fps,
        row.records,
        row.timezone,
        row.transport,
        row.records_sound,
    )


def _is_refusal(error: LongwatchError) -> bool:
    """Return whether a camera was reached and trying again changes nothing by itself."""
    if isinstance(error, MediaDecodeError):
        return False
    return isinstance(error, FeedRefusedError | InputRefusedError)


def _sentence(error: LongwatchError) -> str:
    return error.message if error.hint is None else f"{error.message}; {error.hint}"


def _pause(context: ServiceContext, camera: CameraId, control: JobControl, pause_s: float) -> None:
    """Wait before the next attempt, unless somebody changes the camera."""
    ends_at, before = time.monotonic() + pause_s, _way(context, camera)
    while time.monotonic() < ends_at and not control.should_stop():
        time.sleep(_PAUSE_STEP_S)
        if _way(context, camera) != before:
            return


def _switch_off(context: ServiceContext, camera: CameraId, holder: JobRow) -> None:
    # Of a camera that another worker films by now the state is that worker's to say.
    with suppress(UnreachableError):
        context.catalog.cameras.set_state(camera, "off", holder=holder)
