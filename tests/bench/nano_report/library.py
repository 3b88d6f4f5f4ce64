"""An engine over a throw-away library, the frames that go into it, and what it is asked."""

from collections.abc import Sequence
from pathlib import Path

import cv2

from engine.evaluation.metrics import wilson
from engine.evaluation.scratch_engine import WHOLE_VIDEO
from engine.media.frame import Frame
from engine.pipeline.answer import answer
from engine.pipeline.config import EngineConfig, ModelConfig
from engine.pipeline.engine import Engine, assemble
from engine.protocols import Sampling
from engine.records import Answer, Recall
from engine.synthetic.grammar import CANNOT_TELL

STORY_SEED = 90_000
"""Far from the seeds of training, demo and calibration."""
ANSWER_TOKENS = 40


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


def ask(engine: Engine, text: str, recall: Recall | None) -> Answer:
    """The answer that the product gives."""
    sampling = Sampling(max_tokens=ANSWER_TOKENS)
    *_, said = answer(engine, text, scope=WHOLE_VIDEO, sampling=sampling, recall=recall)
    assert isinstance(said, Answer)
    return said


def is_not_found(reply: str) -> bool:
    """Whether a reply says that nothing was found."""
    return reply.startswith("Not found")


def is_refusal(reply: str) -> bool:
    """Whether a reply says that it cannot tell, or that nothing was found."""
    return CANNOT_TELL.rstrip(".").lower() in reply.lower() or is_not_found(reply)


def share(right: Sequence[bool]) -> dict[str, float]:
    """A share with its number of cases and Wilson's 95 % interval."""
    low, high = wilson(sum(right), len(right))
    value = sum(right) / len(right) if right else float("nan")
    return {"n": len(right), "share": value, "low": low, "high": high}
