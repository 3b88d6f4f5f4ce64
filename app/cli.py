"""Commands to service calls: `longwatch`, or `python -m app`. The only place that prints.

Results go to stdout; progress and errors to stderr. With `--json` stdout holds exactly one
document. Heavy imports happen inside the commands, so that `--help` answers at once.

    main                                      one sentence and an exit code for every failure
    ingest, ask, search, probe, demo          the uses
    videos, models                            what there is
    serve, user                               the web app
    worker, doctor, train, bench              the machine room
"""

import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.errors import LongwatchError

if TYPE_CHECKING:
    from app.render import Screen
    from app.service import Service
    from app.settings import Settings

USAGE = 2
REFUSED = 5
INTERRUPTED = 130

cli = typer.Typer(
    name="longwatch",
    help="Ask questions of very long video and see the moment that proves the answer.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
videos = typer.Typer(help="The library: list, show, rm, export, reindex.", no_args_is_help=True)
models = typer.Typer(help="What models are here and what can be had.", no_args_is_help=True)
cli.add_typer(videos, name="videos")
cli.add_typer(models, name="models")
users = typer.Typer(help="Accounts of the web app: add, rm, list.", no_args_is_help=True)
cli.add_typer(users, name="user")

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Home = Annotated[
    Path | None,
    typer.Option("--home", help="Where the library lies (default: LONGWATCH_HOME).", metavar="DIR"),
]
Model = Annotated[
    str | None,
    typer.Option("--model", help="nano, a checkpoint folder, or org/name[@revision]."),
]
Videos = Annotated[
    list[str] | None,
    typer.Option("--video", help="Id or name; may be given several times.", metavar="ID_OR_NAME"),
]
After = Annotated[str | None, typer.Option("--after", help="From: 1:30, 90m, or 2026-03-01T22:00.")]
Before = Annotated[str | None, typer.Option("--before", help="Until: as --after.")]


def main(arguments: list[str] | None = None) -> int:
    """Run one command; every failure becomes one sentence on stderr and an exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    json = "--json" in words
    sys.excepthook = _report_bug
    try:
        # Calling the Typer object would put its own hook in place of ours.
        command = typer.main.get_command(cli)
        return int(command.main(args=words, standalone_mode=False) or 0)
    except typer.TyperException as error:
        return _screen(json=json).fail("usage", error.format_message(), None, USAGE)
    except LongwatchError as error:
        return _screen(json=json).fail(error.code, str(error), error.hint, error.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        return INTERRUPTED


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
    from app.clock import parse_moment

    if name is not None and len(sources) > 1:
        raise typer.BadParameter("--name takes exactly one source")
    started = None if start_at is None else _parsed(parse_moment, start_at)
    screen = _screen(json=json)
    with _service(home, model=model, fps=fps) as service, screen.progress() as progress:
        read = service.watch if watch else service.ingest
        document = read(sources, name=name, start_at=started, report=progress.step)
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
    screen = _screen(json=json)
    with _service(home, model=model) as service, screen.streaming() as say:
        scope = _scope(service, video, after, before)
        document = service.ask(question, scope, say=say)
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
    with _service(home, model=model) as service:
        scope = _scope(service, video, after, before)
        document = service.search(query, scope, top=top)
    _screen(json=json).show(document)


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
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Needles per cell.")] = 4,
    seed: Annotated[int, typer.Option("--seed", help="First seed of drawn needles.")] = 0,
    recall: Annotated[
        str, typer.Option("--recall", help="top: the best chunks; all: the full memory.")
    ] = "top",
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Write the heat map here (PNG).")
    ] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write the cells here.")] = None,
    model: Model = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Plant known moments in footage and see where they are still found."""
    if recall not in ("top", "all"):
        raise typer.BadParameter(f"--recall is top or all, not {recall!r}")
    screen = _screen(json=json)
    with _service(home, model=model) as service, screen.progress() as progress:
        document = service.probe(
            haystack,
            lengths=_numbers(lengths, int, "--lengths"),
            depths=_numbers(depths, float, "--depths"),
            ratio=ratio,
            needles=needles,
            n_seeds=seeds,
            first_seed=seed,
            recall="all" if recall == "all" else "top",
            plot=plot,
            csv=csv,
            report=progress.step,
        )
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
    from app.demo import run_demo

    screen = _screen(json=json)
    with _service(output / "library", model=model) as service, screen.progress() as progress:
        document = run_demo(service, video, output, screen=screen, progress=progress)
    screen.show(document)


@videos.command("list")
def list_videos(json: Json = False, home: Home = None) -> None:
    """Every video of the library."""
    with _service(home) as service:
        document = service.list_videos()
    _screen(json=json).show(document)


@videos.command("show")
def show_video(
    video: Annotated[str, typer.Argument(help="Id or name.")],
    json: Json = False,
    home: Home = None,
) -> None:
    """What is known of one video."""
    with _service(home) as service:
        document = service.show_video(video)
    _screen(json=json).show(document)


@videos.command("rm")
def remove_video(
    video: Annotated[str, typer.Argument(help="Id or name.")],
    json: Json = False,
    home: Home = None,
) -> None:
    """Forget a video: its latents, index and rows. A file outside the library stays."""
    with _service(home) as service:
        document = service.remove_video(video)
    _screen(json=json).show(document)


@videos.command("export")
def export_clip(
    video: Annotated[str, typer.Argument(help="Id or name.")],
    file: Annotated[Path, typer.Argument(help="Where the clip goes (MP4).")],
    start: Annotated[str, typer.Option("--start", help="Offset, such as 1:02:03.")],
    end: Annotated[str, typer.Option("--end", help="Offset, such as 1:02:33.")],
    json: Json = False,
    home: Home = None,
) -> None:
    """Cut a clip, without encoding again where the container allows it."""
    with _service(home) as service:
        document = service.export_clip(video, _offset(start), _offset(end), file)
    _screen(json=json).show(document)


@videos.command("reindex")
def reindex_videos(json: Json = False, home: Home = None) -> None:
    """Rebuild chunk rows and the vector index from the latent files."""
    with _service(home) as service:
        document = service.reindex()
    _screen(json=json).show(document)


@models.command("list")
def list_models(json: Json = False, home: Home = None) -> None:
    """The families, what can be had, what is here, and what is verified."""
    from app.models import list_models

    _screen(json=json).show(list_models(_settings(home)))


@models.command("check")
def check_model(
    folder: Annotated[Path, typer.Argument(help="A checkpoint folder.")], json: Json = False
) -> None:
    """Whether a checkpoint folder loads strictly, key by key."""
    from app.models import check_model

    _screen(json=json).show(check_model(folder))


@models.command("compare")
def compare_models(json: Json = False) -> None:
    """The families side by side: tokens per frame, bytes per hour, context for an hour."""
    from app.models import compare_models

    _screen(json=json).show(compare_models())


@cli.command()
def train(
    recipe: Annotated[str, typer.Argument(help="A file of engine/training/recipes.")],
    output: Annotated[Path, typer.Option("--output", help="Above the folder of the run.")] = Path(
        "runs"
    ),
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint.")
    ] = False,
    json: Json = False,
) -> None:
    """Run a training recipe; its docstring states command, hours and the score to expect."""
    from app.workbench import train_recipe

    screen = _screen(json=json)
    with screen.progress() as progress:
        document = train_recipe(recipe, output, resume=resume, report=progress.step)
    screen.show(document)


