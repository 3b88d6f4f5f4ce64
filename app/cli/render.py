"""Documents as tables: what a person sees where `--json` is not given."""

from collections.abc import Sequence
from functools import singledispatch

from rich.console import Group, RenderableType
from rich.pretty import Pretty
from rich.table import Table
from rich.text import Text

from app.cli.plain_table import PlainTable
from app.cli.wall_clock import clock_words, part_words
from app.schemas.ask import AnswerResponse, EvidenceItem
from app.schemas.captions import CaptionItem, CaptionRunResponse, CaptionsResponse
from app.schemas.common import GapItem, LeftOutItem, MessageResponse, VideoSpan
from app.schemas.demo import DemoResponse
from app.schemas.doctor import DoctorResponse
from app.schemas.migration import MigrationResponse
from app.schemas.observations import ObservationsResponse, ObservedItem
from app.schemas.probes import ProbeCellItem, ProbeResponse
from app.schemas.search import ObservingItem, SearchResponse
from app.schemas.users import AccountsResponse
from app.schemas.videos import IngestResponse, LibraryResponse
from app.sizes import size_text
from app.timefmt import clock_text, format_duration, format_offset
from engine.plural import counted
from engine.records import AnsweredBy

_WRAPS = (
    "video",
    "name",
    "found",
    "caption",
    "licence",
    "where",
    "begins",
    "part",
    "wall clock",
    "how it is meant",
)
"""Columns of a table that may take several lines."""
_KINDS = {"object": "objects", "motion": "motion", "text": "print", "speech": "speech"}


@singledispatch
def render(document: object) -> RenderableType:
    """Return a document as something that Rich can draw."""
    return Pretty(document)


@render.register
def _(answer: AnswerResponse) -> RenderableType:
    # The words were streamed already; what is left is the proof.
    searched = format_duration(answer.searched_s)
    shown = f", shown {counted(answer.images, 'image')}" if answer.images else ""
    timing = f"first word after {answer.timing.first_token_ms:.0f} ms"
    read = counted(answer.recalled_chunks, "chunk")
    basis = basis_words(answer.answered_by, answer.evidence, answer.model)
    foot = Group(
        _foot(
            f"{basis}; searched {searched}, read {read}{shown}, {timing}",
            answer.left_out,
            answer.gaps,
        ),
        *([Text(answer.model_note, "dim")] if answer.model_note else []),
    )
    return Group(*moment_parts(answer.evidence, answer.nearest), foot)


def moment_parts(evidence: list[EvidenceItem], nearest: list[EvidenceItem]) -> list[RenderableType]:
    """Return the tables of what proves an answer, and of what is merely near its question."""
    parts: list[RenderableType] = []
    if evidence:
        parts.append(_evidence_table(evidence))
    if nearest:
        parts += [Text("nearest moments, not confirmed:", "dim"), _evidence_table(nearest)]
    return parts


def basis_words(
    answered_by: AnsweredBy | None, evidence: Sequence[EvidenceItem], model: str
) -> str:
    """Return what an answer rests on, in words; empty where an earlier version kept it."""
    if answered_by is None:
        return ""
    if answered_by == "nothing":
        return "nothing here answers this"
    if answered_by == "model":
        return f"answered by the model {model}"
    kinds = dict.fromkeys(_KINDS[row.kind] for item in evidence for row in item.observations)
    return f"answered from {', '.join(kinds) or 'what was observed'}"


def _evidence_table(items: list[EvidenceItem]) -> Table:
    table = _moments_table(items, "score", "origin", "found")
    for item in items:
        rows = [row.label or f'"{row.text}"' for row in item.observations]
        seen = ", ".join(dict.fromkeys(rows))
        table.add_row(
            *_moment_cells(item, items), f"{item.score:.2f}", item.origin, printable(seen)
        )
    return table


@render.register
def _(search: SearchResponse) -> RenderableType:
    foot = Group(
        *(
            Text(printable(f"{eyes.name}: {eyes.knows} {eyes.measured}".rstrip()), "dim")
            for eyes in search.encoders
        ),
        _foot(f"searched {format_duration(search.searched_s)}", search.left_out, search.gaps),
        *(Text(printable(f"still looked at: {_state(item)}"), "dim") for item in search.observing),
    )
    if not search.hits:
        return Group(Text("nothing found"), foot)
    table = _moments_table(search.hits, "best at", "score", "by", "found", before=("#",))
    for hit in search.hits:
        peak = format_offset(hit.peak_s)
        cells = _moment_cells(hit, search.hits)
        source = printable(f"{hit.kind}: {hit.text}" if hit.text else hit.kind)
        claim = "yes" if hit.confirmed else "nearest"
        table.add_row(str(hit.rank), *cells, peak, f"{hit.score:.2f}", source, claim)
    return Group(table, foot)


