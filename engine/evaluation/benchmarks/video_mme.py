"""Video-MME without subtitles.

Prompt: that of the paper's README (frames alone). Scoring: its eval_your_results.py, the first
letter of an option; mean over all questions, and by duration and kind of task.
Source: arXiv:2405.21075; github.com/MME-Benchmarks/Video-MME; rows of its parquet file, or of the
nested JSON of its results template.
"""

from collections.abc import Iterator
from pathlib import Path

from engine.evaluation.annotations import (
    Entry,
    find_annotations,
    find_media,
    read_annotations,
)
from engine.evaluation.benchmark import BenchmarkCard, BenchmarkQuestion, PublishedScore
from engine.evaluation.multiple_choice import first_letter
from engine.evaluation.subtitles import read_srt, shown_lines

_VIDEO_XL = {"model": "Video-XL 7B", "source": "arXiv:2409.14485"}
_SIZE = "2,700 questions, 900 videos of 11 seconds to an hour"
_LICENCE = "academic research only, no commercial use"
_SOURCE = "arXiv:2405.21075"
CARD = BenchmarkCard(
    title="Video-MME",
    measures="perception and reasoning in short, medium and long videos; four options",
    size=_SIZE,
    licence=_LICENCE,
    source=_SOURCE,
    files="videomme/*.parquet (or .json, .jsonl), data/<videoID>.mp4",
    published=(
        PublishedScore(score=0.555, **_VIDEO_XL),
        PublishedScore(score=0.640, group="short", **_VIDEO_XL),
        PublishedScore(score=0.532, group="medium", **_VIDEO_XL),
        PublishedScore(score=0.492, group="long", **_VIDEO_XL),
        PublishedScore(model="Apollo 7B", score=0.613, source="arXiv:2412.10360"),
        PublishedScore(model="VideoLLaMA 2.1 7B", score=0.549, source="arXiv:2406.07476"),
    ),
)
SUBTITLED_CARD = BenchmarkCard(
    title="Video-MME with subtitles",
    measures="the same questions, with the subtitles of 32 evenly spaced moments",
    size=_SIZE,
    licence=_LICENCE,
    source=_SOURCE,
    files="as video_mme, and subtitle/<videoID>.srt",
    published=(
        PublishedScore(score=0.610, **_VIDEO_XL),
        PublishedScore(score=0.674, group="short", **_VIDEO_XL),
        PublishedScore(score=0.607, group="medium", **_VIDEO_XL),
        PublishedScore(score=0.549, group="long", **_VIDEO_XL),
        PublishedScore(model="Apollo 7B", score=0.633, source="arXiv:2412.10360"),
        PublishedScore(model="VideoLLaMA 2.1 7B", score=0.564, source="arXiv:2406.07476"),
    ),
)

_INSTRUCTIONS = (
    "Select the best answer to the following multiple-choice question based on the video{also}. "
    "Respond with only the letter (A, B, C, or D) of the correct option."
)
_SUBTITLES = "This video's subtitles are listed below:\n{lines}\n"


def questions(root: Path) -> Iterator[BenchmarkQuestion]:
    """Yield every question, in the order of the file."""
    yield from read_questions(root, with_subtitles=False)


def read_questions(root: Path, *, with_subtitles: bool) -> Iterator[BenchmarkQuestion]:
    """Yield every question, with the subtitles of its video before it if they are wanted."""
    path = find_annotations(root, "videomme/*.parquet", "**/test*.parquet", "**/video*mme*.json*")
    for row in read_annotations(path):
        # The results template nests the questions of a video; the data set lists them flat.
        for item in row.rows("questions") if "questions" in row.values else [row]:
            yield _question(root, row, item, with_subtitles=with_subtitles)


def choose(answer: str, question: BenchmarkQuestion) -> str | None:
    """Return the letter of the first option that an answer names."""
    return first_letter(answer, len(question.options))


def score(answer: str, question: BenchmarkQuestion) -> float:
    """Return 1 for the right letter, else 0."""
    return float(choose(answer, question) == question.answer)


def _question(root: Path, video: Entry, item: Entry, *, with_subtitles: bool) -> BenchmarkQuestion:
    name = str(video.get("videoID") or video["video_id"])
    options = item.texts("options")
    instructions = _INSTRUCTIONS.format(also=" and the subtitles" if with_subtitles else "")
    if with_subtitles:
        file = root / "subtitle" / f"{name}.srt"
        lines = shown_lines(read_srt(file)) if file.is_file() else ""
        lines = lines or "No subtitles available"
        instructions = _SUBTITLES.format(lines=lines) + instructions
    return BenchmarkQuestion(
        id=str(item["question_id"]),
        video=find_media((root / "data", root / "videos", root), name),
        text="\n".join((str(item["question"]), *options, "The best answer is:")),
        answer=str(item["answer"]).strip(),
        options=options,
        instructions=instructions,
        task=str(video["duration"]),
        groups=(str(item["task_type"]),),
    )
