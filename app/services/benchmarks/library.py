"""A library of many videos: opened, listed, searched and asked; and a long ingest that goes on.

Three homes are drawn, without a model looking at anything: 2,000 videos of 20 chunks, a file a day
of 200 cameras over 30 days, and one video of a day. Figures of the first two: seconds to open
model, indexes and catalog in a process that has them imported; milliseconds of wall and of
processor of a question and a search, the medians over several, for who sees everything and for who
may see nine videos of ten; each question by itself; the same within one video; of the ten best
moments of twenty phrases by a pass over all stills the share that a search finds, by how much its
best moment is worse at most, and for how many phrases it claims as much; wall seconds of commands
in processes of their own; and the functions that one question spends most of its processor time in.
Of the last: seconds until an interrupted ingest reads its first frame, and until one that is asked
for again has looked at every chunk.
"""

import cProfile
import pstats
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from app.config.settings import load_settings
from app.progress import Unattended
from app.services.access import FULL_ACCESS, Access
from app.services.ask import ask
from app.services.benchmarks._command import time_command
from app.services.benchmarks._library import DrawnVideo, camera_days, clips, draw_library
from app.services.context import ServiceContext
from app.services.ingest import read_video
from app.services.library import list_videos
from app.services.scope import resolve_scope
from app.services.search import search
from engine.index.segments import SegmentedIndex
from engine.pipeline.still_search import search_stills
from engine.records import VideoId
from storage.records import CameraId, VideoStatus

QUESTIONS: Final = (
    "Is there a red car?",
    "When does the dog appear?",
    "How many trucks are there?",
    "Where is the person with the bicycle?",
)
QUERIES: Final = ("a red car", "a dog on the grass", "a truck", "a person with a bicycle")
PHRASES: Final = (
    *QUERIES, "a bus", "a cat on a sofa", "a keyboard", "people around a table", "a bottle",
    "a bird", "a boat on the water", "a traffic light", "something red", "a child playing",
    "a laptop and a cup", "an umbrella", "a goldfish", "a church", "running water", "a volcano",
)  # fmt: skip
COMMANDS: Final[Mapping[str, Sequence[str]]] = {
    "videos list": ("videos", "list"),
    "search": ("search", QUERIES[0], "--alone"),
    "ask": ("ask", QUESTIONS[0], "--alone"),
}
HIDDEN_EVERY: Final = 10
"""A viewer may see all but every tenth video."""
_NEAREST: Final = 10
_MOST_STEPS: Final = 6
BRIEF: Final = {"cameras": 50}
"""What all benchmarks together measure of this one."""
_ROOT: Final = Path(__file__).resolve().parents[3]


def measure(
    *,
    model: str | None = None,
    videos: int = 2000,
    chunks: int = 20,
    cameras: int = 200,
    days: int = 30,
    day_chunks: int = 8640,
    rounds: int = 5,
) -> dict[str, Any]:
    """Draw the libraries and measure them.

    Args:
        model: That would answer; the settings' when `None`.
        videos: Of the first library.
        chunks: Of each of them.
        cameras: Of the second library.
        days: Of each camera.
        day_chunks: Of the long video.
        rounds: How often each question is asked.
    """
    return {
        "clips": _measure_home(model, clips(videos, chunks), rounds),
        "cameras": _measure_home(model, camera_days(cameras, days), rounds),
        "resume": _measure_resume(model, day_chunks),
    }


