"""Answers without the memory: the newest chunks, the middle frame, or the question's words alone.

The newest chunks are as many as the memory recalled for the question, so the two cost the same
bytes, up to eight: where the whole video is recalled there would be nothing to compare.
Source: SimpleStream's recent window; Apollo's text-only and single-frame runs (arXiv:2412.10360).
"""

from typing import Final, Literal

from engine.evaluation.benchmark import BenchmarkQuestion
from engine.evaluation.middle_frame import middle_of
from engine.pipeline.answer import answer
from engine.pipeline.config import PAST_CHUNKS
from engine.pipeline.engine import Engine
from engine.protocols import Sampling
from engine.records import ALL_TIME, Answer, Scope, TimeSpan

Baseline = Literal["recent_window", "one_frame", "text_only"]
BASELINES: Final[tuple[Baseline, ...]] = ("recent_window", "one_frame", "text_only")
RECENT_CHUNKS: Final = PAST_CHUNKS
"""Most chunks of a recent window: as many as a new chunk looks back on."""


def ask_without_memory(
    baseline: Baseline,
    engine: Engine,
    question: BenchmarkQuestion,
    scope: Scope,
    n_recalled: int,
    sampling: Sampling,
) -> str:
    """Return what the model answers without its memory.

    Args:
        baseline: What it sees instead.
        engine: Holds the video and its middle frame.
        question: As it was asked of the memory.
        scope: One stretch of one video.
        n_recalled: Chunks that the memory recalled for it.
        sampling: As the memory's answer was drawn.
    """
    if baseline == "text_only":
        prompt = f"{question.instructions}\n{question.text}".strip()
        return "".join(token.text for token in engine.model.generate(prompt, (), sampling)).strip()
    ((video, _),) = scope
    seen: Scope = ((middle_of(video), ALL_TIME),)
    if baseline == "recent_window":
        n_chunks = min(max(1, n_recalled), RECENT_CHUNKS)
        newest = engine.index.refs(scope)[-n_chunks:]
        seen = ((video, TimeSpan(start_s=newest[0].span.start_s, end_s=newest[-1].span.end_s)),)
    *_, final = answer(
        engine,
        question.text,
        scope=seen,
        sampling=sampling,
        recall="all",
        instructions=question.instructions,
        with_remark=False,
    )
    assert isinstance(final, Answer)
    return final.text