@cli.command()
def bench(
    name: Annotated[str | None, typer.Argument(help="One benchmark; all when left out.")] = None,
    model: Model = None,
    json: Json = False,
) -> None:
    """Measure speed and memory as ratios; writes assets/bench/<machine>.json."""
    from app.workbench import run_benchmarks

    screen = _screen(json=json)
    with screen.progress() as progress:
        document = run_benchmarks(name, model=model, say=progress.say)
    screen.show(document)


@cli.command()
def worker(model: Model = None, home: Home = None) -> None:
    """Work off jobs until interrupted; any number may run, on any machine with the files."""
    with _service(home, model=model) as service:
        service.worker().run()


@cli.command()
def serve(
    host: Annotated[str | None, typer.Option("--host", help="Where to listen.")] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")
    ] = None,
    no_worker: Annotated[
        bool, typer.Option("--no-worker", help="Jobs are worked off by `longwatch worker`.")
    ] = False,
    model: Model = None,
    home: Home = None,
) -> None:
    """The web app, its API and a worker; on this machine only, unless --host says otherwise."""
    from app.server import serve as run
    from app.settings import load_settings

    settings = load_settings({"model": model}, home=home)
    run(
        settings,
        host=host,
        port=port,
        with_worker=not no_worker,
        say=lambda line: typer.echo(line, err=True),
    )


