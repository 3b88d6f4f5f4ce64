"""Search over the stills of an encoder: every frame of the scope weighed, then the best moments."""

from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64
from torch import Tensor

from engine.pipeline.encoder_index import EncoderIndex
from engine.pipeline.fusion import APART_S, Moment
from engine.records import Scope, TimeSpan
from engine.tensors import FrameScores, Rank

STEADY_FRAMES: Final = 1
"""Frames on either side over which inner products are averaged before anything is claimed: false
recognitions flicker. On clips the area under the curve of present against absent rises from 0.77
to 0.79; two frames do as much."""
MOST_FRAMES: Final = 100
"""Frames that each vector of a phrase proposes where an archive has codes."""
FEW_VIDEOS: Final = 16
"""Videos up to which only their own folders are looked at before a search."""
LONGEST_GAP_S: Final = 10.0
"""Frames further apart are no neighbours: between them nothing was kept."""
_CLAIMED: Final = 1e4
"""Lead of a claimed frame in the order of frames, above any relevance."""
_RUN_SHARE: Final = 1.5
"""Log-odds below its peak at which a moment ends: what is four times less likely is over."""


def search_stills(
    encoder_index: EncoderIndex, text: str, *, scope: Scope | None, top: int
) -> tuple[Moment, ...]:
    """Find the moments whose stills fit a phrase best, however weakly: log-odds say how sure.

    Args:
        encoder_index: Whose vectors to search; those that other processes wrote are seen.
        text: A phrase in the words of a caption.
        scope: Only these spans of these videos; `None` searches everything.
        top: Most moments to return.
    Cost: one pass over the vectors of the scope; no file is opened.
    """
    encoder = encoder_index.encoder

    def rank(scores: Float32[Tensor, "query frame"]) -> Float32[Tensor, " frame"]:
        # Claimed frames first: what is claimed must not fall behind what merely resembles it.
        is_claimed = encoder.log_odds(text, scores) > 0
        return encoder.relevance(text, scores) + _CLAIMED * is_claimed

    seen = _look_up(encoder_index, text, scope, rank)
    if seen is None:
        return ()
    frames, video_idx, follows = seen
    relevance = encoder.relevance(text, frames.scores).numpy()
    log_odds = encoder.log_odds(text, _steady(frames.scores, follows)).numpy()
    order = np.lexsort((-relevance, log_odds <= 0))
    pts_s, videos = frames.pts_s.numpy(), video_idx.numpy()
    is_taken = np.zeros(len(order), dtype=bool)
    moments: list[Moment] = []
    for peak in order.tolist():
        if is_taken[peak]:
            continue
        first, last = run_around(relevance, follows.numpy(), peak)
        chunk = frames.chunks[int(frames.chunk[last])]
        span = TimeSpan(
            start_s=float(pts_s[first]),
            end_s=_end_s(frames.pts_s, video_idx, last, chunk.span.end_s),
        )
        moments.append(
            Moment(
                video=chunk.video,
                span=span,
                peak_s=float(pts_s[peak]),
                kind="vector",
                relevance=float(relevance[peak]),
                log_odds=float(log_odds[peak]),
                source=encoder.card.name,
            )
        )
        if len(moments) == top:
            break
        near = np.abs(pts_s - pts_s[peak]) < APART_S
        inside = (pts_s >= span.start_s) & (pts_s < span.end_s)
        is_taken |= (videos == videos[peak]) & (near | inside)
    return tuple(moments)


def surest_still(encoder_index: EncoderIndex, text: str, *, scope: Scope | None) -> float | None:
    """Return the highest log-odds that any still of a scope shows a phrase; above 0 it is claimed.

    Returns:
        `None` where the encoder has looked at no still.
    """
    encoder = encoder_index.encoder
    seen = _look_up(encoder_index, text, scope, lambda scores: encoder.log_odds(text, scores))
    if seen is None:
        return None
    frames, _, follows = seen
    return float(encoder.log_odds(text, _steady(frames.scores, follows)).max())


def _look_up(
    encoder_index: EncoderIndex, text: str, scope: Scope | None, rank: Rank
) -> tuple[FrameScores, Int64[Tensor, " frame"], Bool[Tensor, " pair"]] | None:
    """Return the frames of a scope in time order, the video of each, and which have neighbours.

    Vectors that other processes wrote are seen. `None` where there are none.
    """
    named = frozenset(video for video, _ in scope or ())
    # Of many it is cheaper to look at all.
    encoder_index.refresh(named if 0 < len(named) <= FEW_VIDEOS else None)
    queries = encoder_index.encoder.queries(text)
    frames = encoder_index.index.scores(queries, within=scope, most=MOST_FRAMES, rank=rank)
    if not len(frames.pts_s):
        return None
    video_idx = torch.from_numpy(frames.chunks.video_idx)[frames.chunk]
    return frames, video_idx, _neighbours(frames, video_idx)


def _neighbours(frames: FrameScores, video_idx: Int64[Tensor, " frame"]) -> Bool[Tensor, " pair"]:
    """Return for each frame but the last whether the next one follows it in one video."""
    gaps = frames.pts_s[1:] - frames.pts_s[:-1]
    return (video_idx[1:] == video_idx[:-1]) & (gaps <= LONGEST_GAP_S)


def _steady(
    scores: Float32[Tensor, "query frame"], follows: Bool[Tensor, " pair"]
) -> Float32[Tensor, "query frame"]:
    """Return the mean of each frame's inner products with those of its neighbours."""
    total, count = scores.clone(), torch.ones(scores.shape[1])
    for step in range(1, STEADY_FRAMES + 1):
        joined = follows.unfold(0, step, 1).all(-1) if len(follows) >= step else follows[:0]
        if not len(joined):
            break
        weight = joined.float()
        total[:, step:] += scores[:, :-step] * weight
        total[:, :-step] += scores[:, step:] * weight
        count[step:] += weight
        count[:-step] += weight
    return total / count


def run_around(
    relevance: Float32[np.ndarray, " frame"], follows: Bool[np.ndarray, " pair"], peak: int
) -> tuple[int, int]:
    """Return the first and the last of the frames around a peak that fit nearly as well."""
    fits = relevance >= relevance[peak] - _RUN_SHARE
    # Of each frame but the last: whether a run goes on behind it.
    goes_on = fits[:-1] & fits[1:] & follows
    before, behind = np.flatnonzero(~goes_on[:peak]), np.flatnonzero(~goes_on[peak:])
    first = int(before[-1]) + 1 if len(before) else 0
    last = peak + int(behind[0]) if len(behind) else len(fits) - 1
    return first, last


def _end_s(
    pts_s: Float64[Tensor, " frame"],
    video_idx: Int64[Tensor, " frame"],
    last: int,
    chunk_end_s: float,
) -> float:
    """Return when the last frame of a run is no longer shown."""
    has_next = last + 1 < len(pts_s) and video_idx[last + 1] == video_idx[last]
    next_s = float(pts_s[last + 1]) if has_next else chunk_end_s
    return max(float(pts_s[last]), min(next_s, max(chunk_end_s, float(pts_s[last]))))
