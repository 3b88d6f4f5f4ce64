"""Memory persistence through the whole service: a long stream of footage, facts, and the curve."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from app.progress import ProgressCallback, ProgressUpdate, no_progress
from app.schemas.evaluation import ShareItem
from app.schemas.persistence import MemoryItem, PersistenceResponse, PersistenceRow
from app.services.context import ServiceContext
from app.services.evaluation import open_haystack
from app.services.footage_eval import share_item
from engine.errors import InputRefusedError
from engine.evaluation.levels import Attempt, shares_of
from engine.evaluation.memories import MEMORIES, Memory
from engine.evaluation.needle import Haystack, encode_haystack
from engine.evaluation.persistence import (
    REF_GRAINS_S,
    FactResult,
    PersistenceConfig,
    measure_persistence,
    stream_frames,
)
from engine.evaluation.plots import draw_persistence
from engine.files import atomic_write_bytes
from engine.media.frame import Frame
from engine.plural import counted

HAYSTACK_FRAMES = 3600
"""Most frames of one haystack: they go through the towers once and then repeat."""
DRAWN_FRAMES = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class PersistenceOrder:
    """The request for a measurement."""

    config: PersistenceConfig
    results: Path
    """JSON lines, one a fact and memory; facts in it are not asked again."""
    haystacks: Sequence[str] = ()
    """Files or videos of the library, one behind the other; a drawn recording when empty."""
    plot: Path | None = None


def describe_interruption(order: PersistenceOrder) -> str:
    """Return what an interrupted measurement has kept, and how to go on."""
    text = order.results.read_text(encoding="utf-8") if order.results.is_file() else ""
    n_kept = max(0, text.count("\n") - 1)
    return (
        f"stopped; {counted(n_kept, 'fact')} in {order.results} and the latents beside it are "
        "kept; the same command goes on there"
    )


def parse_memories(text: str) -> tuple[Memory, ...]:
    """Return the memories that a list with commas names.

    Raises:
        InputRefusedError: One of them is unknown.
    """
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    unknown = [name for name in names if name not in MEMORIES]
    if unknown or not names:
        raise InputRefusedError(
            f"no memory {unknown[0]!r}; there are {', '.join(MEMORIES)}"
            if unknown
            else f"name a memory: {', '.join(MEMORIES)}"
        )
    return tuple(memory for memory in MEMORIES if memory in names)


def persistence(
    context: ServiceContext, order: PersistenceOrder, report: ProgressCallback = no_progress
) -> PersistenceResponse:
    """Measure how long facts stay answerable; an interrupted run goes on where it stopped.

    Raises:
        InputRefusedError: The order cannot be measured with this model, or the records are of
            another one.
    """
    config, engine = order.config, context.engine
    name, hay = _encode(context, order.haystacks)
    setting = _setting(context, order, name)
    kept = _read(order.results, setting)
    known = frozenset((result.memory, result.fact) for result in kept)
    folder = order.results.with_name(f"{order.results.stem}.memories")
    total = len(config.memories) * config.facts * len(config.ages_s)
    order.results.parent.mkdir(parents=True, exist_ok=True)
    _write(order.results, setting, kept)
    try:
        for result in measure_persistence(engine, hay, config, folder, known=known):
            kept.append(result)
            with order.results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(result)) + "\n")
            note = f"{result.memory}, {result.age_s:g} s"
            report(ProgressUpdate(what="facts", done=len(kept), total=total, note=note))
    except ValueError as error:
        raise InputRefusedError(str(error)) from error
    shutil.rmtree(folder, ignore_errors=True)
    frames = stream_frames(config, hay.fps, engine.model.card.chunk_frames)
    document = _describe(context, order, kept, name=name, frames=frames)
    if order.plot is not None:
        draw_persistence(kept, order.plot, heading=_heading(document))
    return document


def _encode(context: ServiceContext, haystacks: Sequence[str]) -> tuple[str, Haystack]:
    names, frames = [], list[Frame]()
    for source in haystacks or (None,):
        n_frames = DRAWN_FRAMES if source is None else HAYSTACK_FRAMES
        with open_haystack(context, source, n_frames) as (name, read):
            names.append(name)
            frames += islice(read, n_frames)
    return ", ".join(names), encode_haystack(context.engine, frames)


def _setting(context: ServiceContext, order: PersistenceOrder, name: str) -> dict[str, object]:
    """Return what must agree between two runs of one file."""
    config = asdict(order.config)
    # More memories may be added to a file; their facts are the same.
    del config["memories"]
    return {"pipeline": context.engine.fingerprint, "haystack": name, **config}


def _read(path: Path, setting: dict[str, object]) -> list[FactResult]:
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    whole = [json.loads(line) for line in lines if line.endswith("}\n")]
    if whole and whole[0] != json.loads(json.dumps(setting)):
        raise InputRefusedError(
            f"{path} holds records of another model, haystack or setting",
            hint="give another file for the results",
        )
    results = []
    for fields in whole[1:]:
        references = {int(grain): right for grain, right in fields.pop("references").items()}
        attempt = Attempt(**fields.pop("attempt"))
        results.append(FactResult(attempt=attempt, references=references, **fields))
    return results


def _write(path: Path, setting: dict[str, object], results: Sequence[FactResult]) -> None:
    """Write what is kept: a line that a kill cut off goes first."""
    lines = [json.dumps(setting), *(json.dumps(asdict(result)) for result in results)]
    atomic_write_bytes(path, "".join(f"{line}\n" for line in lines).encode())


def _describe(
    context: ServiceContext,
    order: PersistenceOrder,
    results: Sequence[FactResult],
    *,
    name: str,
    frames: int,
) -> PersistenceResponse:
    config, card = order.config, context.engine.model.card
    rows, memories = [], []
    for memory in config.memories:
        of_memory = [result for result in results if result.memory == memory]
        memories.append(
            MemoryItem(memory=memory, kept_bytes=of_memory[0].kept_bytes, right=_right(of_memory))
        )
        for age_s in sorted(config.ages_s):
            rows.append(_row(memory, age_s, [fact for fact in of_memory if fact.age_s == age_s]))
    return PersistenceResponse(
        haystack=name,
        model=f"{card.family}/{card.variant}",
        compression_ratio=config.ratio or context.engine.compression_ratio,
        recall=config.recall,
        hops=config.hops,
        shown_frames=config.shown_frames,
        frames=frames,
        memories=memories,
        rows=rows,
        results=str(order.results),
    )


def _row(memory: str, age_s: float, facts: Sequence[FactResult]) -> PersistenceRow:
    return PersistenceRow(
        memory=memory,
        age_s=age_s,
        n=len(facts),
        right=_right(facts),
        levels=list(shares_of([fact.attempt for fact in facts])),
        hit_at_1=sum(bool(fact.attempt.shows_moment) for fact in facts) / len(facts),
        references={
            str(grain): sum(fact.references[grain] for fact in facts) / len(facts)
            for grain in REF_GRAINS_S
        },
        tiou=sum(fact.tiou for fact in facts) / len(facts),
    )


def _right(facts: Sequence[FactResult]) -> ShareItem:
    return share_item(sum(fact.attempt.is_right for fact in facts), len(facts))


def _heading(document: PersistenceResponse) -> str:
    hops = "" if document.hops == 1 else f", {document.hops} hops"
    return f"{document.haystack}: {document.model}, recall {document.recall}{hops}"
