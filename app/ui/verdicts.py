"""Verdicts of the pages: given by buttons, kept by the service, shown again with their moment."""

from collections.abc import Mapping

import gradio as gr

from app.api.deps import AppContext
from app.schemas.ask import EvidenceItem
from app.schemas.search import SearchHit
from app.schemas.verdicts import VerdictRequest, VerdictWord
from app.services.verdicts import Moment, give_verdict, moment_key
from app.ui.caller import EVENT, as_sentences, checked, require_session
from app.ui.components.verdicts import VerdictButtons

Verdicts = Mapping[Moment, bool]
"""Verdicts that were given: whether each moment is right."""


def add_verdicts(context: AppContext) -> None:
    """Let moments of the present page be confirmed and rejected."""

    def judge(event: gr.EventData, request: gr.Request) -> None:
        """Keep a verdict, or take it back."""
        with as_sentences(request):
            principal = require_session(request)
            moment = checked(VerdictRequest, **event.moment)
            give_verdict(context.services, principal.user.id, moment, principal)

    VerdictButtons().judge(judge, None, None, **EVENT)


def hit_moment(hit: SearchHit, query: str, given: Verdicts) -> VerdictRequest:
    """Return a hit of a search as what can be said of it."""
    return VerdictRequest(
        video_id=hit.video_id,
        start_s=hit.start_s,
        end_s=hit.end_s,
        peak_s=hit.peak_s,
        query=query,
        verdict=_word(given, hit.video_id, hit.start_s, hit.end_s),
        origin="search",
        kind=hit.kind,
        score=hit.score,
    )


def evidence_moment(item: EvidenceItem, question: str, given: Verdicts) -> VerdictRequest:
    """Return evidence of an answer as what can be said of it."""
    return VerdictRequest(
        video_id=item.video_id,
        start_s=item.start_s,
        end_s=item.end_s,
        peak_s=item.keyframe_s,
        query=question,
        verdict=_word(given, item.video_id, item.start_s, item.end_s),
        origin="answer",
        kind=item.origin,
        score=item.score,
    )


def _word(given: Verdicts, video: str, start_s: float, end_s: float) -> VerdictWord | None:
    is_right = given.get(moment_key(video, start_s, end_s))
    return None if is_right is None else "right" if is_right else "wrong"
