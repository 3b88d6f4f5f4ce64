"""Whether, when, how long, how often and how many: answers from tracks of the thing asked about."""

import re
from collections.abc import Sequence
from dataclasses import replace

from engine.pipeline.compose.footage import Composed, Verdict, WatchedFootage
from engine.pipeline.compose.sentences import (
    MOST_LISTED,
    article,
    clock,
    counted,
    evidence_of,
    listed,
    moment,
    plural,
    seconds,
    sentence,
    stretch,
    was,
)
from engine.pipeline.compose.subjects import Subject, find_subject, unknown
from engine.pipeline.compose.visits import (
    Visit,
    area,
    gaps,
    individuals,
    merge,
    most_at_once,
    proofs,
    spans_with,
)
from engine.pipeline.compose.wearing import dressed_as_asked
from engine.pipeline.compose.witnesses import MOVERS, may_deny, unnamed_motion
from engine.pipeline.question_kinds import QuestionForm
from engine.records import Evidence, Observation, TimeSpan
from engine.sight.thing_words import are_near_colours as near
from engine.sight.word_groups import word_set


def is_there(footage: WatchedFootage, form: QuestionForm) -> Composed | None:
    """Answer whether a thing is in the footage: yes, no, perhaps, or that nothing could tell."""
    subject = find_subject(footage, form.subject)
    if not subject.thing.is_known:
        return unknown(subject, form)
    if not subject.is_borne_out():
        return _leaves(footage, subject, form) or undecided_doing(footage, subject)
    rows = subject.matching()
    if not rows and subject.graded.sure:
        return _other_colour(subject)
    if not rows:
        return not_confirmed(footage, subject)
    if subject.number and most_at_once(individuals(rows))[0] < subject.number:
        return _too_few(footage, subject, rows)
    visits = merge(rows)
    spans = listed([stretch(footage, visit.video, visit.span) for visit in visits])
    if subject.thing.is_broader:
        text = f"{article(subject.noun)} is in view {spans}{subject.caveat()}"
        return Composed(text=sentence(text), verdict="unsure", evidence=proofs(visits))
    name = named(subject)
    return Composed(text=sentence(f"yes: {name} is in view {spans}"), evidence=proofs(visits))


def when(footage: WatchedFootage, form: QuestionForm) -> Composed | None:
    """Answer when a thing is in view, comes, goes, or is away."""
    subject = find_subject(footage, form.subject)
    if not subject.thing.is_known:
        return unknown(subject, form)
    if not subject.is_borne_out():
        return undecided_doing(footage, subject)
    rows = subject.matching(is_given=True)
    if not rows:
        return not_confirmed(footage, subject, may_say_no=False)
    if subject.number is not None and not form.is_absence:
        return _when_so_many(footage, subject, rows)
    rows = dressed_as_asked(footage, form.subject, rows) if subject.thing.is_person else rows
    visits = merge(rows)
    if form.is_absence:
        return _when_absent(footage, subject, visits)
    if form.extreme == "nearest":
        return _nearest(footage, subject, rows)
    if form.edge or form.extreme in {"first", "last"}:
        return edge_of(footage, subject, visits, form)
    spans = listed([stretch(footage, visit.video, visit.span) for visit in visits])
    text = f"{named(subject)} is in view {spans}{subject.caveat()}"
    # Of several people one is meant, and nothing here says which.
    is_open = subject.is_ambiguous and len(visits) > MOST_ALIKE
    verdict: Verdict = "unsure" if is_open else "answered"
    return Composed(text=sentence(text), verdict=verdict, evidence=proofs(visits))


def _nearest(
    footage: WatchedFootage, subject: Subject, rows: Sequence[Observation]
) -> Composed | None:
    """Tell when a thing is largest in the picture, within a second."""
    boxed = [row for row in rows if row.boxes and row.kind == "object"]
    if not boxed:
        return None
    row = max(boxed, key=lambda row: max(map(area, row.boxes)))
    time_s = max(row.boxes, key=area).time_s
    span = TimeSpan(
        start_s=max(row.span.start_s, time_s - 1.0), end_s=min(row.span.end_s, time_s + 1.0)
    )
    text = f"about {moment(footage, row.video, time_s)}: {named(subject)} is largest then"
    return Composed(
        text=sentence(text + subject.caveat()), evidence=(evidence_of([row], span=span),)
    )


