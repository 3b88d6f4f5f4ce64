"""Commands about the machine: serve, worker, doctor, backup, migrate, train, vico, bench."""

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from app.cli.common import (
    Home,
    Json,
    LogFormatOption,
    LogLevelOption,
    Model,
    open_library,
    open_screen,
    open_settings,
    tell_what_is_kept,
)

cli = typer.Typer()
retention = typer.Typer(help="Manage the deletion of videos by age.", no_args_is_help=True)


@cli.command()
def train(
    recipe: Annotated[str, typer.Argument(help="Name of a file in engine/training/recipes.")],
    output: Annotated[
        Path, typer.Option("--output", help="Folder that the run's own folder goes into.")
    ] = Path("runs"),
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue from the last checkpoint.")
    ] = False,
    plan: Annotated[
        bool,
        typer.Option("--plan", help="Count the memory of a run and start nothing; needs no GPU."),
    ] = False,
    card_gb: Annotated[
        float, typer.Option("--card-gb", min=1, help="Memory of the card that --plan is for.")
    ] = 80.0,
    processes: Annotated[
        int,
        typer.Option(
            "--processes", min=1, help="Processes that --plan is for; they share the weights."
        ),
    ] = 1,
    json: Json = False,
    home: Home = None,
) -> None:
    """Run a training recipe; its docstring states the hours and the score to expect.

    On several GPUs: accelerate launch -m app train RECIPE; with --use_fsdp they share the weights.
    """
    from app.services.training import describe_interruption, plan_recipe, train_recipe

    open_settings(home)
    screen = open_screen(json=json)
    if plan:
        screen.show(
            plan_recipe(recipe, output, card_bytes=round(card_gb * 1e9), processes=processes)
        )
        return
    with (
        screen.progress() as progress,
        tell_what_is_kept(progress.say, lambda: describe_interruption(recipe, output)),
    ):
        document = train_recipe(
            recipe, output, resume=resume, report=progress.step, say=progress.say
        )
    if document is not None:
        screen.show(document)


@cli.command()
def study(
    plan: Annotated[Path, typer.Argument(help="TOML file of the plan.", metavar="PLAN")],
    output: Annotated[
        Path | None,
        typer.Option("--output", help="Folder of the study (default: runs/NAME of the plan)."),
    ] = None,
    report: Annotated[
        bool, typer.Option("--report", help="Train nothing: compare what was measured so far.")
    ] = False,
    json: Json = False,
    home: Home = None,
) -> None:
    """Train a grid of small variants and say which decisions hold between sizes.

    An interrupted study goes on.
    """
    import app.cli.render_study  # noqa: F401 - registers the tables
    from app.services.study import describe_interruption, read_plan
    from app.services.study import study as run_study

    open_settings(home)
    screen = open_screen(json=json)
    read = read_plan(plan)
    folder = output or Path("runs") / plan.stem
    with (
        screen.progress() as progress,
        tell_what_is_kept(progress.say, lambda: describe_interruption(plan, folder)),
    ):
        document = run_study(read, folder, progress.step, trains=not report)
    screen.show(document)


