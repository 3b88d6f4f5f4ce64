"""Turn pip's installation report (stdin) into the pins of a lock (stdout): one a line, sorted.

    python .ci/lock.py runtime < report.json    # requirements.lock: what is shipped needs
    python .ci/lock.py dev < report.json        # requirements-dev.lock: what tests and checks add

Longwatch itself is left out, and so are torch and what only torch asks for (CUDA libraries,
Triton), because these differ from machine to machine. `make lock` is the command; it has `uv` add
the digests of every file of each version, so that one lock serves all machines.
"""

import json
import platform
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HEADER = """\
# The versions that the tests ran with, on Python {python}, and the digests of their files: {what}.
# `make setup` and the Dockerfile install them; torch stands apart, because its builds differ from
# machine to machine (see the Makefile). `make lock` writes this file anew, within the ranges of
# pyproject.toml.
"""
ROOT, APART = "longwatch", "torch"
RUNTIME = ("", "pg", "train")
"""Extras of what is shipped; the others are for work on it."""
WHAT = {"runtime": "of what is shipped", "dev": "of what tests and checks add"}


def versions(items: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return the metadata of every package of a report, by its canonical name."""
    return {canonicalize_name(item["metadata"]["name"]): item["metadata"] for item in items}


def reached(packages: Mapping[str, Mapping[str, Any]], extras: Iterable[str]) -> set[str]:
    """Return the packages that Longwatch with these extras asks for past torch."""
    queue = [(ROOT, extra) for extra in extras]
    seen: set[tuple[str, str]] = set()
    while queue:
        name, extra = queue.pop()
        if (name, extra) in seen or name == APART or name not in packages:
            continue
        seen.add((name, extra))
        for line in packages[name].get("requires_dist", ()):
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                required = canonicalize_name(requirement.name)
                queue += [(required, wanted) for wanted in ("", *requirement.extras)]
    return {name for name, _ in seen} - {ROOT}


def main(part: str) -> None:
    """Write the pins of a part."""
    packages = versions(json.load(sys.stdin)["install"])
    names = reached(packages, RUNTIME)
    if part == "dev":
        names = reached(packages, ("", "dev")) - names
    python = ".".join(platform.python_version_tuple()[:2])
    lines = [f"{name}=={packages[name]['version']}\n" for name in sorted(names)]
    sys.stdout.write(HEADER.format(python=python, what=WHAT[part]) + "".join(lines))


if __name__ == "__main__":
    main(sys.argv[1])
