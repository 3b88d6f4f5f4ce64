"""The result of `longwatch demo`."""

from pydantic import Field

from app.schemas.ask import AnswerResponse
from app.schemas.common import Schema
from app.schemas.probes import ProbeResponse
from app.schemas.videos import IngestItem


class DemoItem(Schema):
    """A question of the demo; with verdicts where the truth is known."""

    response: AnswerResponse
    expected: str | None = None
    right: bool | None = None
    covers_truth: bool | None = None
    """Whether the first evidence overlaps the true moment."""


class DemoResponse(Schema):
    """The results of `demo`, and the paths of its files."""

    ingest: IngestItem
    questions: list[DemoItem]
    probe: ProbeResponse
    clip: str
    contact_sheet: str
    heat_map: str
    real_clip: str | None = None
    """A recording of real pictures and voices; `None` where none is installed."""
    real_questions: list[DemoItem] = Field(default_factory=list)
    """What was asked of it."""

    @property
    def found_itself_wrong(self) -> bool:
        """Whether an answer, or the moment of its first evidence, is known to be wrong."""
        return any(
            item.right is False or item.covers_truth is False
            for item in (*self.questions, *self.real_questions)
        )
