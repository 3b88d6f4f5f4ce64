"""Sums of the model card: what a chunk keeps, by ratio or by a connector that fixes it."""

from dataclasses import replace

from engine.records import Fingerprint, ModelCard

CARD = ModelCard(
    family="video_xl",
    variant="7b",
    fingerprint=Fingerprint("f"),
    chunk_frames=10,
    tokens_per_frame=144,
    compression_ratio=8,
    latent_bytes=2 * 28 * 4 * 128 * 2,
    vector_dim=768,
    max_positions=32_768,
)


def test_an_hour_of_summary_tokens_costs_what_the_parts_say() -> None:
    assert CARD.latents_per_chunk == 180
    assert CARD.chunk_bytes == 10_321_920
    assert CARD.bytes_per_hour(1.0) == 360 * CARD.chunk_bytes


def test_another_ratio_keeps_another_number() -> None:
    assert CARD.latents_at(16) == 90


def test_a_resampler_keeps_its_queries_whatever_the_ratio() -> None:
    apollo = replace(CARD, chunk_frames=4, tokens_per_frame=729, fixed_latents=128)
    assert apollo.latents_per_chunk == apollo.latents_at(2) == 128
