"""A measurement's recordings come one by one into a library of their own."""

from collections.abc import Callable

import numpy as np
import pytest

from engine.evaluation.scratch_engine import WHOLE_VIDEO, ingested_one_by_one
from engine.pipeline.engine import Engine
from engine.synthetic.cards_in_footage import Planted
from engine.synthetic.recordings import Recording


@pytest.fixture
def engine(build: Callable[..., Engine]) -> Engine:
    return build()


def test_recordings_come_one_by_one_and_leave_nothing(engine: Engine) -> None:
    footage = [np.full((8, 8, 3), 40, np.uint8)]
    given = [
        Recording(
            setting="wall", story=Planted(footage=footage, fps=1.0, n_frames=length, events=())
        )
        for length in (8, 12)
    ]
    seen = []
    for recording, aside in ingested_one_by_one(engine, given):
        refs = aside.index.refs(WHOLE_VIDEO)
        seen.append((recording.n_frames, refs[-1].span.end_s))
        assert aside.retrieval == engine.retrieval
    assert seen == [(8, 8.0), (12, 12.0)]
    assert engine.index.refs() == ()
    assert not engine.config.latents_folder.exists() or not any(
        engine.config.latents_folder.rglob("*.safetensors")
    )