def _when_so_many(
    footage: WatchedFootage, subject: Subject, rows: Sequence[Observation]
) -> Composed | None:
    """Tell when exactly so many things are in view at once."""
    visits = individuals(rows)
    spans = [
        (item.video, span)
        for item in footage.watched
        for span in spans_with(visits, item.video, subject.number or 0)
    ]
    if not spans:
        return None
    times = listed([stretch(footage, video, span) for video, span in spans])
    text = f"{counted(subject.number or 0, subject.noun)} in view {times}{subject.caveat()}"
    evidence = tuple(
        evidence_of(
            [row for row in rows if row.video == video and row.span.overlap_s(span) > 0], span=span
        )
        for video, span in spans
    )
    return Composed(text=sentence(text), evidence=evidence)


def how_long(footage: WatchedFootage, form: QuestionForm) -> Composed | None:
    """Answer how long a thing is in view, or how long the footage is."""
    if not form.subject or form.subject.split()[-1] in _FOOTAGE_WORDS:
        text = f"{seconds(footage.duration_s)} of video"
        return Composed(text=sentence(text))
    granted = _taken_for_granted(footage, form)
    if isinstance(granted, Composed | None):
        return granted
    subject, rows = granted
    visits = merge(rows)
    if form.extreme in {"first", "last"}:
        visits = visits[:1] if form.extreme == "first" else visits[-1:]
    if form.is_absence:
        return _when_absent(footage, subject, visits)
    total_s = sum(visit.span.duration_s for visit in visits)
    spans = listed([stretch(footage, visit.video, visit.span) for visit in visits])
    text = f"about {seconds(total_s)}: {named(subject)} is in view {spans}{subject.caveat()}"
    return Composed(text=sentence(text), evidence=proofs(visits))


def how_many(footage: WatchedFootage, form: QuestionForm) -> Composed | None:
    """Answer how many: the most at once, or how many came over time, whichever was asked."""
    granted = _taken_for_granted(footage, form)
    if isinstance(granted, Composed | None):
        return granted
    subject, rows = granted
    visits = individuals(rows)
    count, together = most_at_once(visits)
    if together is None:
        return None
    # What stands still is counted at one time: its track only breaks where the detector blinks.
    can_come = bool(subject.thing.labels & MOVERS)
    is_together = form.is_about_a_moment or (form.is_at_once and count > 1)
    if not can_come or is_together or len(visits) == 1:
        span = stretch(footage, together.video, together.span)
        come = can_come and not form.is_about_a_moment and len(visits) > count
        more = f"; {counted(len(visits), 'visit')} in all" if come else ""
        text = f"{counted(count, subject.noun)} at once, {span}{more}{subject.caveat()}"
        proof = evidence_of(together.rows, span=together.span)
        return Composed(text=sentence(text), evidence=(proof,))
    composed = _visits(footage, subject, visits, count)
    if rows[0].kind == "motion":
        # One thing may move by fits and starts, and two may move as one.
        return replace(composed, verdict="unsure")
    moved = unnamed_motion(footage)
    if not moved or subject.thing.is_person or subject.moved:
        return composed
    # On a road the detector misses more than it finds: what moved without a name may be more.
    more = f" Besides, something moved {counted(len(moved), 'time')} that was not recognised."
    return replace(composed, text=composed.text + more, verdict="unsure")


def _taken_for_granted(
    footage: WatchedFootage, form: QuestionForm
) -> tuple[Subject, tuple[Observation, ...]] | Composed | None:
    """Return the thing that a question counts or measures, with its rows; else what to say."""
    subject = find_subject(footage, form.subject)
    if not subject.thing.is_known or not subject.is_borne_out(is_counted=True):
        return None
    rows = subject.matching(is_given=True)
    return (subject, rows) if rows else not_confirmed(footage, subject, may_say_no=False)


def how_often(footage: WatchedFootage, form: QuestionForm) -> Composed | None:
    """Answer how often a thing came into view."""
    granted = _taken_for_granted(footage, form)
    if isinstance(granted, Composed | None):
        return granted
    subject, rows = granted
    visits = individuals(rows)
    spans = listed([stretch(footage, visit.video, visit.span) for visit in visits])
    text = f"{counted(len(visits), 'time')}: {spans}{subject.caveat()}"
    return Composed(text=sentence(text), evidence=proofs(visits))


