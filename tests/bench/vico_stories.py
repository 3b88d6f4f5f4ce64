"""Drawn recordings and what is true of them, clip by clip, for `longwatch vico`.

    python -m tests.bench.vico_stories FOLDER [--stories 40] [--first 71000] [--trained]
    longwatch vico FOLDER --captions FOLDER/captions.jsonl --output FOLDER/vico.jsonl
    longwatch eval vico --root FOLDER

Captions are the stories' own words and no model's, so that the right letters are right. Cards are
those that nano never saw in training, unless `--trained` asks for the others.
"""

import argparse
import json
from pathlib import Path
from typing import Final

from engine.media.encode import write_video
from engine.records import TimeSpan
from engine.synthetic.story import Story, draw_story

FIRST_SEED: Final = 71_000
"""None of those that training, the demo, `eval drawn` or a study draw."""
CLIP_S: Final = 14.0
"""Length of a clip as `longwatch vico` cuts them."""


def captions(story: Story) -> list[tuple[TimeSpan, str]]:
    """What a story shows in each clip, a sentence an event; a clip without events says nothing."""
    told = []
    for number in range(int(story.duration_s // CLIP_S) + 1):
        start_s = number * CLIP_S
        clip = TimeSpan(start_s=start_s, end_s=min(start_s + CLIP_S, story.duration_s))
        shown = [event.caption for event in story.events if event.span.overlap_s(clip) > 0]
        if shown:
            told.append((clip, " ".join(shown)))
    return told


def main() -> None:
    """Draw them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--stories", type=int, default=40)
    parser.add_argument("--first", type=int, default=FIRST_SEED, help="seed of the first story")
    parser.add_argument("--minutes", type=float, default=6.0, help="length of each")
    parser.add_argument("--trained", action="store_true", help="cards that nano knows")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for seed in range(options.first, options.first + options.stories):
        duration_s = options.minutes * 60
        story = draw_story(
            seed, duration_s, 1.0, height_px=180, width_px=320, held_out=not options.trained
        )
        name = f"story-{seed}.mp4"
        write_video(options.folder / name, story, 1.0)
        lines += [
            json.dumps({"video": name, "start_s": clip.start_s, "end_s": clip.end_s, "text": text})
            for clip, text in captions(story)
        ]
    (options.folder / "captions.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
