"""TempCompass: action, speed, direction, order and change, asked in several formats.

Prompts: run_video_llava/inference_dataset.py. Scoring: the rules of eval_multi-choice.py,
eval_yes_no.py and eval_caption_matching.py with `--disable_llm`: an answer that no rule reads is
wrong, where upstream would ask ChatGPT. Caption generation is judged by ChatGPT alone and is left
out.
Source: arXiv:2403.00476; github.com/llyx97/TempCompass, questions/<format>.json.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from engine.errors import InputRefusedError
from engine.evaluation.annotations import Entry, find_media, no_annotations, read_object
from engine.evaluation.benchmark import BenchmarkCard, BenchmarkQuestion, PublishedScore

CARD = BenchmarkCard(
    title="TempCompass",
    measures="temporal perception in short clips: choice, yes or no, matching of captions",
    size="7,540 instructions in four formats, 410 videos",
    licence="not stated by its authors; videos of Shutterstock",
    source="arXiv:2403.00476",
    files="questions/<multi-choice, yes_no, caption_matching>.json, videos/<id>.mp4",
    published=(
        PublishedScore(
            model="Apollo 7B", score=0.649, group="multi-choice", source="arXiv:2412.10360"
        ),
    ),
)
_TAILS = {
    "multi-choice": "\nPlease directly give the best option:",
    "yes_no": "\nPlease answer yes or no:",
    "caption_matching": "\nPlease directly give the best option:",
}
_OPTION = re.compile(r"^[A-D]\.\s", re.MULTILINE)


def questions(root: Path) -> Iterator[BenchmarkQuestion]:
    """Yield the questions of every format that is there."""
    paths = {task: next(iter(sorted(root.rglob(f"{task}.json"))), None) for task in _TAILS}
    if not any(paths.values()):
        raise no_annotations(root, "questions/multi-choice.json")
    for task, path in paths.items():
        if path is None:
            continue
        for video, entry in read_object(path).items():
            file = find_media((root / "videos", root), video)
            for aspect, rows in _aspects(entry, f"{path}, {video}"):
                for number, row in enumerate(rows):
                    text = str(row["question"])
                    yield BenchmarkQuestion(
                        id=f"{task}/{video}/{aspect}/{number}",
                        video=file,
                        text=text + _TAILS[task],
                        answer=_right(task, str(row["answer"])),
                        options=_options(task, text),
                        task=task,
                        groups=(aspect,),
                    )


def choose(answer: str, question: BenchmarkQuestion) -> str | None:
    """Return what the rule of a question's format reads: a letter, yes or no, a caption's label."""
    text = answer.strip()
    if question.task == "yes_no":
        return next((word for word in ("yes", "no") if text.lower().startswith(word)), None)
    if question.task == "multi-choice":
        match = re.match(r"([A-D])(?:$|[.)])", text)
        return None if match is None else match[1]
    for option in question.options:
        label, _, sentence = option.partition(": ")
        if text in (option, sentence) or text.replace(".", "") == label:
            return label
        if ") " in text and text.split(") ")[1] == sentence:
            return label
    return None


def score(answer: str, question: BenchmarkQuestion) -> float:
    """Return 1 for the right choice, else 0."""
    return float(choose(answer, question) == question.answer)


def _aspects(entry: object, where: str) -> Iterator[tuple[str, list[Entry]]]:
    if not isinstance(entry, dict):
        raise InputRefusedError(f"{where} is no object")
    row = Entry(entry, where)
    for aspect in entry:
        yield aspect, row.rows(aspect)


def _right(task: str, answer: str) -> str:
    if task == "multi-choice":
        return answer[:1]
    return answer.lower() if task == "yes_no" else answer.partition(":")[0]


def _options(task: str, text: str) -> tuple[str, ...]:
    if task == "yes_no":
        return ("yes", "no")
    lines = text.split("\n")[1:]
    if task == "caption_matching":
        return tuple(lines)
    return tuple(line for line in lines if _OPTION.match(line))
