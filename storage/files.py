"""The layout of the home folder: the one place that spells a path below it.

    longwatch.toml                            settings, read and written by app/config
    longwatch.db                              the database, unless a server is configured
    media/<upload>.bin                        originals that were uploaded
    uploads/<upload>.part                     uploads that are not complete yet
    latents/<fingerprint>/<video>/<ordinal>   written by engine/cache
    latents/<fingerprint>/<video>/video.json  the row of the video, written by storage/sidecar.py
    index/<fingerprint>...                    written by engine/index
    thumbs/<video>/<fifth of a second>_<width>.jpg   stills that were asked for
    thumbs/<video>/sprite.jpg, sprite.json    stills for scrubbing, and how to read them
    thumbs/probes/<run>/<needle>.png          pictures of needles that were not drawn
    proxies/<video>.mp4                       copies that browsers can play
    needles/<name>/                           needle sets that were uploaded
    secrets/<video>                           the address of a camera, with its password
    models/                                   checkpoints that were downloaded

Originals that were added from elsewhere on the disk stay where they are. Only ids and plain names
become paths; anything else is a `ValueError`. Asking for a path creates nothing.
"""

import os
import re
import shutil
import stat
from contextlib import suppress
from pathlib import Path

from engine.errors import UnreachableError
from engine.files import atomic_write
from engine.records import Fingerprint, VideoId
from storage.records import ProbeRunId, UploadId

_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_PLAIN_NAME = re.compile(r"\w[\w .-]{0,127}")


