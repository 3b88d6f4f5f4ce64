"""Searches over what was ingested: one ranked list of what vectors, observers and captions find."""

import math
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final, cast, get_args

from app.config.index_choice import SHARED
from app.config.sight_settings import MODEL_ENCODER
from app.schemas.common import VideoLabels, describe_left_out, describe_span
from app.schemas.search import (
    FrameRef,
    ObservingItem,
    SearchHit,
    SearchResponse,
    SearchTiming,
)
from app.services.context import ServiceContext
from app.services.job_kinds import OBSERVE
from app.services.nodes import spread_scope
from app.services.question_text import check_text, read_to_s
from app.services.scope import is_heard, known_s
from app.services.search_rows import find_rows
from app.services.spread import find_everywhere
from app.services.timelines import gaps_in_scope
from app.services.vectors import describe_encoders
from engine.errors import InputRefusedError
from engine.pipeline.coverage import left_out, searched_s
from engine.pipeline.evidence import within_scope
from engine.pipeline.fusion import Moment, fuse
from engine.pipeline.row_search import read_query
from engine.pipeline.search import SearchResult
from engine.pipeline.search import search as search_model
from engine.pipeline.similar import like_frame
from engine.pipeline.still_search import search_stills
from engine.records import Evidence, MomentKind, Scope, TimeSpan, VideoId

SIMILAR_MOMENT_S: Final = 4.0
"""Length of a moment around a frame that looks like another."""
_DOUBT: Final = -25.0
"""Log-odds below those of every encoder."""
_SEEN: Final = ("vector", "object")
"""Moments that come from the look of pictures: print and speech are not of them."""
_MOST_JOBS: Final = 200
"""Jobs that are looked through for videos whose observing is not done, the latest ones."""
_CANDIDATES: Final = 4
"""Moments that each source proposes for each that is returned: many fall on the same time."""


def search(
    context: ServiceContext,
    query: str,
    scope: Scope,
    *,
    like: FrameRef | None = None,
    top: int = 10,
    kinds: Collection[MomentKind] = (),
    labels: Collection[str] = (),
) -> SearchResponse:
    """Find the moments that match a description, or that look like a frame; best first.

    Moments that are found come first; below them the nearest ones, marked as not confirmed.

    Args:
        like: The frame, in place of words.
        kinds: Only moments of these sources; all when empty.
        labels: Only things with these labels, as observers state them; all when empty.
    Raises:
        InputRefusedError: Words and a frame, or neither.
    """
    started = time.monotonic()
    if like is None:
        check_text(context, "query", query)
        moments, result = find_moments(context, query, scope, top, kinds=kinds, labels=labels)
    elif query.strip():
        raise InputRefusedError("search for words or for a frame, not for both")
    else:
        result = _search_like(context, like, scope, top)
        moments = tuple(_of_evidence(moment) for moment in result.moments)
    names = context.labels()
    hits = [
        SearchHit(
            **describe_span(moment.video, moment.span, names).model_dump(),
            rank=rank,
            peak_s=moment.peak_s,
            score=moment.score,
            kind=moment.kind,
            confirmed=moment.is_claimed,
            source=moment.source,
            text=moment.text,
        )
        for rank, moment in enumerate(moments, start=1)
    ]
    return SearchResponse(
        query=query,
        encoders=describe_encoders(context),
        hits=hits,
        searched_s=result.searched_s,
        left_out=describe_left_out(result.left_out, names),
        gaps=gaps_in_scope(context, scope),
        observing=_observing(context, scope, names),
        timing=SearchTiming(total_ms=(time.monotonic() - started) * 1000),
    )


def _observing(context: ServiceContext, scope: Scope, names: VideoLabels) -> list[ObservingItem]:
    """Return the videos of a scope whose observing is not done, those that run first."""
    videos = {video for video, _ in scope}
    jobs = context.catalog.jobs.list("queued", "running", limit=_MOST_JOBS)
    items = []
    for job in sorted(jobs, key=lambda job: job.state != "running"):
        if job.kind == OBSERVE and job.video is not None and job.video in videos & names.keys():
            items.append(
                ObservingItem(
                    video_id=job.video, video=names[job.video].name, note=job.progress.note
                )
            )
    return items


def check_kinds(names: Sequence[str]) -> tuple[MomentKind, ...]:
    """Return names as kinds of moments.

    Raises:
        InputRefusedError: One of them is none.
    """
    known = get_args(MomentKind)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputRefusedError(
            f"there are no moments of kind {unknown[0]!r}", hint=f"there are {', '.join(known)}"
        )
    return tuple(cast(MomentKind, name) for name in names)


