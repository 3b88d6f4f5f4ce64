"""Plug-ins are files: list a folder's names, import one, check what it must define.

Where a plug-in is large it is a folder with an entry module (`video_xl/model.py`)."""

import importlib
import pkgutil
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from engine.errors import NotFoundError


def names(package: ModuleType, *, entry: str | None = None) -> tuple[str, ...]:
    """Return the plug-ins of a package, sorted.

    Args:
        package: The folder, imported.
        entry: The module that makes a folder below it a plug-in; `None` takes the public modules.
    """
    modules = pkgutil.iter_modules(package.__path__)
    if entry is None:
        return tuple(sorted(module.name for module in modules if not module.name.startswith("_")))
    folders = (Path(folder) for folder in package.__path__)
    return tuple(
        sorted(path.parent.name for folder in folders for path in folder.glob(f"*/{entry}.py"))
    )


def load(
    package: ModuleType, name: str, *, defines: Iterable[str], entry: str | None = None
) -> ModuleType:
    """Import one plug-in by name.

    Args:
        package: The folder, imported.
        name: A file's name without its ending, or a folder's where there is an entry.
        defines: Names that the module must define.
        entry: The module of the folder that is imported.
    Raises:
        NotFoundError: No such file; the message lists what there is.
        TypeError: The file lacks a name that it must define.
    """
    known = names(package, entry=entry)
    kind = package.__name__.rpartition(".")[2]
    if name not in known:
        raise NotFoundError(f"no {name!r} in {kind}; there are {', '.join(known) or 'none'}")
    path = name if entry is None else f"{name}.{entry}"
    module = importlib.import_module(f"{package.__name__}.{path}")
    missing = [wanted for wanted in defines if not hasattr(module, wanted)]
    if missing:
        raise TypeError(f"{module.__name__} must define {', '.join(missing)}")
    return module
