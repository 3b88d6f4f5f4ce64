"""The fingerprint of a pipeline, by which its latents never mix with another's."""

import hashlib
import json
from dataclasses import asdict

from engine.media.sample import THINNING_VERSION, SamplingConfig
from engine.pipeline.config import EngineConfig
from engine.records import Fingerprint, ModelCard


def pipeline_fingerprint(
    config: EngineConfig,
    card: ModelCard,
    sampling: SamplingConfig,
    ratio: int,
    max_past_latents: int | None,
) -> Fingerprint:
    """Return the hash of everything that shapes latents: change any of it, all is encoded anew."""
    sampled = asdict(sampling)
    if not sampling.keyframe_s:
        # It came later, and changed nothing for those who leave it.
        del sampled["keyframe_s"]
    if sampling.thin_static:
        sampled["thinning_version"] = THINNING_VERSION
    shaping = {
        "model": card.fingerprint,
        "latent_bytes": card.latent_bytes,
        "chunk_frames": card.chunk_frames,
        "compression_ratio": ratio,
        "max_past_latents": max_past_latents,
        "storage": config.cache.storage,
        "sampling": sampled,
    }
    digest = hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()
    return Fingerprint(digest[:32])
