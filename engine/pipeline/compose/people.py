"""People that came, by their looks and times: nothing here knows anybody by name."""

import re
from typing import Final

from engine.pipeline.compose.footage import Composed, WatchedFootage
from engine.pipeline.compose.presence import looks_of, not_confirmed, undecided_doing
from engine.pipeline.compose.sentences import article, listed, sentence, stretch
from engine.pipeline.compose.subjects import coloured, find_subject
from engine.pipeline.compose.visits import Visit, individuals, proofs
from engine.pipeline.compose.wearing import dressed_as_asked, worn
from engine.pipeline.question_kinds import QuestionForm

_WEARS: Final = re.compile(r"\bwears?\b|\bwearing\b|\bwore\b|\bdressed\b")
_NAMELESS: Final = "who that is, nothing here can tell"


def who(footage: WatchedFootage, form: QuestionForm) -> Composed | None:
    """Tell the people that came, each by the colours of the clothes and the time in view."""
    if _WEARS.search(form.text):
        return worn(footage, form)
    subject = find_subject(footage, form.subject)
    if not subject.thing.is_person:
        return None
    if not subject.is_borne_out():
        return undecided_doing(footage, subject)
    rows = subject.matching()
    if not rows:
        return not_confirmed(footage, subject)
    visits = individuals(dressed_as_asked(footage, form.subject, rows))
    if form.extreme in {"first", "last"}:
        visits = visits[:1] if form.extreme == "first" else visits[-1:]
    parts = [_visit(footage, visit, subject.noun) for visit in visits]
    return Composed(text=sentence(f"{listed(parts)}; {_NAMELESS}"), evidence=proofs(visits))


def _visit(footage: WatchedFootage, visit: Visit, noun: str) -> str:
    looks = looks_of([coloured(footage, row) for row in visit.rows])
    return f"{article(noun)}{looks} ({stretch(footage, visit.video, visit.span)})"
