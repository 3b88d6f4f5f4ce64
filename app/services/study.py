"""Studies: a grid of small variants from a plan, trained and compared between sizes."""

import json
import math
import shlex
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from app.progress import ProgressCallback, ProgressUpdate
from app.schemas.training import (
    StudyDecisionItem,
    StudyIntervalItem,
    StudyPairItem,
    StudyResponse,
    StudyVariantItem,
)
from app.services.training import standing
from engine.errors import InputRefusedError, NotFoundError
from engine.files import atomic_write, atomic_write_bytes
from engine.plural import counted

if TYPE_CHECKING:
    from engine.training.study.plan import StudyPlan
    from engine.training.study.transfer import Interval, Scores

PICTURE: Final = "study.png"
REPORT: Final = "study.json"


def read_plan(path: Path) -> "StudyPlan":
    """Read a plan from a TOML file.

    Raises:
        NotFoundError: There is no such file.
        InputRefusedError: It is no TOML, or no plan.
    """
    # Late for its weight: torch.
    from engine.training.study.plan import parse_plan

    if not path.is_file():
        raise NotFoundError(f"there is no plan {path}", hint="examples/study_nano.toml is one")
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputRefusedError(f"{path} is no TOML: {error}") from error
    return parse_plan(document)


def study(
    plan: "StudyPlan", output: Path, report: ProgressCallback, *, trains: bool = True
) -> StudyResponse:
    """Train and measure what has no record yet, then compare sizes; an interrupted study goes on.

    Args:
        plan: Of the study.
        output: Folder of the study: bank, towers, a record for each variant, report and picture.
        report: Hears how far it is.
        trains: Whether what is missing is made; else what there is is compared.
    Raises:
        NotFoundError: Nothing shall be trained, and no variant was measured at every size.
        InputRefusedError: The folder holds variants of other settings.
    """
    # Late for its weight: torch, and what trains.
    from engine.training.study.picture import draw_study
    from engine.training.study.run import read_records, run_study
    from engine.training.study.transfer import Scores

    variants = list(plan.variants())
    n_done = len(read_records(plan, output))
    for line in run_study(plan, output) if trains else ():
        n_done += line.note == "measured"
        note = f"{line.stage}: {line.note or standing(line)}"
        report(ProgressUpdate(what="study", done=n_done, total=len(variants), note=note))
    records = read_records(plan, output)
    scores = Scores(plan, records)
    if not scores.options:
        raise NotFoundError(
            f"{output} holds no variant that was measured at every size",
            hint="train them: the same command without --report",
        )
    document = _describe(plan, output, records, scores)
    with atomic_write(output / PICTURE, single_writer=True) as temporary:
        draw_study(scores, "likelihood", temporary, heading=_heading(scores))
    text = json.dumps(document.model_dump(), indent=1) + "\n"
    atomic_write_bytes(output / REPORT, text.encode())
    return document


def describe_interruption(plan_file: Path, output: Path) -> str:
    """Return what an interrupted study has kept, and how to go on."""
    n_kept = len(list(output.glob("variants/*/record.json")))
    command = f"longwatch study {shlex.quote(str(plan_file))} --output {shlex.quote(str(output))}"
    return (
        f"stopped; {counted(n_kept, 'measured variant')} and the last checkpoint below {output} "
        f"are kept; `{command}` goes on there"
    )


def _describe(
    plan: "StudyPlan", output: Path, records: Mapping[str, Mapping[str, Any]], scores: "Scores"
) -> StudyResponse:
    # Late for its weight: torch.
    from engine.training.study.transfer import MEASURES, decision_transfers, size_pairs

    variants = list(plan.variants())
    return StudyResponse(
        output=str(output),
        variants=[
            StudyVariantItem(
                variant=variant.name,
                size=variant.size,
                seed=variant.seed,
                choices=dict(variant.choices),
                **{
                    name: records[variant.name][name]
                    for name in ("parameters", "right", "likelihood", "train_wall_s")
                },
            )
            for variant in variants
            if variant.name in records
        ],
        missing=len(variants) - len(records),
        held_out_questions=scores.n_contexts * plan.measure.questions,
        noise=_noise(plan, records),
        pairs=[
            StudyPairItem(
                measure=measure,
                small=pair.small,
                large=pair.large,
                variants=pair.n_variants,
                rank_correlation=_item(pair.rank_correlation),
                r_squared=_number(pair.r_squared),
            )
            for measure in MEASURES
            for pair in size_pairs(scores, measure)
        ],
        decisions=[
            StudyDecisionItem(
                measure=measure,
                decision=transfer.decision,
                size=transfer.size,
                chosen=transfer.chosen,
                best=transfer.best,
                agrees=transfer.agrees,
                cost=_item(transfer.cost),
            )
            for measure in MEASURES
            for transfer in decision_transfers(scores, measure)
        ],
        plot=str(output / PICTURE),
    )


def _noise(plan: "StudyPlan", records: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Return how far the likelihoods of a base's seeds lie apart, by size."""
    by_size: dict[str, list[float]] = {}
    base = next(plan.variants()).options
    for variant in plan.variants():
        if variant.options == base and variant.name in records:
            by_size.setdefault(variant.size, []).append(records[variant.name]["likelihood"])
    return {size: max(seeds) - min(seeds) for size, seeds in by_size.items() if len(seeds) > 1}


def _heading(scores: "Scores") -> str:
    variants = counted(len(scores.options), "variant")
    return f"{variants} of nano at {len(scores.sizes)} sizes: likelihood of held-out answers"


def _item(interval: "Interval") -> StudyIntervalItem:
    return StudyIntervalItem(
        value=_number(interval.value), low=_number(interval.low), high=_number(interval.high)
    )


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
