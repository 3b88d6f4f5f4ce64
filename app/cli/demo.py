"""The main job in one go: a clip is read, two questions are asked, the proof is shown and probed.

Without a file of the user's, the clip is drawn: what is in it is then known exactly, and the demo
says of every answer whether it is right and whether its evidence covers the true moment.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from app.cli.contact_sheet import CaptionedPicture, Row, write_contact_sheet
from app.cli.demo_footage import compose_recording
from app.cli.terminal import ProgressBars, Terminal
from app.progress import ProgressUpdate
from app.schemas.ask import AnswerResponse
from app.schemas.demo import DemoItem, DemoResponse
from app.services.ask import ask
from app.services.probes import ProbeOrder, choose_needles, probe
from app.services.scope import resolve_scope
from app.timefmt import format_offset
from app.worker.foreground import ingest_now
from engine.media.encode import write_video
from engine.records import TimeSpan, VideoId
from engine.synthetic.questions import Question, is_right, questions
from engine.synthetic.story import Story, draw_story

if TYPE_CHECKING:
    from app.services.context import ServiceContext

CLIP_SEED = 2026
CLIP_S = 300.0
CLIP_FPS = 10.0
KINDS = ("direction", "code")
"""What the two questions of a drawn clip are about: something that moves, something to read."""

OPEN_QUESTIONS = ("What happens?", "Is there a person?")
"""What a clip of the user's is asked: nothing is known of it."""

CONTEXT_S = 12.0
"""How far before and after the proof the contact sheet looks."""

PROBE_LENGTHS = (64, 256)
PROBE_DEPTHS = (0.0, 0.5, 1.0)
PROBE_SEEDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoQuestion:
    """A question of the demo, and the truth where it is known."""

    text: str
    truth: Question | None = None


def run_demo(
    context: "ServiceContext",
    video: Path | None,
    output: Path,
    *,
    screen: Terminal,
    progress: ProgressBars,
) -> DemoResponse:
    """Read, ask, show, probe; every file it makes lies in `output`."""
    output.mkdir(parents=True, exist_ok=True)
    clip = video or output / "clip.mp4"
    story = None if video else draw_clip(clip, CLIP_SEED, report=progress.step)
    # What is drawn is the model's own world: no other eyes are needed there.
    ingested = ingest_now(
        context, [str(clip)], report=progress.step, observes=video is not None
    ).videos[0]
    items = _ask(context, ingested.video_id, choose_questions(story), screen)
    real_clip = None if video else output / "real.mp4"
    real_items = [] if real_clip is None else _show_real(context, real_clip, screen, progress)
    sheet = output / "contact-sheet.png"
    write_contact_sheet(sheet, _title(clip, story), [_row(context, item) for item in items])
    heat_map = output / "probe.png"
    order = ProbeOrder(
        haystack=str(clip), lengths=PROBE_LENGTHS, depths=PROBE_DEPTHS, seeds=PROBE_SEEDS
    )
    needles = choose_needles(None, seeds=order.seeds)
    result = probe(context, order, needles, plot=heat_map, report=progress.step)
    return DemoResponse(
        ingest=ingested,
        questions=items,
        probe=result,
        clip=str(clip),
        contact_sheet=str(sheet),
        heat_map=str(heat_map),
        real_clip=str(real_clip) if real_items else None,
        real_questions=real_items,
    )


def _show_real(
    context: "ServiceContext", clip: Path, screen: Terminal, progress: ProgressBars
) -> list[DemoItem]:
    """Read a recording of real pictures and voices, and ask about each of its scenes."""
    known = compose_recording(clip)
    if not known:
        return []
    ingested = ingest_now(context, [str(clip)], report=progress.step).videos[0]
    asked_of_it = [DemoQuestion(text=truth.text, truth=truth) for truth in known]
    return _ask(context, ingested.video_id, asked_of_it, screen)


def _ask(
    context: "ServiceContext", video_id: str, chosen: Sequence[DemoQuestion], screen: Terminal
) -> list[DemoItem]:
    scope = resolve_scope(context, [video_id])
    items = []
    for question in chosen:
        items.append(judge(question, ask(context, question.text, scope)))
        _tell(screen, items[-1])
    return items


def draw_clip(path: Path, seed: int, *, report: Callable[[ProgressUpdate], None]) -> Story:
    """Write the clip of a seed, and return what happens in it."""
    story = draw_story(seed, CLIP_S, CLIP_FPS)

    def frames() -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        for n, frame in enumerate(story, start=1):
            if n % 50 == 0 or n == story.n_frames:
                report(ProgressUpdate(what="drawing a clip", done=n, total=story.n_frames))
            yield frame

    write_video(path, frames(), CLIP_FPS)
    return story


def choose_questions(story: Story | None) -> Sequence[DemoQuestion]:
    """Return the questions of a clip; open ones where nothing is known of it."""
    if story is None:
        return [DemoQuestion(text=text) for text in OPEN_QUESTIONS]
    known = questions(story)
    chosen = []
    for kind in KINDS:
        of_kind = [question for question in known if question.kind == kind]
        # One from the middle: neither the first thing seen nor the last.
        question = of_kind[len(of_kind) // 2]
        chosen.append(DemoQuestion(text=question.text, truth=question))
    return chosen


def judge(question: DemoQuestion, document: AnswerResponse) -> DemoItem:
    """Compare an answer and its first evidence with the truth, where it is known."""
    truth = question.truth
    if truth is None:
        return DemoItem(response=document)
    first = document.evidence[0] if document.evidence else None
    return DemoItem(
        response=document,
        expected=truth.answer,
        right=is_right(document.answer, truth.answer, truth.aliases),
        covers_truth=first is not None
        and any(
            TimeSpan(start_s=first.start_s, end_s=first.end_s).overlap_s(span) > 0
            for span in truth.spans
        ),
    )


def _tell(screen: Terminal, item: DemoItem) -> None:
    screen.say()
    screen.say(f"  {item.response.question}", style="dim")
    verdict = "" if item.right is None else ("   right" if item.right else "   WRONG")
    screen.say(f"  {item.response.answer}{verdict}")
    for evidence in item.response.evidence[:3]:
        screen.say(
            f"    {evidence.start} - {evidence.end}  score {evidence.score:.2f}, {evidence.origin}"
        )
    if item.covers_truth is not None:
        covers = "covers the true moment" if item.covers_truth else "MISSES the true moment"
        screen.say(f"    the first evidence {covers}", style="dim")


def _title(clip: Path, story: Story | None) -> str:
    kind = "a clip that Longwatch drew" if story else clip.name
    return f"Longwatch: {kind}, and the moments that prove the answers"


def _row(context: "ServiceContext", item: DemoItem) -> Row:
    if not item.response.evidence:
        return Row(question=item.response.question, answer=item.response.answer, stills=())
    proof = item.response.evidence[0]
    stills = []
    for time_s in (
        max(0.0, proof.keyframe_s - CONTEXT_S),
        proof.keyframe_s,
        proof.keyframe_s + CONTEXT_S,
    ):
        still = context.stills.at(VideoId(proof.video_id), time_s)
        is_proof = time_s == proof.keyframe_s
        caption = f"{proof.start} - {proof.end}" if is_proof else format_offset(still.pts_s)
        pixels = still.pixels()
        stills.append(CaptionedPicture(pixels=pixels, caption=caption, is_proof=is_proof))
    return Row(question=item.response.question, answer=item.response.answer, stills=tuple(stills))
