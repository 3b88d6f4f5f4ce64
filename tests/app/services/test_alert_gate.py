"""The gate in front of rules: what changed, however little, is looked at at once."""

import pytest

from app.services.alert_gate import shows_change
from engine.media.sample import SamplingConfig
from engine.records import ChunkCommitted, ChunkRef, Fingerprint, SampleStats, TimeSpan, VideoId

SAMPLING = SamplingConfig(group_frames=8, heartbeat_s=30.0)


def _chunk(activity: float, *, n_frames: int, span_s: float) -> ChunkCommitted:
    return ChunkCommitted(
        ref=ChunkRef(video=VideoId("yard"), ordinal=0, span=TimeSpan(start_s=0.0, end_s=span_s)),
        fingerprint=Fingerprint("f"),
        n_frames=n_frames,
        n_latents=1,
        file_bytes=1,
        checksum="",
        activity=activity,
        stats=SampleStats(),
    )


@pytest.mark.parametrize(
    ("activity", "n_frames", "span_s", "is_change"),
    [
        (0.01, 8, 8.0, True),
        # Somebody in the dark, or far away: thinning kept every frame, and most cells are still.
        (0.0005, 8, 8.0, True),
        # Heartbeats, and the frame that closed a group of changes before the next change.
        (0.0005, 8, 240.0, False),
        (0.0005, 2, 31.0, False),
        (0.0, 1, 3.0, False),
    ],
)
def test_gate_passes_what_thinning_kept_for_a_change(
    activity: float, n_frames: int, span_s: float, is_change: bool
) -> None:
    assert shows_change(_chunk(activity, n_frames=n_frames, span_s=span_s), SAMPLING) is is_change


def test_without_thinning_the_gate_has_activity_alone() -> None:
    every_frame = SamplingConfig(thin_static=False)
    assert not shows_change(_chunk(0.0005, n_frames=8, span_s=8.0), every_frame)
    assert shows_change(_chunk(0.01, n_frames=8, span_s=8.0), every_frame)