def which_longest(footage: WatchedFootage, form: QuestionForm) -> Composed | None:
    """Answer which visit is the longest or the shortest."""
    subject = find_subject(footage, form.subject or "people")
    rows = subject.matching()
    if not rows or not subject.thing.is_known:
        return None
    visits = individuals(rows)
    choose = min if form.extreme == "shortest" else max
    chosen = choose(visits, key=lambda visit: visit.span.duration_s)
    word = "shortest" if form.extreme == "shortest" else "longest"
    order = "" if len(visits) == 1 else f"number {visits.index(chosen) + 1} of {len(visits)}, "
    looks = looks_of(chosen.rows)
    text = (
        f"the {word} is {order}{stretch(footage, chosen.video, chosen.span)} "
        f"({seconds(chosen.span.duration_s)}): {article(subject.noun)}{looks}{subject.caveat()}"
    )
    return Composed(text=sentence(text), evidence=proofs([chosen]))


def named(subject: Subject) -> str:
    """Return a thing as a sentence begins with it: `a red car`, `a person in black`."""
    if subject.thing.is_person and subject.colours:
        return f"{article(subject.noun)} in {' and '.join(subject.colours)}"
    return article(" ".join((*subject.colours[:1], subject.noun)))


_AWAY = re.compile(r"\b(?:fly|flies|run|runs|walk|walks|drive|drives|go|goes) (?:off|away|out)\b")
_STAYS_S = 1.0
"""Seconds from an end of the footage within which a thing is there at that end."""
MOST_ALIKE = 2
"""Visits of people from which "the man" may be any: with more, all are shown and none is said."""
_FOOTAGE_WORDS = word_set("video clip film recording footage movie it this")


def _visits(
    footage: WatchedFootage, subject: Subject, visits: Sequence[Visit], at_once: int
) -> Composed:
    longest = max(visits, key=lambda visit: visit.span.duration_s)
    noun = "visit" if subject.thing.is_person else subject.noun
    how = "one at a time" if at_once == 1 else f"at most {at_once} at once"
    text = (
        f"{counted(len(visits), noun)}, {how}; the longest "
        f"{stretch(footage, longest.video, longest.span)}{subject.caveat()}"
    )
    return Composed(text=sentence(text), evidence=proofs(visits))


def edge_of(
    footage: WatchedFootage, subject: Subject, visits: Sequence[Visit], form: QuestionForm
) -> Composed:
    """Tell the coming or the going of the first or the last visit."""
    is_last = form.extreme == "last" or (form.edge == "end" and form.extreme is None)
    visit = visits[-1] if is_last else visits[0]
    is_going = form.edge == "end" or (form.extreme == "last" and form.edge is None)
    time_s = visit.span.end_s if is_going else visit.span.start_s
    verb = "last in view" if is_going else "comes into view"
    verb = f"is {verb}" if is_going else verb
    span = stretch(footage, visit.video, visit.span)
    more = [other for other in visits if other is not visit]
    again = (
        f"; other times: {listed([clock(other.span.start_s) for other in more])}"
        if more and form.extreme is None
        else ""
    )
    text = (
        f"at {moment(footage, visit.video, time_s)}: {named(subject)} {verb} "
        f"(in view {span}){again}{subject.caveat()}"
    )
    shown = [visit] if form.extreme else [visit, *more][: MOST_LISTED + 1]
    return Composed(text=sentence(text), evidence=proofs(shown))


def _when_absent(footage: WatchedFootage, subject: Subject, visits: Sequence[Visit]) -> Composed:
    """Tell the stretches without a thing that is there at other times."""
    spans = [
        (item.video, span)
        for item in footage.watched
        for span in gaps(visits, item.video, item.span)
    ]
    name = plural(subject.noun) if subject.thing.is_person else article(subject.noun)
    if not spans:
        # Whoever asks has seen it away: a second between two frames is missed here.
        return Composed(
            text=sentence(f"{name} was recognised throughout{subject.caveat()}"),
            verdict="unsure",
            evidence=proofs(visits),
        )
    stretches = listed([stretch(footage, video, span) for video, span in spans])
    return Composed(
        text=sentence(f"{stretches}: no {subject.noun} in view"),
        evidence=tuple(
            Evidence(
                video=video,
                span=span,
                score=min(visit.confidence for visit in visits),
                origin="observation",
                keyframe_s=(span.start_s + span.end_s) / 2,
                observations=tuple(row for visit in visits for row in visit.rows)[:MOST_LISTED],
            )
            for video, span in spans
        ),
    )


