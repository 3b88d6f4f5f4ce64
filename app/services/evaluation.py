"""Measures of a model through the whole service: calibration, evidence, haystacks."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from app.config.engine_config import media_limits
from app.progress import ProgressCallback, ProgressUpdate, no_progress
from app.sandbox.reader import SandboxedReader
from app.schemas.evaluation import (
    CalibrationResponse,
    EvidenceResponse,
    EvidenceRow,
    RatesItem,
    ShareItem,
)
from app.services.cameras import source_address
from app.services.context import ServiceContext
from engine.evaluation import grounding
from engine.evaluation.abstention import Rates, draw_curve, rates_by_setting
from engine.evaluation.calibration import Calibration, calibrate, write
from engine.evaluation.metrics import wilson
from engine.evaluation.needle_grid import drawn_haystack
from engine.media.frame import Frame
from engine.synthetic.recordings import LENGTHS, Recording, recordings

HAYSTACK_SIDE_PX = 448
"""Frames of a haystack are scaled down to this: above every tower's input."""

DRAWN = "a drawn recording"
"""The name of a haystack when no file was named."""

CALIBRATION_FRAMES = 300
"""Most of one foreign recording, so that none outweighs the others."""


def calibrate_model(
    context: ServiceContext, haystacks: Sequence[str] = (), *, plot: Path | None = None
) -> CalibrationResponse:
    """Measure what the model's retrieval signals are worth; write the result beside its weights.

    Args:
        haystacks: Footage in which cards are held up. Where there are several, every other one
            is kept for the test.
        plot: Where the curve of misses and false alarms goes.
    """
    fitted, tested = _footage(context, haystacks[::2]), _footage(context, haystacks[1::2])
    measured = calibrate(context.engine, footage=fitted, tested_footage=tested or None)
    path = write(measured.retrieval, context.engine.config.model.folder)
    if plot is not None:
        draw_curve(measured.claims, plot)
    return describe_calibration(path, measured)


def compare_signals(
    context: ServiceContext,
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
    footage = _footage(context, haystacks)
    engine, fps = context.engine, float(context.engine.sampling.fps)

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
        model=str(context.engine.config.model.folder),
        attention_weight=weight,
        overall=describe_rows(grounding.tabulate(trials, lambda trial: "all")),
        by_setting=describe_rows(grounding.tabulate(trials, grounding.by_setting)),
        by_kind=describe_rows(grounding.tabulate(trials, grounding.by_kind)),
    )


def describe_rates(rows: Sequence[Rates]) -> list[RatesItem]:
    """Return rates as their documents."""
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
    """Return a calibration as its document."""
    return CalibrationResponse(
        file=str(file),
        signals=measured.retrieval.signals,
        rates=describe_rates(rates_by_setting(measured.claims)),
    )


def describe_rows(rows: Sequence[grounding.GroundingRow]) -> list[EvidenceRow]:
    """Return rows as their documents."""
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


def _footage(context: ServiceContext, haystacks: Sequence[str]) -> list[UInt8[np.ndarray, "h w 3"]]:
    """Return the frames of several recordings, one after the other."""
    frames: list[UInt8[np.ndarray, "h w 3"]] = []
    for source in haystacks:
        with open_haystack(context, source, CALIBRATION_FRAMES) as (_, read):
            frames += [frame.pixels for frame in read]
    return frames


@contextmanager
def open_haystack(
    context: ServiceContext, source: str | None, n_frames: int
) -> Iterator[tuple[str, Iterator[Frame]]]:
    """Open sampled frames under a name; a drawn recording when nothing is named.

    Static footage is not thinned here: a length in frames is then a length in time.

    Args:
        source: A file, or a video of the library by id or name.
        n_frames: Most frames that will be wanted.
    """
    sampling = replace(context.engine.sampling, thin_static=False, max_side_px=HAYSTACK_SIDE_PX)
    if source is None:
        yield DRAWN, drawn_haystack(n_frames, fps=sampling.fps)
        return
    uri, name, video_track = source, Path(source).name, None
    if not Path(source).is_file():
        row = context.catalog.videos.resolve(source)
        uri, name, video_track = source_address(context, row), row.name, row.video_track
    limits = media_limits(context.settings, video_track)
    with SandboxedReader(uri, sampling, limits=limits) as reader:
        yield name, islice(reader, n_frames)


def _share(n_wrong: int, n: int) -> ShareItem:
    low, high = wilson(n_wrong, n)
    return ShareItem(value=n_wrong / n if n else 0.0, low=low, high=high)


def _mean(mean: grounding.Mean) -> ShareItem:
    return ShareItem(value=mean.value, low=mean.low, high=mean.high)
