"""`longwatch`, or `python -m app`: the commands put together, and how each of them may fail.

Results go to stdout; progress and errors to stderr. With `--json` stdout holds exactly one
document. What a command does stands in `app/cli`; what it shows, in `app/cli/render.py`.
"""

import atexit
import gc
import os
import sys
import tempfile
import traceback
from types import TracebackType
from typing import Annotated, NoReturn

import typer

from app.cli import (
    admin,
    alerts,
    archive,
    ask,
    cameras,
    captioning,
    conversations,
    evaluation,
    library,
    moments,
    objects,
    observe,
    verdicts,
)
from app.cli.common import open_screen
from app.cli.overview import CommandsByPurpose
from app.errors import hint_for, rule_for
from app.version import product_version
from engine.errors import LongwatchError

USAGE = 2
INTERRUPTED = 130

GC_THRESHOLDS = (50_000, 20, 100)
"""Objects that come to be between two searches for garbage, and how often older ones are searched.

Imports make a million objects that stay, and a short command need not search among them again and
again. `longwatch bench start` measures how long commands take.
"""

cli = typer.Typer(
    name="longwatch",
    cls=CommandsByPurpose,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"longwatch {product_version()}")
        raise typer.Exit


@cli.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Ask questions of very long video and see the moment that proves the answer."""


cli.add_typer(ask.cli)
cli.add_typer(observe.cli)
cli.add_typer(archive.cli)
cli.add_typer(moments.cli)
cli.add_typer(library.videos, name="videos")
cli.add_typer(cameras.cli, name="cameras")
cli.add_typer(library.models, name="models")
cli.add_typer(library.users, name="user")
cli.add_typer(alerts.cli, name="alerts")
cli.add_typer(conversations.cli, name="conversations")
cli.add_typer(verdicts.cli, name="verdicts")
cli.add_typer(admin.retention, name="retention")
cli.add_typer(objects.cli, name="objects")
cli.add_typer(captioning.cli)
cli.add_typer(evaluation.cli)
cli.add_typer(admin.cli)


def run() -> NoReturn:
    """Run the command of this process and end the process."""
    gc.set_threshold(*GC_THRESHOLDS)
    exit_codes: list[int] = []
    # Registered first, so called last: threads are joined and other exit functions done.
    atexit.register(_skip_teardown, exit_codes)
    exit_codes.append(main())
    sys.exit(exit_codes[0])


def _skip_teardown(exit_codes: list[int]) -> None:
    """End a process whose command has ended, without taking its modules apart one by one.

    Torch's alone take half a second, and the memory goes back to the system as a whole anyway.
    """
    if not exit_codes:
        return  # A bug: Python's own way out reports it.
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            return  # The reader has gone: Python says so, and exits with 120.
    os._exit(exit_codes[0])


def main(arguments: list[str] | None = None) -> int:
    """Run one command; every failure becomes one sentence on stderr and an exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    json = "--json" in words
    sys.excepthook = _report_bug
    # Whatever is written, from stills to bug reports, is for its owner alone.
    os.umask(0o077)
    try:
        # Calling the Typer object would put its own hook in place of ours.
        command = typer.main.get_command(cli)
        return int(command.main(args=words, standalone_mode=False) or 0)
    except typer.TyperException as error:
        if not error.format_message():  # The help was shown for want of a command.
            return USAGE
        return open_screen(json=json).fail("usage", error.format_message(), None, USAGE)
    except LongwatchError as error:
        return open_screen(json=json).fail(
            error.code, str(error), hint_for(error), rule_for(error).exit_code
        )
    except (typer.Abort, KeyboardInterrupt):
        return INTERRUPTED


def _report_bug(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Write a report about what nobody raised on purpose, and say so in one sentence."""
    with tempfile.NamedTemporaryFile(
        "w", prefix="longwatch-bug-", suffix=".txt", delete=False
    ) as report:
        report.writelines(traceback.format_exception(kind, error, trace))
    open_screen(json="--json" in sys.argv).fail(
        "bug",
        f"this is a bug in Longwatch ({kind.__name__}); a report lies in {report.name}",
        "please open an issue with that file, where you got Longwatch",
        1,
    )
