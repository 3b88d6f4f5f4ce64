"""MVBench: twenty tasks about what changes over a short clip.

Prompt: that of Ask-Anything's mvbench.ipynb. Scoring: its `check_ans` as far as the letter goes;
the mean over the tasks. Four tasks ask about a part of their video (`start`, `end`), and episodic
reasoning comes as folders of pictures, three a second.
Source: arXiv:2311.17005; folders as in lmms-eval 0.7.3, mvbench/utils.py.

# Differs from upstream: "Best option: (" ends the prompt and does not open the assistant's turn.
"""

from collections.abc import Iterator
from pathlib import Path

from engine.errors import InputRefusedError
from engine.evaluation.annotations import (
    Entry,
    find_media,
    no_annotations,
    read_annotations,
)
from engine.evaluation.benchmark import BenchmarkCard, BenchmarkQuestion, PublishedScore
from engine.evaluation.multiple_choice import bracketed, leading_letter, letter_of

CARD = BenchmarkCard(
    title="MVBench",
    measures="twenty tasks of short clips that no single frame answers",
    size="4,000 questions, clips of 5 to 35 seconds",
    licence="MIT (annotations); each source of clips has its own",
    source="arXiv:2311.17005",
    files="json/<task>.json, video/<source>/<video>",
    mean="tasks",
    published=(
        PublishedScore(model="PLLaVA 7B", score=0.466, source="arXiv:2404.16994"),
        PublishedScore(model="PLLaVA 34B", score=0.581, source="arXiv:2404.16994"),
        PublishedScore(model="VideoLLaMA 2.1 7B", score=0.573, source="arXiv:2406.07476"),
    ),
)
_INSTRUCTIONS = (
    "Carefully watch the video and pay attention to the cause and sequence of events, the detail "
    "and movement of objects, and the action and pose of persons. Based on your observations, "
    "select the best option that accurately addresses the question."
)
_FOLDERS = {
    "action_antonym": "ssv2_video",
    "action_count": "perception/videos",
    "action_localization": "sta/sta_video",
    "action_prediction": "star/Charades_v1_480",
    "action_sequence": "star/Charades_v1_480",
    "character_order": "perception/videos",
    "counterfactual_inference": "clevrer/video_validation",
    "egocentric_navigation": "vlnqa",
    "episodic_reasoning": "tvqa/frames_fps3_hq",
    "fine_grained_action": "Moments_in_Time_Raw/videos",
    "fine_grained_pose": "nturgbd",
    "moving_attribute": "clevrer/video_validation",
    "moving_count": "clevrer/video_validation",
    "moving_direction": "clevrer/video_validation",
    "object_existence": "clevrer/video_validation",
    "object_interaction": "star/Charades_v1_480",
    "object_shuffle": "perception/videos",
    "scene_transition": "scene_qa/video",
    "state_change": "perception/videos",
    "unexpected_action": "FunQA_test/test",
}


def questions(root: Path) -> Iterator[BenchmarkQuestion]:
    """Yield the questions of every task that is there."""
    files = [path for task in _FOLDERS for path in sorted(root.rglob(f"{task}.json"))[:1]]
    if not files:
        raise no_annotations(root, "json/action_antonym.json or other task")
    for path in files:
        for number, row in enumerate(read_annotations(path)):
            yield _question(root, path.stem, number, row)


def choose(answer: str, question: BenchmarkQuestion) -> str | None:
    """Return the letter that an answer begins with."""
    return leading_letter(answer, len(question.options))


def score(answer: str, question: BenchmarkQuestion) -> float:
    """Return 1 for the right letter, else 0."""
    return float(choose(answer, question) == question.answer)


def _question(root: Path, task: str, number: int, row: Entry) -> BenchmarkQuestion:
    candidates, wanted = row.texts("candidates"), str(row["answer"])
    if wanted not in candidates:
        raise InputRefusedError(f"{row.where}: the answer is none of the candidates")
    media = root / "video"
    folder = media / _FOLDERS[task]
    source = folder.relative_to(media).parts[0]
    folders = (folder, media / "data0613" / _FOLDERS[task], *sorted((media / source).glob("*/")))
    return BenchmarkQuestion(
        id=f"{task}/{number:03d}",
        video=find_media((*folders, media, root), str(row["video"])),
        text=f"Question: {row['question']}\nOptions:\n{bracketed(candidates)}\n"
        "Only give the best option.\nBest option: (",
        answer=letter_of(candidates.index(wanted)),
        options=candidates,
        instructions=_INSTRUCTIONS,
        task=task,
        # Clips that were cut already ("..._segment" folders of the mirror) come without times.
        clip=row.span("start", "end"),
    )
