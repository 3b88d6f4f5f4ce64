"""The errors of the engine and of the storage, with the facts as attributes.

    LongwatchError
    |-- InputRefusedError          what the caller gave cannot be accepted
    |   |-- MediaRefusedError      a file or stream is unsafe, unsupported or empty
    |   |   |-- SoundOnlyError     a file holds sound and no moving picture
    |   |   `-- NetworkDisabledError  an address on the web, while the network is switched off
    |   |-- MediaDecodeError       a file passed the gate and then could not be read
    |   |-- LimitExceededError     a stated limit (pixels, hours, bytes) is passed
    |   `-- WeightsError           a checkpoint does not fit the model, key by key
    |-- NotFoundError              a name or id that the caller gave does not exist
    |-- SettingsError              a settings file, variable or flag is not understood
    |-- UnreachableError           a file, service or address cannot be reached now
    |   |-- StorageBusyError       the database is locked by another process
    |   |-- LeaseLostError         another process has the work of this one by now
    |   |-- ReadOnlyError          what is stored can be read and not be written to
    |   `-- DiskFullError          a write failed for lack of space
    |-- MissingCapabilityError     this machine lacks a package, codec or device
    |-- CorruptLatentsError        a stored chunk fails its checksum or format version
    |   `-- AwayLatentsError     a stored chunk lies elsewhere and cannot be fetched now
    |-- CorruptStillsError         the stills of a chunk fail their checksum or format version
    `-- CorruptFileError           a file of a far store is not the one that was put there

An error states facts; a hint says what can be done about the thing itself ("convert it to H.264").
Exit codes, HTTP statuses, and hints that name a command or a setting are the shell's
(`app/errors.py`), and so are the errors about users and queues.
"""

from typing import ClassVar


class LongwatchError(Exception):
    """A failure that is not a bug: one sentence says what failed, and which."""

    code: ClassVar[str] = "error"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InputRefusedError(LongwatchError):
    """Input that cannot be accepted."""

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
            hint="give a video file, or use a model with audio",
        )


class NetworkDisabledError(MediaRefusedError):
    """The source is an address on the web, and the configuration opens none."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri, "addresses on the web are not opened")


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
    """A stated limit is passed; `field` names the field of the configuration that holds it."""

    code = "limit_exceeded"

    def __init__(self, what: str, value: object, limit: object, *, field: str) -> None:
        super().__init__(f"{what} is {value}, the limit is {limit}")
        self.what = what
        self.value = value
        self.limit = limit
        self.field = field


class WeightsError(InputRefusedError):
    """A checkpoint does not fit the model: keys missing, left over, or of another shape."""

    code = "weights"


class NotFoundError(LongwatchError):
    """A name or id that the caller gave does not exist."""

    code = "not_found"


class SettingsError(LongwatchError):
    """A settings file, environment variable or flag holds a name or value that is not allowed."""

    code = "settings"


class UnreachableError(LongwatchError):
    """A file, service or network address cannot be reached now."""

    code = "unreachable"


class FeedRefusedError(UnreachableError):
    """A camera answers and lets nobody in: it wants a name and a password, or others."""

    code = "feed_refused"


class StorageBusyError(UnreachableError):
    """The database is locked by another process."""

    code = "storage_busy"


class LeaseLostError(UnreachableError):
    """The work of this process was taken over by another, which goes on with it."""

    code = "lease_lost"


class TakenError(UnreachableError):
    """Another writer of the same chunk came first; whoever goes on does so behind its bytes."""

    code = "chunk_taken"


class ReadOnlyError(UnreachableError):
    """A library that can be read and not be written to."""

    code = "read_only"


class DiskFullError(UnreachableError):
    """A write failed for lack of space; nothing already stored was touched."""

    code = "disk_full"


class CorruptLatentsError(LongwatchError):
    """A stored chunk fails its checksum, its format version, or its fingerprint."""

    code = "corrupt_latents"

    def __init__(self, path: str, reason: str, *, chunk: tuple[str, int] | None = None) -> None:
        """Describe the damage.

        Args:
            chunk: Video and ordinal of the chunk; `None` where it is not known.
        """
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason
        self.chunk = chunk


class AwayLatentsError(CorruptLatentsError):
    """A stored chunk lies elsewhere, where nobody answers now; it may be as whole as ever."""

    code = "away_latents"


class CorruptStillsError(LongwatchError):
    """The stills of a chunk fail their checksum, or their format version."""

    code = "corrupt_stills"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class CorruptFileError(LongwatchError):
    """A file that was fetched from a far store is not the one that was put there."""

    code = "corrupt_file"


class MissingCapabilityError(LongwatchError):
    """This machine lacks a package, codec or device."""

    code = "missing_capability"
