"""What is measured of a model through the whole service: probes, benchmarks, calibration."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import cast

import numpy as np
from jaxtyping import UInt8

from app.cli.render import ProgressUpdate
from app.config.engine_config import media_limits
from app.sandbox.reader import SandboxedReader
from app.schemas.evaluation import (
    CalibrationResponse,
    EvalResponse,
    EvidenceResponse,
    EvidenceRow,
    RatesItem,
    ShareItem,
)
from app.schemas.probes import ProbeResponse, describe_probe
from app.services.context import ProgressCallback, Service, no_progress
from engine import plugins
from engine.evaluation import benchmarks, grounding
from engine.evaluation.abstention import Rates, draw_curve, rates_by_setting
from engine.evaluation.calibration import Calibration, calibrate, write
from engine.evaluation.grounding import Mean, Row
from engine.evaluation.metrics import accuracy, wilson
from engine.evaluation.needle import drawn_needles, load_needles
from engine.evaluation.needle_grid import (
    GridConfig,
    draw_heat_map,
    drawn_haystack,
    run_grid,
    write_table,
)
from engine.evaluation.runner import mean_score
from engine.evaluation.runner import read as read_results
from engine.evaluation.runner import run as run_benchmark
from engine.media.frames import Frame
from engine.protocols import Benchmark
from engine.records import ProbeResult, Recall
from engine.synthetic.recordings import LENGTHS, Recording, recordings

HAYSTACK_SIDE_PX = 448
"""Frames of a haystack are scaled down to this: above every tower's input."""

DRAWN = "a drawn recording"
"""What a haystack is called that no file was named for."""

CALIBRATION_FRAMES = 300
"""Most of one foreign recording, so that none outweighs the others."""


def probe(
    service: Service,
    haystack: str | None,
    *,
    lengths: Sequence[int],
    depths: Sequence[float],
    ratio: int | None = None,
    needles: Path | None = None,
    n_seeds: int = 4,
    first_seed: int = 0,
    recall: Recall = "top",
    plot: Path | None = None,
    csv: Path | None = None,
    report: ProgressCallback = no_progress,
) -> ProbeResponse:
    """Plant needles in a haystack and see where they are found again.

    Args:
        haystack: A file or a video of the library; drawn when `None`.
        lengths: Sampled frames of each haystack; a shorter one is repeated.
        depths: Where the needle lies, 0 start to 1 end.
        ratio: Visual tokens per latent; the model's when `None`.
        needles: A folder of pictures with `needles.jsonl`; drawn cards when `None`.
        n_seeds: Drawn needles per cell.
        first_seed: Of the drawn needles.
        recall: The best chunks, or the full memory.
        plot: Where a heat map goes.
        csv: Where the cells go.
    """
    config = GridConfig(
        lengths=tuple(lengths), depths=tuple(depths), recall=recall, compression_ratio=ratio
    )
    planted = (
        drawn_needles(n_seeds, first_seed=first_seed) if needles is None else load_needles(needles)
    )
    n_cells = len(config.lengths) * len(config.depths)
    with open_haystack(service, haystack, max(lengths)) as (name, frames):
        for n_done, step in enumerate(
            run_grid(service.engine, frames, planted, config, haystack=name), start=1
        ):
            if isinstance(step, ProbeResult):
                break
            report(
                ProgressUpdate(
                    what="probing",
                    done=n_done,
                    total=n_cells,
                    note=f"{step.length_frames} frames, depth {step.depth:.2f}",
                )
            )
        else:
            raise AssertionError("the last step of a grid is its result")
    if plot is not None:
        draw_heat_map(step, plot)
    if csv is not None:
        write_table(step, csv)
    return describe_probe(step)


def evaluate(
    service: Service,
    name: str,
    root: Path,
    results: Path,
    *,
    report: ProgressCallback = no_progress,
) -> EvalResponse:
    """Ask a benchmark's questions, going on behind those that have a record already.

    Args:
        name: A file of `engine/evaluation/benchmarks`.
        root: A local copy of its data.
        results: JSON lines, one a question.
    """
    benchmark = plugins.load(benchmarks, name, defines=("questions", "score"))
    limits = media_limits(service.settings)
    steps = run_benchmark(
        service.engine,
        cast(Benchmark, benchmark),
        root,
        results,
        lambda path: SandboxedReader(str(path), service.engine.sampling, limits=limits),
    )
    for n_done, step in enumerate(steps, start=1):
        report(ProgressUpdate(what=name, done=n_done, total=None, note=step.question))
    kept = read_results(results)
    timed = [each for each in kept if each.evidence_hit_at_1 is not None]
    return EvalResponse(
        benchmark=name,
        questions=len(kept),
        score=mean_score(kept),
        evidence_questions=len(timed),
        evidence_hit_at_1=accuracy([bool(each.evidence_hit_at_1) for each in timed]),
        results=str(results),
    )


