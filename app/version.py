"""The version of the installed package."""

import importlib.metadata


def product_version() -> str:
    """Return the version of Longwatch, or `not installed` when it runs from a bare checkout."""
    try:
        return importlib.metadata.version("longwatch")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
