"""The layout of the home folder: the one place that spells a path below it.

    longwatch.toml                            settings, read and written by app/config
    longwatch.db                              the database, unless a server is configured
    retention.json                            the retention that is in force, by app/services
    media/<upload>.bin                        originals that were uploaded
    uploads/<upload>.part                     uploads that are not complete yet
    latents/<fingerprint>/<video>/<ordinal>   written by engine/cache
    latents/<fingerprint>/<video>/video.json  the row of the video, written by storage/sidecar.py
    stills/<video>/<ordinal>.zip              the sampled frames, written by engine/cache
    vectors/<encoder>/<video>/<ordinal>       vectors of stills, written by engine/cache
    index/<fingerprint>...                    written by engine/index
    thumbs/<video>/<fifth of a second>_<width>.jpg   stills that were asked for
    thumbs/<video>/sprite.jpg, sprite.json    stills for scrubbing, and how to read them
    thumbs/probes/<run>/<needle>.png          pictures of needles that were not drawn
    proxies/<video>.mp4                       copies that browsers can play
    needles/<name>/                           needle sets that were uploaded
    secrets/<camera>                          its address, with its password
    secrets/destination-<number>              where alerts are sent, with what signs them
    cameras/<camera>.json                     what was set of it, written by storage/camera_file.py
    keys/evidence.pem                         what signs exports, made by app/services/signing.py
    keys/evidence.pub.pem                     by which they are verified
    recordings/<camera>/<moment>.mp4          what it sent, a minute a file, by app/services
    models/                                   checkpoints that were downloaded
    run/server.json, server.sock              how commands find the running server, app/ipc
    run/<name>.mark                           by which nodes of a cluster know the folder

Where an object store is configured, paths below `SHARED` are its keys too, and the files here are
copies.

Originals that were added from elsewhere on the disk stay where they are. Only ids and plain names
become paths; anything else is a `ValueError`. Asking for a path creates nothing.
"""

import re
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from engine.errors import UnreachableError
from engine.files import atomic_write, create_private
from engine.records import Fingerprint, VideoId
from storage.records import CameraId, ProbeRunId, UploadId

SHARED: Final = ("latents", "stills", "vectors", "media", "recordings", "proxies", "cameras")
"""Folders whose files several machines share; what else there is belongs to one machine."""
SIDECAR: Final = "video.json"
"""Name of what a reading says of its video."""
_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_UPLOAD = re.compile(r"[0-9a-f]{24}\.bin")
_PLAIN_NAME = re.compile(r"\w[\w .-]{0,127}")


