"""Verification of footage that was handed on: its signature, and every clip against the list."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from pydantic import ValidationError

from app.schemas.evidence import ClipItem, EvidenceCheckResponse, EvidenceManifest
from app.services.camera_evidence import MANIFEST, PUBLIC_KEY, SIGNATURE
from app.services.signing import fingerprint, is_signed, read_public_key
from engine.errors import InputRefusedError, NotFoundError, UnreachableError
from engine.files import sha256_of
from engine.plural import counted
from storage.files import HomeFolder

MOST_MANIFEST_BYTES: Final = 64 << 20
_SIGNATURE_BYTES: Final = 64
_SHOWN: Final = 5


def check_evidence(
    folder: Path, home: HomeFolder, public_key: Path | None = None
) -> EvidenceCheckResponse:
    """Verify an exported folder; it may come from anywhere and hold anything.

    Args:
        home: Of the library whose own key is known.
        public_key: The key of whoever is said to have made it; else the one in the folder.
    Raises:
        NotFoundError: No export is in the folder.
        InputRefusedError: Something was changed, is missing or was added, or another key signed.
        UnreachableError: A file cannot be read.
    """
    try:
        content = _read(folder / MANIFEST, MOST_MANIFEST_BYTES)
        signature = _read(folder / SIGNATURE, _SIGNATURE_BYTES)
    except FileNotFoundError as error:
        raise NotFoundError(
            f"{folder} holds no export", hint=f"it needs {MANIFEST} and {SIGNATURE}"
        ) from error
    except OSError as error:
        raise UnreachableError(f"{folder}: cannot be read ({error.strerror})") from error
    key = read_public_key(public_key or folder / PUBLIC_KEY)
    if not is_signed(key, signature, content):
        whose = "this key" if public_key is not None else "the key beside it"
        raise InputRefusedError(f"{folder / MANIFEST} was changed, or not signed by {whose}")
    try:
        manifest = EvidenceManifest.model_validate_json(content)
    except ValidationError as error:
        raise InputRefusedError(f"{folder / MANIFEST} is of another version") from error
    clips = [clip for camera in manifest.cameras for clip in camera.clips]
    try:
        wrong = [*_wrong(folder, clips)]
    except OSError as error:
        raise UnreachableError(f"{error.filename}: cannot be read ({error.strerror})") from error
    if wrong:
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise InputRefusedError(
            f"{folder} is not what was signed: {', '.join(wrong[:_SHOWN])}{more}"
        )
    signer = fingerprint(key)
    is_own = home.public_key.is_file() and fingerprint(read_public_key(home.public_key)) == signer
    whose = "this library" if is_own else f"the key {signer}"
    if not is_own and public_key is None:
        whose += ", which nobody here knows: compare it with what its maker tells you"
    return EvidenceCheckResponse(
        message=f"{counted(len(clips), 'clip')} of {counted(len(manifest.cameras), 'camera')} as "
        f"exported at {manifest.made_at}, signed by {whose}",
        clips=len(clips),
        made_at=manifest.made_at,
        key=signer,
        is_key_known=is_own or public_key is not None,
    )


def _wrong(folder: Path, clips: list[ClipItem]) -> Iterator[str]:
    """Yield what differs from the list."""
    listed = {MANIFEST, SIGNATURE, PUBLIC_KEY, *(clip.file for clip in clips)}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name not in listed and (path.is_symlink() or not path.is_dir()):
            yield f"{name} was added"
    for clip in clips:
        listed_as = PurePosixPath(clip.file)
        path = folder / listed_as
        if listed_as.is_absolute() or ".." in listed_as.parts or not _is_plain(folder, path):
            yield f"{clip.file} is missing"
        elif path.stat().st_size != clip.bytes or sha256_of(path) != clip.sha256:
            yield f"{clip.file} was changed"


def _is_plain(folder: Path, path: Path) -> bool:
    """Tell whether a path is a file inside the folder, reached without links."""
    return path.is_file() and path.resolve() == folder.resolve() / path.relative_to(folder)


def _read(path: Path, most_bytes: int) -> bytes:
    with path.open("rb") as file:
        return file.read(most_bytes)
