"""Results of `eval recordings` and `eval searches`: real footage against its truth."""

from app.schemas.common import Schema
from app.schemas.evaluation import ShareItem


class VerdictsItem(Schema):
    """Verdicts on the answers to one kind of question."""

    kind: str
    n: int
    right: int
    wrong: int
    refused: int


class RecordingsResponse(Schema):
    """The verdicts of `eval recordings`; `results` names the file with every answer."""

    recordings: int
    questions: int
    right: ShareItem
    """Of all questions."""
    wrong: ShareItem
    refused: ShareItem
    false_not_found: int
    """Answers that deny a thing which is there."""
    kinds: list[VerdictsItem]
    knows: list[str]
    """What each encoder can and cannot tell."""
    results: str


class FoundItem(Schema):
    """Moments and recordings found for one kind of phrase."""

    kind: str
    n: int
    moment_at_1: ShareItem
    moment_at_5: ShareItem


class SearchesResponse(Schema):
    """The measures of `eval searches`; chance is five frames drawn at random."""

    recordings: int
    searches: int
    moment_at_1: ShareItem
    """First hit within a true span, give or take a second."""
    moment_at_5: ShareItem
    clip_at_1: ShareItem
    clip_at_5: ShareItem
    chance_at_1: float
    chance_at_5: float
    present_claimed: ShareItem
    """Pairs of phrase and recording that are true and have a confirmed hit."""
    absent_claimed: ShareItem
    """Pairs that are not true and have one."""
    kinds: list[FoundItem]
    knows: list[str]
    median_ms: float


class ClaimResponse(Schema):
    """The threshold that was fitted for an encoder, and what it does on the other phrases."""

    encoder: str
    claim: float
    """Added to the log-odds of the checkpoint; above 0 they claim."""
    before: float
    """The same, until now."""
    recordings: int
    searches: int
    """Of which every second one was fitted on."""
    present_claimed: ShareItem
    """Of pairs of phrase and recording that are true, among those it was not fitted on."""
    absent_claimed: ShareItem
    """Of pairs that are not."""
    file: str


class RuleMeasureItem(Schema):
    """Alerts that a rule would have raised, against the truth."""

    words: str
    alerts: int
    right: int
    """Alerts that begin within a true span, give or take a second."""
    events: int
    """True spans."""
    caught: int
    """True spans with an alert."""
    repeats: int
    """Further alerts within a true span."""
    by_day: int
    """Alerts of the same rule with hours of the day, over footage of the night."""


class AlertsMeasureResponse(Schema):
    """The measures of `eval alerts`."""

    recordings: int
    rules: list[RuleMeasureItem]
    precision: ShareItem
    """Right ones of all alerts."""
    recall: ShareItem
    """True spans with an alert; the others are missed."""
    repeats: int
    by_day: int
    delay_s: float | None
    """Median from the beginning of a true span to its alert."""
