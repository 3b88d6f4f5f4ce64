"""MLVU dev, its seven multiple-choice tasks.

Prompt and scoring: MLVU's evaluation/choice_bench.py; the letter before the first ")". The
headline M-Avg is the mean over the tasks. Its two open tasks (sub-scene captioning, summary) are
scored by GPT-4 upstream and are left out here.
Source: arXiv:2406.04264; github.com/JUNJIE99/MLVU.

# Differs from upstream: "Best option: (" ends the prompt, as in lmms-eval, and does not open the
assistant's turn, which the engine leaves to the model.
"""

from collections.abc import Iterator
from pathlib import Path

from engine.errors import InputRefusedError
from engine.evaluation.annotations import find_media, no_annotations, read_annotations
from engine.evaluation.benchmark import BenchmarkCard, BenchmarkQuestion, PublishedScore
from engine.evaluation.multiple_choice import bracketed, leading_letter, letter_of

CARD = BenchmarkCard(
    title="MLVU (dev)",
    measures="long video: plot, needle, ego, count, order, anomaly and topic",
    size="2,175 multiple-choice questions, videos of three minutes to nine hours",
    licence="CC BY-NC-SA 4.0",
    source="arXiv:2406.04264",
    files="json/<1_plotQA ... 7_topic_reasoning>.json, video/<task>/<video>",
    mean="tasks",
    published=(
        PublishedScore(model="Video-XL 7B", score=0.649, source="arXiv:2409.14485"),
        PublishedScore(model="Apollo 7B", score=0.709, source="arXiv:2412.10360"),
    ),
)
INSTRUCTIONS = (
    "Carefully watch this video and pay attention to every detail. Based on your observations, "
    "select the best option that accurately addresses the question."
)
TAIL = "Only give the best option.\nBest option: ("
TASKS = ("plotQA", "needle", "ego", "count", "order", "anomaly_reco", "topic_reasoning")


def questions(root: Path) -> Iterator[BenchmarkQuestion]:
    """Yield the questions of every task that is there."""
    files = [
        (task, path)
        for task in TASKS
        for path in sorted(root.rglob(f"*{task}.json"))[:1]
        if path.is_file()
    ]
    if not files:
        raise no_annotations(root, f"*{TASKS[0]}.json")
    for task, path in files:
        folder = root / "video"
        folders = (folder / path.stem, folder / task, folder, root)
        for number, row in enumerate(read_annotations(path)):
            candidates, wanted = row.texts("candidates"), str(row["answer"])
            if wanted not in candidates:
                raise InputRefusedError(f"{row.where}: the answer is none of the candidates")
            yield BenchmarkQuestion(
                id=f"{task}/{number:04d}",
                video=find_media(folders, str(row["video"])),
                text=f"Question: {row['question']}\nOptions:\n{bracketed(candidates)}\n{TAIL}",
                # Some candidates are listed twice: the first of them is the right letter.
                answer=letter_of(candidates.index(wanted)),
                options=candidates,
                instructions=INSTRUCTIONS,
                task=task,
            )


def choose(answer: str, question: BenchmarkQuestion) -> str | None:
    """Return the letter that an answer begins with."""
    return leading_letter(answer, len(question.options))


def score(answer: str, question: BenchmarkQuestion) -> float:
    """Return 1 for the right letter, else 0."""
    return float(choose(answer, question) == question.answer)
