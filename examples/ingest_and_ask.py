"""Draw a clip, read it once, ask about it, and print the moments that prove the answers."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from engine.media.encode import write_video
from engine.media.sample import FrameReader
from engine.media.source import MediaLimits
from engine.pipeline.answer import answer
from engine.pipeline.config import EngineConfig, ModelConfig
from engine.pipeline.engine import Engine, assemble
from engine.pipeline.ingest import ingest
from engine.records import VideoId
from engine.synthetic.story import draw_story

NANO = Path(__file__).resolve().parents[1] / "assets" / "models" / "nano"


def read_and_ask(open_engine: Callable[[EngineConfig], Engine], *questions: str) -> None:
    """Read a clip chunk by chunk, then answer questions from what was stored of it."""
    with tempfile.TemporaryDirectory() as folder:
        home, clip = Path(folder), Path(folder, "corridor.mp4")
        write_video(clip, draw_story(3, duration_s=60, fps=4), fps=4)
        model = ModelConfig(folder=NANO)
        engine = open_engine(EngineConfig(model=model, latents_folder=home, index_folder=home))
        with FrameReader(str(clip), engine.sampling, limits=MediaLimits()) as frames:
            for chunk in ingest(engine, VideoId("corridor"), frames):
                print(f"chunk {chunk.ref.ordinal}: {chunk.n_latents} latents, {chunk.ref.span}")
        for question in questions:
            *_, final = answer(engine, question)
            print(f"{question} {final.text}")
            for item in final.evidence:
                print(f"  {item.span.start_s} - {item.span.end_s} s, score {item.score:.2f}")


if __name__ == "__main__":
    read_and_ask(assemble, "What happens?", "What code is on the red star card?")
