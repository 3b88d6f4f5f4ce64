"""Probe: plant known moments, see over length and depth where they are still listed."""

from collections.abc import Sequence
from typing import Any, Final

import gradio as gr

from app.api.auth import Principal
from app.api.deps import AppContext
from app.api.probes import (
    get_probe_cell,
    get_probe_run,
    list_probe_runs,
    start_probe_run,
)
from app.api.videos import get_video
from app.schemas.probes import ProbeRequest, ProbeRunItem, ProbeRunsResponse
from app.services.ask import model_note
from app.services.needles import list_needles
from app.ui.caller import (
    EVENT,
    PASSIVE,
    REVISIT,
    as_sentences,
    checked,
    require_reader,
    require_session,
)
from app.ui.components.address import Address, read_query
from app.ui.components.file_put import FilePut
from app.ui.components.heat import HeatMap
from app.ui.components.player import Player, PlayerInset, PlayerState
from app.ui.components.pulse import Pulse
from app.ui.components.table import Table
from app.ui.layout import line
from app.ui.markup import heading
from app.ui.probe_run import (
    NO_RUN,
    NeedleTrial,
    draw_cells,
    draw_heat,
    draw_runs,
    draw_summary,
    draw_trials,
    needle_picture,
    run_name,
)
from app.ui.seen import ActionPanel
from app.ui.video_picker import VideoPicker

LENGTHS: Final = (16, 32, 64, 128, 256, 512, 1024)
DEPTHS: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
SEEDS: Final = (1, 2, 4, 8, 16)
RATIOS: Final = (2, 4, 8, 16, 32)
BUSY_S: Final = 1.5
IDLE_S: Final = 8.0
_LISTING: Final = (
    'A zip with pictures and needles.jsonl, with {"image", "question", "answer"} a line. '
    "Folders below the server's own roots are listed by themselves."
)

Update = dict[Any, object]


def build(context: AppContext, blocks: gr.Blocks) -> None:
    """Draw the page."""
    ProbePage(context).draw(blocks)