class HomeFolder:
    """The paths below one home folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.database = path / "longwatch.db"
        self.retention = path / "retention.json"
        self.media = path / "media"
        self.uploads = path / "uploads"
        self.latents = path / "latents"
        self.still_chunks = path / "stills"
        self.vectors = path / "vectors"
        self.index = path / "index"
        self.thumbs = path / "thumbs"
        self.proxies = path / "proxies"
        self.needles = path / "needles"
        self.secrets = path / "secrets"
        self.cameras = path / "cameras"
        self.signing_key = path / "keys" / "evidence.pem"
        self.public_key = path / "keys" / "evidence.pub.pem"
        self.recordings = path / "recordings"
        self.models = path / "models"
        self.run = path / "run"
        self.bench_latents = path / "bench-latents.json"

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
                # Of another owner, on a file system without modes, or mounted read-only: `doctor`
                # says so.
                with suppress(OSError):
                    self.path.chmod(0o700)
        except OSError as error:
            raise UnreachableError(
                f"{self.path}: the home folder cannot be used ({error.strerror})",
                hint="check its owner and rights, or set LONGWATCH_HOME",
            ) from error

    def write_mark(self, name: str) -> None:
        """Write a name by which another process knows this folder again, on whatever machine.

        Raises:
            UnreachableError: It cannot be written.
        """
        try:
            self.run.mkdir(mode=0o700, parents=True, exist_ok=True)
            create_private(self._mark(name))
        except OSError as error:
            raise UnreachableError(f"{self.run}: cannot be written: {error.strerror}") from error

    def has_mark(self, name: str) -> bool:
        """Return whether such a name was written into this folder."""
        try:
            return self._mark(name).exists()
        except OSError:
            return False

    def remove_mark(self, name: str) -> None:
        """Delete such a name; nothing happens where it is gone."""
        self._mark(name).unlink(missing_ok=True)

    def _mark(self, name: str) -> Path:
        return self.run / f"{_checked(name)}.mark"

    def contains(self, path: str | Path) -> bool:
        """Return whether a path, or the address of a source, lies below the home folder."""
        return Path(path).is_relative_to(self.path)

    def key(self, path: Path) -> str:
        """Return a path below the home folder as the key of an object."""
        return path.relative_to(self.path).as_posix()

    def at_key(self, key: str) -> Path:
        """Return the path that a key names.

        Raises:
            ValueError: It leads out of the home folder.
        """
        if not key or any(part in {"", ".", ".."} for part in key.split("/")):
            raise ValueError(f"a key is a path below the home folder, not {key!r}")
        return self.path / key

    def local(self, uri: str) -> Path:
        """Return where an original lies on this machine: an upload below this home, whoever has it.

        Rows are shared by machines whose home folders lie elsewhere.
        """
        path = Path(uri)
        is_upload = path.parent.name == self.media.name and _UPLOAD.fullmatch(path.name)
        return self.media / path.name if is_upload else path

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
        return self.latents / _checked(fingerprint) / _checked(video) / SIDECAR

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

    def recording(self, camera: CameraId, name: str) -> Path:
        """Return the path of a file of a camera's recording."""
        return self.recordings / _checked(camera) / _checked(name)

    def recorded_files(self, camera: CameraId) -> tuple[Path, ...]:
        """Return the files of a camera's recording, oldest first."""
        return tuple(sorted((self.recordings / _checked(camera)).glob("*.mp4")))

    def camera_file(self, camera: CameraId) -> Path:
        """Return the path of what was set of a camera."""
        return self.cameras / f"{_checked(camera)}.json"

    def camera_files(self) -> tuple[Path, ...]:
        """Return the files of all cameras, sorted."""
        return tuple(sorted(self.cameras.glob("*.json")))

    def remove_camera(self, camera: CameraId) -> None:
        """Delete the file and the secret of a camera, and the folder of its recordings.

        Raises:
            UnreachableError: A file or folder cannot be deleted.
        """
        try:
            self.camera_file(camera).unlink(missing_ok=True)
            (self.secrets / _checked(camera)).unlink(missing_ok=True)
            folder = self.recordings / _checked(camera)
            if folder.is_dir():
                shutil.rmtree(folder)
        except OSError as error:
            raise UnreachableError(
                f"{error.filename}: cannot be deleted ({error.strerror})",
                hint="check its owner and rights",
            ) from error

    def write_secret(self, owner: str, secret: str) -> None:
        """Keep the secret of a camera, a live video or a destination, for its owner alone.

        Raises:
            UnreachableError: It cannot be written.
        """
        try:
            self.secrets.mkdir(mode=0o700, parents=True, exist_ok=True)
            with atomic_write(self.secrets / _checked(owner)) as temporary:
                create_private(temporary)
                temporary.write_text(secret, encoding="utf-8")
        except OSError as error:
            raise UnreachableError(
                f"{self.secrets}: a secret cannot be kept ({error.strerror})",
                hint="check the owner and rights of the folder",
            ) from error

    def read_secret(self, owner: str) -> str | None:
        """Return the secret of a camera, a live video or a destination; `None` where there is none.

        Raises:
            UnreachableError: It cannot be read.
        """
        try:
            return (self.secrets / _checked(owner)).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UnreachableError(
                f"{self.secrets}: a secret cannot be read ({error.strerror})",
                hint="check the owner and rights of the file",
            ) from error

    def remove_secret(self, owner: str) -> None:
        """Delete a secret, if there is one.

        Raises:
            UnreachableError: It cannot be deleted.
        """
        try:
            (self.secrets / _checked(owner)).unlink(missing_ok=True)
        except OSError as error:
            raise UnreachableError(
                f"{error.filename}: cannot be deleted ({error.strerror})",
                hint="check its owner and rights",
            ) from error

    def remove_previews(self, video: VideoId) -> None:
        """Delete stills and copy of a video: its file has changed.

        Raises:
            UnreachableError: A file or folder cannot be deleted.
        """
        try:
            if self.stills(video).is_dir():
                shutil.rmtree(self.stills(video))
            self.proxy(video).unlink(missing_ok=True)
        except OSError as error:
            raise UnreachableError(
                f"{error.filename}: cannot be deleted ({error.strerror})"
            ) from error

    def remove_video(self, video: VideoId, uri: str) -> bool:
        """Delete stills, vectors, copy and secret of a video, and its original if it was uploaded.

        Latents are the engine's to delete; an original outside `media/` is left alone.

        Args:
            video: May have no files.
            uri: Its source.
        Returns:
            Whether the original was an upload, and is deleted.
        Raises:
            UnreachableError: A file or folder cannot be deleted.
        """
        original, proxy = self.local(uri), self.proxy(video)
        is_uploaded = original.parent == self.media
        try:
            # Vectors of every encoder that ever looked at it.
            for folder in (self.stills(video), *self.vectors.glob(f"*/{_checked(video)}")):
                if folder.is_dir():
                    shutil.rmtree(folder)
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
