"""The shipped weights do what their card says, on a handful of cases."""

from pathlib import Path

import numpy as np
import pytest
import torch

from engine.evaluation.needle_grid import drawn_haystack
from engine.models.video_xl.model import VideoXl, load
from engine.protocols import Sampling
from engine.records import ChunkRef, TimeSpan, VideoId
from engine.synthetic.cards import draw_needle
from engine.synthetic.grammar import CANNOT_TELL
from engine.synthetic.questions import is_right
from engine.synthetic.story import draw_story
from engine.tensors import ChunkLatents, FrameBatch

FOLDER = Path(__file__).resolve().parents[4] / "assets" / "models" / "nano"


@pytest.fixture(scope="module")
def nano() -> VideoXl:
    return load(FOLDER, torch.device("cpu"), torch.float32)


def compressed(nano: VideoXl, frames: list[np.ndarray]) -> ChunkLatents:
    pixels = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).contiguous()
    pts_s = torch.arange(len(frames), dtype=torch.float64)
    tokens = nano.encode(FrameBatch(pixels=pixels, pts_s=pts_s))
    ref = ChunkRef(video=VideoId("v"), ordinal=0, span=TimeSpan(start_s=0.0, end_s=8.0))
    return ChunkLatents(
        ref=ref,
        latents=nano.compress(tokens, nano.open_stream()),
        frame_vectors=tokens.frame_vectors,
        pts_s=pts_s,
    )


def answer(nano: VideoXl, question: str, chunk: ChunkLatents) -> str:
    tokens = nano.generate(question, [chunk], Sampling(max_tokens=16))
    return "".join(token.text for token in tokens).strip()


def test_it_reads_planted_cards_through_four_summary_tokens(nano: VideoXl) -> None:
    scene = [frame.pixels for frame in drawn_haystack(8, fps=1.0, seed=1)]
    right = 0
    for seed in range(900, 912):
        needle = draw_needle(seed)
        frames = list(scene)
        frames[seed % 8] = needle.image
        chunk = compressed(nano, frames)
        assert chunk.latents.n_latents == 4
        right += is_right(answer(nano, needle.question, chunk), needle.answer, needle.aliases)
    assert right >= 11


def test_it_says_that_it_cannot_tell(nano: VideoXl) -> None:
    chunk = compressed(nano, list(draw_story(2, 8, 1.0)))
    for question in ("Who is the president of France?", "What song is playing?"):
        assert answer(nano, question, chunk) == CANNOT_TELL


def test_a_query_is_nearest_to_the_frame_it_names(nano: VideoXl) -> None:
    needle = draw_needle(33)
    chunk = compressed(nano, [*list(draw_story(3, 8, 1.0))[:7], needle.image])
    card = needle.card
    query = nano.embed_text(f"{card.colour} {card.shape} card")
    assert int((chunk.frame_vectors @ query).argmax()) == 7


def test_the_folder_stays_small() -> None:
    size = sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file())
    assert size <= 20e6
