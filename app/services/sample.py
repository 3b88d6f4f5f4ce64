"""A sample for a first visit: a minute that the project draws, and questions about it.

Decision: drawn where it is wanted and not shipped, because the seed says the same in four bytes.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from app.services.context import ServiceContext
from app.services.ingest import add_source
from app.services.ingest_jobs import enqueue_ingest
from app.services.previews import enqueue_preview
from engine.files import fsync_rename, make_folder
from storage.files import HomeFolder
from storage.records import UploadId, VideoRow

if TYPE_CHECKING:
    from engine.synthetic.story import Story

NAME: Final = "Sample, drawn"
SEED: Final = 42
LENGTH_S: Final = 60.0
FPS: Final = 6.0
KINDS: Final = ("code", "direction", "colour")
"""Questions that are offered: something to read, a way, a colour."""

_UPLOAD: Final = UploadId("sample")


def add_sample(context: ServiceContext) -> VideoRow:
    """Draw the sample, add it and queue its reading; where it is here already it stays one video.

    Cost: a few seconds of one core.
    """
    # Late: the encoder, which everything else here does without.
    from engine.media.encode import write_video

    path = HomeFolder(context.settings.home).original(_UPLOAD)
    if not path.is_file():
        make_folder(path.parent)
        drawn = path.with_suffix(".mp4")
        write_video(drawn, iter(_story()), FPS)
        fsync_rename(drawn, path)
    video = add_source(context, str(path), name=NAME, file_name="sample.mp4")
    if video.status in {"queued", "failed", "cancelled"}:
        enqueue_ingest(context, video)
    enqueue_preview(context, video)
    return video


def is_sample(context: ServiceContext, video: VideoRow) -> bool:
    """Return whether a video is the sample of this library."""
    return Path(video.uri) == HomeFolder(context.settings.home).original(_UPLOAD)


def sample_questions() -> tuple[str, ...]:
    """Return a question of each kind about the sample; each has one true answer."""
    # Late: numpy, which a library without the sample does without.
    from engine.synthetic.questions import questions

    known = {question.kind: question.text for question in reversed(questions(_story()))}
    return tuple(known[kind] for kind in KINDS if kind in known)


def _story() -> "Story":
    # Late: numpy, as above.
    from engine.synthetic.story import draw_story

    return draw_story(SEED, LENGTH_S, FPS)
