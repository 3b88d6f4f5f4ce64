"""Order of things: which came first, what came next, from their first times."""

from collections.abc import Sequence

from engine.pipeline.compose.footage import Composed, WatchedFootage
from engine.pipeline.compose.presence import named
from engine.pipeline.compose.sentences import article, clock, listed, moment, sentence
from engine.pipeline.compose.subjects import Subject, find_subject
from engine.pipeline.compose.visits import Visit, merge, proofs
from engine.pipeline.compose.witnesses import grade_rows
from engine.pipeline.question_kinds import QuestionForm
from engine.records import Observation


def which_first(footage: WatchedFootage, form: QuestionForm) -> Composed | None:
    """Answer which of two things came first or last, or whether one came before the other."""
    subjects = [find_subject(footage, text) for text in (form.subject, form.other)]
    firsts = [_first(subject) for subject in subjects]
    left, right = firsts
    if left is None or right is None or not footage.is_one_video:
        return None
    if left.span.start_s == right.span.start_s:
        text = f"both are in view from {moment(footage, left.video, left.span.start_s)}"
        return Composed(text=sentence(text), evidence=proofs([left, right]))
    order = sorted(zip(subjects, (left, right), strict=True), key=lambda pair: pair[1].span.start_s)
    (earlier, first), (later, second) = order
    text = (
        f"{named(earlier)} came first, at {moment(footage, first.video, first.span.start_s)}; "
        f"{named(later)} at {moment(footage, second.video, second.span.start_s)}"
    )
    if form.relation:
        is_so = (earlier is subjects[0]) == (form.relation == "before")
        text = f"{'yes' if is_so else 'no'}: {text}"
    elif form.extreme == "last":
        text = (
            f"{named(later)} came last, at {moment(footage, second.video, second.span.start_s)}; "
            f"{named(earlier)} at {moment(footage, first.video, first.span.start_s)}"
        )
    return Composed(text=sentence(text), evidence=proofs([first, second]))


def what_next(footage: WatchedFootage, form: QuestionForm) -> Composed | None:
    """Answer what comes into view after, or was before, a thing."""
    subject = find_subject(footage, form.subject)
    anchor = _first(subject)
    if anchor is None:
        return None
    others = [
        visit
        for visit in _by_label(footage, None)
        if visit.video == anchor.video and visit.rows[0].label not in subject.thing.labels
    ]
    if form.relation == "before":
        earlier = [visit for visit in others if visit.span.start_s < anchor.span.start_s]
        chosen = max(earlier, key=lambda visit: visit.span.start_s, default=None)
    else:
        later = [visit for visit in others if visit.span.start_s > anchor.span.start_s]
        chosen = min(later, key=lambda visit: visit.span.start_s, default=None)
    if chosen is None:
        return None
    text = (
        f"the {chosen.rows[0].label}, at {moment(footage, chosen.video, chosen.span.start_s)}; "
        f"{named(subject)} comes into view at {clock(anchor.span.start_s)}"
    )
    return Composed(text=sentence(text), evidence=proofs([chosen, anchor]))


def order(footage: WatchedFootage, form: QuestionForm) -> Composed | None:
    """Answer in which order things come into view."""
    thing = footage.vocabulary.thing(form.subject)
    visits = _by_label(footage, thing.labels or None, is_given=True)
    if len(visits) < 2 or not footage.is_one_video:
        return None
    parts = [f"{article(visit.rows[0].label)} ({clock(visit.span.start_s)})" for visit in visits]
    text = f"first {listed(parts, most=8)}".replace(" and ", ", then ")
    return Composed(text=sentence(text), evidence=proofs(visits))


def _first(subject: Subject) -> Visit | None:
    visits = merge(subject.matching())
    return min(visits, key=lambda visit: visit.span.start_s, default=None)


def _by_label(
    footage: WatchedFootage, labels: frozenset[str] | None, *, is_given: bool = False
) -> list[Visit]:
    """Return the first visit of each label that is sure, in order of coming.

    Args:
        footage: With the rows.
        labels: Only these; all when `None`.
        is_given: Whether they are taken for granted, so that likely ones count too.
    """
    graded = grade_rows(footage, footage.of("object"))
    rows: dict[str, list[Observation]] = {}
    for row in (*graded.sure, *(graded.likely if is_given else ())):
        if labels is None or row.label in labels:
            rows.setdefault(row.label, []).append(row)
    firsts = [merge(group)[0] for group in rows.values()]
    return sorted(firsts, key=lambda visit: visit.span.start_s)


def by_label(rows: Sequence[Observation]) -> dict[str, tuple[Observation, ...]]:
    """Return object rows by their label, the longest in view first."""
    groups: dict[str, list[Observation]] = {}
    for row in rows:
        groups.setdefault(row.label, []).append(row)
    length = {
        label: sum(visit.span.duration_s for visit in merge(group))
        for label, group in groups.items()
    }
    return {label: tuple(groups[label]) for label in sorted(groups, key=lambda x: -length[x])}
