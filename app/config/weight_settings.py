"""Settings of weights that are larger than the memory near the model."""

from pydantic import ByteSize, Field

from app.config.section import MAX_BYTES, Section
from engine.records import WeightFormat


class WeightSettings(Section):
    """Weights of a model that does not fit."""

    format: WeightFormat = "native"
    """How the matrices of the decoder's layers are held: `native`, in `dtype`; `int8`, in half the
    memory of 16 bits; or `nf4`, in about a quarter (`pip install 'longwatch[nf4]'`). Loading needs
    no more than that. Another format counts as another model: videos are read again."""
    expert_device_bytes: ByteSize | None = Field(default=None, le=MAX_BYTES)
    """Bytes of experts on the device, for a mixture of experts (VideoLLaMA2-8x7B): those used last
    stay, the others are read from the checkpoint when a token needs them. Answers are the same, but
    slower. Without a value, all experts stay on the device."""
    expert_host_bytes: ByteSize = Field(default=ByteSize(0), le=MAX_BYTES)
    """Bytes of experts in main memory, beside an accelerator: they are copied to it and not read
    from disk again."""