@users.command("add")
def add_user(
    name: Annotated[str, typer.Argument(help="What the account is called.")],
    role: Annotated[str, typer.Option("--role", help="admin or viewer.")] = "viewer",
    password: Annotated[
        str,
        typer.Option(
            "--password", prompt=True, hide_input=True, confirmation_prompt=True, help="Asked for."
        ),
    ] = "",
    json: Json = False,
    home: Home = None,
) -> None:
    """Open an account, or give an old one a new password and role."""
    from app.accounts import put_user

    if role not in ("admin", "viewer"):
        raise typer.BadParameter(f"--role is admin or viewer, not {role!r}")
    with _service(home) as service:
        document = put_user(service.catalog, name, role, password)
    _screen(json=json).show(document)


@users.command("rm")
def remove_user(
    name: Annotated[str, typer.Argument(help="The account.")],
    json: Json = False,
    home: Home = None,
) -> None:
    """Close an account with its sessions, tokens and conversations."""
    from app.accounts import drop_user

    with _service(home) as service:
        document = drop_user(service.catalog, name)
    _screen(json=json).show(document)


@users.command("list")
def list_users(json: Json = False, home: Home = None) -> None:
    """Every account and its role."""
    from app.accounts import list_accounts

    with _service(home) as service:
        document = list_accounts(service.catalog)
    _screen(json=json).show(document)


@cli.command()
def doctor(json: Json = False, home: Home = None) -> None:
    """What this machine can do, what is missing, and how to get it."""
    from app.doctor import examine

    _screen(json=json).show(examine(_settings(home).home))


def _screen(*, json: bool) -> "Screen":
    from app.render import Screen

    return Screen(json=json)


def _settings(home: Path | None, **flags: object) -> "Settings":
    from app.settings import load_settings

    return load_settings({name.replace("__", "."): flag for name, flag in flags.items()}, home=home)


@contextmanager
def _service(
    home: Path | None, *, model: str | None = None, fps: float | None = None
) -> Iterator["Service"]:
    from app.service import Service

    service = Service(_settings(home, model=model, sampling__fps=fps))
    try:
        yield service
    finally:
        service.close()


def _scope(
    service: "Service", video: list[str] | None, after: str | None, before: str | None
) -> Any:
    from app.clock import parse_time

    return service.scope(
        video or (),
        after=None if after is None else _parsed(parse_time, after),
        before=None if before is None else _parsed(parse_time, before),
    )


def _offset(text: str) -> float:
    from app.clock import parse_time

    offset_s = _parsed(parse_time, text)
    if not isinstance(offset_s, float | int):
        raise typer.BadParameter(f"{text!r} must be an offset from the start of the video")
    return float(offset_s)


def _parsed(parse: Any, text: str) -> Any:
    try:
        return parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _numbers(text: str, kind: type, option: str) -> tuple[Any, ...]:
    try:
        numbers = tuple(kind(part) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise typer.BadParameter(f"{option} takes numbers with commas, not {text!r}") from error
    if not numbers:
        raise typer.BadParameter(f"{option} needs at least one number")
    return numbers


def _report_bug(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """The hook for what nobody raised on purpose: a report on disk, one sentence, exit code 1."""
    with tempfile.NamedTemporaryFile(
        "w", prefix="longwatch-bug-", suffix=".txt", delete=False
    ) as report:
        report.writelines(traceback.format_exception(kind, error, trace))
    _screen(json="--json" in sys.argv).fail(
        "bug",
        f"this is a bug in Longwatch ({kind.__name__}); a report lies in {report.name}",
        "please open an issue with that file",
        1,
    )
