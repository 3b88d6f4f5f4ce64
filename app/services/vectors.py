"""Vectors of stills as a stage of observing: made chunk by chunk, so that a cut-off run goes on.

Only stills are read: another encoder needs no look at the video.
"""

from functools import partial
from typing import Final

from app.config.sight_settings import MODEL_ENCODER
from app.progress import JobControl
from app.schemas.search import EncoderItem
from app.services.context import ServiceContext
from engine.records import VideoId
from engine.sight import sentences
from storage.records import JobRow, VideoRow

STAGE: Final = "vectors"
KNOWS_DRAWN: Final = (
    "Knows the small world that it was trained on, which Longwatch draws itself: coloured cards "
    "with shapes and digits, and moving figures; nothing of real footage."
)
KNOWS_MODEL: Final = "The answering model's own space of words and pictures."
TEXTS_AT_ONCE: Final = 256
"""Texts of a transaction: an hour of talk has about a thousand."""
SAVE_INDEX_EVERY: Final = 256
"""Chunks between two saves of an index: what a crash leaves out is read from the files."""


def encode_video(
    context: ServiceContext,
    video: VideoRow,
    control: JobControl,
    *,
    stage: tuple[int, int] = (0, 1),
    holder: JobRow | None = None,
) -> None:
    """Make the vectors of a video's stills that are missing, with every encoder of the settings.

    Vectors of stills that were sampled by an earlier reading are dropped first.

    Args:
        stage: Position among the stages of a job, and how many there are.
        holder: That job: a worker that has lost it to another changes nothing.
    Raises:
        LeaseLostError: Another worker makes them by now.
        LongwatchError: A part of an encoder is missing, or the disk is full; what was written
            stays.
    """
    idx, n_stages = stage
    length_s = video.duration_s or video.ingested_s
    # Files have no transaction: the last moment before each is the best there is.
    check = partial(context.catalog.jobs.check_held, holder)
    for encoder_index in context.encoders:
        check()
        if encoder_index.is_stale(context.stills, video.id):
            encoder_index.forget(video.id)
        encoder_index.drop_stale(context.stills, video.id)
        missing = encoder_index.missing(context.stills, video.id)
        for n_done, ordinal in enumerate(missing, start=1):
            if control.should_stop():
                break
            chunk = encoder_index.encode(context.stills, video.id, ordinal, check=check)
            if chunk is not None:
                note = f"{STAGE}: {encoder_index.encoder.card.name}, {n_done} of {len(missing)}"
                done_s = idx * length_s + chunk.span.end_s
                control.progress(done_s, n_stages * length_s, note)
            if n_done % SAVE_INDEX_EVERY == 0:
                encoder_index.refresh([video.id])
                encoder_index.save()
        encoder_index.refresh([video.id])
        if missing:
            encoder_index.save()


def has_vectors(context: ServiceContext, video: VideoId) -> bool:
    """Tell whether every encoder of the settings has looked at every still of a video."""
    return not any(
        encoder_index.missing(context.stills, video) for encoder_index in context.encoders
    )


def rebuild_indexes(context: ServiceContext) -> None:
    """Build the indexes of all encoders again from their vectors; damaged ones are deleted."""
    for encoder_index in context.encoders:
        for video in encoder_index.vectors.videos():
            encoder_index.rebuild(video)
        encoder_index.save()


def embed_texts(context: ServiceContext, video: VideoId, *, holder: JobRow | None = None) -> int:
    """Make the sentence vectors of a video's print and speech that have none; return how many.

    Args:
        holder: The job that observes it: a worker that has lost it to another changes nothing.
    Raises:
        LeaseLostError: Another worker observes it by now.
    """
    rows = context.catalog.observations.without_vector(video, sentences.NAME)
    for start in range(0, len(rows), TEXTS_AT_ONCE):
        batch = rows[start : start + TEXTS_AT_ONCE]
        vectors = context.sentences.encode([row.text for row in batch]).half().numpy()
        context.catalog.observations.set_vectors(
            {
                row.id: vector.astype("<f2").tobytes()
                for row, vector in zip(batch, vectors, strict=True)
            },
            sentences.NAME,
            holder=holder,
        )
    return len(rows)


def describe_encoders(context: ServiceContext) -> list[EncoderItem]:
    """Return what finds words in pictures here, and what each of them knows."""
    items = []
    if MODEL_ENCODER in context.settings.sight.encoder:
        name = context.settings.model
        knows = KNOWS_DRAWN if name == "nano" else KNOWS_MODEL
        items.append(EncoderItem(name=f"{MODEL_ENCODER}:{name}", knows=knows, licence=""))
    for encoder_index in context.encoders:
        card = encoder_index.encoder.card
        items.append(
            EncoderItem(
                name=card.name, knows=card.knows, licence=card.licence, measured=card.measured
            )
        )
    return items
