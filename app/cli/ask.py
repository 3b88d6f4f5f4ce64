"""Commands about footage: ingest, ask, search, caption, captions, probe, demo."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.common import (
    After,
    Before,
    Home,
    Json,
    Model,
    RecallChoice,
    Videos,
    numbers,
    open_library,
    open_screen,
    parse_bound,
    parsed,
)

WRONG = 1
"""Of a demo whose answers do not hold; a bug has the same code, and a report."""
REFUSED = 5

cli = typer.Typer()


@cli.command()
def ingest(
    sources: Annotated[
        list[str], typer.Argument(help="Files, folders, rtsp:// cameras, http(s) streams.")
    ],
    name: Annotated[
        str | None, typer.Option("--name", help="What to call it (one source).")
    ] = None,
    fps: Annotated[float | None, typer.Option("--fps", help="Frames sampled per second.")] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on: new files of a folder, a camera that returns.")
    ] = False,
    start_at: Annotated[
        str | None, typer.Option("--start-at", help="Wall clock of the first frame, ISO 8601.")
    ] = None,
    model: Model = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Read videos once, chunk by chunk, into latents that answer questions for good."""
    from app.timefmt import parse_moment
    from app.worker.foreground import ingest_now, watch_sources

    if name is not None and len(sources) > 1:
        raise typer.BadParameter("--name takes exactly one source")
    started = None if start_at is None else parsed(parse_moment, start_at)
    screen = open_screen(json=json)
    with open_library(home, model=model, fps=fps) as context, screen.progress() as progress:
        read = watch_sources if watch else ingest_now
        document = read(context, sources, name=name, start_at=started, report=progress.step)
    screen.show(document)
    if document.failures:
        raise typer.Exit(REFUSED)


@cli.command()
def ask(
    question: Annotated[str, typer.Argument(help="A question about what was filmed.")],
    video: Videos = None,
    after: After = None,
    before: Before = None,
    model: Model = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Answer a question and show the moments that prove the answer."""
    from app.services.ask import ask as answer
    from app.services.scope import resolve_scope

    screen = open_screen(json=json)
    start, end = parse_bound(after), parse_bound(before)
    with open_library(home, model=model) as context, screen.streaming() as on_token:
        scope = resolve_scope(context, video or (), after=start, before=end)
        document = answer(context, question, scope, on_token=on_token)
    screen.show(document)


@cli.command()
def search(
    query: Annotated[str, typer.Argument(help="What to look for, as a caption would say it.")],
    top: Annotated[int, typer.Option("--top", min=1, help="How many moments.")] = 10,
    video: Videos = None,
    after: After = None,
    before: Before = None,
    model: Model = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Find the moments that match a description."""
    from app.services.ask import search as find
    from app.services.scope import resolve_scope

    start, end = parse_bound(after), parse_bound(before)
    with open_library(home, model=model) as context:
        scope = resolve_scope(context, video or (), after=start, before=end)
        document = find(context, query, scope, top=top)
    open_screen(json=json).show(document)


@cli.command()
def caption(
    video: Annotated[str, typer.Argument(help="Id or name of an ingested video.")],
    model: Model = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Describe every chunk of a video in words; a run that was cut off goes on."""
    from app.worker.foreground import caption_now

    screen = open_screen(json=json)
    with open_library(home, model=model) as context, screen.progress() as progress:
        document = caption_now(context, video, progress.step)
    screen.show(document)


@cli.command()
def captions(
    video: Annotated[str, typer.Argument(help="Id or name of a video that was captioned.")],
    find: Annotated[
        str | None, typer.Option("--find", help="Only captions that hold words of this.")
    ] = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Show the captions of a video, or find words in them."""
    from app.services.captions import list_captions

    with open_library(home) as context:
        document = list_captions(context, video, find)
    open_screen(json=json).show(document)


@cli.command()
def probe(
    haystack: Annotated[
        str | None, typer.Argument(help="A video file or an ingested video; drawn when left out.")
    ] = None,
    lengths: Annotated[
        str, typer.Option("--lengths", help="Sampled frames of the haystacks.")
    ] = "64,256,1024",
    depths: Annotated[
        str, typer.Option("--depths", help="Where the needle lies: 0 start, 1 end.")
    ] = "0,0.25,0.5,0.75,1",
    ratio: Annotated[int | None, typer.Option("--ratio", help="Visual tokens per latent.")] = None,
    needles: Annotated[
        Path | None, typer.Option("--needles", help="Folder of images and needles.jsonl.")
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", help="Needles per cell.")] = 4,
    seed: Annotated[int, typer.Option("--seed", help="First seed of drawn needles.")] = 0,
    recall: Annotated[
        RecallChoice, typer.Option("--recall", help="top: the best chunks; all: the full memory.")
    ] = RecallChoice.top,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Write the heat map here (PNG).")
    ] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write the cells here.")] = None,
    model: Model = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Plant known moments in footage and see where they are still found."""
    from app.services.probes import ProbeOrder, choose_needles
    from app.services.probes import probe as measure

    order = ProbeOrder(
        haystack=haystack,
        lengths=numbers(lengths, int, "--lengths"),
        depths=numbers(depths, float, "--depths"),
        seeds=seeds,
        ratio=ratio,
        recall="all" if recall is RecallChoice.all else "top",
    )
    screen = open_screen(json=json)
    with open_library(home, model=model) as context, screen.progress() as progress:
        planted = choose_needles(needles, seeds=seeds, first_seed=seed)
        document = measure(context, order, planted, plot=plot, csv=csv, report=progress.step)
    screen.show(document)


@cli.command()
def demo(
    video: Annotated[
        Path | None, typer.Argument(help="Your own file; a clip is drawn when left out.")
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", help="Where clip, library and pictures go.")
    ] = Path("longwatch-demo"),
    model: Model = None,
    json: Json = False,
) -> None:
    """The main job in one go: read a clip, ask, see the proof, probe the memory."""
    from app.cli.demo import run_demo

    screen = open_screen(json=json)
    with open_library(output / "library", model=model) as context, screen.progress() as progress:
        document = run_demo(context, video, output, screen=screen, progress=progress)
    screen.show(document)
    if document.found_itself_wrong:
        raise typer.Exit(WRONG)
