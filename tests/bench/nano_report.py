"""Measures the shipped nano model as its card reports it: `python -m tests.bench.nano_report`.

Everything goes through the product's own pipeline: frames are encoded, folded, stored and
indexed, questions are retrieved for and answered. Seeds and card combinations are held out from
training; real haystacks are recordings that training did not see.

    python -m tests.bench.nano_report [--model FOLDER] [--real FILE...] [--quick] [--json FILE]
"""

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from engine.media.frames import Frame
from engine.pipeline.answer import answer
from engine.pipeline.assemble import Engine, EngineConfig, ModelConfig, assemble
from engine.pipeline.ingest import ResumePoint, encode_frames, ingest_encoded
from engine.pipeline.retrieve import retrieve
from engine.probes.grid import GridConfig, drawn_haystack, run_grid
from engine.probes.needle import chunked, drawn_needles
from engine.protocols import Sampling
from engine.records import Answer, ProbeResult, Recall, TimeSpan, VideoId
from engine.world.grammar import CANNOT_TELL
from engine.world.outside import outside_question
from engine.world.questions import Question, is_right, questions
from engine.world.story import Story, draw_story

SHIPPED = Path(__file__).resolve().parents[2] / "assets" / "models" / "nano"
STORY_SEED = 90_000
"""Far from the seeds of training, demo and calibration."""
NEEDLE_SEED = 49_998
_VIDEO = VideoId("report")
_EVER = TimeSpan(start_s=0.0, end_s=float("inf"))
_FRESH = ResumePoint(ordinal=0, after_s=None, frames_sampled=0)


def open_engine(model: Path, folder: Path, ratio: int) -> Engine:
    """An engine over a throw-away library."""
    config = EngineConfig(
        model=ModelConfig(folder=model, device="cpu", compression_ratio=ratio),
        latents_folder=folder / "latents",
        index_folder=folder / "index",
        durable=False,
    )
    return assemble(config)


def real_frames(paths: Sequence[Path]) -> list[Frame]:
    """Recordings at one frame a second, one after the other."""
    frames: list[Frame] = []
    for path in paths:
        reader = cv2.VideoCapture(str(path))
        step, idx = max(1, round(reader.get(cv2.CAP_PROP_FPS))), 0
        while reader.grab():
            if idx % step == 0:
                pixels = cv2.cvtColor(reader.retrieve()[1], cv2.COLOR_BGR2RGB)
                frames.append(Frame(pixels=pixels, pts_s=float(len(frames))))
            idx += 1
        reader.release()
    return frames


def needles(
    engine: Engine,
    frames: Sequence[Frame],
    haystack: str,
    lengths: Sequence[int],
    recall: Recall,
    ratio: int,
    n_needles: int,
) -> dict[str, object]:
    """One row per length: needle answers and evidence over five depths."""  # fmt: skip
    planted = drawn_needles(n_needles, first_seed=NEEDLE_SEED)
    kinds = ("shape", "colour", "code")
    found: list[bool] = []
    config = GridConfig(lengths=tuple(lengths), recall=recall, compression_ratio=ratio)
    *_, result = run_grid(
        engine, frames, planted, config, haystack=haystack,
        on_finding=lambda each: found.append(each.is_right),
    )  # fmt: skip
    assert isinstance(result, ProbeResult)
    rows = []
    for place, length in enumerate(lengths):
        cells = [cell for cell in result.cells if cell.length_frames == length]
        n = sum(cell.n for cell in cells)
        part = found[place * n : (place + 1) * n]
        by_kind = {
            kind: _share([ok for at, ok in enumerate(part) if (at % n_needles) % 3 == which])
            for which, kind in enumerate(kinds)
        }
        rows.append(
            {
                "frames": length,
                "n": n,
                "answers": sum(cell.answers_right for cell in cells) / n,
                "evidence_hit_at_1": sum(cell.evidence_hit_at_1 for cell in cells) / n,
                "evidence_hit_at_5": sum(cell.evidence_hit_at_5 for cell in cells) / n,
                **by_kind,
            }
        )
    return {"haystack": haystack, "recall": recall, "ratio": ratio, "rows": rows}