def calibrate_model(
    service: Service, haystacks: Sequence[str] = (), *, plot: Path | None = None
) -> CalibrationResponse:
    """Measure what the model's retrieval signals are worth; the result lies by its weights.

    Args:
        haystacks: Footage in which cards are held up. Where there are several, every other one
            is kept for the test.
        plot: Where the curve of misses and false alarms goes.
    """
    fitted, tested = _footage(service, haystacks[::2]), _footage(service, haystacks[1::2])
    measured = calibrate(service.engine, footage=fitted, tested_footage=tested or None)
    path = write(measured.retrieval, service.engine.config.model.folder)
    if plot is not None:
        draw_curve(measured.claims, plot)
    return describe_calibration(path, measured)


def compare_signals(
    service: Service,
    haystacks: Sequence[str] = (),
    *,
    lengths: Sequence[int] = LENGTHS,
    n_frames: int = grounding.FRAMES_EACH,
    seed: int = grounding.SEED,
    report: ProgressCallback = no_progress,
) -> EvidenceResponse:
    """Measure how well evidence is found by vectors, by attention to VST keys, and by both.

    Args:
        haystacks: Footage in which cards are held up, beside drawn stories.
        lengths: Frames of each recording.
        n_frames: Frames of each length and setting in all; one recording at least.
        seed: Of the first recording.
    """
    footage = _footage(service, haystacks)
    engine, fps = service.engine, float(service.engine.sampling.fps)

    def note(recording: Recording) -> None:
        what = f"{recording.setting}, {recording.n_frames} frames"
        report(ProgressUpdate(what="measuring evidence", done=0, total=None, note=what))

    # On recordings of its own, so that nothing is tuned on what is then measured.
    weight = grounding.best_weight(
        engine,
        recordings(fps, footage, lengths=(256,), frames_each=n_frames, seed=seed + 500),
    )
    trials = list(
        grounding.measure(
            engine,
            recordings(fps, footage, lengths=lengths, frames_each=n_frames, seed=seed),
            grounding.signal_configs(engine, weight),
            on_recording=note,
        )
    )
    return EvidenceResponse(
        model=str(service.engine.config.model.folder),
        attention_weight=weight,
        overall=describe_rows(grounding.tabulate(trials, lambda trial: "all")),
        by_setting=describe_rows(grounding.tabulate(trials, grounding.by_setting)),
        by_kind=describe_rows(grounding.tabulate(trials, grounding.by_kind)),
    )


def _footage(service: Service, haystacks: Sequence[str]) -> list[UInt8[np.ndarray, "h w 3"]]:
    """The frames of several recordings, one after the other."""
    frames: list[UInt8[np.ndarray, "h w 3"]] = []
    for source in haystacks:
        with open_haystack(service, source, CALIBRATION_FRAMES) as (_, read):
            frames += [frame.pixels for frame in read]
    return frames


@contextmanager
def open_haystack(
    service: Service, source: str | None, n_frames: int
) -> Iterator[tuple[str, Iterator[Frame]]]:
    """A name, and sampled frames as they are read; a drawn recording when nothing is named.

    Static footage is not thinned here: a length in frames is then a length in time.

    Args:
        source: A file, or a video of the library by id or name.
        n_frames: Most frames that will be wanted.
    """
    sampling = replace(service.engine.sampling, thin_static=False, max_side_px=HAYSTACK_SIDE_PX)
    if source is None:
        yield DRAWN, drawn_haystack(n_frames, fps=sampling.fps)
        return
    uri, name = source, Path(source).name
    if not Path(source).is_file():
        row = service.catalog.videos.resolve(source)
        uri, name = row.uri, row.name
    with SandboxedReader(uri, sampling, limits=media_limits(service.settings)) as reader:
        yield name, islice(reader, n_frames)


def describe_rates(rows: Sequence[Rates]) -> list[RatesItem]:
    """Rates as their documents."""
    return [
        RatesItem(
            group=row.group,
            n_there=row.n_there,
            misses=row.misses,
            miss_rate=_share(row.misses, row.n_there),
            n_absent=row.n_absent,
            false_alarms=row.false_alarms,
            false_alarm_rate=_share(row.false_alarms, row.n_absent),
        )
        for row in rows
    ]


def describe_calibration(file: Path, measured: Calibration) -> CalibrationResponse:
    """A calibration as its document."""
    return CalibrationResponse(
        file=str(file),
        signals=measured.retrieval.signals,
        rates=describe_rates(rates_by_setting(measured.claims)),
    )


def describe_rows(rows: Sequence[Row]) -> list[EvidenceRow]:
    """Rows as their documents."""
    return [
        EvidenceRow(
            group=row.group,
            signals=row.signals,
            n=row.n,
            hit_at_1=_mean(row.hit_at_1),
            hit_at_5=_mean(row.hit_at_5),
            iou=_mean(row.iou),
            covered=_mean(row.covered),
            median_ms=row.median_ms,
        )
        for row in rows
    ]


def _share(n_wrong: int, n: int) -> ShareItem:
    low, high = wilson(n_wrong, n)
    return ShareItem(value=n_wrong / n if n else 0.0, low=low, high=high)


def _mean(mean: Mean) -> ShareItem:
    return ShareItem(value=mean.value, low=mean.low, high=mean.high)
