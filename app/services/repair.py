"""Repair of a library: every chunk verified, damaged ones set aside, rows and index rebuilt."""

import shlex
from collections.abc import Collection

from app.schemas.common import MessageResponse
from app.services.camera_files import restore_cameras, restore_recordings
from app.services.context import ServiceContext
from app.services.library import finish_removals
from app.services.originals import has_original
from app.services.previews import enqueue_preview
from app.services.sidecar import restore_rows, save_sidecar
from app.services.vectors import rebuild_indexes
from engine.errors import CorruptLatentsError, CorruptStillsError
from engine.media.address import is_live_uri
from engine.pipeline.engine import Engine
from engine.plural import counted
from engine.records import ChunkCommitted, VideoId
from storage.records import Failure, VideoRow


def reindex(context: ServiceContext) -> MessageResponse:
    """Verify every chunk, and rebuild rows and the vector index from the whole ones.

    A video whose row is lost gets it back from the file beside its latents, a camera from its own
    file, and its recording from the names of what was recorded.

    A damaged chunk is set aside and its video marked: the next `ingest` reads it again. Damaged
    stills are set aside too, and made again from the original by a job. Videos that another model
    has read are left alone.

    Raises:
        UnreachableError: A damaged file cannot be set aside.
    Cost: reads every byte of latents and stills once.
    """
    context.catalog.check_writable()
    finish_removals(context)
    sentences = restore_cameras(context)
    restored = restore_rows(context)
    sentences += [f"{row.name} is back in the library" for row in restored]
    engine, n_chunks, n_other = context.engine, 0, 0
    for row in context.catalog.videos.list():
        sentences += _verify_stills(context, row)
        if row.fingerprint is None:
            continue
        if engine.cache.pipeline_of(row.id) != row.fingerprint:
            n_other += 1
            continue
        # The rows first: what is committed meanwhile is no damage.
        known = {c.ref.ordinal for c in context.catalog.chunks.list(row.id, row.fingerprint)}
        whole = _verify(engine, row.id)
        context.catalog.chunks.replace(row.id, row.fingerprint, whole)
        if len(whole) == row.n_chunks:
            # What the end of the reading counted; the files hold only what each chunk knew.
            context.catalog.videos.set_stats(row.id, row.stats)
        # Lost footage at the end was read once: answers say that they leave it out.
        context.catalog.videos.set_read_to(row.id, row.ingested_s)
        n_chunks += len(whole)
        present = {chunk.ref.ordinal for chunk in whole}
        # A restored row has no chunk rows, but says how many there were.
        expected = known | set(range(max(row.n_chunks, max(present, default=-1) + 1)))
        sentences += _mark(context, row, sorted(expected - present), len(expected))
        save_sidecar(context, context.catalog.videos.get(row.id))
    sentences += restore_recordings(context)
    engine.refresh()
    engine.save_index()
    rebuild_indexes(context)
    sentences.insert(0, f"{counted(n_chunks, 'chunk')} indexed")
    if n_other:
        sentences.append(f"{counted(n_other, 'video')} of another model left alone")
    return MessageResponse(message="; ".join(sentences))


def _verify(engine: Engine, video: VideoId) -> tuple[ChunkCommitted, ...]:
    """Return the records of the chunks that are whole, and set the others aside."""
    whole = []
    for ordinal in engine.cache.ordinals(video):
        try:
            whole.append(engine.cache.verify(video, ordinal))
        except CorruptLatentsError as error:
            engine.set_aside(video, ordinal, error)
    return tuple(whole)


def _verify_stills(context: ServiceContext, row: VideoRow) -> list[str]:
    """Set damaged stills of a video aside, and have them made again where there is an original."""
    damaged = 0
    for ordinal in context.stills.ordinals(row.id):
        try:
            context.stills.verify(row.id, ordinal)
        except CorruptStillsError:
            context.stills.set_aside(row.id, ordinal)
            damaged += 1
    if not damaged:
        return []
    job = enqueue_preview(context, row)
    fate = "pictures of a camera cannot be made again"
    if not is_live_uri(row.uri):
        fate = "its file is gone" if job is None else "a job makes them again"
    return [f"{row.name}: the stills of {counted(damaged, 'chunk')} damaged ({fate})"]


def _mark(
    context: ServiceContext, row: VideoRow, missing: Collection[int], n_expected: int
) -> list[str]:
    """Say in a video's row which chunks are missing, and what can be done; clear it if none are."""
    videos = context.catalog.videos
    if not missing:
        # Marked before: only `ingest`, which reads to the end, knows that nothing is missing.
        failure = row.failure if row.is_damaged else None
        return [] if failure is None else [f"{row.name}: {failure.message} ({failure.hint})"]
    lost = f"{_shown(missing, n_expected)} damaged or missing"
    if is_live_uri(row.uri):
        warning = f"{lost}: what a camera showed cannot be read again"
        if row.status == "ready":
            videos.end_ingest(row.id, "ready", wall_s=0.0, warnings={*row.warnings, warning})
        return [f"{row.name}: {warning}"]
    if has_original(context, row):
        hint = f"`longwatch ingest {shlex.quote(row.uri)}` reads what is missing"
    else:
        lost += f", and the original {row.uri} is gone"
        hint = "bring the file back and run `longwatch ingest FILE`; the rest can be asked about"
    # One that waits or is read at this moment is mended on the way.
    if row.status not in {"queued", "ingesting"}:
        failure = Failure(code=CorruptLatentsError.code, message=lost, hint=hint)
        videos.set_status(row.id, "failed", failure=failure)
    return [f"{row.name}: {lost} ({hint})"]


def _shown(ordinals: Collection[int], n_expected: int) -> str:
    """Return the numbers of chunks as people count them, the first five."""
    numbers = [str(ordinal + 1) for ordinal in ordinals]
    listed = ", ".join(numbers[:5]) + (" ..." if len(numbers) > 5 else "")
    if len(numbers) == 1:
        return f"chunk {listed} of {n_expected} is"
    return f"chunks {listed} of {n_expected} are"