def own_world(
    engine: Engine, n_stories: int, duration_s: float, recall: Recall | None
) -> dict[str, object]:
    """Questions of every kind about held-out stories: answers, evidence, and refusals."""
    hits: dict[str, list[tuple[bool, bool]]] = {}
    refused: list[bool] = []
    outside: list[bool] = []
    for number in range(n_stories):
        story = draw_story(STORY_SEED + number, duration_s, 1.0, shot_s=64.0)
        with _ingested(engine, story):
            for question in questions(story):
                said = ask(engine, question.text, recall)
                ok = is_right(said.text, question.answer, question.aliases)
                hits.setdefault(question.kind, []).append((ok, _covers(said, question)))
                refused.append(is_refusal(said.text))
            rng = np.random.default_rng([number, 99])
            for _ in range(8):
                text = outside_question(rng, held_out=True)
                outside.append(is_refusal(ask(engine, text, recall).text))
    return {
        "stories": n_stories,
        "frames": int(duration_s),
        "recall": recall or "by wording",
        "kinds": {
            kind: {
                "n": len(pairs),
                "answers": _share([ok for ok, _ in pairs]),
                "evidence_hit_at_1": _share([covered for _, covered in pairs]),
            }
            for kind, pairs in sorted(hits.items())
        },
        "outside_refused": _share(outside),
        "outside_n": len(outside),
        "own_refused": _share(refused),
    }


def search(engine: Engine, n_stories: int, duration_s: float) -> dict[str, object]:
    """Text search: how often the first hit for an event's name shows the event."""
    first: list[bool] = []
    for number in range(n_stories):
        story = draw_story(STORY_SEED + 500 + number, duration_s, 1.0)
        with _ingested(engine, story):
            for event in story.events:
                spans = [each.span for each in story.events if each.name == event.name]
                found = retrieve(engine, event.name, scope=[(_VIDEO, _EVER)])
                top = found.found[0].hit.chunk.span
                first.append(any(top.overlap_s(span) > 0 for span in spans))
    return {"frames": int(duration_s), "n": len(first), "recall_at_1": _share(first)}


def ask(engine: Engine, text: str, recall: Recall | None) -> Answer:
    """The answer that the product gives."""
    sampling = Sampling(max_tokens=40)
    *_, said = answer(engine, text, scope=[(_VIDEO, _EVER)], sampling=sampling, recall=recall)
    assert isinstance(said, Answer)
    return said


def is_refusal(reply: str) -> bool:
    """Whether a reply says that it cannot tell, or that nothing was found."""
    return CANNOT_TELL.rstrip(".").lower() in reply.lower() or reply.startswith("Not found")


def as_markdown(report: dict[str, object]) -> str:
    """The tables of the model card."""
    lines = [f"Measured {report['date']} on {report['machine']}.", ""]
    heads = ("haystack", "recall", "ratio", "frames", "n", "answers", "shape", "colour", "code",
             "evidence@1", "evidence@5")  # fmt: skip
    lines += ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for table in report["needles"]:  # type: ignore[attr-defined]
        for row in table["rows"]:
            numbers = ("answers", "shape", "colour", "code",
                       "evidence_hit_at_1", "evidence_hit_at_5")  # fmt: skip
            lines.append(
                f"| {table['haystack']} | {table['recall']} | {table['ratio']} | {row['frames']} "
                f"| {row['n']} | " + " | ".join(f"{row[name]:.2f}" for name in numbers) + " |"
            )
    lines += ["", "| question | " + " | ".join(
        f"{each['frames']} frames, {each['recall']}" for each in report["own_world"]  # type: ignore[attr-defined]
    ) + " |", "|---|" + "---|" * len(report["own_world"])]  # type: ignore[arg-type]  # fmt: skip
    kinds = sorted({kind for each in report["own_world"] for kind in each["kinds"]})  # type: ignore[attr-defined]
    for kind in kinds:
        cells = [each["kinds"].get(kind) for each in report["own_world"]]  # type: ignore[attr-defined]
        said = [f"{c['answers']:.2f} (n {c['n']}, evidence {c['evidence_hit_at_1']:.2f})"
                if c else "" for c in cells]  # fmt: skip
        lines.append(f"| {kind} | " + " | ".join(said) + " |")
    for name in ("outside_refused", "own_refused"):
        cells = [f"{each[name]:.2f}" for each in report["own_world"]]  # type: ignore[attr-defined]
        lines.append(f"| {name.replace('_', ', ')} | " + " | ".join(cells) + " |")
    found = report["search"]
    lines += ["", f"Text search over {found['frames']} frames: recall@1 "  # type: ignore[index]
              f"{found['recall_at_1']:.2f} (n {found['n']})."]  # type: ignore[index]  # fmt: skip
    return "\n".join(lines)


