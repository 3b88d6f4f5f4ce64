"""A pull says what it brings, brings the towers along, goes on, and verifies what came."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from app.config.settings import load_settings
from app.services.models import check_model, list_models
from app.services.pull import DIGESTS
from engine.errors import WeightsError
from engine.models.video_xl.model import RELEASES, write_tiny

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = RELEASES[0].repository
(TOWER,) = RELEASES[0].towers


class Hub(ThreadingHTTPServer):
    """A model hub on loopback: repositories are folders."""

    def __init__(self, repositories: dict[str, Path]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories = repositories
        self.fetched: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._answer(has_body=False)

    def do_GET(self) -> None:
        self._answer(has_body=True)

    def _answer(self, *, has_body: bool) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/api/models/"):
            name = "/".join(path.split("/")[3:5])
            document = self._tree(name) if "/tree/" in path else self._facts(name)
            self._send(json.dumps(document).encode(), "application/json", has_body)
            return
        name, file = "/".join(path.split("/")[1:3]), path.split("/", 5)[5]
        content = (self.server.repositories[name] / file).read_bytes()
        if has_body:
            self.server.fetched.append(f"{name}/{file}")
        self._send(content, "application/octet-stream", has_body)

    def _tree(self, name: str) -> list[dict[str, Any]]:
        return [
            {
                "type": "file",
                "path": facts["rfilename"],
                "size": facts["size"],
                "oid": COMMIT,
                **(
                    {"lfs": {"oid": facts["lfs"]["sha256"], **facts["lfs"]}}
                    if "lfs" in facts
                    else {}
                ),
            }
            for facts in self._facts(name)["siblings"]
        ]

    def _facts(self, name: str) -> dict[str, Any]:
        folder = self.server.repositories[name]
        siblings = []
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            content = path.read_bytes()
            facts: dict[str, Any] = {
                "rfilename": str(path.relative_to(folder)),
                "size": len(content),
            }
            if path.suffix == ".safetensors":
                digest = hashlib.sha256(content).hexdigest()
                facts["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 130}
            siblings.append(facts)
        card = {"license": "apache-2.0"}
        return {"id": name, "sha": COMMIT, "siblings": siblings, "cardData": card}

    def _send(self, content: bytes, kind: str, has_body: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if has_body:
            self.wfile.write(content)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub with a tiny Video-XL in the released layout, and its tower in a repository apart."""
    root = tmp_path_factory.mktemp("hub")
    write_tiny(root / "repository" / "VideoXL_weight_8")
    tower = root / "repository" / "VideoXL_weight_8" / "clip"
    config = root / "repository" / "VideoXL_weight_8" / "config.json"
    raw = json.loads(config.read_text())
    # A path of its authors' machine, as released.
    raw["mm_vision_tower"] = f"/home/authors/{TOWER.rpartition('/')[2]}"
    config.write_text(json.dumps(raw))
    tower.rename(root / "tower")
    server = Hub({REPOSITORY: root / "repository", TOWER: root / "tower"})
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def pull(hub: Hub, home: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "HF_ENDPOINT": hub.address, "HF_HUB_DISABLE_TELEMETRY": "1"}
    # A web app that was built in this process before keeps itself from the hub.
    env.pop("HF_HUB_OFFLINE", None)
    command = [sys.executable, "-m", "app", "models", "pull", REPOSITORY, "--home", str(home)]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def pulled(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a pulled checkpoint, and what the pull said on its way."""
    home = tmp_path_factory.mktemp("home")
    result = pull(hub, home)
    assert result.returncode == 0, result.stderr
    return home / "models" / REPOSITORY.replace("/", "--"), result.stderr


def test_size_and_licence_are_said_first(pulled: tuple[Path, str]) -> None:
    _, spoken = pulled
    assert REPOSITORY in spoken
    assert TOWER in spoken
    assert "apache-2.0" in spoken
    assert "of memory" in spoken


def test_the_tower_comes_along_and_the_whole_is_listed_and_fits(pulled: tuple[Path, str]) -> None:
    folder, _ = pulled
    settings = load_settings(home=folder.parents[1])
    assert any(item.where == str(folder) for item in list_models(settings).models)
    assert "3 files are as they were published" in check_model(folder).message


def test_what_is_there_is_not_fetched_again(hub: Hub, pulled: tuple[Path, str]) -> None:
    folder, _ = pulled
    (weights,) = folder.glob("*/model.safetensors")
    weights.unlink()
    hub.fetched.clear()
    assert pull(hub, folder.parents[1]).returncode == 0
    assert [name for name in hub.fetched if name.endswith(".safetensors")] == [
        f"{TOWER}/{weights.name}"
    ]


def test_a_changed_file_is_named(pulled: tuple[Path, str]) -> None:
    folder, _ = pulled
    name = next(iter(json.loads((folder / DIGESTS).read_text())))
    path = folder / name
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    try:
        with pytest.raises(WeightsError, match="not the file that was published"):
            check_model(folder)
    finally:
        path.write_bytes(content)
