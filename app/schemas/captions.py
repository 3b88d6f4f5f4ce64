"""Captions: one text for every chunk."""

from app.schemas.common import Schema, VideoLabels, VideoSpan, describe_span
from engine.records import Caption


class CaptionItem(VideoSpan):
    """The caption of one chunk."""

    chunk: int
    text: str


class CaptionsResponse(Schema):
    """The captions of a video: the document of `captions`."""

    video_id: str
    video: str
    model: str
    captions: list[CaptionItem]


class CaptionRunResponse(Schema):
    """The outcome of captioning a video: the document of `caption`."""

    video_id: str
    video: str
    status: str
    model: str
    captions: int
    """Captions that the video has now."""
    written: int
    """Captions written by this run."""
    wall_s: float


def describe_caption(caption: Caption, labels: VideoLabels) -> CaptionItem:
    """Return a caption as JSON."""
    return CaptionItem(
        **describe_span(caption.ref.video, caption.ref.span, labels).model_dump(),
        chunk=caption.ref.ordinal,
        text=caption.text,
    )
