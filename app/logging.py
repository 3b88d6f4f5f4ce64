"""Logging of the whole process, configured in one place: a line a record, on stderr.

    human  2026-03-01 22:00:00.123 INFO    app.worker.worker: job 3 (ingest) done ...  [3f2a...]
    json   {"time": "...", "level": "info", "logger": "...", "message": "...", "request_id": ...}

`auto` writes for people where stderr is a terminal and JSON everywhere else. Our own packages log
at the configured level; libraries from WARNING on only, because some of them print form fields at
DEBUG. Passwords, tokens, cookies, questions and query strings are never handed to a logger; what
an exception may carry of them is masked here once more.
"""

import json
import logging
import logging.config
import re
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "human", "json"]

REQUEST_ID: Final[ContextVar[str | None]] = ContextVar("request_id", default=None)
"""Identifies the HTTP request that the running code belongs to."""

OUR_PACKAGES: Final = ("app", "engine", "storage")

# Attributes that every record has; the others were given with `extra` and belong into the JSON.
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_MASKS: Final = (
    # rtsp://user:password@host, also where the password holds an @.
    (re.compile(r"(?<=://)[^\s/'\"]+@"), "***@"),
    (re.compile(r"(?i)\b(bearer)\s+[\w.~+/=-]+"), r"\1 ***"),
    (re.compile(r"\blw_[\w-]{8,}"), "lw_***"),
    (re.compile(r"(?i)\b(token|password|longwatch_session|csrf)=[^\s&;'\"]+"), r"\1=***"),
)


def configure_logging(
    level: LogLevel = "info", format: LogFormat = "auto", *, stream: TextIO | None = None
) -> None:
    """Send the records of every logger to one handler; replaces any earlier configuration.

    Args:
        level: Least level of our own records.
        format: `auto` decides by whether the stream is a terminal.
        stream: stderr when `None`.
    """
    is_human = format == "human" or (format == "auto" and (stream or sys.stderr).isatty())
    handler = logging.StreamHandler(stream) if stream else StderrHandler()
    ours = {"level": level.upper()}
    # uvicorn announces its start and end at INFO, which `serve` does in its own words.
    theirs = {"level": "DEBUG" if level == "debug" else "WARNING", "propagate": True}
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"line": {"()": HumanFormatter if is_human else JsonFormatter}},
            "handlers": {
                "lines": {"()": lambda: handler, "formatter": "line"},
            },
            "root": {"level": "WARNING", "handlers": ["lines"]},
            "loggers": {
                **{name: ours for name in OUR_PACKAGES},
                "uvicorn": theirs,
                "uvicorn.error": theirs,
                # The middleware writes the access log, with the user and without the query.
                "uvicorn.access": {"level": "CRITICAL", "propagate": False},
            },
        }
    )


class StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to whatever stderr is when a record comes: it may be exchanged meanwhile."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        """The process's stderr."""
        return sys.stderr


class HumanFormatter(logging.Formatter):
    """One line for a person; a traceback follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """Return time, level, logger, message and request id."""
        at = datetime.fromtimestamp(record.created).isoformat(" ", "milliseconds")
        line = f"{at} {record.levelname:<7} {record.name}: {_one_line(record.getMessage())}"
        if (request_id := REQUEST_ID.get()) is not None:
            line += f"  [{request_id}]"
        trace = self._trace(record)
        return mask(line if trace is None else f"{line}\n{trace}")

    def _trace(self, record: logging.LogRecord) -> str | None:
        return None if not record.exc_info else self.formatException(record.exc_info)


class JsonFormatter(HumanFormatter):
    """One JSON object a line, with the fields that were given in `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON; times are UTC."""
        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": mask(record.getMessage()),
            "request_id": REQUEST_ID.get(),
            **_extra(vars(record)),
        }
        if (trace := self._trace(record)) is not None:
            fields["traceback"] = mask(trace)
        kept = {name: value for name, value in fields.items() if value is not None}
        return json.dumps(kept, ensure_ascii=False, default=str)


def mask(text: str) -> str:
    """Return a text with everything that looks like a secret replaced by `***`."""
    for pattern, replacement in _MASKS:
        text = pattern.sub(replacement, text)
    return text


def _extra(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: mask(value) if isinstance(value, str) else value
        for name, value in attributes.items()
        if name not in _STANDARD and not name.startswith("_")
    }


def _one_line(text: str) -> str:
    """Spell control characters out, so that nothing a client sends can forge a line."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match.group()):02x}", text)
