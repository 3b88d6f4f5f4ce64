"""The second or the third of several things, counted in the order in which they came."""

from dataclasses import replace

from engine.pipeline.compose.footage import Composed, WatchedFootage
from engine.pipeline.compose.presence import edge_of, looks_of
from engine.pipeline.compose.sentences import article, counted, seconds, sentence, stretch
from engine.pipeline.compose.subjects import coloured, find_subject
from engine.pipeline.compose.visits import individuals, proofs
from engine.pipeline.question_kinds import QuestionForm


def nth(footage: WatchedFootage, form: QuestionForm) -> Composed | None:
    """Tell when one of several came, how long it stayed, or by what looks it can be told.

    Returns:
        `None` where nothing of the kind is known, or what is said of it cannot be recognised.
    """
    assert form.nth is not None, "only such questions are asked here"
    subject = find_subject(footage, form.subject)
    rows = subject.matching(is_given=True)
    if not subject.thing.is_known or not rows or not subject.is_borne_out():
        return None
    visits = individuals(rows)
    if len(visits) < form.nth:
        text = f"{article(subject.noun)} was recognised {counted(len(visits), 'time')} only"
        return Composed(text=sentence(text), verdict="unsure", evidence=proofs(visits))
    visit = visits[form.nth - 1]
    place = f"number {form.nth} of {len(visits)}"
    if form.kind == "when":
        composed = edge_of(footage, subject, [visit], replace(form, extreme="first"))
        return replace(composed, text=sentence(f"{place}, {_uncapped(composed.text)}"))
    looks = looks_of([coloured(footage, row) for row in visit.rows])
    span = stretch(footage, visit.video, visit.span)
    length = f", about {seconds(visit.span.duration_s)}" if form.kind == "how_long" else ""
    text = f"{place}{length}: {article(subject.noun)}{looks}, {span}{subject.caveat()}"
    return Composed(text=sentence(text), evidence=proofs([visit]))


def _uncapped(text: str) -> str:
    return text[:1].lower() + text[1:]
