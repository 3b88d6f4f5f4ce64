"""How often the demo is right: its two questions over clips of other seeds than the shipped one.

    python -m tests.bench.demo_seeds [--seeds 20] [--first 3000] [--model nano]

Prints a line for each answer or evidence that is wrong, then `answers right 39 of 40, first
evidence right 40 of 40`.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

from app.cli.demo import CLIP_SEED, choose_questions, draw_clip, judge
from app.config.settings import load_settings
from app.schemas.demo import DemoItem
from app.services.ask import ask
from app.services.context import ServiceContext
from app.services.scope import resolve_scope
from app.worker.foreground import ingest_now

FIRST_SEED = 3000
"""Neither the demo's own seed nor one of `longwatch eval drawn`."""


def judged(seed: int, folder: Path, model: str) -> Iterator[DemoItem]:
    """The demo's questions about the clip of a seed, asked in a library of its own."""
    clip = folder / "clip.mp4"
    story = draw_clip(clip, seed, report=lambda update: None)
    context = ServiceContext(load_settings({"model": model}, home=folder / "library"))
    try:
        video = ingest_now(context, [str(clip)]).videos[0]
        scope = resolve_scope(context, [video.video_id])
        for question in choose_questions(story):
            yield judge(question, ask(context, question.text, scope))
    finally:
        context.close()


def main() -> None:
    """Ask, and print what is right of what was asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20, help="how many clips")
    parser.add_argument("--first", type=int, default=FIRST_SEED, help="seed of the first clip")
    parser.add_argument("--model", default="nano")
    options = parser.parse_args()
    items: list[DemoItem] = []
    for seed in range(options.first, options.first + options.seeds):
        assert seed != CLIP_SEED
        with tempfile.TemporaryDirectory(prefix="longwatch-demo-") as folder:
            for item in judged(seed, Path(folder), options.model):
                items.append(item)
                if not (item.right and item.covers_truth):
                    moment = "the true moment" if item.covers_truth else "another moment"
                    print(
                        f"{seed}: {item.response.question} {item.response.answer} "
                        f"({item.expected} is true; the evidence shows {moment})",
                        flush=True,
                    )
    n_right = sum(item.right is True for item in items)
    n_covered = sum(item.covers_truth is True for item in items)
    print(
        f"answers right {n_right} of {len(items)}, first evidence right {n_covered} of {len(items)}"
    )


if __name__ == "__main__":
    main()
