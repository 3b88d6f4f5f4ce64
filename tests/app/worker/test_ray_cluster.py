"""Addresses of clusters, and what a cluster that cannot be used is told of in one sentence."""

import socket
import sys

import pytest

from app.config.settings import load_settings
from app.worker.fleet import reading_settings
from app.worker.ray_cluster import cluster_refusal, open_cluster
from engine.errors import InputRefusedError, MissingCapabilityError, UnreachableError


def connect(address: str) -> None:
    with open_cluster(address, cpus=1):
        pass


@pytest.mark.parametrize("address", ["", "ray://", "head", "ray://head:99999", "http://head:1/"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(InputRefusedError, match="no address of a Ray cluster"):
        connect(address)


@pytest.mark.parametrize("scheme", ["ray://", ""])
def test_address_where_nobody_answers(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(UnreachableError, match="no Ray cluster answers at") as raised:
        connect(f"{scheme}127.0.0.1:{port}")
    assert raised.value.hint is not None


def test_without_ray_the_command_says_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingCapabilityError) as raised:
        connect("local")
    assert raised.value.hint == "pip install 'longwatch[ray]'"


def test_other_versions_are_named() -> None:
    # The words of Ray 2.60.
    error = RuntimeError(
        "Version mismatch: The cluster was started with:\n    Ray: 2.50.0\n    Python: 3.11.7\n"
        "This process on node 10.0.0.2 was started with:\n    Ray: 2.60.0\n    Python: 3.11.7\n"
    )
    refusal = cluster_refusal("head:6379", error)
    assert isinstance(refusal, MissingCapabilityError)
    assert "2.50.0" in refusal.message
    assert "2.60.0" in refusal.message
    assert "\n" not in refusal.message


def test_nodes_are_sent_what_decides_the_reading_and_no_secret(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    home = tmp_path_factory.mktemp("home")
    flags = {"database_url": "postgresql://gate:hunter2@db/x", "sampling.fps": 0.5}
    sent = reading_settings(load_settings(flags, home=home))
    assert sent["sampling.fps"] == 0.5
    assert "hunter2" not in str(sent)
    assert not {name.partition(".")[0] for name in sent} & {
        "database_url",
        "home",
        "paths",
        "server",
    }
    # A node reads them as they are.
    assert load_settings(sent, home=home).sampling.fps == 0.5
