"""The commands by purpose, as `longwatch --help` and docs/cli.md list them."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from typer.core import TyperGroup

PURPOSES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "Try it": ("demo",),
        "Read video and ask about it": ("ingest", "ask", "search", "moments", "videos"),
        "Film cameras and raise alerts": ("cameras", "alerts"),
        "See what was observed, said and kept": (
            "observe",
            "observations",
            "caption",
            "captions",
            "conversations",
            "verdicts",
        ),
        "Serve it to others": ("serve", "worker", "user", "retention"),
        "Keep the library": ("backup", "restore", "migrate", "objects", "reprocess"),
        "Know what a machine and a model can do": ("doctor", "probe", "models", "bench"),
        "Measure and train": (
            "eval",
            "curate",
            "persistence",
            "train",
            "study",
            "vico",
            "recaption",
        ),
    }
)
"""Names of commands by what they are for, each once, in the order in which they are shown."""


class CommandsByPurpose(TyperGroup):
    """The group of all commands; its help has a panel for each purpose."""

    def __init__(self, **options: Any) -> None:
        """Take the commands, and order them."""
        super().__init__(**options)
        purpose_of = {name: purpose for purpose, names in PURPOSES.items() for name in names}
        for name, command in self.commands.items():
            command.rich_help_panel = purpose_of.get(name)  # type: ignore[attr-defined]
        shown = {name: self.commands[name] for name in purpose_of if name in self.commands}
        self.commands = {**shown, **self.commands}
