"""Documents about models and measurements as tables; registered with `render` when imported."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from app.cli.render import plain_table, printable, render
from app.schemas.capacity import CapacityResponse
from app.schemas.evaluation import (
    BenchResponse,
    CalibrationResponse,
    EvidenceResponse,
    ShareItem,
)
from app.schemas.footage import (
    AlertsMeasureResponse,
    ClaimResponse,
    RecordingsResponse,
    SearchesResponse,
)
from app.schemas.models import (
    CheckpointItem,
    ModelComparisonResponse,
    ModelsResponse,
    PullPlan,
)
from app.schemas.training import MemoryPlanResponse, TrainResponse, VicoResponse
from app.sizes import size_text
from engine.plural import counted

__all__ = ["render"]


@render.register
def _(listing: ModelsResponse) -> RenderableType:
    table = plain_table(
        "model", "family", "parameters", "weights", "memory here", "licence", "where"
    )
    for model in listing.models:
        table.add_row(
            model.name,
            model.family,
            model.parameters or "",
            "" if model.weight_bytes is None else size_text(model.weight_bytes),
            _memory(model),
            model.licence or "",
            "published" if model.where is None else printable(model.where),
        )
    return table


def _memory(model: CheckpointItem) -> str:
    if model.memory_bytes is None:
        return ""
    return f"{size_text(model.memory_bytes)}{'' if model.fits else ', too much'}"


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
            size_text(model.bytes_per_hour),
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
    notes = [f"{counted(run.steps, 'step')}, written to {run.output}"]
    notes += [f"{counted(run.skipped, 'sample')} skipped"] if run.skipped else []
    notes += [f"model: {run.model}"] if run.model else []
    notes += [f"curves: {path}" for path in run.curves]
    return Group(table, Text(printable("\n".join(notes)), "dim"))


@render.register
def _(plan: MemoryPlanResponse) -> RenderableType:
    adapters = (
        f", of these {size_text(plan.adapters_bytes)} adapters" if plan.adapters_bytes else ""
    )
    again = "layers computed again" if plan.gradient_checkpointing else "layers kept"
    work = f"{counted(plan.samples, 'sample')} of {plan.sample_tokens:,} tokens, {again}"
    learning = f"{plan.learning:,} of {plan.parameters:,} parameters learn"
    fits = "fits" if plan.fits else "does not fit"
    sharing = f", each of {plan.processes} processes" if plan.processes > 1 else ""
    table = plain_table("memory", "bytes", "of")
    table.add_row("weights", size_text(plan.weights_bytes), f"{learning}{adapters}")
    table.add_row("gradients", size_text(plan.gradients_bytes), "32-bit")
    table.add_row("optimiser", size_text(plan.optimiser_bytes), "AdamW, two means")
    table.add_row("working", size_text(plan.working_bytes), work)
    table.add_row(
        "all", size_text(plan.total_bytes), f"{fits} {size_text(plan.card_bytes)}{sharing}"
    )
    return table


@render.register
def _(built: VicoResponse) -> RenderableType:
    counts = f"{counted(built.captions, 'caption')}, {built.captions_written} of them new"
    lines = [
        Text(
            f"{counted(built.questions, 'question')} about {counted(built.clues, 'clue')} "
            f"of {counted(built.videos, 'video')}"
        ),
        Text(", ".join(f"{kind} {n}" for kind, n in built.kinds.items()), "dim"),
        Text(f"{counts if built.model else counts.partition(',')[0]}; {built.wall_s:.1f} s", "dim"),
        Text(printable(f"written to {built.output}; media folder {built.media}")),
    ]
    for item in built.skipped:
        lines.append(Text(printable(f"{item.video}: {item.reason}; skipped"), "yellow"))
    lines += [Text(printable(f"{line}; skipped"), "yellow") for line in built.bad_captions]
    return Group(*lines)


@render.register
def _(plan: PullPlan) -> RenderableType:
    rows = plain_table("repository", "licence", "size")
    for part in plan.repositories:
        rows.add_row(printable(part.name), printable(part.licence), size_text(part.bytes))
    missing, free, memory = map(size_text, (plan.missing_bytes, plan.free_bytes, plan.memory_bytes))
    foot = (
        f"{missing} to fetch into {plan.folder} ({free} free); the weights take {memory} of memory"
    )
    return Group(rows, Text(printable(foot)))


@render.register
def _(measured: RecordingsResponse) -> RenderableType:
    rows = plain_table("question", "n", "right", "wrong", "refused")
    for item in measured.kinds:
        rows.add_row(item.kind, *map(str, (item.n, item.right, item.wrong, item.refused)))
    shares = ", ".join(
        f"{name} {_interval(share)}"
        for name, share in (
            ("right", measured.right),
            ("wrong", measured.wrong),
            ("refused", measured.refused),
        )
    )
    summary = (
        f"{measured.questions} questions of {measured.recordings} recordings: {shares}; "
        f"{measured.false_not_found} deny what is there; answers in {measured.results}"
    )
    return Group(rows, Text(printable(summary)), *_knowledge(measured.knows))


@render.register
def _(measured: SearchesResponse) -> RenderableType:
    rows = plain_table("phrase", "n", "moment@1", "moment@5")
    for item in measured.kinds:
        shares = (_interval(item.moment_at_1), _interval(item.moment_at_5))
        rows.add_row(item.kind, str(item.n), *shares)
    lines = [
        f"{measured.searches} phrases in {measured.recordings} recordings: moment@1 "
        f"{_interval(measured.moment_at_1)} (chance {measured.chance_at_1:.2f}), moment@5 "
        f"{_interval(measured.moment_at_5)} (chance {measured.chance_at_5:.2f})",
        f"recording@1 {_interval(measured.clip_at_1)}, recording@5 {_interval(measured.clip_at_5)}",
        f"claimed: {_interval(measured.present_claimed)} of what is there, "
        f"{_interval(measured.absent_claimed)} of what is not",
        f"median {measured.median_ms:.0f} ms",
    ]
    return Group(rows, *map(Text, lines), *_knowledge(measured.knows))


@render.register
def _(measured: AlertsMeasureResponse) -> RenderableType:
    rows = plain_table("rule", "alerts", "right", "events", "caught", "repeats", "by day")
    for item in measured.rules:
        counts = (item.alerts, item.right, item.events, item.caught, item.repeats, item.by_day)
        rows.add_row(printable(item.words), *map(str, counts))
    delay = "" if measured.delay_s is None else f"; median delay {measured.delay_s:.1f} s"
    lines = [
        f"{counted(len(measured.rules), 'rule')} at night over {measured.recordings} recordings: "
        f"precision {_interval(measured.precision)}, events caught {_interval(measured.recall)}",
        f"{measured.repeats} repeats within an event, {measured.by_day} alerts outside the hours"
        f"{delay}",
    ]
    return Group(rows, *map(Text, lines))


@render.register
def _(fitted: ClaimResponse) -> RenderableType:
    table = plain_table("encoder", "threshold", "before", "present claimed", "absent claimed")
    table.add_row(
        printable(fitted.encoder),
        f"{fitted.claim:+.2f}",
        f"{fitted.before:+.2f}",
        _interval(fitted.present_claimed),
        _interval(fitted.absent_claimed),
    )
    halves = f"{counted(fitted.searches, 'phrase')} over {counted(fitted.recordings, 'recording')}"
    note = f"{halves}: fitted on every second one, stated on the others; written to {fitted.file}"
    return Group(table, Text(printable(note), "dim"))


def _interval(share: ShareItem) -> str:
    return f"{share.value:.2f} ({share.low:.2f}-{share.high:.2f})"


def _knowledge(sentences: Sequence[str]) -> list[Text]:
    return [Text(printable(sentence), "dim") for sentence in sentences]


@render.register
def _(measured: EvidenceResponse) -> RenderableType:
    rows = plain_table("questions", "signals", "n", "hit@1", "hit@5", "IoU", "covered", "ms")
    for row in (*measured.overall, *measured.by_setting, *measured.by_kind):
        means = (row.hit_at_1, row.hit_at_5, row.iou, row.covered)
        shares = map(_interval, means)
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


def _flat(figures: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield nested figures under dotted names."""
    for name, value in figures.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


@render.register
def _(capacity: CapacityResponse) -> RenderableType:
    plan, rates = capacity.plan, capacity.rates
    table = plain_table("", "what", "needed", "here", "how it is meant")
    for need in capacity.needs:
        mark = Text("fits", "green") if need.fits else Text("too much", "red")
        spell = size_text if need.unit == "bytes" else _rate
        needed, available = spell(round(need.needed)), spell(round(need.available))
        table.add_row(mark, need.name, needed, available, printable(need.detail))
    cameras = f"{counted(plan.cameras, 'camera')}, {plan.fps:g} fps, {plan.days:g} days"
    verdict = "it fits" if capacity.fits else "it does not fit as it is"
    head = (
        f"{cameras}, {rates.model} on {rates.device}: {verdict} ({rates.measured_s:g} s measured)"
    )
    changes = [Text(f"- {change}") for change in capacity.changes]
    return Group(Text(head), table, *changes)


def _rate(number: float) -> str:
    return f"{number:,g} a second"
