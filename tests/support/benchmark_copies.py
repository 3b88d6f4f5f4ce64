"""Made-up copies of published benchmarks: annotation files in their formats over drawn clips.

Every copy holds the same plan: questions whose planted reply is right, wrong, and names no choice,
and one whose video is missing. `reply_to` says what the planted model answers to a question.
"""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from engine.evaluation.benchmarks.drawn import SEEDS
from engine.media.encode import write_video

RIGHT, WRONG, UNPARSABLE, MISSING = "alpha", "beta", "gamma", "delta"
PLANS = (RIGHT, WRONG, UNPARSABLE, MISSING)
"""Words that stand in the questions, and say what becomes of each."""
MUTE = "..."
"""A reply that names nothing in any format."""
OPTIONS = ("a red wall", "a blue wall", "a green wall", "a grey wall", "a white wall")


def draw_clip(path: Path, *, seconds: int = 4) -> Path:
    """Draw a clip of one colour a second, as small as encoders take it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (110, 110, 110)]
    frames = (np.full((64, 64, 3), colours[idx % 4], dtype=np.uint8) for idx in range(seconds))
    write_video(path, frames, fps=1.0)
    return path


def write_copy(name: str, root: Path) -> None:
    """Write a copy of a benchmark below a folder."""
    if name == "drawn":
        for seed in SEEDS:  # What is there is not drawn again.
            (root / f"story-{seed}.mp4").touch()
        return
    COPIES[name](root)


def ask(plan: str) -> str:
    """A question whose plan a planted model recognises."""
    return f"Which wall is shown at {plan}?"


def reply_to(prompt: str, right: str, wrong: str) -> str:
    """What a planted model replies: by the word of the plan in the prompt."""
    return right if RIGHT in prompt else wrong if WRONG in prompt else MUTE


def _json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def _clips(folder: Path, names: Mapping[str, str]) -> None:
    """Draw the clip of every plan but the missing one."""
    for plan, name in names.items():
        if plan != MISSING:
            draw_clip(folder / name)


def _named(ending: str = ".mp4") -> dict[str, str]:
    return {plan: f"clip_{plan}{ending}" for plan in PLANS}


def _video_mme(root: Path) -> None:
    _clips(root / "data", _named())
    rows = [
        {
            "video_id": f"{idx:03d}",
            "duration": "short" if idx < 2 else "long",
            "domain": "Knowledge",
            "sub_category": "Geography",
            "videoID": f"clip_{plan}",
            "question_id": f"{idx:03d}-1",
            "task_type": "Attribute Perception",
            "question": ask(plan),
            "options": [f"{letter}. {text}" for letter, text in zip("ABCD", OPTIONS, strict=False)],
            "answer": "B",
        }
        for idx, plan in enumerate(PLANS)
    ]
    _json(root / "video_mme.json", rows)


def _video_mme_subtitles(root: Path) -> None:
    _video_mme(root)
    (root / "subtitle").mkdir()
    (root / "subtitle" / f"clip_{RIGHT}.srt").write_text(
        "1\n00:00:00,000 --> 00:00:02,000\n<font>A planted line</font>\n\n"
        "2\n00:00:02,000 --> 00:00:04,000\nand another\n",
        encoding="utf-8",
    )


def _mlvu(root: Path) -> None:
    _clips(root / "video" / "1_plotQA", _named())
    rows = [
        {
            "video": f"clip_{plan}.mp4",
            "duration": 4,
            "question": ask(plan),
            "candidates": list(OPTIONS[:4]),
            "answer": OPTIONS[1],
            "question_type": "plotQA",
        }
        for plan in PLANS
    ]
    _json(root / "json" / "1_plotQA.json", rows)
    draw_clip(root / "video" / "4_count" / "n.mp4")
    counted = {"video": "n.mp4", "candidates": ["1", "2", "2", "3"], "answer": "2"}
    _json(root / "json" / "4_count.json", [{**counted, "question": f"{ask(RIGHT)} (count)"}])


def _mvbench(root: Path) -> None:
    _clips(root / "video" / "star" / "Charades_v1_480", _named())
    rows = [
        {
            "video": f"clip_{plan}.mp4",
            "question": ask(plan),
            "candidates": list(OPTIONS[:4]),
            "answer": OPTIONS[1],
            "start": 1.0,
            "end": 3.0,
        }
        for plan in PLANS
    ]
    _json(root / "json" / "action_sequence.json", rows)
    pictures = root / "video" / "tvqa" / "frames_fps3_hq" / "scene"
    pictures.mkdir(parents=True)
    for idx in range(6):
        Image.fromarray(np.full((32, 32, 3), 40 * idx, np.uint8)).save(pictures / f"{idx:05d}.jpg")
    episode = {"video": "scene", "candidates": list(OPTIONS), "answer": OPTIONS[1]}
    _json(root / "json" / "episodic_reasoning.json", [{**episode, "question": ask(RIGHT)}])


def _longvideobench(root: Path) -> None:
    _clips(root / "videos", _named())
    rows = [
        {
            "id": f"clip_{plan}_0",
            "video_id": f"clip_{plan}",
            "video_path": f"clip_{plan}.mp4",
            "subtitle_path": "none.json",
            "question": ask(plan),
            "candidates": list(OPTIONS[:4]),
            "correct_choice": 1,
            "duration_group": 15,
            "question_category": "T2O",
            "duration": 4.0,
        }
        for plan in PLANS
    ]
    _json(root / "lvb_val.json", rows)


def _egoschema(root: Path) -> None:
    _clips(root / "videos", _named())
    rows = [
        {
            "q_uid": f"clip_{plan}",
            "google_drive_id": "",
            "question": ask(plan),
            **{f"option {idx}": text for idx, text in enumerate(OPTIONS)},
        }
        for plan in PLANS
    ]
    hidden = {**rows[0], "q_uid": "hidden", "question": "Nobody knows."}
    _json(root / "questions.json", [*rows, hidden])
    _json(root / "subset_answers.json", {f"clip_{plan}": 1 for plan in PLANS})


def _nextqa(root: Path) -> None:
    _clips(root / "NExTVideo" / "1002", _named())
    with (root / "test.csv").open("w", newline="", encoding="utf-8") as file:
        columns = ["video", "frame_count", "width", "height", "question", "answer", "qid", "type"]
        table = csv.DictWriter(file, [*columns, "a0", "a1", "a2", "a3", "a4"])
        table.writeheader()
        for idx, plan in enumerate(PLANS):
            table.writerow(
                {
                    "video": str(4000 + idx),
                    "frame_count": 4,
                    "width": 64,
                    "height": 64,
                    "question": ask(plan),
                    "answer": 1,
                    "qid": 6,
                    "type": ("CW", "CH", "TN", "DO")[idx],
                    **{f"a{place}": text for place, text in enumerate(OPTIONS)},
                }
            )
    listing = {str(4000 + idx): f"1002/clip_{plan}" for idx, plan in enumerate(PLANS)}
    _json(root / "map_vid_vidorID.json", listing)


def _perception_test(root: Path) -> None:
    _clips(root / "videos", _named())
    content = {
        f"clip_{plan}": {
            "metadata": {"split": "valid", "video_id": f"clip_{plan}"},
            "mc_question": [
                {
                    "id": 0,
                    "question": ask(plan),
                    "options": list(OPTIONS[:3]),
                    "answer_id": 1,
                    "area": "memory",
                    "reasoning": "descriptive",
                    "tag": ["colour"],
                }
            ],
        }
        for plan in PLANS
    }
    _json(root / "mc_question_valid.json", content)


def _vico(root: Path) -> None:
    """As `longwatch vico` writes them, one of them to be written freely."""
    _clips(root, _named())
    lines = []
    for plan in PLANS:
        listed = "\n".join(
            f"({letter}) {text}" for letter, text in zip("ABC", OPTIONS, strict=False)
        )
        asked = [(f"{ask(plan)}\n{listed}", "(B)", 3), (f"{ask(plan)}\n- {OPTIONS[0]}", "", 0)]
        for number, (text, right, n_options) in enumerate(asked, start=1):
            turns = [
                {"from": "human", "value": f"<video>\n{text}"},
                {"from": "gpt", "value": right or OPTIONS[0]},
            ]
            kind = "first" if n_options else "write_order"
            line = {
                "id": f"clip_{plan}.mp4#{number}",
                "video": f"clip_{plan}.mp4",
                "conversations": turns,
                "vico": {"kind": kind, "n_options": n_options, "clues": []},
            }
            lines.append(json.dumps(line))
    (root / "vico.jsonl").write_text("\n".join(lines), encoding="utf-8")


def _vnbench(root: Path) -> None:
    rows: list[dict[str, Any]] = []
    for plan, kind in zip(PLANS, ("ret_edit1", "ret_edit1", "ord_edit1", "cnt_edit1"), strict=True):
        name = f"VNBench_new/clip_{plan}_{kind}.mp4"
        if plan != MISSING:
            draw_clip(root / name)
        for turn in range(4):
            options = [*OPTIONS[turn:4], *OPTIONS[:turn]]
            rows.append(
                {
                    "video": name,
                    # In one sample of two the last try alone is wrong.
                    "question": ask(plan if plan != WRONG or turn == 3 else RIGHT),
                    "options": options,
                    "gt": OPTIONS[1],
                    "gt_option": "ABCD"[options.index(OPTIONS[1])],
                    "length": 4,
                    "type": kind,
                    "try": turn,
                }
            )
    _json(root / "VNBench-main-4try.json", rows)


def _tempcompass(root: Path) -> None:
    _clips(root / "videos", _named())
    listed = "\n".join(f"{letter}. {text}" for letter, text in zip("ABCD", OPTIONS, strict=False))
    captions = "\n".join(f"Option {idx}: {text}" for idx, text in enumerate(OPTIONS[:2], start=1))
    choice = {
        f"clip_{plan}": {
            "action": [{"question": f"{ask(plan)}\n{listed}", "answer": f"B. {OPTIONS[1]}"}]
        }
        for plan in PLANS
    }
    _json(root / "questions" / "multi-choice.json", choice)
    polar = {f"clip_{RIGHT}": {"speed": [{"question": ask(RIGHT), "answer": "yes"}]}}
    _json(root / "questions" / "yes_no.json", polar)
    matching = {
        f"clip_{WRONG}": {
            "order": [
                {"question": f"{ask(WRONG)}\n{captions}", "answer": f"Option 2: {OPTIONS[1]}"}
            ]
        }
    }
    _json(root / "questions" / "caption_matching.json", matching)
    _json(root / "questions" / "captioning.json", {})


def _music_avqa(root: Path) -> None:
    _clips(root / "videos", _named())
    rows = [
        {
            "video_id": f"clip_{plan}",
            "question_id": idx,
            "type": '["Audio-Visual", "Existential"]',
            "question_content": f"Is the <Object> at {plan} always playing?",
            "templ_values": '["flute"]',
            "question_deleted": 0,
            "anser": "two" if plan == MISSING else "yes",
        }
        for idx, plan in enumerate(PLANS)
    ]
    _json(root / "avqa-test.json", rows)


def _avqa(root: Path) -> None:
    _clips(root / "videos", _named())
    rows = [
        {
            "id": idx,
            "video_name": f"clip_{plan}",
            "video_id": idx,
            "question_text": ask(plan),
            "multi_choice": list(OPTIONS[:4]),
            "answer": 1,
            "question_relation": "Both",
            "question_type": "Which",
        }
        for idx, plan in enumerate(PLANS)
    ]
    _json(root / "val_qa.json", rows)


def _apollobench(root: Path) -> None:
    _clips(root, _named())
    rows: Sequence[Mapping[str, object]] = [
        {
            "id": f"mlvu/{plan}",
            "video": f"clip_{plan}.mp4",
            "question": ask(plan),
            "options": OPTIONS[:4],
            "answer": "B",
            "category": "Perception",
            "source": "mlvu",
        }
        for plan in PLANS
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (root / "apollobench.jsonl").write_text(lines, encoding="utf-8")


COPIES: dict[str, Callable[[Path], None]] = {
    "apollobench": _apollobench,
    "avqa": _avqa,
    "egoschema": _egoschema,
    "longvideobench": _longvideobench,
    "mlvu": _mlvu,
    "music_avqa": _music_avqa,
    "mvbench": _mvbench,
    "nextqa": _nextqa,
    "perception_test": _perception_test,
    "tempcompass": _tempcompass,
    "vico": _vico,
    "video_mme": _video_mme,
    "video_mme_subtitles": _video_mme_subtitles,
    "vnbench": _vnbench,
}