def not_confirmed(
    footage: WatchedFootage, subject: Subject, *, may_say_no: bool = True
) -> Composed:
    """Say what speaks for a thing where no row of it is sure: no, perhaps, or nothing.

    Args:
        footage: With its rows.
        subject: The thing.
        may_say_no: Whether it was asked whether there is one: else the asker has seen it.
    """
    doubtful = subject.graded.all
    name = named(subject)
    if doubtful:
        best = max(doubtful, key=lambda row: row.confidence)
        span = stretch(footage, best.video, best.span)
        text = f"perhaps {name} {span}; that is not confirmed"
        return Composed(text=sentence(text), verdict="unsure", evidence=(evidence_of([best]),))
    searched = seconds(footage.duration_s)
    if may_say_no and may_deny(footage, subject.thing):
        noun = subject.noun if not subject.thing.is_person else "person"
        return Composed(text=sentence(f"no: no {noun} was recognised in {searched} of video"))
    text = f"{name} {was(name)} not recognised in {searched} of video, which does not rule it out"
    if footage.is_one_video and not footage.has_reach("object"):
        text = f"so far {name} {was(name)} not recognised: not all of {searched} of video has been "
        text += "looked over for objects"
    moved = unnamed_motion(footage)
    if moved:
        first = moved[0]
        text += f"; something moved {stretch(footage, first.video, first.span)}"
    return Composed(text=sentence(text), verdict="unknown")


def _other_colour(subject: Subject) -> Composed:
    """Answer a question for a coloured thing where only others of its kind were seen."""
    rows = subject.graded.believed
    seen = list(dict.fromkeys(colour for row in rows for colour in row.colours))
    visits = merge(rows)
    if not seen:
        text = f"{article(subject.noun)} is in view, but its colours were not recognised"
        return Composed(text=sentence(text), verdict="unsure", evidence=proofs(visits))
    name = f"{' or '.join(subject.colours)} {subject.noun}"
    text = f"no {name} was recognised; {plural(subject.noun)} seen are {listed(seen)}"
    may_be_meant = any(near(wanted, colour) for wanted in subject.colours for colour in seen)
    is_told = all(row.colours for row in rows) and not may_be_meant and not subject.thing.is_broader
    return Composed(
        text=sentence(f"no: {text}" if is_told else text),
        verdict="answered" if is_told else "unsure",
        evidence=proofs(visits),
    )


def _too_few(footage: WatchedFootage, subject: Subject, rows: Sequence[Observation]) -> Composed:
    visits = individuals(rows)
    count, together = most_at_once(visits)
    span = "" if together is None else f", {stretch(footage, together.video, together.span)}"
    text = f"at most {counted(count, subject.noun)} at once was recognised{span}"
    return Composed(text=sentence(text), verdict="unsure", evidence=proofs(visits))


def _leaves(footage: WatchedFootage, subject: Subject, form: QuestionForm) -> Composed | None:
    """Answer whether a thing goes away: it does not where it is in view from first to last."""
    rows = subject.graded.believed
    if not rows or not footage.is_one_video or not _AWAY.search(form.text):
        return None
    (first, *more), end_s = merge(rows), footage.watched[-1].span.end_s
    is_throughout = not more and first.span.end_s >= end_s - _STAYS_S
    if not is_throughout or first.span.start_s > footage.watched[0].span.start_s + _STAYS_S:
        return None
    span = stretch(footage, first.video, first.span)
    text = f"no: {article(subject.noun)} is in view to the end, {span}"
    return Composed(text=sentence(text), evidence=proofs([first]))


def undecided_doing(footage: WatchedFootage, subject: Subject) -> Composed:
    """Say that a thing is seen, but not what it does."""
    visits = merge(subject.graded.believed)
    text = f"nothing here can recognise doings such as \u201c{subject.rest}\u201d"
    if visits:
        spans = listed([stretch(footage, visit.video, visit.span) for visit in visits])
        text += f"; {article(subject.noun)} is in view {spans}"
    return Composed(text=sentence(text), verdict="unknown", evidence=proofs(visits))


def looks_of(rows: Sequence[Observation]) -> str:
    """Return the main colours of a person as the end of a name: ` in black and red`, or nothing."""
    colours = list(dict.fromkeys(colour for row in rows for colour in row.colours))[:2]
    return f" in {' and '.join(colours)}" if colours else ""
