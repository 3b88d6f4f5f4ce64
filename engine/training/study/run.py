"""A study from nothing to its records: bank, towers, features, then one variant after the other."""

import json
import time
from collections.abc import Generator, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from tokenizers import Tokenizer

from engine.errors import InputRefusedError
from engine.files import atomic_write_bytes
from engine.training.loop import LoopConfig, Progress, run_stage
from engine.training.nano.clip_stage import BatchSizes, ClipSizes, ClipStage
from engine.training.nano.decoder_stage import Features
from engine.training.nano.run import (
    BankPlan,
    FrameBank,
    bank_features,
    build_bank,
    labelled_frames,
    open_vocabulary,
)
from engine.training.study.plan import StudyPlan, StudyVariant
from engine.training.study.variant import StudyStage, settings_of, summarise

RECORD: Final = "record.json"
SETTINGS: Final = "settings.json"
_TOWER_BATCH: Final = BatchSizes(cards=64, frames=64, other=16)
"""Of `nano_smoke`."""


def run_study(plan: StudyPlan, output: Path) -> Iterator[Progress]:
    """Train and measure what has no record yet; killed at any moment, it goes on where it was.

    Args:
        plan: May have grown since an earlier call: records of variants that are in both stay.
        output: Gets `bank/`, `encoders/NAME/` and `variants/NAME/record.json`.
    Raises:
        InputRefusedError: A variant or tower there is of other settings.
    """
    output.mkdir(parents=True, exist_ok=True)
    tokenizer = open_vocabulary(output / "vocabulary.json")
    variants = tuple(plan.variants())
    features: tuple[str, Features, Features] | None = None
    # All of a tower's variants together: one set of features is held at a time.
    for variant in sorted(variants, key=lambda v: list(plan.encoders).index(_encoder(v))):
        folder = output / "variants" / variant.name
        keep_settings(folder, settings_of(variant, plan))
        if (folder / RECORD).is_file():
            continue
        if features is None or features[0] != _encoder(variant):
            features = None
            train, test = yield from _features(plan, _encoder(variant), tokenizer, output)
            features = (_encoder(variant), train, test)
        yield from _train(variant, plan, features[1], features[2], tokenizer, folder)


def read_records(plan: StudyPlan, output: Path) -> dict[str, dict[str, Any]]:
    """Return the records that there are, by name of their variant."""
    records = {}
    for variant in plan.variants():
        path = output / "variants" / variant.name / RECORD
        if path.is_file():
            records[variant.name] = json.loads(path.read_text(encoding="utf-8"))
    return records


def keep_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Write down what a folder's content depends on, or find that it agrees.

    Raises:
        InputRefusedError: The folder is of other settings.
    """
    path = folder / SETTINGS
    folder.mkdir(parents=True, exist_ok=True)
    if not path.is_file():
        atomic_write_bytes(path, (json.dumps(settings, indent=1) + "\n").encode())
    elif json.loads(path.read_text(encoding="utf-8")) != json.loads(json.dumps(settings)):
        raise InputRefusedError(
            f"{folder} is of a study with other settings",
            hint="give the changed plan a new output folder, or remove that folder",
        )


def _encoder(variant: StudyVariant) -> str:
    return str(variant.choices["encoder"])


def _features(
    plan: StudyPlan, name: str, tokenizer: Tokenizer, output: Path
) -> Generator[Progress, None, tuple[Features, Features]]:
    """Train a tower if need be, and return its features of both banks."""
    bank, encoder = plan.bank, plan.encoders[name]
    keep_settings(output / "bank", {"seed": plan.seed, **asdict(bank)})
    amounts = BankPlan(
        n_clips=bank.clips,
        n_stories=1,  # Not used; a bank has a few.
        n_cards=bank.cards,
        n_real=bank.background,
        n_distractors=bank.distractors,
        n_test=bank.test_clips,
    )
    yield Progress(stage="bank", step=0, n_steps=1, note="drawing frames")
    train = build_bank(output / "bank" / "train", amounts, plan.seed, held_out=False)
    test = build_bank(output / "bank" / "test", amounts, plan.seed, held_out=True)
    folder = output / "encoders" / name
    keep_settings(folder, {"seed": plan.seed, "bank": asdict(bank), **asdict(encoder)})
    sizes = ClipSizes(width=encoder.width, n_layers=encoder.n_layers, n_heads=encoder.n_heads)
    stage = ClipStage(
        sizes,
        labelled_frames(train),
        labelled_frames(test),
        tokenizer,
        batch=_TOWER_BATCH,
        seed=plan.seed,
    )
    stage.name = f"encoder {name}"
    loop = LoopConfig(
        n_steps=encoder.steps,
        learning_rate=1.5e-3,
        warmup_steps=min(40, encoder.steps),
        save_every=max(1, min(100, encoder.steps)),
        seed=plan.seed,
    )
    yield from run_stage(stage, loop, folder / "tower", resume=True)
    yield Progress(stage=stage.name, step=encoder.steps, n_steps=encoder.steps, note="features")

    def of(part: str, frames: FrameBank) -> Features:
        return bank_features(stage.clip, frames, folder / f"{part}_features.safetensors")

    return of("train", train), of("test", test)


def _train(
    variant: StudyVariant,
    plan: StudyPlan,
    features: Features,
    held_out: Features,
    tokenizer: Tokenizer,
    folder: Path,
) -> Iterator[Progress]:
    """Train a variant through its stages, measure it and write its record."""
    stage = StudyStage(variant, plan, features, held_out, tokenizer)
    schedules = plan.stages[str(variant.choices["stages"])]
    total, done, wall_s = sum(schedule.steps for schedule in schedules), 0, 0.0
    for number, schedule in enumerate(schedules):
        stage.go_on((done / total, (done + schedule.steps) / total), draws=36 + number)
        stage.learn(schedule.learns)
        loop = LoopConfig(
            n_steps=schedule.steps,
            learning_rate=plan.training.learning_rate,
            warmup_steps=min(plan.training.warmup_steps, schedule.steps),
            save_every=max(1, min(200, schedule.steps)),
            seed=variant.seed,
        )
        last = 0.0
        for line in run_stage(stage, loop, folder / f"stage{number}", resume=True):
            last = line.wall_s
            yield line
        done += schedule.steps
        wall_s += last
    started = time.monotonic()
    stage.module.eval()
    scores = stage.score_contexts(plan.measure)
    record = {
        "variant": variant.name,
        "size": variant.size,
        "options": variant.options,
        "seed": variant.seed,
        "parameters": sum(p.numel() for p in stage.module.decoder.parameters()),
        "train_wall_s": round(wall_s, 1),
        "measure_wall_s": round(time.monotonic() - started, 1),
        "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **summarise(scores),
        "settings": settings_of(variant, plan),
        "contexts": [list(asdict(score).values()) for score in scores],
    }
    # The record comes last: what a kill in between leaves is measured again.
    atomic_write_bytes(folder / RECORD, (json.dumps(record) + "\n").encode())
    for number in range(len(schedules)):
        # Weights of a measured variant are of no more use; its curves stay.
        (folder / f"stage{number}" / "checkpoint.pt").unlink(missing_ok=True)
    yield Progress(
        stage=variant.name,
        step=total,
        n_steps=total,
        scores=summarise(scores),
        note="measured",
    )
