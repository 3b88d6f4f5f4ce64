"""Video-MME with subtitles: the questions of `video_mme` behind the lines of each video.

The lines are those that are shown at 32 evenly spaced moments, as lmms-eval gives them by default
(videomme_w_subtitle, frame_num 32).
"""

from collections.abc import Iterator
from pathlib import Path

from engine.evaluation.benchmark import BenchmarkQuestion
from engine.evaluation.benchmarks import video_mme

CARD = video_mme.SUBTITLED_CARD
choose = video_mme.choose
score = video_mme.score


def questions(root: Path) -> Iterator[BenchmarkQuestion]:
    """Yield every question, in the order of the file."""
    yield from video_mme.read_questions(root, with_subtitles=True)
