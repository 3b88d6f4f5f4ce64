"""The middle frame of a video, kept while the video is read, as a recording of its own."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from engine.errors import MediaRefusedError
from engine.media.frame import Frame
from engine.pipeline.ingest import FrameSource
from engine.records import MediaInfo, SampleStats, VideoId


def middle_of(video: VideoId) -> VideoId:
    """Return the name under which the middle frame of a video is kept."""
    return VideoId(f"{video}.middle")


@dataclass
class SingleFrame:
    """One frame as a source."""

    frame: Frame
    info: MediaInfo
    stats: SampleStats = field(
        default_factory=lambda: replace(SampleStats(), frames_decoded=1, frames_sampled=1)
    )

    def __iter__(self) -> Iterator[Frame]:
        yield replace(self.frame, pts_s=0.0, starts_chunk=False)


@dataclass
class MiddleFrameKept:
    """Frames of a source, of which the one nearest behind the middle is kept."""

    source: FrameSource
    _kept: Frame | None = None

    @property
    def info(self) -> MediaInfo:
        """The source as far as it is known."""
        return self.source.info

    @property
    def stats(self) -> SampleStats:
        """Counts so far."""
        return self.source.stats

    def __iter__(self) -> Iterator[Frame]:
        half_s = (self.source.info.duration_s or 0.0) / 2
        for frame in self.source:
            # Where the length is unknown or wrong, it is the first or the last one.
            if self._kept is None or self._kept.pts_s < half_s:
                self._kept = frame
            yield frame

    def middle(self) -> SingleFrame:
        """Return the frame that was kept, as a source.

        Raises:
            MediaRefusedError: Nothing was read.
        """
        if self._kept is None:
            raise MediaRefusedError(self.source.info.uri, "no frame could be read")
        return SingleFrame(self._kept, self.source.info)
