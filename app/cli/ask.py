"""Commands about footage: ingest, ask, search, caption, captions, probe, demo."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.common import (
    After,
    Alone,
    Before,
    Cameras,
    Home,
    Json,
    Model,
    On,
    RecallChoice,
    TimeOfDay,
    Timezone,
    Videos,
    numbers,
    open_library,
    open_screen,
    parse_bound,
    parsed,
    perform,
    requested,
    tell_what_is_kept,
)
from app.errors import exit_code_of

if TYPE_CHECKING:
    from app.cli.terminal import ProgressBars
    from app.schemas.commands import IngestArguments
    from app.schemas.videos import IngestResponse
    from app.services.context import ServiceContext

WRONG = 1
"""Of a demo whose answers do not hold; a bug has the same code, and a report."""

cli = typer.Typer()


@cli.command()
def ingest(
    sources: Annotated[
        list[str], typer.Argument(help="Files, folders, rtsp:// cameras, http(s) streams.")
    ],
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the video (one source only).")
    ] = None,
    fps: Annotated[float | None, typer.Option("--fps", help="Frames to sample per second.")] = None,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch", help="Keep running: new files in a folder, cameras that reconnect."
        ),
    ] = False,
    no_observe: Annotated[
        bool, typer.Option("--no-observe", help="Leave observing to a server or worker.")
    ] = False,
    start_at: Annotated[
        str | None,
        typer.Option(
            "--start-at", help="Date and time of the first frame (ISO 8601); later files go on."
        ),
    ] = None,
    timezone: Timezone = None,
    track: Annotated[
        int | None,
        typer.Option("--track", min=0, help="Stream to read of a file with several pictures."),
    ] = None,
    on: On = None,
    model: Model = None,
    alone: Alone = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Ingest videos once, chunk by chunk; questions never read them again."""
    from app.schemas.commands import IngestArguments
    from app.timefmt import parse_moment

    if name is not None and len(sources) > 1:
        raise typer.BadParameter("--name needs exactly one source")
    if on is not None and watch:
        raise typer.BadParameter("--on reads files to their end: leave out --watch")
    if on is not None and start_at is not None and len(sources) > 1:
        raise typer.BadParameter("--on with --start-at needs exactly one source")
    started = None if start_at is None else parsed(parse_moment, start_at)
    screen = open_screen(json=json)
    portable = portable_sources(sources)
    arguments = requested(
        IngestArguments,
        sources=sources if portable is None else portable,
        name=name,
        start_at=started,
        timezone=timezone,
        video_track=track,
        observes=not no_observe,
    )
    with screen.progress() as progress:
        if watch or on is not None:
            with open_library(home, model=model, fps=fps) as context:
                document = _ingest_here(context, arguments, on, progress)
        else:
            document = perform(
                "ingest",
                arguments,
                home=home,
                alone=alone or portable is None,
                model=model,
                fps=fps,
                progress=progress,
            )
    screen.show(document)
    if document.failures:
        raise typer.Exit(exit_code_of(document.failures[0].code))


def _ingest_here(
    context: "ServiceContext",
    arguments: "IngestArguments",
    on: str | None,
    progress: "ProgressBars",
) -> "IngestResponse":
    """Ingest again and again from this process, or once on a cluster that it leads."""
    from app.services.ingest import describe_interruption
    from app.worker.alerts import alerts_beside

    given = arguments.model_dump(exclude={"sources"})
    with alerts_beside(context):
        if on is None:
            from app.worker.foreground import watch_sources

            document = watch_sources(context, arguments.sources, **given, report=progress.step)
            # Nothing but Ctrl-C ends it.
            progress.say(describe_interruption(context))
            return document
        from app.worker.archive import ingest_on

        with tell_what_is_kept(progress.say, lambda: describe_interruption(context)):
            return ingest_on(context, on, arguments.sources, **given, report=progress.step)


def portable_sources(sources: list[str]) -> list[str] | None:
    """Return sources as the server can open them, which has another working folder.

    Returns:
        Paths from the root; `None` where one is not there, or a camera, whose secret may stand in
        the environment of this shell alone.
    """
    # Late: `--help` needs no part of the engine.
    from engine.media.address import is_live_uri

    if any(is_live_uri(source) for source in sources):
        return None
    if not all(source.strip() for source in sources):
        return None  # An empty path is the working folder to pathlib, and to nobody else.
    paths = [Path(source).expanduser().absolute() for source in sources]
    try:
        are_there = all(path.exists() for path in paths)
    except OSError:
        return None  # A name that is too long.
    return [str(path) for path in paths] if are_there else None


