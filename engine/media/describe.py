"""The facts about an open source: what its header states, corrected by the first frame."""

from av.container import InputContainer
from av.video.stream import VideoStream

from engine.media.duration import duration_s, start_s
from engine.media.source import Source
from engine.media.stamps import nominal_rate
from engine.media.tags import read_tags
from engine.records import MediaInfo


def describe(
    source: Source,
    *,
    size_px: tuple[int, int],
    rotation_deg: int,
    first_s: float,
    warnings: tuple[str, ...] = (),
) -> MediaInfo:
    """Return what the header states, corrected by the first frame.

    Args:
        size_px: Height and width of the frames, upright.
        rotation_deg: Degrees counter-clockwise that the stored picture was turned.
        first_s: Time of the first frame on the file's own clock.
    """
    container, stream = source.container, source.stream
    rate = nominal_rate(stream, container.format.name)
    return MediaInfo(
        uri=source.uri,
        container=container.format.name,
        video_codec=_codec_name(stream),
        fps=float(rate) if rate else None,
        height_px=size_px[0],
        width_px=size_px[1],
        duration_s=_length_s(source, first_s),
        is_live=source.is_live,
        has_audio=bool(container.streams.audio),
        rotation_deg=rotation_deg,
        first_frame_s=0.0 if source.is_live else _first_frame_s(container, first_s),
        warnings=source.warnings + warnings,
        tags=read_tags(source.address, container.format.name, container.metadata, stream.metadata),
    )


def _length_s(source: Source, first_s: float) -> float | None:
    if source.is_live:
        return None
    if source.feed is not None:
        return source.feed.length_s
    return duration_s(source.container, source.end_s, first_s=first_s)


def _first_frame_s(container: InputContainer, first_s: float) -> float:
    """Return when the first frame is shown by the clock of players.

    A start before zero is the priming of a sound decoder, which players pass over.
    """
    return max(0.0, first_s - max(0.0, start_s(container)))


def _codec_name(stream: VideoStream) -> str:
    name = stream.codec_context.name
    return {"libdav1d": "av1", "libvpx": "vp8", "libvpx-vp9": "vp9"}.get(name, name)
