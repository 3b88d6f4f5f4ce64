"""Real footage is read like any user's, then asked what is known of it."""

from collections.abc import Sequence
from pathlib import Path

from app.progress import ProgressCallback, ProgressUpdate
from app.schemas.footage import (
    AlertsMeasureResponse,
    ClaimResponse,
    RecordingsResponse,
    SearchesResponse,
)
from app.services.alert_eval import measure_alerts
from app.services.claim_fit import checkpoint_folder, fit_encoder
from app.services.context import ServiceContext
from app.services.footage_eval import Library, measure_questions, measure_searches
from app.worker.foreground import ingest_now
from engine.errors import InputRefusedError, LongwatchError
from engine.evaluation.footage import list_clips, read_questions, read_searches, videos_of


def measure_footage(
    context: ServiceContext, benchmark: str, root: Path, results: Path, report: ProgressCallback
) -> RecordingsResponse | SearchesResponse | AlertsMeasureResponse:
    """Read the recordings of a folder that are not read yet; measure answers, searches or rules.

    Args:
        benchmark: `recordings`, `searches` or `alerts`.
        root: Holds `manifest.json`, and `searches.json` for searches and alerts.
        results: Gets the answers to the questions of recordings.
    Raises:
        InputRefusedError: No truth there, or none of its recordings can be read.
    """
    if benchmark == "recordings":
        questions = read_questions(root)
        library = _ingest(context, videos_of(questions), report)
        kept = [question for question in questions if question.video in library]
        return measure_questions(context, kept, library, results, report=report)
    searches = read_searches(root)
    library = _ingest(context, tuple(list_clips(root).values()), report)
    if benchmark == "alerts":
        return measure_alerts(context, searches, library, report=report)
    return measure_searches(context, searches, library, report=report)


def fit_claim(
    context: ServiceContext, encoder: str, root: Path, report: ProgressCallback
) -> ClaimResponse:
    """Read the recordings of a folder that are not read yet, and fit an encoder's threshold.

    Args:
        context: Of a library whose only encoder this is.
        encoder: As in the setting `sight.encoder`.
        root: Holds `manifest.json` and `searches.json`.
    Raises:
        InputRefusedError: No truth there, too little of it, or an encoder without a checkpoint.
    """
    checkpoint_folder(context, encoder)
    searches = read_searches(root)
    library = _ingest(context, tuple(list_clips(root).values()), report)
    return fit_encoder(context, encoder, searches, library, report=report)


def _ingest(context: ServiceContext, paths: Sequence[Path], report: ProgressCallback) -> Library:
    """Return the recordings that could be read; the eyes have looked at each of them."""
    library: dict[Path, str] = {}
    for path in paths:
        try:
            document = ingest_now(context, [str(path)], report=report)
        except LongwatchError as error:
            # One that cannot be read takes its questions along, and stops no other.
            report(ProgressUpdate(what=path.name, done=1, total=1, note=f"left out: {error}"))
            continue
        for item in document.videos:
            if item.status == "ready":
                library[path] = item.video_id
    if not library:
        raise InputRefusedError("none of the recordings could be read")
    return library
