"""Drawn recordings, with every question that can be asked of them.

Needs no data: videos are drawn into `root` once, and again where they are missing. Their cards are
combinations that the nano model never saw in training.
"""

from collections.abc import Iterator
from pathlib import Path

from engine.evaluation.benchmark import BenchmarkCard, BenchmarkQuestion
from engine.media.encode import write_video
from engine.synthetic.questions import is_right
from engine.synthetic.questions import questions as story_questions
from engine.synthetic.story import draw_story

CARD = BenchmarkCard(
    title="Drawn recordings",
    measures="what happens in drawn scenes with cards and passers-by; open, judged by words",
    size="387 questions, 4 recordings of five minutes",
    licence="drawn here",
    source="engine/synthetic",
    files="an empty folder: what is missing is drawn",
    may_refuse=True,
)
SEEDS = (70001, 70002, 70003, 70004)
DURATION_S = 300.0
FPS = 10.0
_APART = "\n"
"""Between an answer and its aliases, which hold no line breaks."""


def questions(root: Path) -> Iterator[BenchmarkQuestion]:
    """Yield every question of every story, in the order of the stories."""
    root.mkdir(parents=True, exist_ok=True)
    for seed in SEEDS:
        story = draw_story(seed, DURATION_S, FPS)
        path = root / f"story-{seed}.mp4"
        if not path.exists():
            write_video(path, story, FPS)
        for idx, question in enumerate(story_questions(story)):
            yield BenchmarkQuestion(
                id=f"{seed}/{idx:03d}/{question.kind}",
                video=path,
                text=question.text,
                answer=_APART.join((question.answer, *question.aliases)),
                span=question.span,
                task=question.kind,
            )


def choose(answer: str, question: BenchmarkQuestion) -> str | None:
    """Return the answer itself; `None` where there is none."""
    return answer.strip() or None


def score(answer: str, question: BenchmarkQuestion) -> float:
    """Return 1 when the reply says the answer or one of its aliases, else 0."""
    wanted, *aliases = question.answer.split(_APART)
    return float(is_right(answer, wanted, tuple(aliases)))
