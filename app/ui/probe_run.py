"""A run of a probe in markup: its figures, its heat maps, and what happened to each needle."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from markupsafe import Markup

from app.schemas.jobs import JobItem
from app.schemas.probes import ProbeCellItem, ProbeRunItem
from app.timefmt import format_clock
from app.ui.components.heat import HeatCell, HeatData, HeatTable
from app.ui.components.table import RowAction, TableData, TableRow
from app.ui.markup import NOTHING, empty, part, span_text

FIGURES: Final = (
    ("answers_right", "Answers right"),
    ("evidence_hit_at_1", "First evidence right"),
)
"""Counts of a cell that have a heat map."""
NO_RUN: Final = part(
    empty(
        "grid",
        "Is the past really there?",
        "A run hides pictures at chosen depths of footage of chosen lengths, reads it through the "
        "real pipeline, and asks for each. The heat map shows where they are found again.",
    )
)
_STATES: Final = {"queued": "waiting", "cancelled": "stopped"}
_KINDS: Final = {"done": "ready", "failed": "failed", "running": "running"}
_SHORT_S: Final = 1.0
"""A needle of one frame has a time; a span of it would read as empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedleTrial:
    """One needle of a cell: what was asked, answered and shown."""

    seed: int
    question: str
    expected: str
    answer: str
    is_right: bool
    evidence_rank: int | None
    planted_s: float
    shown: tuple[tuple[float, float], ...]

    @classmethod
    def parse(cls, trial: Mapping[str, Any]) -> "NeedleTrial":
        """Return a trial from its JSON."""
        shown = tuple((float(start_s), float(end_s)) for start_s, end_s in trial["shown"])
        return cls(**{**trial, "shown": shown})


def draw_summary(run: ProbeRunItem) -> str:
    """Return the heading of a run with its figures, and what it can be saved as."""
    n_needles = sum(cell.n for cell in run.cells)
    figures = (
        (_percent(run.answer_accuracy), "answers right"),
        (_percent(run.evidence_hit_at_1), "first evidence right"),
        (n_needles, "needles"),
        (run.model, "model"),
        (run.compression_ratio, "tokens per latent"),
        (run.recall, "recall"),
    )
    sums = Markup("").join(
        Markup("<div><b>{}</b><span>{}</span></div>").format(value, text) for value, text in figures
    )
    return part(
        Markup(
            '<section class="panel" aria-label="Run {id}"><div class="title"><h2>{name}</h2>{chip}'
            '<div class="row end">'
            '<a class="button" href="/api/v1/probes/{id}/cells.csv" download>CSV</a>'
            '<a class="button" href="/api/v1/probes/{id}" '
            'download="longwatch-probe-{id}.json">JSON</a>'
            '</div></div><div class="sums">{sums}</div></section>'
        ).format(id=run.run_id, name=run.haystack, chip=_chip(run.job), sums=sums)
    )


def draw_heat(run: ProbeRunItem, other: ProbeRunItem | None, chosen: str) -> HeatData:
    """Return the heat maps of a run, each cell beside that of another run."""
    lengths, depths = _axis(run, "lengths", "length_frames"), _axis(run, "depths", "depth")
    seconds = {cell.length_frames: cell.length_s for cell in run.cells}
    columns = tuple(
        (_frames(length), format_clock(seconds[length]) if length in seconds else "")
        for length in lengths
    )
    before = {} if other is None else {_place(cell): cell for cell in other.cells}
    return HeatData(
        tables=tuple(
            HeatTable(
                title=title,
                corner="depth",
                rows=tuple(map(_percent, depths)),
                columns=columns,
                cells=tuple(
                    HeatCell(
                        key=str(key),
                        row=_percent(cell.depth),
                        column=_frames(cell.length_frames),
                        part=getattr(cell, figure),
                        whole=cell.n,
                        before=_share(before.get(_place(cell)), figure),
                    )
                    for key, cell in enumerate(run.cells)
                ),
            )
            for figure, title in FIGURES
        ),
        chosen=chosen,
    )


def draw_cells(run: ProbeRunItem) -> TableData:
    """Return every cell as a row."""
    return TableData(
        title="All cells",
        columns=(
            "Frames",
            "Length",
            "Depth",
            "Needles",
            "Answers right",
            "First evidence",
            "First five",
        ),
        rows=tuple(
            TableRow(
                key=str(key),
                cells=(
                    str(cell.length_frames),
                    format_clock(cell.length_s),
                    _percent(cell.depth),
                    str(cell.n),
                    str(cell.answers_right),
                    str(cell.evidence_hit_at_1),
                    str(cell.evidence_hit_at_5),
                ),
            )
            for key, cell in enumerate(run.cells)
        ),
    )


def draw_trials(run: ProbeRunItem, cell: int, trials: Sequence[NeedleTrial]) -> str:
    """Return what happened to each needle of a cell."""
    figures = run.cells[cell]
    head = Markup("<h3>{}, depth {}: {} of {} right</h3>").format(
        _frames(figures.length_frames), _percent(figures.depth), figures.answers_right, figures.n
    )
    return part(
        Markup(
            '<section class="panel trials" aria-label="Needles of the cell">'
            '<div class="pad">{}</div>{}</section>'
        ).format(head, Markup("").join(_trial(run, trial) for trial in trials))
    )