def _measure_home(model: str | None, videos: Iterator[DrawnVideo], rounds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        with _opened(home, model) as context:
            drawn = draw_library(context, videos)
        with _opened(home, model) as context:
            figures: dict[str, Any] = {"videos": len(drawn), **_open(context)}
            figures |= _ask(context, drawn, rounds)
        chosen = model or "nano"
        for name, words in COMMANDS.items():
            runs = [time_command(words, home, chosen) for _ in range(2)]
            figures[f"command {name}"] = min(runs, key=lambda run: run["wall_s"])
        return figures


@contextmanager
def _opened(home: Path, model: str | None) -> Iterator[ServiceContext]:
    context = ServiceContext(load_settings({"model": model}, home=home))
    try:
        yield context
    finally:
        context.close()


def _open(context: ServiceContext) -> dict[str, Any]:
    started = time.perf_counter()
    engine, encoders = context.engine, context.encoders
    open_s = time.perf_counter() - started
    return {
        "open_s": round(open_s, 3),
        "frames": engine.index.n_vectors,
        "stills": sum(encoder.index.n_vectors for encoder in encoders),
    }


@dataclass(frozen=True, slots=True)
class _Viewer:
    """Someone who may see some videos."""

    granted: frozenset[VideoId]

    def may_see(self, video: VideoId) -> bool:
        """Tell whether a video is one of these."""
        return video in self.granted

    def may_see_camera(self, camera: CameraId) -> bool:
        """Tell whether a camera may be seen: none."""
        return False


def _ask(context: ServiceContext, drawn: Sequence[VideoId], rounds: int) -> dict[str, Any]:
    shown = frozenset(video for idx, video in enumerate(drawn) if idx % HIDDEN_EVERY)
    viewer = _Viewer(shown)
    video = [drawn[len(drawn) // 2]]

    def asking(videos: Sequence[str] = (), access: Access = FULL_ACCESS) -> Callable[[str], object]:
        return lambda text: ask(context, text, resolve_scope(context, videos, access=access))

    def searching(
        videos: Sequence[str] = (), access: Access = FULL_ACCESS
    ) -> Callable[[str], object]:
        return lambda text: search(context, text, resolve_scope(context, videos, access=access))

    def recalling(text: str) -> object:
        return ask(context, text, resolve_scope(context), recall="top")

    return {
        "first_ask": _median_ms(asking(), QUESTIONS[:1], 1),
        "ask": _median_ms(asking(), QUESTIONS, rounds),
        "ask_each": {text: _median_ms(asking(), (text,), rounds) for text in QUESTIONS},
        "ask_model": _median_ms(recalling, QUESTIONS, rounds),
        "search": _median_ms(searching(), QUERIES, rounds),
        "search_each": {text: _median_ms(searching(), (text,), rounds) for text in QUERIES},
        "viewer_ask": _median_ms(asking(access=viewer), QUESTIONS, rounds),
        "viewer_search": _median_ms(searching(access=viewer), QUERIES, rounds),
        "ask_one_video": _median_ms(asking(video), QUESTIONS, rounds),
        "list": _median_ms(lambda text: list_videos(context), ("",), rounds),
        **_compare(context),
        "ask_spends": _profile(asking(), QUESTIONS[0]),
        "search_spends": _profile(searching(), QUERIES[0]),
    }


def _compare(context: ServiceContext) -> dict[str, Any]:
    """Return what searches of stills find of what a pass over all of them finds."""
    shares, worse, is_same_claim = [], [], []
    for encoder_index in context.encoders:
        index = encoder_index.index
        assert isinstance(index, SegmentedIndex), "every library has segments"
        exact = replace(encoder_index, index=index.without_codes())
        for phrase in PHRASES:
            moments = search_stills(encoder_index, phrase, scope=None, top=_NEAREST)
            best = search_stills(exact, phrase, scope=None, top=_NEAREST)
            peaks = {(moment.video, moment.peak_s) for moment in moments}
            shares.append(statistics.mean((item.video, item.peak_s) in peaks for item in best))
            worse.append(best[0].relevance - moments[0].relevance)
            is_same_claim.append(best[0].is_claimed == moments[0].is_claimed)
    return {
        "stills_recall_at_10": round(statistics.mean(shares), 3),
        "stills_best_worse_by_log_odds": round(max(worse), 3),
        "stills_same_claim": round(statistics.mean(is_same_claim), 3),
    }


def _median_ms(
    work: Callable[[str], object], texts: Sequence[str], rounds: int
) -> dict[str, float]:
    """Return the medians of wall and of processor, which says more on a busy machine."""
    wall_ms, cpu_ms = [], []
    for _ in range(rounds):
        for text in texts:
            started, cpu_started = time.perf_counter(), time.process_time()
            work(text)
            wall_ms.append((time.perf_counter() - started) * 1000)
            cpu_ms.append((time.process_time() - cpu_started) * 1000)
    return {
        "wall_ms": round(statistics.median(wall_ms), 1),
        "cpu_ms": round(statistics.median(cpu_ms), 1),
    }


def _profile(work: Callable[[str], object], text: str) -> dict[str, float]:
    """Return the functions that take the largest shares of the processor time, without callees."""
    profile = cProfile.Profile()
    profile.runcall(work, text)
    stats = pstats.Stats(profile)
    took = {
        key: row[2]
        for key, row in stats.stats.items()  # type: ignore[attr-defined]
    }
    total = sum(took.values())
    most = sorted(took.items(), key=lambda item: -item[1])[:_MOST_STEPS]
    return {_step(*key): round(seconds / total, 2) for key, seconds in most}


def _step(file: str, line: int, function: str) -> str:
    if file in {"~", ""}:
        return function
    path = Path(file)
    short = path.relative_to(_ROOT) if path.is_relative_to(_ROOT) else Path(*path.parts[-2:])
    return f"{short.as_posix()}: {function}"


class _Stopped(Unattended):
    """A job that is told to stop before its first frame."""

    def should_stop(self) -> bool:
        return True


def _measure_resume(model: str | None, n_chunks: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        with _opened(home, model) as context:
            (video,) = draw_library(context, clips(1, n_chunks))

        def median_s(status: VideoStatus, rounds: int) -> float:
            took = []
            for _ in range(rounds):
                with _opened(home, model) as context:
                    assert context.engine
                    row = context.catalog.videos.set_status(video, status)
                    started = time.perf_counter()
                    read_video(context, row, _Stopped())
                    took.append(time.perf_counter() - started)
            return round(statistics.median(took), 3)

        return {
            "chunks": n_chunks,
            "resume_s": median_s("queued", 3),
            "mend_s": median_s("ready", 1),
        }
