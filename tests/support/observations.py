"""Observations made by hand, and footage of them, for tests of composed answers."""

from collections.abc import Sequence

from engine.pipeline.compose.footage import NoSecondLook, SecondLook, WatchedFootage, WatchedSpan
from engine.records import (
    Box,
    Observation,
    ObservationKind,
    Observed,
    TimeSpan,
    VideoId,
)
from engine.sight import parts
from engine.sight.thing_words import Vocabulary
from engine.sight.word_groups import word_set

VIDEO = VideoId("table")
COCO = word_set(
    """person, bicycle, car, motorcycle, airplane, bus, train, truck, boat,
    traffic light, fire hydrant, stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow,
    elephant, bear, zebra, giraffe, backpack, umbrella, handbag, tie, suitcase, frisbee, skis,
    snowboard, sports ball, kite, baseball bat, baseball glove, skateboard, surfboard,
    tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich,
    orange, broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed,
    dining table, toilet, tv, laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster,
    sink, refrigerator, book, clock, vase, scissors, teddy bear, hair drier, toothbrush"""
)


def vocabulary() -> Vocabulary:
    """Return the words of the default eyes."""
    return Vocabulary(COCO, parts.find(parts.CLASSIFIER_LABELS).read_text().splitlines())


def track(
    label: str,
    start_s: float,
    end_s: float,
    *,
    confidence: float = 0.8,
    x: tuple[float, float] = (0.5, 0.5),
    y: tuple[float, float] = (0.5, 0.5),
    size: tuple[float, float] = (0.2, 0.5),
    colours: tuple[str, ...] = (),
    number: int = 1,
    video: VideoId = VIDEO,
    kind: ObservationKind = "object",
) -> Observation:
    """Return a thing that moves evenly, with a box a second.

    Args:
        label: Of the thing.
        start_s: When it comes.
        end_s: When it goes.
        confidence: Of the detector.
        x: Its middle at the start and at the end, in shares of the width.
        y: Likewise, of the height from the top.
        size: Its width and height, in shares.
        colours: Of its pixels.
        number: Of the track.
        video: Whose.
        kind: `object`, or `motion` for a moving blob.
    """
    n_boxes = round(end_s - start_s) + 1
    boxes = []
    for idx in range(n_boxes):
        share = idx / max(1, n_boxes - 1)
        across, down = x[0] + (x[1] - x[0]) * share, y[0] + (y[1] - y[0]) * share
        boxes.append(
            Box(
                time_s=float(start_s + idx),
                left=across - size[0] / 2,
                right=across + size[0] / 2,
                top=down - size[1] / 2,
                bottom=down + size[1] / 2,
            )
        )
    return Observation(
        video=video,
        kind=kind,
        span=TimeSpan(start_s=float(start_s), end_s=float(end_s)),
        label=label,
        text="",
        confidence=confidence,
        model="drawn by hand",
        peak_s=boxes[n_boxes // 2].time_s,
        track=number,
        boxes=tuple(boxes),
        colours=colours,
        n_seen=n_boxes,
        n_looked=n_boxes,
    )


def words(
    kind: ObservationKind,
    start_s: float,
    end_s: float,
    text: str,
    *,
    confidence: float = 0.9,
    box: tuple[float, float, float, float] | None = None,
    video: VideoId = VIDEO,
) -> Observation:
    """Return words that were said, or read in a box (left, top, right, bottom)."""
    boxes = (
        ()
        if box is None
        else (Box(time_s=float(start_s), left=box[0], top=box[1], right=box[2], bottom=box[3]),)
    )
    return Observation(
        video=video,
        kind=kind,
        span=TimeSpan(start_s=float(start_s), end_s=float(end_s)),
        label="",
        text=text,
        confidence=confidence,
        model="written by hand",
        peak_s=float(start_s),
        boxes=boxes,
    )


def footage(
    *rows: Observation,
    duration_s: float = 140.0,
    reach: Sequence[ObservationKind] = ("object", "motion", "text", "speech"),
    look: SecondLook | None = None,
    video: VideoId = VIDEO,
) -> WatchedFootage:
    """Return footage of one video that the given kinds of observers have looked all over."""
    whole = TimeSpan(start_s=0.0, end_s=float(duration_s))
    return WatchedFootage(
        watched=(WatchedSpan(video=video, name=f"{video}.mp4", span=whole),),
        rows=tuple(sorted(rows, key=lambda row: row.span.start_s)),
        reach=tuple(
            Observed(
                video=video,
                kind=kind,
                model="by hand",
                labels=COCO if kind == "object" else frozenset(),
                span=whole,
            )
            for kind in reach
        ),
        vocabulary=vocabulary(),
        look=look or NoSecondLook(),
    )
