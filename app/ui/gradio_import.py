"""The import of Gradio, with nothing written into the folders of packages.

For each class of a component Gradio parses its source and writes an interface file (`.pyi`) beside
it, at every import: two fifths of the time that the import takes, and a race between servers that
start together. Nobody here reads those files.
"""

import importlib
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Final

_WRITER: Final = "gradio.component_meta"


def import_gradio() -> None:
    """Import Gradio before anybody else does; a second time nothing is done."""
    sys.meta_path.insert(0, _Finder)
    try:
        importlib.import_module("gradio")
    finally:
        sys.meta_path.remove(_Finder)


class _Finder:
    """Finds the module that writes, and no other."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name == _WRITER else None
        # Of another kind of loader, such as that of an archive, nothing is changed.
        if spec is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    """Loads the module, and puts a function in place that does nothing."""

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        vars(module)["create_or_modify_pyi"] = _write_nothing


def _write_nothing(*described: object) -> None:
    pass
