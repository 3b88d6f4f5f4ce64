"""A video that is being read, and its chunks."""

from engine.records import ChunkCommitted, ChunkRef, Fingerprint, SampleStats, TimeSpan, VideoId
from storage.catalog import Catalog
from storage.records import VideoRow

NANO = Fingerprint("nano")
DENSER = Fingerprint("nano at ratio 16")
"""Another pipeline over the same video."""


def chunk(
    video: VideoId, ordinal: int, *, fingerprint: Fingerprint = NANO, checksum: str | None = None
) -> ChunkCommitted:
    """A chunk of 9.97 s, ten seconds behind the one before, in a file of 1000 + `ordinal` bytes."""
    span = TimeSpan(start_s=ordinal * 10.0, end_s=ordinal * 10.0 + 9.97)
    return ChunkCommitted(
        ref=ChunkRef(video=video, ordinal=ordinal, span=span),
        fingerprint=fingerprint,
        n_frames=10,
        n_latents=180,
        file_bytes=1000 + ordinal,
        checksum=checksum or f"sum{ordinal}",
        activity=0.25,
        stats=SampleStats(frames_decoded=300 * (ordinal + 1), frames_sampled=10 * (ordinal + 1)),
    )


def read_by(catalog: Catalog, video: VideoId, fingerprint: Fingerprint = NANO) -> VideoRow:
    """Begin to read a video with a pipeline."""
    return catalog.videos.begin_ingest(
        video, fingerprint=fingerprint, model="nano", sample_fps=1.0, compression_ratio=8
    )


def add_ingesting(catalog: Catalog, name: str = "lobby") -> VideoId:
    """Add a video that the pipeline `NANO` reads."""
    video = catalog.videos.add(name=name, uri=f"media/{name}.mp4").id
    read_by(catalog, video)
    return video