@cli.command()
def vico(
    videos: Annotated[
        list[str], typer.Argument(help="Files and folders.", metavar="VIDEO_OR_FOLDER")
    ],
    output: Annotated[
        Path, typer.Option("--output", help="JSON lines file to write the questions to.")
    ],
    captions: Annotated[
        list[Path] | None,
        typer.Option(
            "--captions",
            help="Captions as JSON lines or WebVTT, in place of the model's; repeatable.",
        ),
    ] = None,
    clip_s: Annotated[
        float, typer.Option("--clip-s", min=1.0, max=3600.0, help="Length of a clip in seconds.")
    ] = 14.0,
    questions_per_video: Annotated[
        int, typer.Option("--questions-per-video", min=1, help="Most questions per video.")
    ] = 14,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the questions.")] = 0,
    model: Model = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Make training questions about the order of events; an interrupted run continues."""
    from app.services.vico import VicoOrder, build_vico

    screen = open_screen(json=json)
    order = VicoOrder(
        sources=videos,
        output=output,
        captions=captions or (),
        clip_s=clip_s,
        questions_per_video=questions_per_video,
        seed=seed,
    )
    with open_library(home, model=model) as context, screen.progress() as progress:
        document = build_vico(context, order, progress.step)
    screen.show(document)


@cli.command()
def bench(
    name: Annotated[str | None, typer.Argument(help="One benchmark (default: all).")] = None,
    model: Model = None,
    database_url: Annotated[
        str | None,
        typer.Option(
            "--database-url",
            metavar="URL",
            help="PostgreSQL for what is measured on one (default: the setting).",
        ),
    ] = None,
    upstream: Annotated[
        Path | None,
        typer.Option(
            "--upstream", metavar="DIR", help="Clone of Video-XL's published code, for prefill."
        ),
    ] = None,
    upstream_python: Annotated[
        Path | None,
        typer.Option(
            "--upstream-python", metavar="FILE", help="Interpreter with the packages of that code."
        ),
    ] = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Measure speed and memory, and write the figures to <machine>.json.

    The file lies in assets/bench of a checkout, else in bench below the working folder.
    """
    from app.services.bench import run_benchmarks

    settings = open_settings(home)
    if database_url is None and settings.database_url is not None:
        database_url = settings.database_url.get_secret_value()
    screen = open_screen(json=json)
    with screen.progress() as progress:
        document = run_benchmarks(
            name,
            model=model,
            say=progress.say,
            database_url=database_url,
            upstream=upstream,
            upstream_python=upstream_python,
        )
    screen.show(document)


@retention.command("confirm")
def confirm_retention(json: Json = False, home: Home = None) -> None:
    """Put a shorter retention.days into force at once, without waiting a day."""
    from app.services.retention import confirm_retention

    with open_library(home) as context:
        document = confirm_retention(context)
    open_screen(json=json).show(document)


@cli.command()
def worker(
    model: Model = None,
    log_level: LogLevelOption = None,
    log_format: LogFormatOption = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Run jobs until interrupted; start as many as you like, wherever the files are reached.

    Jobs that run are handed back first; the next worker continues them.
    """
    from app.config.engine_config import require_model
    from app.schemas.services import WorkerResponse
    from app.services.filming_jobs import enqueue_all_filming
    from app.services.objects import objects_loop
    from app.services.retention import retention_loop
    from app.services.servers import beside_others
    from app.worker.alerts import alerts_running
    from app.worker.handlers import open_worker

    with (
        open_library(
            home, model=model, is_service=True, log_level=log_level, log_format=log_format
        ) as context,
        beside_others(context),
        retention_loop(context),
        objects_loop(context),
        alerts_running(context),
    ):
        require_model(context.settings)
        enqueue_all_filming(context)
        running = open_worker(context)
        received: list[int] = []

        def stop(number: int, frame: object) -> None:
            # Set, not raised: a KeyboardInterrupt is lost where Python ignores exceptions.
            received.append(number)
            running.stop()

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        if json:
            document = WorkerResponse(
                worker=running.name,
                home=str(context.settings.home),
                model=context.settings.model,
                slots=context.settings.limits.concurrent_ingests,
            )
            open_screen(json=True).show(document)
        running.run()
    if signal.SIGINT in received:
        raise KeyboardInterrupt


@cli.command()
def serve(
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on.")] = None,
    port: Annotated[
        int | None,
        typer.Option("--port", min=0, max=65535, help="Port to listen on; 0 takes a free one."),
    ] = None,
    no_worker: Annotated[
        bool, typer.Option("--no-worker", help="Leave jobs to `longwatch worker`.")
    ] = False,
    model: Model = None,
    log_level: LogLevelOption = None,
    log_format: LogFormatOption = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Serve the web app and the API, with a worker; on this machine only unless --host is set."""
    from app.schemas.services import ServeResponse
    from app.server import serve as run

    settings = open_settings(
        home, is_service=True, model=model, log__level=log_level, log__format=log_format
    )

    def announce(document: ServeResponse) -> None:
        if json:
            open_screen(json=True).show(document)
        elif document.sign_in_link is not None:
            # Whole on one line, however narrow the terminal: it is copied.
            typer.echo(f"Sign in once with this link: {document.sign_in_link}")

    run(settings, host=host, port=port, with_worker=not no_worker, announce=announce)


@cli.command()
def doctor(
    plan: Annotated[
        str | None,
        typer.Option(help='What would have to fit: "16 cameras, 1 fps, 30 days".'),
    ] = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Show what this machine can do and what is missing, or measure whether a plan fits it."""
    if plan is not None:
        from app.services.capacity import CapacityPlanner, parse_plan

        parse_plan(plan)
        capacity = CapacityPlanner().plan(open_settings(home), plan)
        open_screen(json=json).show(capacity)
        return
    from app.cli.doctor import examine

    with open_library(home) as context:
        document = examine(context)
    open_screen(json=json).show(document)


@cli.command("backup")
def back_up(
    folder: Annotated[Path, typer.Argument(help="Folder outside the library.", metavar="DIR")],
    json: Json = False,
    home: Home = None,
) -> None:
    """Copy the library into a folder while it is in use; a second time only what is new."""
    from app.services.backup import back_up

    with open_library(home) as context:
        document = back_up(context, folder)
    open_screen(json=json).show(document)


@cli.command()
def restore(
    folder: Annotated[Path, typer.Argument(help="Folder of a backup.", metavar="DIR")],
    json: Json = False,
    home: Home = None,
) -> None:
    """Copy a backup into an empty library, every file verified."""
    from app.services.backup import restore

    open_screen(json=json).show(restore(open_settings(home), folder))


@cli.command()
def migrate(
    to: Annotated[
        str,
        typer.Option(
            "--to",
            help="postgresql://..., sqlite:///file, sqlite (the home folder), or - to read it "
            "from stdin, where nobody sees its password.",
            metavar="URL",
        ),
    ],
    json: Json = False,
    home: Home = None,
) -> None:
    """Copy every row into another database and compare both; a stopped copy goes on.

    Stop servers and workers first. The library's own database is not changed.
    """
    from app.services.migrate import migrate

    settings = open_settings(home)
    address = sys.stdin.readline().strip() if to == "-" else to
    screen = open_screen(json=json)
    with screen.progress() as progress:
        document = migrate(settings, address, progress.step)
    screen.show(document)
