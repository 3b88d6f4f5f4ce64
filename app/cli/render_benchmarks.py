"""Scores on benchmarks as tables; registered with `render` when imported."""

from rich.console import Group, RenderableType
from rich.text import Text

from app.cli.render import plain_table, printable
from app.cli.render_measures import render
from app.schemas.evaluation import (
    BenchmarksResponse,
    CurationResponse,
    EvalResponse,
)
from app.schemas.persistence import PersistenceResponse
from app.schemas.training import RecaptionResponse
from app.sizes import size_text
from engine.plural import counted

__all__ = ["render"]


@render.register
def _(listing: BenchmarksResponse) -> RenderableType:
    lines = []
    for item in listing.benchmarks:
        lines.append(Text.assemble((item.name, "bold"), f": {item.title}; {item.measures}"))
        lines.append(Text(f"  {item.size}; licence: {item.licence}", "dim"))
        lines.append(Text(f"  --root holds {item.files}", "dim"))
    foot = "Also recordings and searches: real footage with its truth, by manifest.json."
    return Group(*lines, Text(foot))


@render.register
def _(measured: EvalResponse) -> RenderableType:
    names = list(dict.fromkeys(name for row in measured.rows for name in row.baselines))
    columns = (name.replace("_", " ") for name in names)
    table = plain_table("questions", "n", "score", *columns, "chance")
    papers = plain_table("the papers' own figures", "questions", "score", "source")
    for row in measured.rows:
        score = f"{row.score.value:.3f} ({row.score.low:.3f}-{row.score.high:.3f})"
        baselines = (
            f"{row.baselines[name]:.3f}" if name in row.baselines else "" for name in names
        )
        chance = "" if row.chance is None else f"{row.chance:.3f}"
        table.add_row(printable(row.group), str(row.n), score, *baselines, chance)
        for figure in row.published:
            cells = (figure.model, row.group, f"{figure.score:.3f}", figure.source)
            papers.add_row(*map(printable, cells))
    unparsable = measured.rows[0].unparsable if measured.rows else 0
    lines = [
        f"{measured.title}: {measured.model}, recall {measured.recall}; "
        f"{counted(measured.questions, 'question')} asked, {unparsable} answers without a choice, "
        f"{measured.missing} not asked"
    ]
    if measured.evidence_questions:
        lines.append(
            f"first evidence right {measured.evidence_hit_at_1:.3f} of "
            f"{measured.evidence_questions}"
        )
    lines += [f"not asked: {reason}" for reason in measured.missing_reasons]
    lines.append(f"records in {measured.results}")
    foot = Text(printable("\n".join(lines)), "dim")
    return Group(table, papers, foot) if papers.row_count else Group(table, foot)


@render.register
def _(measured: PersistenceResponse) -> RenderableType:
    table = plain_table(
        "memory", "age", "n", "right", "told when", "and its moment", "Ref@10", "Ref@60", "Ref@300",
        "tIoU",
    )  # fmt: skip
    for row in measured.rows:
        _, told_when, _, with_moment, _ = row.levels
        shares = (told_when, with_moment, *row.references.values(), row.tiou)
        table.add_row(
            row.memory,
            f"{row.age_s / 60:g} min" if row.age_s < 3600 else f"{row.age_s / 3600:g} h",
            str(row.n),
            f"{row.right.value:.2f} ({row.right.low:.2f}-{row.right.high:.2f})",
            *("" if share is None else f"{share:.2f}" for share in shares),
        )
    kept = ", ".join(f"{item.memory} {size_text(item.kept_bytes)}" for item in measured.memories)
    lines = [
        f"{measured.haystack}, {measured.frames} frames: {measured.model}, ratio "
        f"{measured.compression_ratio}, recall {measured.recall}, {counted(measured.hops, 'hop')}",
        f"kept: {kept}",
        f"records in {measured.results}",
    ]
    return Group(table, Text(printable("\n".join(lines)), "dim"))


@render.register
def _(chosen: CurationResponse) -> RenderableType:
    table = plain_table("category", "questions")
    for category, n in chosen.categories.items():
        table.add_row(printable(category), str(n))
    lines = [
        f"{counted(chosen.kept, 'question')} of {counted(chosen.runs, 'run')} in {chosen.output}",
        f"dropped: {chosen.answered_by_text} answered by words alone, "
        f"{chosen.answered_by_frame} by one frame, {chosen.unlabelled} of no category, "
        f"{chosen.unfit} without letters, {chosen.beyond} less telling",
    ]
    return Group(table, Text(printable("\n".join(lines)), "dim"))


@render.register
def _(written: RecaptionResponse) -> RenderableType:
    table = plain_table("alpha", "videos", "clips", "captions", "words", "distinct", "repeated")
    for item in written.alphas:
        table.add_row(
            "as set" if item.alpha is None else f"{item.alpha:g}",
            str(item.videos),
            f"{item.clips} ({item.written} new)",
            str(item.captions),
            f"{item.words_each:.1f}",
            str(item.distinct_words),
            f"{item.repeated:.0%}",
        )
    foot = f"{', '.join(written.formats)} of {written.model} in {written.output}"
    lines = [Text(printable(foot), "dim")]
    lines += [
        Text(printable(f"{item.video}: {item.reason}; skipped"), "yellow")
        for item in written.skipped
    ]
    return Group(table, *lines)
