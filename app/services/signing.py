"""The key of this library, which signs what is handed on, and the verification of signatures.

Decision: Ed25519 with a key in the home folder. Because whoever is handed an export can verify it
with the public key and OpenSSL alone, and nobody has to be asked for a certificate. It proves that
nothing was changed since the export, and which library made it; not that its clock was right.
"""

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from app.services.context import ServiceContext
from engine.errors import InputRefusedError, UnreachableError
from engine.files import atomic_write_bytes, create_private
from storage.files import HomeFolder

MOST_KEY_BYTES: Final = 10_000
_KEY: Final = "evidence_key"


def signing_key(home: HomeFolder) -> Ed25519PrivateKey:
    """Return the key of a library; the first call makes it, for its owner alone.

    Raises:
        UnreachableError: It cannot be read or written.
        InputRefusedError: The file holds no such key.
    """
    path = home.signing_key
    try:
        if not path.exists():
            _make(path)
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise UnreachableError(f"{path}: cannot be used ({error.strerror})") from error
    except (ValueError, TypeError) as error:
        raise InputRefusedError(f"{path} holds no key") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InputRefusedError(f"{path} holds no Ed25519 key")
    try:
        if not home.public_key.exists():
            atomic_write_bytes(home.public_key, public_pem(key.public_key()))
    except OSError as error:
        raise UnreachableError(f"{path.parent}: cannot be written ({error.strerror})") from error
    return key


def library_key(context: ServiceContext) -> Ed25519PrivateKey:
    """Return the key of a library that several servers may share: all of them sign with one.

    Its fingerprint stands in the database, the key itself in files alone.

    Raises:
        UnreachableError: It lies on another server, or as `signing_key`.
    """
    home = HomeFolder(context.settings.home)
    if not context.catalog.is_shared:
        return signing_key(home)
    known = context.catalog.values.get(_KEY)
    if known is None or home.signing_key.exists():
        key = signing_key(home)
        own = fingerprint(key.public_key())
        if context.catalog.values.claim(_KEY, own) == own:
            return key
    raise UnreachableError(
        f"{home.signing_key}: the key that signs for this library lies on another server",
        hint="copy the folder keys/ from there, or export there",
    )


def public_pem(key: Ed25519PublicKey) -> bytes:
    """Return a public key as a file that OpenSSL reads."""
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def read_public_key(path: Path) -> Ed25519PublicKey:
    """Return the public key in a file.

    Raises:
        InputRefusedError: There is none in it.
        UnreachableError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            key = serialization.load_pem_public_key(file.read(MOST_KEY_BYTES))
    except OSError as error:
        raise UnreachableError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise InputRefusedError(f"{path} holds no public key") from error
    if not isinstance(key, Ed25519PublicKey):
        raise InputRefusedError(f"{path} holds no Ed25519 key")
    return key


def fingerprint(key: Ed25519PublicKey) -> str:
    """Return by what people compare keys: the SHA-256 of its 32 bytes, in hexadecimal."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()


def is_signed(key: Ed25519PublicKey, signature: bytes, content: bytes) -> bool:
    """Tell whether a signature was made over some bytes with the other half of a key."""
    try:
        key.verify(signature, content)
    except InvalidSignature:
        return False
    return True


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    create_private(temporary)
    try:
        temporary.write_bytes(pem)
        # A link, unlike a rename, leaves the key of another process that was first.
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink()
