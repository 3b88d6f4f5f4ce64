"""Settings of the eyes: what looks at footage apart from the model that answers."""

from typing import Annotated

from pydantic import BeforeValidator, Field, field_validator

import engine.sight.encoders
import engine.sight.observers
from app.config.section import Section
from engine import plugins

MODEL_ENCODER = "model"
"""The answering model's own space of words and pictures."""


def _as_list(value: object) -> object:
    return (value,) if isinstance(value, str) else value


class SightSettings(Section):
    """Encoders and observers, which look at footage behind its ingest, in the background."""

    encoder: Annotated[tuple[str, ...], BeforeValidator(_as_list)] = ("concepts", MODEL_ENCODER)
    """What matches phrases with pictures, one or several: modules of `engine/sight/encoders`, with
    a checkpoint behind a colon where they take one (`siglip2:google/siglip2-base-patch16-224`), or
    `model`, the answering model's own vectors."""

    observers: tuple[str, ...] = ("objects", "motion", "speech", "text")
    """What states facts about footage, in this order: modules of `engine/sight/observers`. An
    empty list observes nothing."""
    concurrent_observes: int = Field(default=1, ge=1, le=64)
    """Videos that a worker observes at a time, beside its other jobs and at low priority."""
    detector: str | None = None
    """Folder of a detector of the DETR kind, such as RT-DETR, as transformers or ONNX. Without a
    value, the one that is installed: SSD MobileNetV2."""
    speech_model: str | None = None
    """Folder of a Whisper model for faster-whisper. Without a value, the one that is installed:
    Whisper base."""
    speech_language: str | None = Field(default=None, pattern="^[a-z]{2,3}$")
    """Language that is spoken, as a code such as `en`. Without a value, it is told from the
    sound."""
    text_frames_per_minute: int = Field(default=12, ge=1, le=600)
    """Most frames that are read for print, for each minute of footage; one takes about
    half a second of one core."""

    @field_validator("observers")
    @classmethod
    def _check_observers(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        known = plugins.names(engine.sight.observers)
        unknown = [name for name in names if name not in known]
        if unknown:
            raise ValueError(f"no observer {unknown[0]!r}; there are {', '.join(known)}")
        return tuple(dict.fromkeys(names))

    @field_validator("encoder")
    @classmethod
    def _check_encoders(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        known = (*plugins.names(engine.sight.encoders), MODEL_ENCODER)
        unknown = [name for name in names if name.partition(":")[0] not in known]
        if unknown:
            raise ValueError(f"no encoder {unknown[0]!r}; there are {', '.join(known)}")
        if not names:
            raise ValueError("name at least one encoder")
        return tuple(dict.fromkeys(names))