class HomeFolder:
    """The paths below one home folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.database = path / "longwatch.db"
        self.media = path / "media"
        self.uploads = path / "uploads"
        self.latents = path / "latents"
        self.index = path / "index"
        self.thumbs = path / "thumbs"
        self.proxies = path / "proxies"
        self.needles = path / "needles"
        self.secrets = path / "secrets"
        self.models = path / "models"

    def create(self) -> None:
        """Create the folder, for its owner alone; an older library that others may enter is closed.

        A folder that holds other things, or that a group shares on purpose (its set-group-ID bit
        is set), stays as it is.

        Raises:
            UnreachableError: It cannot be created.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            mode = stat.S_IMODE(self.path.stat().st_mode)
            is_ours = self.database.exists() or not any(self.path.iterdir())
            if mode & 0o077 and is_ours and not mode & (stat.S_ISGID | stat.S_ISVTX):
                # Of another owner, or on a file system without modes: `doctor` says so.
                with suppress(PermissionError):
                    self.path.chmod(0o700)
        except OSError as error:
            raise UnreachableError(
                f"{self.path}: the home folder cannot be used ({error.strerror})",
                hint="check its owner and rights, or set LONGWATCH_HOME",
            ) from error

    def contains(self, path: str | Path) -> bool:
        """Return whether a path, or the address of a source, lies below the home folder."""
        return Path(path).is_relative_to(self.path)

    def original(self, upload: UploadId) -> Path:
        """Return the path of an upload that is complete."""
        return self.media / f"{_checked(upload)}.bin"

    def upload_part(self, upload: UploadId) -> Path:
        """Return the path of an upload that is not complete yet."""
        return self.uploads / f"{_checked(upload)}.part"

    def originals(self) -> tuple[Path, ...]:
        """Return the uploads that are complete, sorted."""
        return tuple(sorted(self.media.glob("*.bin")))

    def upload_parts(self) -> tuple[Path, ...]:
        """Return the uploads that are not complete yet, sorted."""
        return tuple(sorted(self.uploads.glob("*.part")))

    def readings(self) -> tuple[Path, ...]:
        """Return the folders of latents, one for each pipeline and video, sorted."""
        folders = self.latents.glob("*/*")
        return tuple(sorted(folder for folder in folders if folder.is_dir()))

    def sidecar(self, fingerprint: Fingerprint, video: VideoId) -> Path:
        """Return the path of what a reading says of its video."""
        return self.latents / _checked(fingerprint) / _checked(video) / "video.json"

    def stills(self, video: VideoId) -> Path:
        """Return the folder of the stills of a video."""
        return self.thumbs / _checked(video)

    def still(self, video: VideoId, step: int, width_px: int) -> Path:
        """Return the path of one still; `step` counts the times at which stills are kept."""
        return self.stills(video) / f"{step}_{width_px}.jpg"

    def sprite(self, video: VideoId) -> Path:
        """Return the path of the picture that holds many stills of a video."""
        return self.stills(video) / "sprite.jpg"

    def sprite_facts(self, video: VideoId) -> Path:
        """Return the path of the JSON that says how to read the sprite."""
        return self.stills(video) / "sprite.json"

    def probe_stills(self, run: ProbeRunId) -> Path:
        """Return the folder of the pictures of a probe run."""
        return self.thumbs / "probes" / _checked(str(run))

    def probe_still(self, run: ProbeRunId, needle: int) -> Path:
        """Return the path of the picture of a needle, by its position in the run."""
        return self.probe_stills(run) / f"{needle}.png"

    def proxy(self, video: VideoId) -> Path:
        """Return the path of the copy of a video that browsers can play."""
        return self.proxies / f"{_checked(video)}.mp4"

    def needle_set(self, name: str) -> Path:
        """Return the folder of an uploaded needle set."""
        if not _PLAIN_NAME.fullmatch(name):
            raise ValueError(f"a name is letters, digits, spaces, dots and dashes, not {name!r}")
        return self.needles / name

    def write_secret(self, video: VideoId, secret: str) -> None:
        """Keep the secret of a video, readable by its owner alone.

        Raises:
            UnreachableError: It cannot be written.
        """
        try:
            self.secrets.mkdir(mode=0o700, parents=True, exist_ok=True)
            with atomic_write(self.secrets / _checked(video)) as temporary:
                # Created with its mode: no moment at which others may open it.
                file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with open(file, "w", encoding="utf-8") as writer:
                    writer.write(secret)
        except OSError as error:
            raise UnreachableError(
                f"{self.secrets}: a secret cannot be kept ({error.strerror})",
                hint="check the owner and rights of the folder",
            ) from error

    def read_secret(self, video: VideoId) -> str | None:
        """Return the secret of a video; `None` where there is none.

        Raises:
            UnreachableError: It cannot be read.
        """
        try:
            return (self.secrets / _checked(video)).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UnreachableError(
                f"{self.secrets}: a secret cannot be read ({error.strerror})",
                hint="check the owner and rights of the file",
            ) from error

    def remove_video(self, video: VideoId, uri: str) -> bool:
        """Delete stills, copy and secret of a video, and its original if that was uploaded.

        Latents are the engine's to delete; an original outside `media/` is left alone.

        Args:
            video: May have no files.
            uri: Its source.
        Returns:
            Whether the original was an upload, and is deleted.
        Raises:
            UnreachableError: A file or folder cannot be deleted.
        """
        original, proxy = Path(uri), self.proxy(video)
        is_uploaded = original.parent == self.media
        try:
            if self.stills(video).is_dir():
                shutil.rmtree(self.stills(video))
            # A worker that was killed while it wrote the copy has left a hidden part of it.
            secret = self.secrets / _checked(video)
            for path in (proxy, secret, *self.proxies.glob(f".{proxy.name}*.part")):
                path.unlink(missing_ok=True)
            if is_uploaded:
                original.unlink(missing_ok=True)
        except OSError as error:
            raise UnreachableError(
                f"{error.filename}: cannot be deleted ({error.strerror})",
                hint="check its owner and rights",
            ) from error
        return is_uploaded


def _checked(identity: str) -> str:
    if not _ID.fullmatch(identity):
        raise ValueError(
            f"an id is up to 128 letters, digits, dots, dashes and underscores and begins with "
            f"no dot or dash, not {identity!r}"
        )
    return identity
