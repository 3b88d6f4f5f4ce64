"""Questions on ten minutes, an hour and ten hours of a camera: cold, warm, one and eight at once.

A drawn stream is read once; questions then go to its first ten minutes, its first hour and all of
it. Figures: time to the first token and to the end of an answer, with latents in memory and read
from the disk; a question in a process that has just started; eight questions at once over eight
in turn, whose answers must be the same; and eight steps of decoding in one over one alone, on a
random decoder of some hundred million weights in either number format.
"""

import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch

from app.config.settings import load_settings
from app.services.benchmarks._footage import DrawnStream
from app.services.benchmarks.decode import cpu_s
from app.services.benchmarks.ingest import QUESTIONS
from app.services.context import ServiceContext
from engine.evaluation.bench._process import in_fresh_process
from engine.evaluation.latency import measure_questions
from engine.models.layers.decoder import Decoder, KvBuffer
from engine.models.layers.decoder_config import DecoderConfig
from engine.models.layers.shared_steps import SharedSteps
from engine.pipeline.answer import answer
from engine.pipeline.config import EngineConfig
from engine.pipeline.engine import Engine, assemble
from engine.pipeline.ingest import ingest
from engine.protocols import Sampling
from engine.records import Answer, Scope, TimeSpan, VideoId

CAMERA: Final = VideoId("camera")
SPANS: Final = {"10_min": 600.0, "1_h": 3600.0, "10_h": 36_000.0}
AT_ONCE: Final = 8
ANSWER_TOKENS: Final = 32
WIDE: Final = DecoderConfig(
    vocab_size=8192, width=1024, mlp_width=2816, n_layers=8, n_heads=16, n_kv_heads=4, head_dim=64
)
STEPS, PAST = 16, 512
BRIEF: Final = {"hours": 2.0}
"""What all benchmarks together measure of this one."""


class _Clocks(NamedTuple):
    """Wall and processor time of some work; on a busy machine the second says more."""

    wall_s: float = float("inf")
    cpu_s: float = float("inf")

    def least(self, other: "_Clocks") -> "_Clocks":
        return _Clocks(min(self.wall_s, other.wall_s), min(self.cpu_s, other.cpu_s))


def measure(*, model: str | None = None, hours: float = 10.0) -> dict[str, Any]:
    """Read a stream, then ask.

    Args:
        model: That reads and answers; the settings' when `None`.
        hours: Length of the stream.
    """
    with tempfile.TemporaryDirectory() as folder:
        config, figures = _read_and_ask(model, hours, Path(folder))
        # A question in a new process, from its start to the answer.
        cold = _timed(lambda: in_fresh_process(_ask_cold, config))
        figures |= {"cold_s": round(cold.wall_s, 2), "cold_cpu_s": round(cold.cpu_s, 2)}
    for dtype in ("float32", "bfloat16"):
        figures[f"eight_steps_over_one_{dtype}"] = in_fresh_process(_steps_together, dtype)
    return {"hours": hours, **figures}


def _read_and_ask(
    model: str | None, hours: float, folder: Path
) -> tuple[EngineConfig, dict[str, Any]]:
    context = ServiceContext(load_settings({"model": model}, home=folder / "home"))
    config = replace(
        context.engine.config, latents_folder=folder, index_folder=folder, durable=False
    )
    engine = assemble(config, model=context.engine.model)
    for _ in ingest(engine, CAMERA, DrawnStream(round(hours * 3600))):
        pass
    engine.save_index()
    figures: dict[str, Any] = {}
    cache = replace(config.cache, host_bytes=0)
    tiers = {
        "memory": engine,
        "disk": assemble(replace(config, cache=cache), model=engine.model),
    }
    for tier, reader in tiers.items():
        for name, span_s in SPANS.items():
            if span_s > hours * 3600:
                continue
            used = cpu_s()
            speed = measure_questions(
                reader,
                [QUESTIONS[0], *QUESTIONS * 4],
                scope=_first(span_s),
                recall="top",
                max_tokens=ANSWER_TOKENS,
            )
            answer_cpu_ms = (cpu_s() - used) * 1000 / (speed.n + 1)
            figures[f"{name}_{tier}_first_token_p50_ms"] = round(speed.first_token.p50_ms, 1)
            figures[f"{name}_{tier}_first_token_p95_ms"] = round(speed.first_token.p95_ms, 1)
            figures[f"{name}_{tier}_answer_p50_ms"] = round(speed.total.p50_ms, 1)
            figures[f"{name}_{tier}_answer_cpu_ms"] = round(answer_cpu_ms, 1)
    figures |= _at_once(engine, _first(hours * 3600))
    context.close()
    return config, figures


