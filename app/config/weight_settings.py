"""Settings of weights that are larger than the memory near the model."""

from pydantic import ByteSize, Field

from app.config.section import MAX_BYTES, Section
from engine.records import WeightFormat


class WeightSettings(Section):
    """Weights of a model that does not fit."""

    format: WeightFormat = "native"
    """How the matrices of the decoder's layers are held: in `dtype`, as `int8`, in half of 16 bits
    and a quarter of 32, or as `nf4`, in about half of that again (`pip install 'longwatch[nf4]'`).
    Loading needs no more than that. It makes another model: videos are read anew."""
    expert_device_bytes: ByteSize | None = Field(default=None, le=MAX_BYTES)
    """Bytes of experts on the device, for a mixture of experts (VideoLLaMA2-8x7B): those used last
    stay, the others are read from the checkpoint when a token asks for them. Answers are the same,
    and slower. Without a value, all experts are held there."""
    expert_host_bytes: ByteSize = Field(default=ByteSize(0), le=MAX_BYTES)
    """Bytes of experts in main memory, beside an accelerator: they are copied to it and not read
    from disk again."""
