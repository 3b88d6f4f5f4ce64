"""A video of the library as observers see and hear it: from stills, else from its file.

Whatever is read of the file is decoded in the sandbox. What a camera filmed is heard from the files
of its recording, each when it is complete; a stretch of which nothing was recorded is silent.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from app.config.engine_config import media_limits
from app.sandbox.reader import SandboxedReader, SandboxedSound, subtitles_foreign
from app.services.context import ServiceContext
from app.services.originals import has_original, held_original
from app.services.playback import recorded_span
from engine.errors import CorruptStillsError, NotFoundError
from engine.media.sample import SamplingConfig
from engine.media.subtitles import parse_subtitles, subtitle_file
from engine.records import ObservationKind, TimeSpan, VideoId
from engine.sight.observer import SOUND_RATE, Cue, TimedImage
from storage.records import VideoRow


class LibraryFootage:
    """The footage of one video; close it, or leave its `with` block, to end its decoders."""

    def __init__(self, context: ServiceContext, video: VideoRow) -> None:
        self._context = context
        self._row = video
        self._limits = media_limits(context.settings, video.video_track)
        self._has_file = has_original(context, video)
        self._held = ExitStack()
        self._original: Path | None = None
        self._has_picture = video.media is None or video.media.has_picture
        self._sound: SandboxedSound | None = None

    @property
    def video(self) -> VideoId:
        """The video that rows are about."""
        return self._row.id

    @property
    def end_s(self) -> float:
        """End of what was read, which of a live camera moves."""
        row = self._context.catalog.videos.get(self._row.id)
        is_whole = row.status == "ready" and self._has_file and row.duration_s is not None
        return max(row.ingested_s, row.duration_s or 0.0) if is_whole else row.ingested_s

    @property
    def has_sound(self) -> bool:
        """Whether the video has a sound track, here or where it is filmed."""
        return self._row.media is not None and self._row.media.has_audio

    @property
    def sound_end_s(self) -> float:
        """End of what can be heard now: of a camera that films, of its last complete file."""
        row = self._context.catalog.videos.get(self._row.id)
        if self._has_file or row.camera is None or row.status == "ready":
            return self.end_s
        segments = self._context.catalog.segments.of_video(row.id)
        ends_s = (segment.end_s for segment in segments if not segment.is_open)
        # Where the model is behind, nothing that was said can be shown yet.
        return min(row.ingested_s, max(ends_s, default=0.0))

    def can_show(self, kind: ObservationKind) -> bool:
        """Return whether there is anything to look at; a file of sound alone has only speech."""
        return kind == "speech" or self._has_picture

    def stills(self, after_s: float) -> Iterator[TimedImage]:
        """Yield the stills from a time on; sampled frames of the file where none were kept."""
        store = self._context.stills
        ordinals = store.ordinals(self.video)
        if not ordinals:
            side_px = self._context.settings.stills.max_side_px
            fps = self._row.sample_fps or self._context.settings.sampling.fps
            yield from self._decoded(float(fps), side_px, after_s)
        for ordinal in ordinals:
            try:
                header = store.header(self.video, ordinal)
                if header.times_s[-1] < after_s:
                    continue
                chunk = store.read(self.video, ordinal)
            except CorruptStillsError:
                # `reindex` names it; what the others show is still worth a look.
                continue
            for still in chunk:
                if still.pts_s >= after_s:
                    yield TimedImage(time_s=still.pts_s, pixels=still.pixels())

    def frames(self, fps: float, max_side_px: int, after_s: float) -> Iterator[TimedImage]:
        """Yield frames of the file at any rate; stills where it is gone, or never was."""
        if self._has_file:
            yield from self._decoded(fps, max_side_px, after_s)
        else:
            yield from self.stills(after_s)

    def sound(self, span: TimeSpan) -> Float32[np.ndarray, " sample"] | None:
        """Return one channel at 16 kHz; spans in a row join without a seam."""
        if not self.has_sound:
            return None
        if not self._has_file:
            return self._recorded_sound(span)
        if self._sound is None:
            self._sound = SandboxedSound(str(self._file()), limits=self._limits)
        channels = self._sound.block(span)
        return None if channels is None else channels[0]

    def _recorded_sound(self, span: TimeSpan) -> Float32[np.ndarray, " sample"] | None:
        """Return the sound of a camera's recording; `None` where none of the part is recorded."""
        row, n_samples = self._row, round((span.end_s - span.start_s) * SOUND_RATE)
        if row.camera is None or not self._context.catalog.segments.of_video(row.id):
            return None
        try:
            with (
                recorded_span(self._context, row, span) as (path, within),
                SandboxedSound(str(path), limits=media_limits(self._context.settings)) as sound,
            ):
                channels = sound.block(within)
        except (NotFoundError, FileNotFoundError):
            # Not recorded, or deleted by age or size at this moment.
            return np.zeros(n_samples, dtype=np.float32)
        if channels is None:
            return None
        # The recording may begin within the span.
        return np.concatenate([np.zeros(n_samples, np.float32), channels[0]])[-n_samples:]

    def subtitles(self) -> tuple[Cue, ...]:
        """Return the subtitles of a file beside the video, else of a track inside it."""
        if not self._has_file:
            return ()
        beside = subtitle_file(self._file())
        if beside is not None:
            cues = parse_subtitles(beside.read_bytes())
        else:
            cues = subtitles_foreign(str(self._file()), self._limits)
        return tuple(Cue(span=cue.span, text=cue.text) for cue in cues)

    def close(self) -> None:
        """End the decoder of sound; those of pictures end with their iteration."""
        if self._sound is not None:
            self._sound.close()
            self._sound = None
        self._held.close()
        self._original = None

    def __enter__(self) -> "LibraryFootage":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _file(self) -> Path:
        """Return the original, which stays here until this is closed."""
        if self._original is None:
            self._original = self._held.enter_context(held_original(self._context, self._row))
        return self._original

    def _decoded(self, fps: float, max_side_px: int, after_s: float) -> Iterator[TimedImage]:
        if not (self._has_file and self._has_picture):
            return
        sampling = SamplingConfig(fps=fps, thin_static=False, max_side_px=max_side_px)
        # Reading goes on behind a frame; that of the time itself is wanted too.
        behind_s = after_s - 1 / fps if after_s > 1 / fps else None
        with SandboxedReader(
            str(self._file()), sampling, limits=self._limits, after_s=behind_s
        ) as reader:
            for frame in reader:
                if frame.pts_s >= after_s:
                    yield TimedImage(time_s=frame.pts_s, pixels=frame.pixels)