def draw_runs(
    runs: Sequence[ProbeRunItem], jobs: Sequence[JobItem], shown: ProbeRunItem | None
) -> TableData:
    """Return what waits and runs, then the runs, newest first."""
    rows = [_job_row(job) for job in jobs]
    rows += [
        _run_row(run, is_shown=shown is not None and run.run_id == shown.run_id) for run in runs
    ]
    return TableData(
        title="Runs",
        columns=("Run", "Right"),
        rows=tuple(rows),
        instead=Markup('<p class="panel pad faint">No run yet.</p>'),
    )


def run_name(run: ProbeRunItem) -> str:
    """Return a run in a line, to be chosen."""
    return f"#{run.run_id} {run.haystack}, ratio {run.compression_ratio}, {run.recall}"


def needle_picture(run: ProbeRunItem, seed: int) -> str:
    """Return the address of the picture that was planted."""
    if run.settings.get("needles"):
        return f"/api/v1/probes/{run.run_id}/needles/{seed}.png"
    return f"/api/v1/probes/needles/{seed}.png"


def _run_row(run: ProbeRunItem, *, is_shown: bool) -> TableRow:
    facts = f"#{run.run_id} · ratio {run.compression_ratio} · {run.recall}"
    name = Markup('<strong>{}</strong><div class="faint">{}</div>').format(run.haystack, facts)
    action = RowAction(action="open", text="Open", label=f"Open run {run.run_id}")
    return TableRow(
        key=str(run.run_id),
        cells=(name, Markup('<span class="mono">{}</span>').format(_percent(run.answer_accuracy))),
        actions=() if is_shown else (action,),
    )


def _job_row(job: JobItem) -> TableRow:
    words = job.error or job.note
    bar = NOTHING
    if job.state == "running":
        value = Markup(' value="{:.3f}"').format(min(1, job.done / job.total)) if job.total else ""
        bar = Markup('<progress max="1" aria-label="Probe {}"{}></progress>').format(
            job.job_id, value
        )
    detail = Markup('<div class="row">{}<span class="faint">{}</span></div>{}').format(
        _chip(job), words or "", bar
    )
    return TableRow(key=f"job {job.job_id}", cells=(detail, ""))


def _chip(job: JobItem | None) -> Markup:
    if job is None:
        return NOTHING
    return Markup('<span class="chip {}"><span class="dot"></span>{}</span>').format(
        _KINDS.get(job.state, ""), _STATES.get(job.state, job.state)
    )


def _trial(run: ProbeRunItem, trial: NeedleTrial) -> Markup:
    is_filmed = run.settings.get("haystack") is not None
    shown = Markup(", ").join(_when(run, span, trial) for span in trial.shown) or "nothing"
    rank = trial.evidence_rank
    place = _verdict(bool(rank), f"right at place {rank}" if rank else "not the needle")
    planted = Markup('<span class="mono">{}</span>').format(format_clock(trial.planted_s))
    button = Markup(
        '<button type="button" class="quiet" data-action="play" data-key="{}">Show in the player'
        "</button>"
    ).format(trial.seed)
    lines = (
        ("asked", trial.question),
        ("expected", trial.expected),
        (
            "answered",
            _verdict(
                trial.is_right,
                f"{'✓' if trial.is_right else '✗'} {trial.answer or '(nothing)'}",
            ),
        ),
        ("planted at", planted + button if is_filmed else planted),
        ("shown", Markup("{} \N{EM DASH} {}").format(shown, place)),
    )
    facts = Markup("").join(Markup("<dt>{}</dt><dd>{}</dd>").format(*line) for line in lines)
    return Markup(
        '<article class="trial"><img src="{}" alt="The needle that was planted" width="176" '
        'height="99" loading="lazy"><dl>{}</dl></article>'
    ).format(needle_picture(run, trial.seed), facts)


def _when(run: ProbeRunItem, span: tuple[float, float], trial: NeedleTrial) -> Markup:
    """Return a moment of evidence; of footage that was filmed it opens there."""
    start_s, end_s = span
    text = (
        f"at {format_clock(start_s)}" if end_s - start_s <= _SHORT_S else span_text(start_s, end_s)
    )
    video = run.settings.get("haystack")
    # The video itself holds no needle: that is shown by the player of this page.
    if video is None or start_s <= trial.planted_s <= end_s:
        return Markup('<span class="mono">{}</span>').format(text)
    query = urlencode({"v": str(video), "t": f"{start_s:.1f}"})
    return Markup('<a class="mono" href="/ui/watch?{}">{}</a>').format(query, text)


def _verdict(is_right: bool, text: str) -> Markup:
    return Markup('<span class="{}">{}</span>').format("right" if is_right else "wrong", text)


def _axis(run: ProbeRunItem, setting: str, field: str) -> list[Any]:
    ordered = run.settings.get(setting) or ()
    measured = [getattr(cell, field) for cell in run.cells]
    return sorted({*measured, *(ordered if isinstance(ordered, list) else ())})


def _place(cell: ProbeCellItem) -> tuple[int, float]:
    return cell.length_frames, cell.depth


def _share(cell: ProbeCellItem | None, figure: str) -> float | None:
    return None if cell is None or not cell.n else getattr(cell, figure) / cell.n


def _frames(length: int) -> str:
    return f"{length} frames"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