def _state(item: ObservingItem) -> str:
    return f"{item.video} ({item.note or 'waiting'}); more may be found there"


@render.register
def _(captions: CaptionsResponse) -> RenderableType:
    if not captions.captions:
        return Text("no caption holds these words")
    return _captions(captions.captions)


@render.register
def _(run: CaptionRunResponse) -> RenderableType:
    written = f"{run.written} written in {run.wall_s:.1f} s, {run.captions} in all, by {run.model}"
    return Text(printable(f"{run.video}: {run.status}, {written}"))


def _foot(searched: str, left_out: list[LeftOutItem], gaps: list[GapItem]) -> Group:
    """Return what was searched, and a line for each span that could not be, or was not filmed."""
    reasons = {"damaged": "damaged", "other_model": "read by another model", "away": "not reached"}
    lines = (
        f"{item.video} {item.start} to {item.end}, {reasons[item.reason]} ({item.hint})"
        for item in left_out
    )
    unread = (Text(printable(f"not searched: {line}"), "yellow") for line in lines)
    unfilmed = (Text(printable(f"not filmed: {_gap(gap)}"), "yellow") for gap in gaps)
    return Group(Text(searched, "dim"), *unread, *unfilmed)


def _gap(gap: GapItem) -> str:
    until = "until now" if gap.end_at is None else f"to {clock_text(gap.end_at)}"
    return f"{gap.camera} {clock_text(gap.start_at)} {until}"


def _captions(items: list[CaptionItem]) -> Table:
    table = _moments_table(items, "caption")
    for item in items:
        table.add_row(*_moment_cells(item, items), printable(item.text))
    return table


@render.register
def _(ingest: IngestResponse) -> RenderableType:
    table = plain_table("video", "status", "length", "chunks", "frames", "latents", "speed", "id")
    lines: list[RenderableType] = [table]
    for video in ingest.videos:
        table.add_row(
            printable(video.name),
            video.status,
            "?" if video.duration_s is None else format_offset(video.duration_s),
            str(video.chunks),
            f"{video.frames_encoded} (+{video.frames_skipped_static} static)",
            size_text(video.latent_bytes),
            f"{video.realtime_factor:.0f}x real time",
            video.video_id,
        )
        if begins := clock_words(video.start_at, video.start_source):
            lines.append(Text(printable(f"{video.name}: begins {begins}"), "dim"))
        lines += [Text(printable(f"{video.name}: {text}"), "yellow") for text in video.warnings]
    lines += [Text(printable(line), "dim") for line in ingest.skipped]
    lines += [Text(printable(failure.message), "red") for failure in ingest.failures]
    return Group(*lines)


@render.register
def _(probe: ProbeResponse) -> RenderableType:
    depths = sorted({cell.depth for cell in probe.cells})
    table = plain_table("frames", *(f"depth {depth:.2f}" for depth in depths))
    for length in sorted({cell.length_frames for cell in probe.cells}):
        row = {cell.depth: cell for cell in probe.cells if cell.length_frames == length}
        table.add_row(str(length), *(_cell_text(row.get(depth)) for depth in depths))
    foot = (
        f"answers right {probe.answer_accuracy:.2f}, first evidence right "
        f"{probe.evidence_hit_at_1:.2f}, recall={probe.recall}, ratio {probe.compression_ratio}"
    )
    return Group(table, Text("each cell: answers right / first evidence right / needles"), foot)


