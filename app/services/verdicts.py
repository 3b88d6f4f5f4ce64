"""Verdicts on moments: kept with what had been asked, so that thresholds can be measured by them.

Decision: a verdict is on a moment *and* a query, because a moment is right or wrong only as an
answer to something. Times are rounded to milliseconds: the same moment is then found again.
"""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

from app.schemas.verdicts import (
    VerdictItem,
    VerdictRequest,
    VerdictsResponse,
    describe_verdict,
)
from app.services.access import FULL_ACCESS, Access, find_video
from app.services.context import ServiceContext
from engine.errors import InputRefusedError
from engine.files import atomic_write
from engine.records import TimeSpan, VideoId
from storage.records import UserId
from storage.verdict_records import Verdict

Format = Literal["csv", "jsonl"]
Moment = tuple[str, float, float]
"""A video with start and end (s), as `moment_key` rounds them."""
FORMATS: Final[tuple[Format, ...]] = ("csv", "jsonl")


def moment_key(video: str, start_s: float, end_s: float) -> Moment:
    """Return the key of a moment among verdicts."""
    return video, round(start_s, 3), round(end_s, 3)


def give_verdict(
    context: ServiceContext, user: UserId, request: VerdictRequest, access: Access
) -> VerdictItem | None:
    """Keep what a user says of a moment, or take it back.

    Returns:
        The verdict; `None` where it was taken back.
    Raises:
        NotFoundError: A video that is not there for them.
        InputRefusedError: The moment ends before it starts, or nothing had been asked.
    """
    if request.end_s < request.start_s:
        raise InputRefusedError(f"a moment from {request.start_s:g} s ends at {request.end_s:g} s")
    if not request.query.strip():
        raise InputRefusedError("a verdict needs the query that the moment answers")
    row = find_video(context, request.video_id, access)
    _, start_s, end_s = moment_key(row.id, request.start_s, request.end_s)
    span = TimeSpan(start_s=start_s, end_s=end_s)
    store = context.catalog.verdicts
    if request.verdict is None:
        store.remove(user, row.id, span, request.query)
        return None
    kept = store.put(
        user,
        Verdict(
            video=row.id,
            span=span,
            peak_s=start_s if request.peak_s is None else request.peak_s,
            query=request.query,
            is_right=request.verdict == "right",
            origin=request.origin,
            kind=request.kind,
            score=request.score,
        ),
    )
    return describe_verdict(kept, context.labels())


def verdicts_on(context: ServiceContext, user: UserId, query: str) -> Mapping[Moment, bool]:
    """Return what a user said of the moments that a query found: whether each is right."""
    rows = context.catalog.verdicts.list(user, query=query)
    return {
        moment_key(row.verdict.video, row.verdict.span.start_s, row.verdict.span.end_s): (
            row.verdict.is_right
        )
        for row in rows
    }


def list_verdicts(
    context: ServiceContext, user: UserId | None = None, access: Access = FULL_ACCESS
) -> VerdictsResponse:
    """Return verdicts: those of a user, or of everyone where there is none.

    Of videos that were taken from the user since they are left out.
    """
    labels = context.labels()
    rows = context.catalog.verdicts.list(user)
    return VerdictsResponse(
        verdicts=[
            describe_verdict(row, labels)
            for row in rows
            if access.may_see(VideoId(row.verdict.video))
        ]
    )


def save_verdicts(document: VerdictsResponse, file: Path) -> None:
    """Write verdicts into a file, whose ending names their form.

    Raises:
        InputRefusedError: Another ending, or no folder to write to.
    """
    kind = next((kind for kind in FORMATS if file.suffix == f".{kind}"), None)
    if kind is None:
        raise InputRefusedError(
            f"verdicts are not written as {file.suffix or file.name!r}",
            hint="use a name that ends with .csv or .jsonl",
        )
    if not file.absolute().parent.is_dir():
        raise InputRefusedError(f"there is no folder {file.parent}", hint="make it first")
    with atomic_write(file) as written:
        written.write_text(export_verdicts(document, kind), "utf-8")


def export_verdicts(document: VerdictsResponse, kind: Format) -> str:
    """Return verdicts as text: CSV with a head, or a JSON object a line."""
    items = [item.model_dump() for item in document.verdicts]
    if kind == "jsonl":
        return "".join(f"{json.dumps(item, ensure_ascii=False)}\n" for item in items)
    text = io.StringIO()
    writer = csv.DictWriter(text, [*VerdictItem.model_fields], restval="")
    writer.writeheader()
    writer.writerows(items)
    return text.getvalue()
