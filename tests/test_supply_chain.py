"""The versions that are installed: all of them named, with the digests of their files."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from engine.media.formats import FFMPEG_FLOOR, ffmpeg_release

ROOT = Path(__file__).parents[1]
LOCKS = ("requirements.lock", "requirements-dev.lock")
# Its builds differ from machine to machine, so it is installed first and by itself.
APART = "torch"


def pins(lock: str) -> dict[str, tuple[str, int]]:
    """The version of each package of a lock, and how many digests stand behind it."""
    text = re.sub(r"^#.*\n", "", (ROOT / lock).read_text(encoding="utf-8"), flags=re.MULTILINE)
    entries = text.replace("\\\n", " ").splitlines()
    versions = {}
    for entry in entries:
        pin, *digests = entry.split()
        name, _, version = pin.partition("==")
        versions[name] = (version, sum(digest.startswith("--hash=sha256:") for digest in digests))
    return versions


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_version_has_the_digests_of_its_files(lock: str) -> None:
    locked = pins(lock)
    assert len(locked) > 20
    assert not [
        name for name, (version, n_digests) in locked.items() if not version or not n_digests
    ]


def test_every_dependency_is_locked_within_its_range() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    runtime, dev = map(pins, LOCKS)
    assert not runtime.keys() & dev.keys()
    wanted = [
        *((runtime, line) for line in (*project["dependencies"], *extras["pg"], *extras["train"])),
        *(({**runtime, **dev}, line) for extra in ("dev", "ray", "s3") for line in extras[extra]),
    ]
    for locked, line in wanted:
        requirement = Requirement(line)
        name = canonicalize_name(requirement.name)
        if name != APART:
            assert requirement.specifier.contains(locked[name][0], prereleases=True), line


def test_ffmpeg_is_a_release_whose_decoders_are_trusted() -> None:
    assert ffmpeg_release() >= FFMPEG_FLOOR