class ProbePage:
    """The page, for one server."""

    def __init__(self, context: AppContext) -> None:
        """Draw nothing yet."""
        self._context = context

    def draw(self, blocks: gr.Blocks) -> None:
        """Draw the components and wire their events."""
        gr.HTML(heading("Probe", note=model_note(self._context.services)), apply_default_css=False)
        with line("probe"):
            with gr.Column(elem_classes=["probe-side"]):
                with gr.Column(visible=False, elem_classes=["lw-card"]) as self._form:
                    self._draw_form()
                self._runs = Table(elem_id="lw-runs")
            with gr.Column(elem_classes=["probe-run"]):
                self._summary = gr.HTML(NO_RUN, apply_default_css=False)
                self._other = gr.Dropdown(
                    [], label="Compare with", visible=False, elem_id="lw-other"
                )
                self._heat = HeatMap(elem_id="lw-heat")
                self._trials = ActionPanel(elem_id="lw-trials")
                with gr.Column(visible=False, elem_classes=["film"]) as self._film:
                    self._player = Player()
                with gr.Accordion("All cells as a table", open=False, visible=False) as self._all:
                    self._cells = Table()
        # The run and the cell that are open, and the job whose run is to be opened.
        self._run, self._cell, self._awaited = (gr.Textbox(visible=False) for _ in range(3))
        self._pulse, self._address = Pulse(IDLE_S), Address()
        self._wire(blocks)

    def _draw_form(self) -> None:
        self._haystack = VideoPicker(
            self._context,
            before=[("a drawn recording", "")],
            value="",
            label="Haystack",
            info="Where the needles are hidden",
            elem_id="lw-haystack",
        )
        self._lengths = gr.CheckboxGroup(
            [(str(length), length) for length in LENGTHS],
            value=[32, 64],
            label="Lengths, in sampled frames",
            elem_id="lw-lengths",
        )
        self._depths = gr.CheckboxGroup(
            [(f"{100 * depth:.0f} %", depth) for depth in DEPTHS],
            value=[0.0, 0.5, 1.0],
            label="Depths, from start to end",
            elem_id="lw-depths",
        )
        self._needles = gr.Dropdown(
            [("drawn cards", "")], value="", label="Needles", elem_id="lw-needles"
        )
        self._archive = FilePut(
            "/api/v1/needles",
            label="Upload needles",
            accept=".zip,application/zip",
            media_type="application/zip",
            info=_LISTING,
            elem_id="lw-archive",
        )
        with line("three"):
            self._seeds = gr.Dropdown([*SEEDS], value=2, label="Cards a cell", elem_id="lw-seeds")
            own = ("own", 0)
            self._ratio = gr.Dropdown(
                [own, *((str(ratio), ratio) for ratio in RATIOS)], value=0, label="Ratio"
            )
            self._recall = gr.Dropdown(["top", "all"], value="top", label="Recall")
        self._go = gr.Button("Run", variant="primary", elem_id="lw-run")

    def _wire(self, blocks: gr.Blocks) -> None:
        run = [self._summary, self._other, self._heat, self._trials, self._film, self._player]
        run += [self._all, self._cells, self._run, self._cell]
        form = [self._form, self._haystack.menu, self._needles, self._seeds]
        shown = [*run, *form, self._runs, self._awaited, self._pulse, self._address]
        now = [self._run, self._other, self._cell, self._awaited]
        blocks.load(self.visit, None, shown, **PASSIVE)
        self._address.revisit(self.revisit, None, shown, **REVISIT)
        self._pulse.beat(self.follow, now, shown, **PASSIVE)
        self._runs.act(self.open_run, None, shown, **EVENT)
        self._other.input(self.follow, now, shown, **EVENT)
        self._heat.pick(self.open_cell, now, shown, **EVENT)
        self._trials.act(self.play, [self._run, self._cell], shown, **EVENT)
        self._archive.sent(self.take_needles, None, form, **EVENT)
        self._needles.input(self.choose_needles, [self._needles], [self._seeds], **EVENT)
        fields = [self._haystack.menu, self._lengths, self._depths, self._needles]
        fields += [self._seeds, self._ratio, self._recall]
        self._go.click(self.order, fields, shown, **EVENT)

    def visit(self, request: gr.Request) -> Update:
        """Show what the address says when the page is opened."""
        with as_sentences(request):
            principal = require_reader(request)
        form: Update = {self._form: gr.update(visible=principal.is_admin)}
        if principal.is_admin:
            form |= {
                self._haystack.menu: self._haystack.show(principal, ""),
                self._needles: self._sets(),
            }
        return {**form, **self._show(dict(request.query_params), request)}

    def revisit(self, event: gr.EventData, request: gr.Request) -> Update:
        """Show what the address says after the user went back."""
        return self._show(read_query(event.query), request)

    def follow(self, run: str, other: str, cell: str, awaited: str, request: gr.Request) -> Update:
        """Show how far runs are; the one that was ordered here is opened once it has begun."""
        with as_sentences(request):
            principal = require_reader(request)
            listed = list_probe_runs(self._context, principal)
            begun = next((row for row in listed.runs if _job(row) == awaited), None)
            if begun is None:
                row = _find(listed.runs, run)
                return self._describe(listed, row, _find(listed.runs, other), cell)
            return {
                **self._open(listed, begun, principal, ""),
                self._awaited: "",
                self._address: {"run": str(begun.run_id)},
            }

    def open_run(self, event: gr.EventData, request: gr.Request) -> Update:
        """Show another run."""
        return {
            **self._show({"run": event.key}, request),
            self._address: {"run": event.key},
        }

    def open_cell(
        self,
        run: str,
        other: str,
        cell: str,
        awaited: str,
        event: gr.EventData,
        request: gr.Request,
    ) -> Update:
        """Show the needles of a cell."""
        with as_sentences(request):
            principal = require_reader(request)
            listed = list_probe_runs(self._context, principal)
            row = _find(listed.runs, run)
            if row is None:
                return self._describe(listed, None, None, "")
            return {
                **self._describe(listed, row, _find(listed.runs, other), event.key),
                **self._list_trials(row, event.key, principal),
                self._address: {"run": run, "cell": event.key},
            }

    def play(self, run: str, cell: str, event: gr.EventData, request: gr.Request) -> Update:
        """Show a needle where it was planted: its picture over the footage, for its one frame."""
        with as_sentences(request):
            principal = require_reader(request)
            row = get_probe_run(self._context, principal, int(run))
            trials = self._trials_of(row, cell, principal)
            trial = next(trial for trial in trials if str(trial.seed) == event.key)
            video = get_video(self._context, principal, str(row.settings["haystack"]))
            length_s = video.duration_s or 0.0
            # A haystack that is longer than its video repeats it.
            at_s = trial.planted_s % length_s if length_s else trial.planted_s
            inset = PlayerInset(
                picture=needle_picture(row, trial.seed),
                words=f"planted at {at_s:.1f} s, over the original",
                start_s=at_s,
                end_s=at_s + 1.0 / (video.fps or 1.0),
            )
            return {
                self._film: gr.update(visible=True),
                self._player: PlayerState(video=video, time_s=max(at_s, 0.01), inset=inset),
            }

    def take_needles(self, event: gr.EventData, request: gr.Request) -> Update:
        """Choose needles that were just uploaded."""
        with as_sentences(request):
            require_session(request, admin=True)
            return {
                self._needles: self._sets(event.key),
                self._seeds: gr.update(interactive=False),
            }

    def choose_needles(self, key: str) -> object:
        """Offer a number of cards where they are drawn."""
        return gr.update(interactive=not key)

    def order(
        self,
        haystack: str,
        lengths: list[int],
        depths: list[float],
        needles: str,
        seeds: int,
        ratio: int,
        recall: str,
        request: gr.Request,
    ) -> Update:
        """Queue a run."""
        with as_sentences(request):
            principal = require_session(request, admin=True)
            body = checked(
                ProbeRequest,
                haystack=haystack or None,
                lengths=lengths,
                depths=depths,
                seeds=seeds,
                needles=needles or None,
                ratio=ratio or None,
                recall=recall,
            )
            job = start_probe_run(self._context, principal, body)
            listed = list_probe_runs(self._context, principal)
        gr.Info("The run is queued; its cells appear as they are done.")
        return {
            self._awaited: str(job.job_id),
            self._runs: draw_runs(listed.runs, listed.jobs, None),
            self._pulse: BUSY_S,
        }

    def _show(self, state: dict[str, str], request: gr.Request) -> Update:
        with as_sentences(request):
            principal = require_reader(request)
            listed = list_probe_runs(self._context, principal)
            newest = listed.runs[0] if listed.runs else None
            row = _find(listed.runs, state.get("run", "")) or newest
            return self._open(listed, row, principal, state.get("cell", ""))

    def _open(
        self, listed: ProbeRunsResponse, row: ProbeRunItem | None, principal: Principal, cell: str
    ) -> Update:
        """Return a run with one of its cells, compared with none."""
        others = [(run_name(run), str(run.run_id)) for run in listed.runs if run is not row]
        is_cell = row is not None and cell.isdecimal() and int(cell) < len(row.cells)
        cell = cell if is_cell else ""
        trials: Update = {self._trials: "", self._cell: ""}
        if row is not None and cell:
            trials = self._list_trials(row, cell, principal)
        return {
            self._run: "" if row is None else str(row.run_id),
            self._other: gr.update(
                choices=[("none", ""), *others],
                value="",
                visible=bool(others) and row is not None,
            ),
            self._film: gr.update(visible=False),
            **self._describe(listed, row, None, cell),
            **trials,
        }

    def _describe(
        self,
        listed: ProbeRunsResponse,
        row: ProbeRunItem | None,
        other: ProbeRunItem | None,
        cell: str,
    ) -> Update:
        """Return the figures of a run, and the list of all."""
        is_busy = any(job.state in {"queued", "running"} for job in listed.jobs)
        return {
            self._runs: draw_runs(listed.runs, listed.jobs, row),
            self._pulse: BUSY_S if is_busy else IDLE_S,
            self._summary: NO_RUN if row is None else draw_summary(row),
            self._heat: None if row is None else draw_heat(row, other, cell),
            self._all: gr.update(visible=row is not None),
            self._cells: None if row is None else draw_cells(row),
        }

    def _list_trials(self, row: ProbeRunItem, cell: str, principal: Principal) -> Update:
        trials = self._trials_of(row, cell, principal)
        return {
            self._trials: draw_trials(row, int(cell), trials),
            self._cell: cell,
            self._film: gr.update(visible=False),
        }

    def _trials_of(self, row: ProbeRunItem, cell: str, principal: Principal) -> list[NeedleTrial]:
        document = get_probe_cell(self._context, principal, row.run_id, int(cell))
        return [NeedleTrial.parse(trial) for trial in document.trials]

    def _sets(self, chosen: str = "") -> object:
        sets = [(needles.name, needles.key) for needles in list_needles(self._context.settings)]
        return gr.update(choices=[("drawn cards", ""), *sets], value=chosen)


def _find(runs: Sequence[ProbeRunItem], run: str) -> ProbeRunItem | None:
    return next((row for row in runs if str(row.run_id) == run), None)


def _job(run: ProbeRunItem) -> str:
    return "" if run.job is None else str(run.job.job_id)
