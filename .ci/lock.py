"""Turn pip's installation report (stdin) into requirements.lock (stdout): one pin a line, sorted.

Longwatch itself is left out, and so are torch and what only torch asks for (CUDA libraries,
Triton), because these differ from machine to machine. `make lock` is the command.
"""

import json
import platform
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HEADER = """\
# The versions that the tests ran with, on Python {python}. `make setup` and the Dockerfile install
# them; torch stands apart, because its builds differ from machine to machine (see the Makefile).
# `make lock` writes this file anew, within the ranges of pyproject.toml.
"""
ROOT, APART = "longwatch", "torch"


def pins(items: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return `name==version` of every package that is reached from Longwatch past torch."""
    packages: dict[str, Mapping[str, Any]] = {
        canonicalize_name(item["metadata"]["name"]): item for item in items
    }
    queue = [(ROOT, extra) for extra in ("", *packages[ROOT].get("requested_extras", ()))]
    seen: set[tuple[str, str]] = set()
    while queue:
        name, extra = queue.pop()
        if (name, extra) in seen or name == APART or name not in packages:
            continue
        seen.add((name, extra))
        for line in packages[name]["metadata"].get("requires_dist", ()):
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                required = canonicalize_name(requirement.name)
                queue += [(required, wanted) for wanted in ("", *requirement.extras)]
    names = sorted({name for name, _ in seen} - {ROOT})
    return [f"{name}=={packages[name]['metadata']['version']}" for name in names]


if __name__ == "__main__":
    python = ".".join(platform.python_version_tuple()[:2])
    lines = pins(json.load(sys.stdin)["install"])
    sys.stdout.write(HEADER.format(python=python) + "\n".join(lines) + "\n")
