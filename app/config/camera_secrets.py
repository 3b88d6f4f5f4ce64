"""Environment variables that the addresses of cameras may name in place of a secret."""

import os
from typing import Final

SECRET_PREFIX: Final = "LONGWATCH_SECRET_"
"""Beginning of their names: an address is sent to a host, so it may not name any other."""


def secret_variable(name: str) -> str | None:
    """Return the value of such a variable; `None` where it is not set or empty.

    Raises:
        ValueError: The name does not begin with the prefix.
    """
    if not name.startswith(SECRET_PREFIX):
        raise ValueError(f"{name!r} does not begin with {SECRET_PREFIX}")
    return os.environ.get(name) or None