def _first(span_s: float) -> Scope:
    return ((CAMERA, TimeSpan(start_s=0.0, end_s=span_s)),)


def _ask(engine: Engine, question: str, scope: Scope) -> str:
    sampling = Sampling(max_tokens=ANSWER_TOKENS)
    *_, final = answer(engine, question, scope=scope, recall="top", sampling=sampling)
    assert isinstance(final, Answer)
    return final.text


def _at_once(engine: Engine, scope: Scope) -> dict[str, Any]:
    """Ask eight questions in turn and at once, three times each; the least times count."""
    questions = [QUESTIONS[number % len(QUESTIONS)] for number in range(AT_ONCE)]
    texts: dict[int, str] = {}

    def ask(number: int) -> None:
        texts[number] = _ask(engine, questions[number], scope)

    asks = [partial(ask, number) for number in range(AT_ONCE)]
    in_turn, together = _Clocks(), _Clocks()
    same = True
    for _ in range(3):
        in_turn = in_turn.least(_timed(lambda: [work() for work in asks]))
        expected = dict(texts)
        together = together.least(_timed(lambda: _run_together(asks)))
        same = same and texts == expected
    return {
        "eight_in_turn_ms": round(in_turn.wall_s * 1000, 1),
        "eight_at_once_ms": round(together.wall_s * 1000, 1),
        "eight_at_once_over_in_turn": round(together.wall_s / in_turn.wall_s, 2),
        "eight_at_once_over_in_turn_cpu": round(together.cpu_s / in_turn.cpu_s, 2),
        "eight_at_once_same_answers": same,
    }


def _run_together(works: Sequence[Callable[[], object]]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _timed(work: Callable[[], object]) -> _Clocks:
    started, used = time.perf_counter(), cpu_s()
    work()
    return _Clocks(time.perf_counter() - started, cpu_s() - used)


def _ask_cold(config: EngineConfig) -> str:
    torch.set_num_threads(1)
    return _ask(assemble(config), QUESTIONS[0], _first(SPANS["10_h"]))


def _steps_together(dtype: str) -> float:
    """Return the processor time of steps that eight answers share, over that of one alone."""
    torch.set_num_threads(1)
    decoder = Decoder(WIDE).eval()
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.normal_(0.0, parameter.shape[-1] ** -0.5, generator=random)
    decoder = decoder.to(getattr(torch, dtype))
    shared = SharedSteps(decoder)
    alone, together = float("inf"), float("inf")
    for _ in range(3):
        alone = min(alone, _decode(decoder, shared, 1))
        together = min(together, _decode(decoder, shared, AT_ONCE))
    return round(together / alone, 2)


def _decode(decoder: Decoder, shared: SharedSteps, n_answers: int) -> float:
    buffers = [decoder.buffer(PAST + STEPS) for _ in range(n_answers)]
    for buffer in buffers:
        buffer.n = PAST
    works = [partial(_answer, decoder, shared, buffer) for buffer in buffers]
    started = time.process_time()
    _run_together(works)
    return time.process_time() - started


@torch.inference_mode()
def _answer(decoder: Decoder, shared: SharedSteps, buffer: KvBuffer) -> None:
    token = 0
    for _ in range(STEPS):
        logits = shared.step(decoder.embed(torch.tensor([[token]])), buffer)
        token = int(logits.argmax())
    shared.leave(buffer)
