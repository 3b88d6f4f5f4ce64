"""Documents as tables: what a person sees where `--json` is not given."""

from collections.abc import Iterator, Mapping
from functools import singledispatch
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.pretty import Pretty
from rich.table import Table
from rich.text import Text

from app.schemas.ask import AnswerResponse
from app.schemas.captions import CaptionItem, CaptionRunResponse, CaptionsResponse
from app.schemas.common import MessageResponse, VideoSpan
from app.schemas.demo import DemoResponse
from app.schemas.doctor import DoctorResponse
from app.schemas.evaluation import (
    BenchResponse,
    CalibrationResponse,
    EvalResponse,
    EvidenceResponse,
)
from app.schemas.models import ModelComparisonResponse, ModelsResponse
from app.schemas.probes import ProbeCellItem, ProbeResponse
from app.schemas.search import SearchResponse
from app.schemas.training import TrainResponse, VicoResponse
from app.schemas.users import AccountsResponse
from app.schemas.videos import IngestResponse, LibraryResponse
from app.timefmt import format_duration, format_offset

_WRAPS = ("video", "name", "found", "caption")
"""Columns of a table that may take several lines."""


@singledispatch
def render(document: object) -> RenderableType:
    """Return a document as something that Rich can draw."""
    return Pretty(document)


@render.register
def _(answer: AnswerResponse) -> RenderableType:
    # The words were streamed already; what is left is the proof.
    searched = format_duration(answer.searched_s)
    timing = f"first word after {answer.timing.first_token_ms:.0f} ms"
    foot = Text(f"searched {searched}, read {answer.recalled_chunks} chunks, {timing}", "dim")
    if not answer.evidence:
        return foot
    table = plain_table("video", "from", "to", "score", "origin")
    for item in answer.evidence:
        table.add_row(*_moment_cells(item), f"{item.score:.2f}", item.origin)
    return Group(table, foot)


@render.register
def _(search: SearchResponse) -> RenderableType:
    foot = Text(f"searched {format_duration(search.searched_s)}", "dim")
    captions = [_captions(search.captions)] if search.captions else []
    if not search.hits:
        return Group(Text("nothing found"), *captions, foot)
    table = plain_table("#", "video", "from", "to", "best at", "score")
    for hit in search.hits:
        peak = format_offset(hit.peak_s)
        table.add_row(str(hit.rank), *_moment_cells(hit), peak, f"{hit.score:.2f}")
    return Group(table, *captions, foot)


@render.register
def _(captions: CaptionsResponse) -> RenderableType:
    if not captions.captions:
        return Text("no caption holds these words")
    return _captions(captions.captions)


@render.register
def _(run: CaptionRunResponse) -> RenderableType:
    written = f"{run.written} written in {run.wall_s:.1f} s, {run.captions} in all, by {run.model}"
    return Text(printable(f"{run.video}: {run.status}, {written}"))


def _captions(items: list[CaptionItem]) -> Table:
    table = plain_table("video", "from", "to", "caption")
    for item in items:
        table.add_row(*_moment_cells(item), _cell(item.text))
    return table


@render.register
def _(ingest: IngestResponse) -> RenderableType:
    table = plain_table("video", "status", "length", "chunks", "frames", "latents", "speed", "id")
    lines: list[RenderableType] = [table]
    for video in ingest.videos:
        table.add_row(
            _cell(video.name),
            video.status,
            "?" if video.duration_s is None else format_offset(video.duration_s),
            str(video.chunks),
            f"{video.frames_encoded} (+{video.frames_skipped_static} static)",
            _size(video.latent_bytes),
            f"{video.realtime_factor:.0f}x real time",
            video.video_id,
        )
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
    table = plain_table("id", "name", "status", "length", "chunks", "latents")
    for video in library.videos:
        length = "?" if video.duration_s is None else format_offset(video.duration_s)
        size = _size(video.latent_bytes)
        table.add_row(
            video.video_id, _cell(video.name), video.status, length, str(video.chunks), size
        )
    return table


@render.register
def _(report: DoctorResponse) -> RenderableType:
    table = plain_table("", "what", "found", "what to do")
    marks = {"ok": "[green]ok", "warning": "[yellow]note", "missing": "[red]missing"}
    for finding in report.findings:
        table.add_row(marks[finding.state], finding.name, _cell(finding.detail), finding.hint or "")
    return table


@render.register
def _(demo: DemoResponse) -> RenderableType:
    # Questions, answers and evidence were told as they came.
    ingest = IngestResponse(videos=[demo.ingest])
    files = f"{demo.clip}\n{demo.contact_sheet}\n{demo.heat_map}"
    return Group("", render(ingest), "", render(demo.probe), "", Text("files:", "dim"), Text(files))


@render.register
def _(accounts: AccountsResponse) -> RenderableType:
    table = plain_table("account", "role", "signs in by")
    for user in accounts.users:
        table.add_row(user.name, user.role, "password" if user.has_password else "one-time link")
    return table


