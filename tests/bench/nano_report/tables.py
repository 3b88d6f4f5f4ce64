"""The report as the tables of the model card."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tests.bench.nano_report.needles import FACTS

Share = Mapping[str, float]


def as_markdown(report: Mapping[str, Any]) -> str:
    """Every table that the report holds, in the card's order."""
    lines = [f"Measured {report['date']} on {report['machine']}."]
    makers = {
        "needles": _needles,
        "own_world": _own_world,
        "search": _search,
        "evidence": _evidence,
        "not_found": _not_found,
    }
    for name, make in makers.items():
        if name in report:
            lines += ["", *make(report[name])]
    return "\n".join(lines)


def told(each: Share) -> str:
    """A share with its interval: 0.97 (0.93-0.99)."""
    return f"{each['share']:.2f} ({each['low']:.2f}-{each['high']:.2f})"


def _needles(tables: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    yield from _head("haystack", "recall", "ratio", "frames", "n", "answers", *FACTS,
                     "evidence@1", "evidence@5")  # fmt: skip
    for table in tables:
        for row in table["rows"]:
            facts = (f"{row[fact]['share']:.2f}" for fact in FACTS)
            hits = (f"{row[name]:.2f}" for name in ("evidence_hit_at_1", "evidence_hit_at_5"))
            yield _row(table["haystack"], table["recall"], table["ratio"], row["frames"],
                       row["n"], told(row["answers"]), *facts, *hits)  # fmt: skip


def _own_world(worlds: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    yield from _head("question", *(f"{each['frames']} frames, {each['recall']}" for each in worlds))
    for kind in sorted({kind for each in worlds for kind in each["kinds"]}):
        yield _row(kind, *(_cell(each["kinds"].get(kind)) for each in worlds))


def _cell(share: Share | None) -> str:
    if share is None:
        return ""
    evidence = f"; evidence {share['evidence']:.2f}" if "evidence" in share else ""
    return f"{told(share)}, n {share['n']:.0f}{evidence}"


def _search(found: Mapping[str, Any]) -> Iterable[str]:
    share = found["recall_at_1"]
    yield (
        f"Text search over {found['frames']} frames: recall@1 {told(share)}, n {share['n']:.0f}."
    )


def _evidence(rows: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    yield from _head("questions", "signals", "n", "hit@1", "hit@5", "IoU", "covered", "ms")
    for row in rows:
        means = (row[name] for name in ("hit_at_1", "hit_at_5", "iou", "covered"))
        said = (f"{mean['value']:.2f} ({mean['low']:.2f}-{mean['high']:.2f})" for mean in means)
        yield _row(row["group"], row["signals"], row["n"], *said, f"{row['median_ms']:.1f}")


def _not_found(rows: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    yield from _head("asked for", "there", "missed", "near misses", "false alarms")
    for row in rows:
        missed = _wrong(row["misses"], row["miss_rate"])
        alarmed = _wrong(row["false_alarms"], row["false_alarm_rate"])
        yield _row(row["group"], row["n_there"], missed, row["n_absent"], alarmed)


def _wrong(n_wrong: int, rate: Share) -> str:
    return f"{n_wrong}: {rate['value']:.3f} ({rate['low']:.3f}-{rate['high']:.3f})"


def _head(*names: str) -> tuple[str, str]:
    return _row(*names), "|---" * len(names) + "|"


def _row(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"
