"""Passwords and random secrets, as they are checked and as they are stored."""

import hashlib
import secrets
import threading
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from engine.errors import InputRefusedError

PASSWORD_CHARS: Final = (10, 1024)
"""Least and most characters: above, hashing would cost whatever a stranger likes to send."""

MAX_HASHES: Final = 2
"""Hashes computed at a time in this process, of 64 MiB each; further callers wait."""

_slots = threading.BoundedSemaphore(MAX_HASHES)
_hasher = PasswordHasher()
# Compared against when nobody has the name, so that an answer takes as long as a wrong password.
_NOBODY_HASH = (
    "$argon2id$v=19$m=65536,t=3,p=4$Cr9V9n4j8vxQ3g6ubFHgWQ$"
    "Xk/sM5fLkuCYTVhhSTHDL2K7ankK3j3AfUo+vS56DoY"
)


def hash_password(password: str) -> str:
    """Return the argon2id hash that is stored for a password.

    Raises:
        InputRefusedError: It is too short or too long.
    """
    least, most = PASSWORD_CHARS
    if not least <= len(password) <= most:
        raise InputRefusedError(f"a password has {least} to {most} characters")
    with _slots:
        return _hasher.hash(password)


def matches(stored: str | None, password: str) -> bool:
    """Tell whether a password belongs to a stored hash; `None` takes as long and says no."""
    try:
        with _slots:
            return _hasher.verify(stored or _NOBODY_HASH, password) and stored is not None
    except (Argon2Error, InvalidHashError):
        return False


def hash_secret(secret: str) -> str:
    """Return what is stored of a random secret; 256 random bits need no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


def new_secret() -> str:
    """Return a secret that nobody guesses."""
    return secrets.token_urlsafe(32)