@render.register
def _(listing: ModelsResponse) -> RenderableType:
    table = plain_table("model", "family", "parameters", "16-bit weights", "licence", "where")
    for model in listing.models:
        table.add_row(
            model.name,
            model.family,
            model.parameters or "",
            "" if model.weight_bytes is None else _size(model.weight_bytes),
            model.licence or "",
            "published" if model.where is None else _cell(model.where),
        )
    return table


@render.register
def _(comparison: ModelComparisonResponse) -> RenderableType:
    table = plain_table(
        "model", "fps", "tokens a frame", "kept a frame", "an hour keeps", "positions an hour takes"
    )
    for model in comparison.models:
        table.add_row(
            model.name,
            f"{model.fps:g}",
            str(model.visual_tokens_per_frame),
            f"{model.kept_per_frame:g}",
            _size(model.bytes_per_hour),
            f"{model.latents_per_hour} of {model.positions}",
        )
    return table


@render.register
def _(bench: BenchResponse) -> RenderableType:
    table = plain_table("benchmark", "figure", "value")
    for name, figures in bench.figures.items():
        for figure, value in _flat(figures):
            table.add_row(name, figure, str(value))
    return Group(Text(bench.machine, "dim"), table, Text(f"written to {bench.file}", "dim"))


@render.register
def _(run: TrainResponse) -> RenderableType:
    table = plain_table("measured", "score")
    for name, score in run.measured.items():
        table.add_row(name, f"{score:.4f}")
    notes = [f"{run.steps} steps, written to {run.output}"]
    notes += [f"{run.skipped} samples skipped"] if run.skipped else []
    notes += [f"model: {run.model}"] if run.model else []
    notes += [f"curves: {path}" for path in run.curves]
    return Group(table, Text(printable("\n".join(notes)), "dim"))


@render.register
def _(built: VicoResponse) -> RenderableType:
    counts = f"{built.captions} captions, {built.captions_written} of them new"
    lines = [
        Text(f"{built.questions} questions about {built.clues} clues of {built.videos} videos"),
        Text(", ".join(f"{kind} {n}" for kind, n in built.kinds.items()), "dim"),
        Text(f"{counts if built.model else counts.partition(',')[0]}; {built.wall_s:.1f} s", "dim"),
        Text(printable(f"written to {built.output}; media folder {built.media}")),
    ]
    for item in built.skipped:
        lines.append(Text(printable(f"{item.video}: {item.reason}; skipped"), "yellow"))
    lines += [Text(printable(f"{line}; skipped"), "yellow") for line in built.bad_captions]
    return Group(*lines)


@render.register
def _(measured: EvalResponse) -> RenderableType:
    return Text(
        f"{measured.benchmark}: {measured.questions} questions, score {measured.score:.3f}; first "
        f"evidence right {measured.evidence_hit_at_1:.3f} of {measured.evidence_questions}; "
        f"records in {measured.results}"
    )


@render.register
def _(measured: EvidenceResponse) -> RenderableType:
    rows = plain_table("questions", "signals", "n", "hit@1", "hit@5", "IoU", "covered", "ms")
    for row in (*measured.overall, *measured.by_setting, *measured.by_kind):
        means = (row.hit_at_1, row.hit_at_5, row.iou, row.covered)
        shares = [f"{mean.value:.2f} ({mean.low:.2f}-{mean.high:.2f})" for mean in means]
        rows.add_row(row.group, row.signals, str(row.n), *shares, f"{row.median_ms:.1f}")
    return Group(rows, Text(f"attention counts {measured.attention_weight:g} in both", "dim"))


@render.register
def _(measured: CalibrationResponse) -> RenderableType:
    rows = plain_table("questions", "there", "missed", "not there", "false alarms")
    for row in measured.rates:
        counts = [
            (row.n_there, row.misses, row.miss_rate),
            (row.n_absent, row.false_alarms, row.false_alarm_rate),
        ]
        cells = [
            text
            for n, wrong, share in counts
            for text in (str(n), f"{wrong}: {share.value:.3f} ({share.low:.3f}-{share.high:.3f})")
        ]
        rows.add_row(row.group, *cells)
    foot = f"retrieval by {measured.signals}; written to {measured.file}"
    return Group(rows, Text(foot, "dim"))


@render.register
def _(note: MessageResponse) -> RenderableType:
    return Text(printable(note.message))


def _flat(figures: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield nested figures under dotted names."""
    for name, value in figures.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def plain_table(*columns: str) -> Table:
    """Return an empty table without lines."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column not in _WRAPS)
    return table


def _moment_cells(moment: VideoSpan) -> tuple[str, str, str]:
    return _cell(moment.video), moment.start, moment.end


def printable(text: str) -> str:
    """Return a text without terminal control codes; newlines stay."""
    return "".join(letter for letter in text if letter in "\n\t" or letter.isprintable())


def _cell(text: str) -> str:
    return escape(printable(text))


def _cell_text(cell: ProbeCellItem | None) -> str:
    return "" if cell is None else f"{cell.answers_right} / {cell.evidence_hit_at_1} / {cell.n}"


def _size(n_bytes: int) -> str:
    size = float(n_bytes)
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
