"""Videos to clips of equal length, each with a caption by whichever family is loaded.

Decision: a clip longer than the model's chunk is described chunk by chunk, and the sentences are
joined. Because families that were trained to describe take one chunk, and nano was never trained
to describe several at once. Measured: see the tests of `vico.samples`, whose stories nano
describes. Revisit when a family describes whole memories well.
Decision: every clip is a stream of its own. Because its caption then depends on nothing but its
own frames: a run may be cut off and go on behind any clip.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from engine.media.frame import Frame
from engine.media.prefetch import Prefetch
from engine.pipeline.caption import INSTRUCTION, describe
from engine.pipeline.encode import SoundSource, encode_frames, hear
from engine.pipeline.engine import Engine
from engine.pipeline.ingest import FrameSource
from engine.protocols import Sampling
from engine.records import ChunkRef, TimeSpan, VideoId
from engine.tensors import ChunkLatents

CLIP_S: Final = 14.0
"""Seconds of a clip in the paper on Video-XL."""

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[\u3002\uff01\uff1f])")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipCaption:
    """A description of one clip; empty where there is none."""

    span: TimeSpan
    text: str
    last_s: float | None = None
    """Time of its last frame, behind which reading goes on with the next clip; `None` where the
    caption was read from a file."""


def caption_clips(
    engine: Engine,
    frames: FrameSource,
    *,
    clip_s: float,
    sound: SoundSource | None = None,
    sampling: Sampling | None = None,
) -> Iterator[ClipCaption]:
    """Describe a video clip by clip, in time order; a clip without frames is left out.

    Args:
        engine: Whose model describes; nothing is stored in its cache.
        frames: The video, or its rest behind `ClipCaption.last_s`, without thinning.
        clip_s: Length of a clip; clips start at its multiples.
        sound: What a model that hears listens to.
        sampling: How tokens are drawn; greedy when `None`.
    Raises:
        MediaDecodeError: The source broke; the clips before are yielded first.
    Cost: memory for the frames of one clip.
    """
    with Prefetch(iter(frames)) as ahead:
        for number, clip, is_last in _cut(ahead, clip_s):
            end_s = (number + 1) * clip_s
            if is_last:
                end_s = min(end_s, clip[-1].pts_s + 1 / engine.sampling.fps)
            yield ClipCaption(
                span=TimeSpan(start_s=number * clip_s, end_s=end_s),
                text=_describe_clip(engine, clip, sound, sampling or Sampling()),
                last_s=clip[-1].pts_s,
            )


def caption_key(engine: Engine, *, clip_s: float, sampling: Sampling) -> str:
    """Return a digest of all that shapes captions: those of two keys are never mixed."""
    shaping = {
        "model": engine.model.card.fingerprint,
        "compression_ratio": engine.compression_ratio,
        "fps": engine.sampling.fps,
        "max_side_px": engine.sampling.max_side_px,
        "clip_s": clip_s,
        "sampling": asdict(sampling),
        "instruction": INSTRUCTION,
    }
    return hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()[:32]


def sentences(text: str) -> list[str]:
    """Split a text into sentences, without the space between them."""
    return [part.strip() for part in _SENTENCE_END.split(text) if part.strip()]


def _cut(frames: Iterable[Frame], clip_s: float) -> Iterator[tuple[int, list[Frame], bool]]:
    """Yield number, frames, and whether it is the last, of every clip that has frames."""
    number, clip = 0, list[Frame]()
    for frame in frames:
        current = int(frame.pts_s // clip_s)
        if clip and current != number:
            yield number, clip, False
            clip = []
        number = current
        clip.append(frame)
    if clip:
        yield number, clip, True


def _describe_clip(
    engine: Engine, frames: Sequence[Frame], sound: SoundSource | None, sampling: Sampling
) -> str:
    """Join the captions of the clip's chunks, each sentence once."""
    model = engine.model
    stream = model.open_stream(
        compression_ratio=engine.compression_ratio, max_past_latents=engine.max_past_latents
    )
    unique: dict[str, None] = {}
    for ordinal, start in enumerate(range(0, len(frames), model.card.chunk_frames)):
        part = frames[start : start + model.card.chunk_frames]
        span = TimeSpan(start_s=part[0].pts_s, end_s=part[-1].pts_s + 1 / engine.sampling.fps)
        tokens = encode_frames(model, part, hear(engine, span, sound))
        latents = model.compress(tokens, stream)
        stream.remember(latents)
        chunk = ChunkLatents(
            ref=ChunkRef(video=VideoId("clip"), ordinal=ordinal, span=span),
            latents=latents,
            frame_vectors=tokens.frame_vectors,
            pts_s=tokens.pts_s,
        )
        text = "".join(token.text for token in describe(model, chunk, sampling))
        unique.update(dict.fromkeys(sentences(" ".join(text.split()))))
    return " ".join(unique)
