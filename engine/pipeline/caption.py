"""Stored chunks to sentences: each described by the model that keeps it."""

from collections.abc import Collection, Iterator

from engine.errors import NotFoundError
from engine.pipeline.engine import Engine
from engine.protocols import Captioner, Sampling, VideoModel
from engine.records import ALL_TIME, Caption, ChunkRef, VideoId
from engine.tensors import ChunkLatents, Token

INSTRUCTION = "Describe what you see."
"""Asked of families that have no wording of their own; one that nano was trained on."""


def caption(
    engine: Engine,
    video: VideoId,
    *,
    known: Collection[ChunkRef] = (),
    sampling: Sampling | None = None,
) -> Iterator[Caption]:
    """Describe the chunks of a video one by one, in time order, each from its own latents alone.

    Args:
        engine: Whose latents they are.
        video: Read before, wholly or in part.
        known: Chunks that have their caption: left out, so that a cut-off run resumes.
        sampling: How tokens are drawn; greedy when `None`.
    Raises:
        NotFoundError: Nothing of the video is stored by this model.
    """
    engine.refresh([video])
    refs = engine.index.refs([(video, ALL_TIME)])
    if not refs:
        raise NotFoundError(f"nothing of {video} is stored by this model")
    card = engine.model.card
    for ref in refs:
        if ref in known:
            continue
        (chunk,) = engine.cache.recall([ref])
        tokens = describe(engine.model, chunk, sampling or Sampling())
        yield Caption(
            ref=ref,
            fingerprint=engine.cache.pipeline_of(video),
            model=f"{card.family}/{card.variant}",
            text="".join(token.text for token in tokens).strip(),
        )


def describe(model: VideoModel, chunk: ChunkLatents, sampling: Sampling) -> Iterator[Token]:
    """Describe one chunk: the family's own way where it was trained for this, else by asking."""
    if isinstance(model, Captioner):
        return model.recaption(chunk, sampling)
    return model.generate(INSTRUCTION, [chunk], sampling)