@render.register
def _(library: LibraryResponse) -> RenderableType:
    if not library.videos:
        return Text("the library is empty: longwatch ingest VIDEO")
    columns = ["id", "name", "status", "length", "chunks", "latents", "begins"]
    has_parts = any(video.recording for video in library.videos)
    has_tags = any(video.tags for video in library.videos)
    table = plain_table(*columns, *["part"] * has_parts, *["tags"] * has_tags)
    for video in library.videos:
        length = "?" if video.duration_s is None else format_offset(video.duration_s)
        begins = clock_words(video.start_at, video.start_source) or "no clock"
        cells = [video.video_id, printable(video.name), video.status, length, str(video.chunks)]
        cells += [size_text(video.latent_bytes), begins]
        cells += [printable(part_words(video.recording))] * has_parts
        cells += [printable(", ".join(video.tags))] * has_tags
        table.add_row(*cells)
    observed = [item for video in library.videos for item in video.observed]
    failed = [video for video in library.videos if video.error is not None]
    notes = [Text(printable(f"{video.name}: {video.error}"), "red") for video in failed]
    return Group(table, *notes, *(("", _observed(observed)) if observed else ()))


@render.register
def _(document: ObservationsResponse) -> RenderableType:
    if not document.observations:
        return Group(Text("nothing of this was observed"), "", _observed(document.observed))
    table = plain_table("from", "to", "kind", "what", "sure", "seen", "caption")
    for item in document.observations:
        words = " ".join([*item.colours, item.label, item.heading]).strip()
        seen = f"{item.seen} of {item.looked}"
        sure = f"{item.confidence:.2f}"
        table.add_row(
            item.start, item.end, item.kind, printable(words), sure, seen, printable(item.text)
        )
    return table


def _observed(items: list[ObservedItem]) -> Table:
    table = plain_table("observed", "up to", "count", "found")
    for item in items:
        labels = ", ".join(f"{label.count} {label.label}" for label in item.labels)
        missing = f"missing: {item.missing}" if item.missing else ""
        table.add_row(item.observer, item.reach, str(item.count), printable(missing or labels))
    return table


@render.register
def _(report: DoctorResponse) -> RenderableType:
    table = plain_table("", "what", "found", "what to do")
    marks = {
        "ok": Text("ok", "green"),
        "warning": Text("note", "yellow"),
        "missing": Text("missing", "red"),
    }
    for finding in report.findings:
        table.add_row(
            marks[finding.state], finding.name, printable(finding.detail), finding.hint or ""
        )
    return table


@render.register
def _(demo: DemoResponse) -> RenderableType:
    # Questions, answers and evidence were told as they came.
    ingest = IngestResponse(videos=[demo.ingest])
    paths = (demo.clip, demo.real_clip, demo.contact_sheet, demo.heat_map)
    files = "\n".join(path for path in paths if path)
    return Group("", render(ingest), "", render(demo.probe), "", Text("files:", "dim"), Text(files))


@render.register
def _(accounts: AccountsResponse) -> RenderableType:
    if not accounts.users:
        return Text("there are no accounts: longwatch user add NAME --role admin")
    table = plain_table("account", "role", "signs in by")
    for user in accounts.users:
        table.add_row(user.name, user.role, "password" if user.has_password else "one-time link")
    return table


@render.register
def _(migration: MigrationResponse) -> RenderableType:
    table = plain_table("table", "rows", "checksum")
    for item in migration.tables:
        if item.rows:
            table.add_row(item.table, str(item.rows), item.checksum)
    ends = f"{printable(migration.source)} -> {printable(migration.target)}"
    return Group(table, "", Text(ends, "dim"), Text(printable(migration.message)))


@render.register
def _(note: MessageResponse) -> RenderableType:
    return Text(printable(note.message))


def plain_table(*columns: str) -> Table:
    """Return an empty table without lines."""
    return PlainTable(*columns, wraps=_WRAPS)


def _moments_table(
    moments: Sequence[VideoSpan], *columns: str, before: tuple[str, ...] = ()
) -> Table:
    """Return a table of moments, with their wall clock where one of them has it."""
    clock = ("wall clock",) if any(moment.start_at for moment in moments) else ()
    return plain_table(*before, "video", "from", "to", *clock, *columns)


def _moment_cells(moment: VideoSpan, moments: Sequence[VideoSpan]) -> list[str]:
    cells = [printable(moment.video), moment.start, moment.end]
    if any(other.start_at for other in moments):
        cells.append(clock_words(moment.start_at, moment.start_source))
    return cells


def printable(text: str) -> str:
    """Return a text without terminal control codes; newlines stay."""
    return "".join(letter for letter in text if letter in "\n\t" or letter.isprintable())


def _cell_text(cell: ProbeCellItem | None) -> str:
    return "" if cell is None else f"{cell.answers_right} / {cell.evidence_hit_at_1} / {cell.n}"
