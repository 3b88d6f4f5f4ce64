"""Texts and frames as unit vectors of the space that the loaded model shares between them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from app.services.access import Access
from app.services.ask import count_tokens
from app.services.chat import parse_address
from app.services.context import ServiceContext
from app.services.question_text import check_text
from engine.errors import InputRefusedError
from engine.pipeline.similar import frame_vector


@dataclass(frozen=True, slots=True)
class Embedding:
    """One vector, and the tokens that were read for it."""

    vector: Float32[np.ndarray, " dim"]
    n_tokens: int


def embed(context: ServiceContext, text: str, access: Access) -> Embedding:
    """Return the vector of a text, or of the frame that `video://ID#t=12.5` names.

    Inner products of these vectors are what the model's own search compares.

    Raises:
        InputRefusedError: It is empty, or an address without a time.
        NotFoundError: No such video for this user, or nothing of it is read at that time.
        MissingCapabilityError: The model has no space that words and pictures share.
    """
    if not text.startswith("video://"):
        check_text(context, "input", text)
        vector = context.engine.model.embed_text(text)
        return Embedding(vector.float().cpu().numpy(), count_tokens(context, text))
    named = parse_address(context, text, access)
    if named.start_s is None:
        raise InputRefusedError(
            f"{text!r} names no frame", hint="give its second: video://ID#t=12.5"
        )
    vector = frame_vector(context.engine, named.video, named.start_s)
    return Embedding(vector.cpu().numpy(), 0)