def find_moments(
    context: ServiceContext,
    query: str,
    scope: Scope,
    top: int,
    *,
    kinds: Collection[MomentKind] = (),
    labels: Collection[str] = (),
    is_alone: bool = False,
) -> tuple[tuple[Moment, ...], SearchResult]:
    """Return the fused moments of all sources, best first, and the answering model's own result.

    Args:
        top: Most moments to return.
        kinds: Only moments of these sources; all when empty.
        labels: Only things with these labels; all when empty.
        is_alone: Ask no other server, wherever the latents lie.
    """
    spread = None if is_alone else spread_scope(context, scope)
    # One index for all finds everything from here, whoever has the latents.
    if spread is not None and context.index_choice.backend != SHARED:
        return find_everywhere(
            context,
            spread,
            query,
            top,
            kinds=kinds,
            labels=labels,
            here=lambda part: find_moments(
                context, query, part, top, kinds=kinds, labels=labels, is_alone=True
            ),
        )
    wanted = read_query(query)
    engine = context.engine
    has_model = MODEL_ENCODER in context.settings.sight.encoder
    # A model of a narrow world proposes nothing in footage of another where other eyes looked.
    proposes = has_model and (not context.encoders or engine.knows(*(video for video, _ in scope)))
    result = _search_model(context, query, scope, top if proposes else 0)
    moments: list[Moment] = []
    if proposes:
        source = f"{MODEL_ENCODER}:{context.settings.model}"
        for evidence in result.moments:
            moment = _of_evidence(evidence, source=source)
            # Of the other videos it says nothing: its moments come last there.
            moments.append(moment if engine.knows(evidence.video) else _doubted(moment))
    if wanted.positive:
        for encoder_index in context.encoders:
            moments += search_stills(
                encoder_index, wanted.positive, scope=scope, top=_CANDIDATES * top
            )
    moments = [*find_rows(context, query, wanted, scope, moments, labels=labels)]
    if has_model and engine.world is not None:
        # All of them in one look at the index.
        engine.knows(*{moment.video for moment in moments})
        # Of its world it knows more than eyes that were trained on photographs.
        moments = [
            moment
            for moment in moments
            if moment.kind not in _SEEN or _is_of_model(moment) or not engine.knows(moment.video)
        ]
    if kinds:
        moments = [moment for moment in moments if moment.kind in kinds]
    return fuse(_inside(moments, scope), top=top), result


def _search_model(context: ServiceContext, query: str, scope: Scope, top: int) -> SearchResult:
    """Search the answering model's vectors; sound alone, which has none, counts as searched."""
    rows = context.catalog.videos.by_id()
    sound_only = [(video, span) for video, span in scope if video in rows and is_heard(rows[video])]
    heard_s = sum(
        span.overlap_s(TimeSpan(start_s=0.0, end_s=known_s(rows[video])))
        for video, span in sound_only
    )
    if sound_only and len(sound_only) == len(scope):
        return SearchResult(query=query, moments=(), searched_s=heard_s, total_ms=0.0)
    result = search_model(
        context.engine,
        query,
        scope=scope,
        top=_CANDIDATES * top,
        read_to_s=read_to_s(context),
    )
    return replace(result, searched_s=result.searched_s + heard_s)


def _inside(moments: Iterable[Moment], scope: Scope) -> Iterator[Moment]:
    """Yield what of each moment lies in a scope; rows may reach far beyond it."""
    bounds_of: dict[VideoId, list[TimeSpan]] = {}
    for video, bounds in scope:
        bounds_of.setdefault(video, []).append(bounds)
    for moment in moments:
        for bounds in bounds_of.get(moment.video, ()):
            if moment.span.overlap_s(bounds) <= 0:
                continue
            span = TimeSpan(
                start_s=max(moment.span.start_s, bounds.start_s),
                end_s=min(moment.span.end_s, bounds.end_s),
            )
            is_inside = span.contains(moment.peak_s)
            peak_s = moment.peak_s if is_inside else (span.start_s + span.end_s) / 2
            yield replace(moment, span=span, peak_s=peak_s)


def _of_evidence(evidence: Evidence, *, source: str = "") -> Moment:
    """Return evidence of the answering model's own vectors as a moment."""
    log_odds = _log_odds(evidence.score)
    return Moment(
        video=evidence.video,
        span=evidence.span,
        peak_s=evidence.keyframe_s,
        kind="vector",
        relevance=log_odds,
        log_odds=log_odds,
        source=source,
    )


def _doubted(moment: Moment) -> Moment:
    """Return a moment behind all others, in the order of its own kind, and not claimed."""
    return replace(moment, relevance=_DOUBT + moment.relevance / 100, log_odds=_DOUBT)


def _is_of_model(moment: Moment) -> bool:
    return moment.source.startswith(f"{MODEL_ENCODER}:")


def _log_odds(probability: float) -> float:
    # Beyond 30 a float no longer tells the share from 1.
    clipped = min(max(probability, 1e-13), 1 - 1e-13)
    return math.log(clipped / (1 - clipped))


def _search_like(context: ServiceContext, like: FrameRef, scope: Scope, top: int) -> SearchResult:
    """Find the moments that look like a frame, each of them a few seconds around its peak."""
    started, read_s = time.monotonic(), read_to_s(context)
    hits = like_frame(context.engine, VideoId(like.video_id), like.time_s, scope=scope, top=top)
    around = (
        Evidence(
            video=hit.chunk.video,
            span=TimeSpan(
                start_s=max(hit.chunk.span.start_s, hit.peak_s - SIMILAR_MOMENT_S / 2),
                end_s=min(hit.chunk.span.end_s, hit.peak_s + SIMILAR_MOMENT_S / 2),
            ),
            score=min(1.0, max(0.0, hit.score)),
            origin="retrieval",
            keyframe_s=hit.peak_s,
        )
        for hit in hits
    )
    moments = within_scope(around, scope)
    index = context.engine.index
    return SearchResult(
        query="",
        moments=moments,
        searched_s=searched_s(index.refs(scope), scope),
        total_ms=(time.monotonic() - started) * 1000,
        left_out=left_out(index.refs(), scope, read_s),
    )
