"""Jobs: what runs, what waits, what failed and why."""

from datetime import UTC, datetime
from typing import Final

import gradio as gr
from markupsafe import Markup

from app.api.auth import Principal
from app.api.deps import AppContext
from app.schemas.jobs import JobItem
from app.services.jobs import cancel_job, list_jobs, retry_job
from app.timefmt import format_clock
from app.ui.caller import EVENT, PASSIVE, as_sentences, require_reader, require_session
from app.ui.components.pulse import Pulse
from app.ui.components.table import RowAction, Table, TableData, TableRow
from app.ui.hints import web_hint
from app.ui.markup import NOTHING, empty, heading, local_time

KINDS: Final = {
    "ingest": "read",
    "observe": "observe",
    "preview": "pictures and copy",
    "probe": "probe",
    "caption": "captions",
}
STATES: Final = {"queued": "waiting", "cancelled": "stopped"}
BUSY_S: Final = 1.5
IDLE_S: Final = 6.0


def build(context: AppContext, blocks: gr.Blocks) -> None:
    """Draw the page."""
    gr.HTML(
        heading("Jobs", note="Work goes on when this tab closes, and after a restart."),
        apply_default_css=False,
    )
    table = Table(elem_id="lw-jobs")
    pulse = Pulse(IDLE_S)

    def show(request: gr.Request) -> tuple[TableData, float]:
        """Return the latest jobs, and when to look again."""
        with as_sentences(request):
            principal = require_reader(request)
            jobs = list_jobs(context.services, principal)
            is_busy = any(job.state in {"running", "queued"} for job in jobs)
            return _table(jobs, principal), BUSY_S if is_busy else IDLE_S

    def act(event: gr.EventData, request: gr.Request) -> tuple[TableData, float]:
        """Stop a job, or queue it again."""
        with as_sentences(request):
            require_session(request, admin=True)
            change = {"cancel": cancel_job, "retry": retry_job}[event.action]
            change(context.services, int(event.key))
        return show(request)

    table.act(act, None, [table, pulse], **EVENT)
    pulse.beat(show, None, [table, pulse], **PASSIVE)
    blocks.load(show, None, [table, pulse], **PASSIVE)


def _table(jobs: list[JobItem], principal: Principal) -> TableData:
    return TableData(
        title="Jobs",
        columns=("Job", "Does", "Video", "State", "Asked for", "Took"),
        wide_only=frozenset({"Job", "Asked for", "Took"}),
        rows=tuple(_row(job, principal) for job in jobs),
        instead=empty("list", "No job yet", "Adding a video or running a probe makes one."),
    )


def _row(job: JobItem, principal: Principal) -> TableRow:
    actions: tuple[RowAction, ...] = ()
    if principal.is_admin and job.state in {"queued", "running"}:
        actions = (RowAction(action="cancel", text="Stop", label=f"Stop job {job.job_id}"),)
    elif principal.is_admin and job.state in {"failed", "cancelled"}:
        actions = (RowAction(action="retry", text="Retry", label=f"Retry job {job.job_id}"),)
    return TableRow(
        key=str(job.job_id),
        cells=(
            Markup('<span class="faint mono">{}</span>').format(job.job_id),
            KINDS.get(job.kind, job.kind),
            _video(job),
            Markup('<div class="row">{}{}</div>').format(_chip(job), _detail(job, principal)),
            local_time(job.created_at),
            Markup('<span class="faint mono">{}</span>').format(_took(job)),
        ),
        actions=actions,
    )


def _video(job: JobItem) -> Markup:
    if not job.video_id:
        return Markup('<span class="faint">\N{EM DASH}</span>')
    if job.video is None:
        return Markup('<span class="faint">removed</span>')
    return Markup('<a href="/ui/watch?v={}">{}</a>').format(job.video_id, job.video)


def _chip(job: JobItem) -> Markup:
    state = "stopping" if job.cancel_requested and job.state == "running" else job.state
    kind = {"done": "ready", "failed": "failed", "running": "running"}.get(state, "")
    return Markup('<span class="chip {}"><span class="dot"></span>{}</span>').format(
        kind, STATES.get(state, state)
    )


def _detail(job: JobItem, principal: Principal) -> Markup:
    """Return what went wrong, or how far it is."""
    faint = Markup('<span class="faint">{}</span>')
    if job.error:
        tries = f"tried {job.attempts} times" if job.attempts > 1 else ""
        hint = web_hint(job.hint, principal)
        lines = [faint.format(line) for line in (hint, tries) if line]
        return Markup('<div><span class="wrong">{}</span><div>{}</div></div>').format(
            job.error, Markup("<br>").join(lines)
        )
    if job.state == "queued":
        return faint.format("waits for its turn")
    bar = NOTHING
    if job.state == "running":
        value = Markup(' value="{:.3f}"').format(min(1, job.done / job.total)) if job.total else ""
        bar = Markup('<progress max="1" aria-label="Job {}"{}></progress>').format(
            job.job_id, value
        )
    return Markup("<div>{}{}</div>").format(bar, faint.format(job.note))


def _took(job: JobItem) -> str:
    if not job.started_at:
        return ""
    end = datetime.fromisoformat(job.ended_at) if job.ended_at else datetime.now(UTC)
    return format_clock((end - datetime.fromisoformat(job.started_at)).total_seconds())
