"""A study as tables; registered with `render` when imported."""

from rich.console import Group, RenderableType
from rich.text import Text

from app.cli.render import plain_table, printable, render
from app.schemas.training import StudyIntervalItem, StudyResponse

__all__ = ["render"]


@render.register
def _(document: StudyResponse) -> RenderableType:
    variants = plain_table("variant", "parameters", "likelihood", "right", "trained in")
    for item in document.variants:
        variants.add_row(
            printable(item.variant),
            f"{item.parameters:,}",
            f"{item.likelihood:.4f}",
            f"{item.right:.3f}",
            f"{item.train_wall_s:.0f} s",
        )
    pairs = plain_table("by", "from", "to", "variants", "rank correlation", "R2")
    for pair in document.pairs:
        r_squared = "" if pair.r_squared is None else f"{pair.r_squared:.2f}"
        spelled = _interval(pair.rank_correlation, 2)
        pairs.add_row(pair.measure, pair.small, pair.large, str(pair.variants), spelled, r_squared)
    decisions = plain_table("by", "decision", "size", "chooses", "largest", "agree", "cost")
    for decision in document.decisions:
        decisions.add_row(
            decision.measure,
            decision.decision,
            decision.size,
            str(decision.chosen),
            str(decision.best),
            f"{decision.agrees:.2f}",
            _interval(decision.cost, 4),
        )
    apart = ", ".join(f"{size} {value:.4f}" for size, value in document.noise.items())
    notes = [f"{document.held_out_questions} held-out questions a variant"]
    notes += [f"likelihoods of the base's seeds lie apart: {apart}"] if apart else []
    notes += [f"{document.missing} variants are missing"] if document.missing else []
    notes += [f"written to {document.output}"]
    return Group(variants, pairs, decisions, Text(printable("; ".join(notes)), "dim"))


def _interval(item: StudyIntervalItem, digits: int) -> str:
    if item.value is None:
        return "no order"
    if item.low is None or item.high is None:
        return f"{item.value:.{digits}f}"
    return f"{item.value:.{digits}f} ({item.low:.{digits}f} to {item.high:.{digits}f})"
