"""The marked part of a camera's video, offered as an archive of signed evidence."""

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlencode

import gradio as gr
from markupsafe import Markup

from app.api.auth import Principal
from app.api.deps import AppContext
from app.api.media import MAX_CLIP_S
from app.services.access import find_video
from app.services.camera_evidence import MOST_CAMERAS, EvidenceSpan, evidence_span
from app.ui.caller import EVENT, as_sentences, require_reader
from app.ui.components.player import Player
from app.ui.markup import part, span_text
from engine.errors import InputRefusedError
from engine.records import TimeSpan
from storage.camera_records import CameraRow

_WHAT: Final = "A ZIP of the recording as the camera sent it, with a signed list of its clips"


def add_evidence(context: AppContext, player: Player) -> None:
    """Draw what stands below a player while a part of its video is marked."""
    place = gr.HTML(apply_default_css=False, elem_id="lw-evidence")

    def offer(event: gr.EventData, request: gr.Request) -> str:
        start_s, end_s = event.start_s, event.end_s
        if start_s is None or end_s is None or start_s >= end_s:
            return ""
        with as_sentences(request):
            principal = require_reader(request)
            span = TimeSpan(start_s=float(start_s), end_s=float(end_s))
            return draw_offer(context, principal, event.video_id, span)

    player.mark(offer, None, place, **EVENT)


def draw_offer(context: AppContext, principal: Principal, video: str, span: TimeSpan) -> str:
    """Return a link that exports a part of a video, or a sentence why there is none."""
    row = find_video(context.services, video, principal)
    try:
        evidence = evidence_span(context.services, row, span, most_s=MAX_CLIP_S, access=principal)
    except InputRefusedError as error:
        return _line(Markup("<span>No signed evidence of this: {}.</span>").format(error))
    if not principal.is_admin:
        return _line(Markup("<span>An administrator can export this as signed evidence.</span>"))
    links = [_link(evidence, "Export evidence", [evidence.camera])]
    if 0 < len(evidence.beside) < MOST_CAMERAS:
        every = [evidence.camera, *evidence.beside]
        links.append(_link(evidence, f"Of all {len(every)} cameras", every))
    return _line(
        Markup("{}<span>{}: {}, {}.</span>").format(
            Markup("").join(links),
            _WHAT,
            ", ".join(camera.name for camera in (evidence.camera, *evidence.beside)),
            span_text(span.start_s, span.end_s),
        )
    )


def _link(evidence: EvidenceSpan, words: str, cameras: Sequence[CameraRow]) -> Markup:
    query = urlencode(
        {
            "camera": [camera.id for camera in cameras],
            "start": evidence.start_at.isoformat(),
            "end": evidence.end_at.isoformat(),
        },
        doseq=True,
    )
    return Markup('<a class="button quiet" href="/api/v1/evidence?{}" download>{}</a>').format(
        query, words
    )


def _line(content: Markup) -> str:
    return part(Markup('<p class="row faint" role="status">{}</p>').format(content))