@cli.command()
def ask(
    question: Annotated[str, typer.Argument(help="A question about what was filmed.")],
    video: Videos = None,
    camera: Cameras = None,
    after: After = None,
    before: Before = None,
    time_of_day: TimeOfDay = None,
    image: Annotated[
        list[Path] | None,
        typer.Option(
            "--image",
            help="Still image to ask about (JPEG, PNG, WebP); repeatable. Without --video or "
            "another filter nothing else is asked about.",
        ),
    ] = None,
    model: Model = None,
    alone: Alone = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Answer a question and show the moments that prove the answer."""
    from app.schemas.commands import AskArguments

    screen = open_screen(json=json)
    arguments = requested(
        AskArguments,
        question=question,
        videos=video or [],
        cameras=camera or [],
        after=parse_bound(after),
        before=parse_bound(before),
        time_of_day=time_of_day,
        images=[str(path.expanduser().absolute()) for path in image or []],
    )
    with screen.streaming() as on_token:
        document = perform("ask", arguments, home=home, alone=alone, model=model, on_token=on_token)
    screen.show(document)


@cli.command()
def search(
    query: Annotated[str, typer.Argument(help="What to look for, worded like a caption.")],
    top: Annotated[int, typer.Option("--top", min=1, help="Number of moments to return.")] = 10,
    kind: Annotated[
        list[str] | None,
        typer.Option(help="Source: vector, object, text, speech, motion, caption; repeatable."),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(help="Label of a thing that was observed, such as person; repeatable."),
    ] = None,
    video: Videos = None,
    camera: Cameras = None,
    after: After = None,
    before: Before = None,
    time_of_day: TimeOfDay = None,
    model: Model = None,
    alone: Alone = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Find moments that match a description."""
    from app.schemas.commands import SearchArguments

    arguments = requested(
        SearchArguments,
        query=query,
        top=top,
        kinds=kind or [],
        labels=label or [],
        videos=video or [],
        cameras=camera or [],
        after=parse_bound(after),
        before=parse_bound(before),
        time_of_day=time_of_day,
    )
    document = perform("search", arguments, home=home, alone=alone, model=model)
    open_screen(json=json).show(document)


@cli.command()
def caption(
    video: Annotated[str, typer.Argument(help="ID or name of an ingested video.")],
    model: Model = None,
    alone: Alone = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Write a caption for every chunk of a video; an interrupted run continues."""
    from app.schemas.commands import VideoArguments

    screen = open_screen(json=json)
    with screen.progress() as progress:
        document = perform(
            "caption",
            VideoArguments(video=video),
            home=home,
            alone=alone,
            model=model,
            progress=progress,
        )
    screen.show(document)


@cli.command()
def captions(
    video: Annotated[str, typer.Argument(help="ID or name of a captioned video.")],
    find: Annotated[
        str | None, typer.Option("--find", help="Show only captions that contain these words.")
    ] = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Show the captions of a video, or search them."""
    from app.services.captions import list_captions

    with open_library(home) as context:
        document = list_captions(context, video, find)
    open_screen(json=json).show(document)


@cli.command()
def probe(
    haystack: Annotated[
        str | None, typer.Argument(help="A video file or an ingested video (default: a drawn one).")
    ] = None,
    lengths: Annotated[
        str, typer.Option("--lengths", help="Lengths of the haystacks, in sampled frames.")
    ] = "64,256,1024",
    depths: Annotated[
        str, typer.Option("--depths", help="Positions of the needle: 0 is the start, 1 the end.")
    ] = "0,0.25,0.5,0.75,1",
    ratio: Annotated[
        int | None, typer.Option("--ratio", help="Visual tokens per latent (default: the model's).")
    ] = None,
    needles: Annotated[
        Path | None, typer.Option("--needles", help="Folder with images and needles.jsonl.")
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", help="Drawn needles per cell.")] = 4,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the first drawn needle.")] = 0,
    recall: Annotated[
        RecallChoice, typer.Option("--recall", help="top: the best chunks; all: the full memory.")
    ] = RecallChoice.top,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Write a heat map to this PNG file.")
    ] = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", help="Write the cells to this CSV file.")
    ] = None,
    model: Model = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Plant known moments in footage and measure where they are still found."""
    from app.services.probes import NOT_KEPT, ProbeOrder, choose_needles
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
        with tell_what_is_kept(progress.say, lambda: NOT_KEPT):
            document = measure(context, order, planted, plot=plot, csv=csv, report=progress.step)
    screen.show(document)


@cli.command()
def demo(
    video: Annotated[
        Path | None, typer.Argument(help="Your own video file (default: a drawn clip).")
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", help="Folder for the clip, the library and the pictures.")
    ] = Path("longwatch-demo"),
    model: Model = None,
    json: Json = False,
    home: Annotated[
        Path | None,
        typer.Option(
            "--home", help="Folder of the demo's library (default: in --output).", metavar="DIR"
        ),
    ] = None,
) -> None:
    """Run the main job once: ingest a clip, ask, show the proof, probe the memory."""
    from app.cli.demo import run_demo

    screen = open_screen(json=json)
    library = home or output / "library"
    with open_library(library, model=model) as context, screen.progress() as progress:
        document = run_demo(context, video, output, screen=screen, progress=progress)
    screen.show(document)
    if document.found_itself_wrong:
        raise typer.Exit(WRONG)
