"""Every exception that Longwatch raises on purpose, with the facts as attributes.

    LongwatchError              exit  meaning
    |-- InputRefusedError        5    what the caller gave cannot be accepted
    |   |-- MediaRefusedError    5    a file or stream is unsafe, unsupported or empty
    |   |   `-- SoundOnlyError   5    a file holds sound and no moving picture
    |   |-- MediaDecodeError     5    a file passed the gate and then could not be read
    |   |-- LimitExceededError   5    a stated limit (pixels, hours, bytes) is passed
    |   `-- WeightsError         5    a checkpoint does not fit the model, key by key
    |-- NotFoundError            2    a name or id that the caller gave does not exist
    |-- SettingsError            2    a settings file, variable or flag is not understood
    |-- UnreachableError         3    a file, service or address cannot be reached now
    |   |-- StorageBusyError     3    the database is locked by another process
    |   `-- DiskFullError        3    a write failed for lack of space
    |-- MissingCapabilityError   4    this machine lacks a package, codec or device
    `-- CorruptLatentsError      3    a stored chunk fails its checksum or format version

The exit codes are those of the command line; the engine itself never exits.
"""

from typing import ClassVar


class LongwatchError(Exception):
    """A failure that is not a bug: one sentence says what, which and what can be done."""

    exit_code: ClassVar[int] = 1
    code: ClassVar[str] = "error"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InputRefusedError(LongwatchError):
    """What the caller gave cannot be accepted."""

    exit_code = 5
    code = "input_refused"


class MediaRefusedError(InputRefusedError):
    """A file or stream is unsafe, unsupported, or holds nothing to read."""

    code = "media_refused"

    def __init__(self, uri: str, reason: str, *, hint: str | None = None) -> None:
        super().__init__(f"{uri}: {reason}", hint=hint)
        self.uri = uri
        self.reason = reason


class SoundOnlyError(MediaRefusedError):
    """A file holds sound and no moving picture, and the model at hand does not hear."""

    def __init__(self, uri: str) -> None:
        super().__init__(
            uri,
            "this is sound only: it has no moving picture",
            hint="give a video file, or take a model that hears",
        )


class MediaDecodeError(InputRefusedError):
    """A source passed the gate and then could not be read; `pts_s` is the last good time."""

    code = "media_decode"

    def __init__(
        self, uri: str, reason: str, *, pts_s: float | None = None, hint: str | None = None
    ) -> None:
        at = "" if pts_s is None else f" after {pts_s:.3f} s"
        super().__init__(f"{uri}: {reason}{at}", hint=hint)
        self.uri = uri
        self.reason = reason
        self.pts_s = pts_s


class LimitExceededError(InputRefusedError):
    """A stated limit is passed; the setting that holds it is named in `setting`."""

    code = "limit_exceeded"

    def __init__(self, what: str, value: object, limit: object, *, setting: str) -> None:
        super().__init__(
            f"{what} is {value}, the limit is {limit}", hint=f"raise the setting {setting}"
        )
        self.what = what
        self.value = value
        self.limit = limit
        self.setting = setting


class WeightsError(InputRefusedError):
    """A checkpoint does not fit the model: keys missing, left over, or of another shape."""

    code = "weights"


class NotFoundError(LongwatchError):
    """A name or id that the caller gave does not exist."""

    exit_code = 2
    code = "not_found"


class SettingsError(LongwatchError):
    """A settings file, environment variable or flag holds a name or value that is not allowed."""

    exit_code = 2
    code = "settings"


class UnreachableError(LongwatchError):
    """A file, service or network address cannot be reached now."""

    exit_code = 3
    code = "unreachable"


class StorageBusyError(UnreachableError):
    """The database is locked by another process."""

    code = "storage_busy"


class DiskFullError(UnreachableError):
    """A write failed for lack of space; nothing already stored was touched."""

    code = "disk_full"


class CorruptLatentsError(LongwatchError):
    """A stored chunk fails its checksum, its format version, or its fingerprint."""

    exit_code = 3
    code = "corrupt_latents"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            f"{path}: {reason}", hint="run `longwatch videos reindex`, then ingest the video again"
        )
        self.path = path
        self.reason = reason


class MissingCapabilityError(LongwatchError):
    """This machine lacks a package, codec or device; the hint names the extra to install."""

    exit_code = 4
    code = "missing_capability"
