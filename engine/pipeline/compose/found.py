"""Whether and when, of things that no observer names: from moments that an encoder claims.

An encoder knows more things than a detector has labels for, a cauliflower or a lion. Its claim is
calibrated: of things that are not there it claims few (see the model card of the encoder).
"""

from typing import Final

from engine.pipeline.compose.footage import Composed, WatchedFootage
from engine.pipeline.compose.naming import SEEN
from engine.pipeline.compose.sentences import article, listed, moment, sentence, stretch
from engine.pipeline.compose.subjects import Subject, find_subject
from engine.pipeline.question_kinds import QuestionForm
from engine.records import Evidence

GIVEN: Final = -5.1
"""Log-odds from which the moment that fits a thing best is told to whoever takes it for granted.
Of things that are not there nine in ten stay below -4, and three in four below -6."""
MOST_SHARE: Final = 0.4
"""Share of the footage that a moment may fill before it no longer tells when."""
KINDS: Final = ("is_there", "when")


def by_looks(footage: WatchedFootage, form: QuestionForm) -> Composed | None:
    """Answer whether or when a thing is in view from the claims of encoders.

    Returns:
        `None` where nothing is claimed, or where more is asked than a look can tell: a doing, a
        number, a time without the thing.
    """
    if form.kind not in KINDS or form.is_absence:
        return None
    subject = find_subject(footage, form.subject)
    is_doing = bool(subject.doing) and not subject.is_borne_out()
    if subject.number is not None or not subject.thing.phrase:
        return None
    claimed = () if is_doing else footage.claimed
    if form.kind == "is_there":
        claimed = tuple(item for item in claimed if _is_borne_out(footage, subject, item))
    if form.kind == "when" and not claimed:
        claimed = _thing_alone(footage, subject)
    if not claimed:
        return None
    in_time = sorted(claimed, key=lambda item: (item.video, item.span.start_s))
    name = article(" ".join(dict.fromkeys((*subject.colours[:1], *subject.thing.phrase.split()))))
    if form.kind == "when" and (form.edge or form.extreme in {"first", "last"}):
        return _edge(footage, form, in_time, name)
    spans = listed([stretch(footage, item.video, item.span) for item in in_time])
    lead = "yes, by its looks: " if form.kind == "is_there" else ""
    lead = lead or ("" if footage.claimed and not is_doing else "most likely, by its looks: ")
    rest = f"; whether \u201c{subject.rest}\u201d holds was not recognised" if is_doing else ""
    text = f"{lead}{name} is in view {spans}{rest}"
    return Composed(text=sentence(text), evidence=tuple(in_time))


def _is_borne_out(footage: WatchedFootage, subject: Subject, item: Evidence) -> bool:
    """Return whether the classifier sees the very thing there, not only what resembles it."""
    posterior = footage.look.classes(item.video, item.keyframe_s)
    if not posterior:
        # Without a classifier the encoder's word stands.
        return True
    classes = subject.thing.classes if not subject.thing.has_broader_classes else ()
    return sum(posterior[idx] for idx in classes) >= SEEN


def _thing_alone(footage: WatchedFootage, subject: Subject) -> tuple[Evidence, ...]:
    """Return the moment of a thing without its colours and doings, where that says when.

    Whoever asks when takes the thing for granted. Of one that is in view most of the time, its
    looks do not tell when it does something.
    """
    is_seen = bool(subject.graded.all) and not subject.thing.is_broader
    if subject.thing.is_person or not subject.thing.is_known or is_seen:
        return ()
    fits = footage.look.fits([subject.thing.phrase], footage.scope)
    items = tuple(fit.evidence for fit in fits if fit.log_odds > GIVEN)
    shown_s = sum(item.span.duration_s for item in items)
    return items if shown_s <= MOST_SHARE * footage.duration_s else ()


def _edge(
    footage: WatchedFootage, form: QuestionForm, in_time: list[Evidence], name: str
) -> Composed:
    item = in_time[-1] if form.extreme == "last" else in_time[0]
    at_s = item.span.end_s if form.edge == "end" else item.span.start_s
    verb = "is last in view" if form.edge == "end" else "comes into view"
    text = f"{moment(footage, item.video, at_s)}: {name} {verb}"
    return Composed(text=sentence(f"at {text}"), evidence=(item,))