class _ingested:
    """A story in the engine's library for as long as the block runs."""

    def __init__(self, engine: Engine, story: Story) -> None:
        self._engine, self._story = engine, story

    def __enter__(self) -> None:
        pixels = iter(self._story)
        frames = [Frame(pixels=each, pts_s=float(at)) for at, each in enumerate(pixels)]
        tokens = encode_frames(self._engine.model, frames)
        chunks = chunked(self._engine, tokens)
        for _ in ingest_encoded(self._engine, _VIDEO, chunks, resume=_FRESH):
            pass

    def __exit__(self, *_: object) -> None:
        self._engine.forget(_VIDEO)


def _covers(said: Answer, question: Question) -> bool:
    if not said.evidence:
        return False
    return any(said.evidence[0].span.overlap_s(span) > 0 for span in question.spans)


def _share(facts: Sequence[bool]) -> float:
    return sum(facts) / len(facts) if facts else float("nan")


def _machine() -> str:
    info = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in info.read_text().splitlines()
             if line.startswith("model name")] if info.exists() else []  # fmt: skip
    return f"{names[0] if names else platform.processor()}, {torch.get_num_threads()} thread(s)"


def _measure(
    engine: Engine, real: Sequence[Frame], *, quick: bool, say: Callable[[str], None]
) -> Iterator[tuple[str, object]]:
    lengths, few = ((64, 256), 6) if quick else ((64, 256, 1024), 15)
    drawn = list(drawn_haystack(max(lengths), fps=1.0, seed=STORY_SEED))
    hays = [("drawn", drawn), *([("real, held out", real)] if real else [])]
    plans: list[tuple[Recall, int, Sequence[int]]] = [("top", 8, lengths), ("all", 8, lengths[:2])]
    plans += [] if quick else [("top", 16, lengths[1:]), ("all", 16, lengths[1:2])]
    tables = []
    for name, frames in hays:
        for recall, ratio, some in plans:
            say(f"needles in {name}, recall {recall}, ratio {ratio}")
            tables.append(needles(engine, frames, name, some, recall, ratio, few))
    yield "needles", tables
    n = 4 if quick else 16
    worlds = []
    for duration_s, recall_by in ((64.0, None), (256.0, None), (64.0, "all")):
        say(f"questions about {duration_s:.0f} s")
        n_stories = n if duration_s < 100 else max(2, n // 3)
        worlds.append(own_world(engine, n_stories, duration_s, recall_by))  # type: ignore[arg-type]
    yield "own_world", worlds
    say("search")
    yield "search", search(engine, 1 if quick else 3, 1024.0)


def main() -> None:
    """Measure, print the tables, write the numbers."""
    parser = argparse.ArgumentParser(description="Measure nano as its card reports it.")
    parser.add_argument("--model", type=Path, default=SHIPPED)
    parser.add_argument("--real", type=Path, nargs="*", default=[])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    started = time.monotonic()
    report: dict[str, object] = {"date": time.strftime("%Y-%m-%d"), "machine": _machine()}
    with tempfile.TemporaryDirectory() as folder:
        engine = open_engine(given.model, Path(folder), 8)
        real = real_frames(given.real)
        report.update(
            _measure(engine, real, quick=given.quick, say=lambda text: print(text, flush=True))
        )
    report["wall_s"] = round(time.monotonic() - started, 1)
    print(as_markdown(report))
    if given.json:
        given.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
