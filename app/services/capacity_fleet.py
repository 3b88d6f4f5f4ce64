"""Capacity of several machines, for a plan that one is too small for.

Sums over the rates that were measured on this machine, as if every other were like it.
"""

import math
from typing import Final

from app.schemas.capacity import CapacityFleet, CapacityNeed, CapacityPlan, CapacityRates
from engine.records import ModelCard

VECTOR_EXTRA_BYTES: Final = 388
"""Bytes of a vector in PostgreSQL beside its numbers, with its place and its part of an HNSW index.

This and the next from assets/bench/scale.json, by tests/bench/many_cameras.py."""
CHUNK_ROW_BYTES: Final = 344
BEAT_S: Final = 2.0
"""Pause between two signs of life of a job, of which every camera is one."""
SEGMENT_S: Final = 60.0
"""Length of a file of a camera's recording."""


def plan_fleet(
    plan: CapacityPlan,
    rates: CapacityRates,
    card: ModelCard,
    *,
    most_frames_per_s: float,
    codes: CapacityNeed,
) -> CapacityFleet:
    """Return how many machines like this one a plan takes, and what they share.

    Args:
        plan: Of cameras.
        rates: Of this machine.
        card: Of the model.
        most_frames_per_s: What one machine reads, with its headroom.
        codes: What is searched in memory, of all machines together, and what one has for it.
    """
    frames_per_s = plan.cameras * plan.fps
    chunks_per_s = frames_per_s / card.chunk_frames
    n_vectors = frames_per_s * 86_400 * plan.days
    n_chunks = n_vectors / card.chunk_frames
    by_frames = math.ceil(frames_per_s / max(1e-9, most_frames_per_s))
    by_memory = math.ceil(codes.needed / max(1.0, codes.available))
    # In 16 bits, once in its row and once in the index.
    vector_bytes = 2 * 2 * card.vector_dim + VECTOR_EXTRA_BYTES
    a_camera_day = rates.latent_bytes_per_day + rates.still_bytes_per_day
    return CapacityFleet(
        machines=max(by_frames, by_memory),
        machines_for_frames=by_frames,
        machines_for_codes=by_memory,
        store_bytes=a_camera_day * plan.cameras * plan.days,
        database_bytes=n_vectors * vector_bytes + n_chunks * CHUNK_ROW_BYTES,
        # A chunk writes its row and its progress.
        database_writes_per_s=2 * chunks_per_s + plan.cameras * (1 / BEAT_S + 1 / SEGMENT_S),
    )


def spell_fleet(fleet: CapacityFleet | None) -> list[str]:
    """Return a fleet as one more change that would make a plan fit; nothing where there is none."""
    if fleet is None:
        return []
    return [
        f"or take {fleet.machines} machines like this one over PostgreSQL and a shared folder or "
        f"object store: {fleet.machines_for_frames} for the frames, {fleet.machines_for_codes} for "
        f"the codes of vectors; {fleet.store_bytes / 1e12:,.1f} TB of files, "
        f"{fleet.database_bytes / 1e9:,.0f} GB and {fleet.database_writes_per_s:,.0f} writes a "
        "second in the database"
    ]
