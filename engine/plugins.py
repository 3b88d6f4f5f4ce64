"""A plugin is a file: list a folder's names, import one, check what it must define."""

import importlib
import pkgutil
from collections.abc import Iterable
from types import ModuleType

from engine.errors import NotFoundError


def names(package: ModuleType) -> tuple[str, ...]:
    """The plugins of a package: its public modules, sorted."""
    found = (module.name for module in pkgutil.iter_modules(package.__path__))
    return tuple(sorted(name for name in found if not name.startswith("_")))


def load(package: ModuleType, name: str, *, defines: Iterable[str]) -> ModuleType:
    """Import one plugin by name.

    Args:
        package: The folder, imported.
        name: A file's name without its ending.
        defines: Names that the file must define.
    Raises:
        NotFoundError: No such file; the message lists what there is.
        TypeError: The file lacks a name that it must define.
    """
    known = names(package)
    kind = package.__name__.rpartition(".")[2]
    if name not in known:
        raise NotFoundError(f"no {name!r} in {kind}; there are {', '.join(known) or 'none'}")
    module = importlib.import_module(f"{package.__name__}.{name}")
    missing = [wanted for wanted in defines if not hasattr(module, wanted)]
    if missing:
        raise TypeError(f"{module.__name__} must define {', '.join(missing)}")
    return module
