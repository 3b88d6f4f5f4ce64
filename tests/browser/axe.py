"""The checker of accessibility: fetched from the npm registry when tests run, and not kept here."""

import io
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

AXE = "axe-core@4.14.1"


def fetch_axe(folder: Path) -> str | None:
    """The checker's script; `None` without npm, or without a network."""
    npm = shutil.which("npm")
    if npm is None:
        return None
    subprocess.run(
        [npm, "pack", AXE, "--silent"], cwd=folder, capture_output=True, timeout=60, check=False
    )
    packed = next(folder.glob("*.tgz"), None)
    if packed is None:
        return None
    with tarfile.open(fileobj=io.BytesIO(packed.read_bytes())) as archive:
        file = archive.extractfile("package/axe.min.js")
        assert file is not None
        return file.read().decode()


def serious_violations(page: Any, script: str) -> list[str]:
    """What the checker finds on a page, but for what is of little weight."""
    page.add_script_tag(content=script)
    result = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{one['id']} ({one['nodes'][0]['html'][:160]})"
        for one in result["violations"]
        if one["impact"] in {"serious", "critical"}
    ]
