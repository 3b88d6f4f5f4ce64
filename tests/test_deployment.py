"""The files that start Longwatch on several machines name commands and settings that exist."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.config.settings import load_settings
from app.server import FINISH_S, HAND_BACK_S
from storage.vector_sql import graph_statements
from tests.test_docs import is_known_command

ROOT = Path(__file__).parents[1]
COMPOSE = ROOT / "compose.yaml"
OBJECTS = ROOT / "compose.objects.yaml"
KUBERNETES = ROOT / "docs" / "operations" / "kubernetes.yaml"
_DEFAULT = re.compile(r"\$\{\w+(?::-(?P<default>[^}]*)|:\?[^}]*)?\}")


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load(COMPOSE.read_text(encoding="utf-8")))


def manifests() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(KUBERNETES.read_text(encoding="utf-8")))


def pods() -> list[dict[str, Any]]:
    """Return the description of every pod."""
    return [
        manifest["spec"]["template"]["spec"]
        for manifest in manifests()
        if manifest["kind"] == "Deployment"
    ]


def containers() -> Iterator[tuple[str, list[str], dict[str, str]]]:
    """Yield name, command and environment of everything that runs the image of the Dockerfile."""
    for name, service in compose()["services"].items():
        if service["image"].startswith("longwatch"):
            yield f"compose {name}", service["command"], service["environment"]
    for pod in pods():
        for container in pod["containers"]:
            environment = {row["name"]: row["value"] for row in container["env"]}
            yield f"kubernetes {container['name']}", container["args"], environment


ALL = list(containers())
NAMES = [name for name, _, _ in ALL]


def test_there_is_something_to_check() -> None:
    assert NAMES == [
        "compose web", "compose worker", "compose worker-gpu", "kubernetes web",
        "kubernetes worker",
    ]  # fmt: skip


@pytest.mark.parametrize(("name", "command", "environment"), ALL, ids=NAMES)
def test_settings_are_accepted(
    name: str,
    command: list[str],
    environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("LONGWATCH_HOME", raising=False)
    (tmp_path / "secret").write_text("postgresql://user:password@host/name")
    for variable, value in environment.items():
        default = _DEFAULT.sub(lambda match: match["default"] or "secret", value)
        # What a volume brings is elsewhere here.
        is_file = variable.endswith("_FILE")
        monkeypatch.setenv(variable, str(tmp_path / "secret") if is_file else default)
    # An unknown variable, and a value that is not allowed, is an error that names it.
    settings = load_settings(home=tmp_path, folder=tmp_path)
    assert settings.catalog_url.startswith("postgresql://")


@pytest.mark.parametrize(("name", "command", "environment"), ALL, ids=NAMES)
def test_commands_and_options_exist(
    name: str, command: list[str], environment: dict[str, str]
) -> None:
    assert is_known_command(shlex.join(["longwatch", *command]))


def test_image_has_the_entry_that_commands_are_given_to() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    # A first process in a container would not end at a signal while it starts.
    assert 'ENTRYPOINT ["tini", "--", "longwatch"]' in dockerfile
    assert re.search(r"apt-get install .*\btini\b", dockerfile)
    arguments = compose()["services"]["worker-gpu"]["build"]["args"]
    assert all(f"ARG {name}=" in dockerfile for name in arguments)
    # The user of the manifests is the one that the image makes.
    assert "--uid 10001" in dockerfile


def test_image_has_the_driver_of_the_database() -> None:
    assert "psycopg==" in (ROOT / "requirements.lock").read_text(encoding="utf-8")


def test_object_store_is_given_to_everything_that_has_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = yaml.safe_load(OBJECTS.read_text(encoding="utf-8"))["services"]
    ours = {name for name, s in compose()["services"].items() if "longwatch" in s["image"]}
    assert ours <= {*services}
    for name in ours:
        for variable, value in services[name]["environment"].items():
            monkeypatch.setenv(variable, _DEFAULT.sub("secret", value))
        settings = load_settings(home=tmp_path, folder=tmp_path)
        address = settings.objects.address
        assert address is not None
        assert address.secret_access_key == "secret"
    port = re.search(
        r"objects:(\d+)", services["web"]["environment"]["LONGWATCH_OBJECTS__ENDPOINT"]
    )
    assert port is not None
    assert f":{port[1]}/" in services["objects"]["healthcheck"]["test"][1]


def test_image_has_the_client_of_the_store() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert "obstore" in dockerfile
    assert re.search(r"^obstore==", (ROOT / "requirements-dev.lock").read_text(), re.MULTILINE)


def test_probes_ask_for_routes_that_exist() -> None:
    from app.api.health import router

    paths = {route.path for route in router.routes}  # type: ignore[attr-defined]
    asked = re.findall(r"path: (/\w+)|7860(/\w+)", COMPOSE.read_text() + KUBERNETES.read_text())
    named = {one or other for one, other in asked}
    assert named
    assert named <= paths


def test_every_secret_comes_from_outside() -> None:
    for file in (COMPOSE, OBJECTS, KUBERNETES):
        text = file.read_text(encoding="utf-8")
        for line in text.splitlines():
            if "PASSWORD:" in line or "SECRET_ACCESS_KEY:" in line:
                assert "${" in line, line
    secret = re.search(r"create secret generic (\w+) .*?--from-literal=([\w-]+)=",
                       KUBERNETES.read_text(encoding="utf-8"), re.DOTALL)  # fmt: skip
    assert secret is not None
    for pod in pods():
        (volume,) = [volume["secret"] for volume in pod["volumes"] if "secret" in volume]
        assert volume["secretName"] == secret[1]
        (container,) = pod["containers"]
        environment = {row["name"]: row["value"] for row in container["env"]}
        assert "LONGWATCH_DATABASE_URL" not in environment
        (at,) = [it["mountPath"] for it in container["volumeMounts"] if it["name"] == "secrets"]
        assert environment["LONGWATCH_DATABASE_URL_FILE"] == f"{at}/{secret[2]}"


def test_every_part_restarts_has_its_volume_and_says_how_it_is() -> None:
    services = compose()["services"]
    assert all(service["restart"] == "unless-stopped" for service in services.values())
    assert all("healthcheck" in service for service in services.values())
    used = {entry.split(":")[0] for s in services.values() for entry in s["volumes"]}
    assert used == {*compose()["volumes"]}


def test_image_is_built_of_files_that_are_here() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    let_through = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    copied = [
        source
        for line in re.findall(r"^COPY (.+)$", dockerfile, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    assert let_through == {*copied}
    assert all((ROOT / source).exists() for source in copied)


def test_all_that_is_written_lies_in_volumes() -> None:
    image = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert "LONGWATCH_HOME=/data" in image
    for service in ours():
        assert service["read_only"] is True
        assert "library:/data" in service["volumes"]
        assert service["tmpfs"] == ["/tmp"]
    for pod in pods():
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            mounts = container["volumeMounts"]
            assert {it["mountPath"] for it in mounts if not it.get("readOnly")} == {"/data", "/tmp"}
            assert {it["name"] for it in mounts} == volumes


def test_stop_waits_for_requests_and_jobs() -> None:
    for service in ours():
        assert int(service["stop_grace_period"].removesuffix("s")) > FINISH_S + HAND_BACK_S
    for pod in pods():
        (container,) = pod["containers"]
        pause = container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command")
        pause_s = int(pause[1]) if pause else 0
        assert pod["terminationGracePeriodSeconds"] > pause_s + FINISH_S + HAND_BACK_S


def test_database_has_the_memory_that_a_graph_is_built_in() -> None:
    largest = graph_statements(dim=4000, n_chunks=10**9)[1]
    kilobytes = re.search(r"'(\d+)kB'", largest)
    assert kilobytes is not None
    (size,) = re.findall(r"shm_size: (\d+)gb", COMPOSE.read_text(encoding="utf-8"))
    assert int(kilobytes[1]) << 10 < int(size) << 30
    assert f"{size} GiB of /dev/shm" in KUBERNETES.read_text(encoding="utf-8")


def test_database_is_healthy_once_it_can_be_reached() -> None:
    # The image makes the database in a server without a port, which would be healthy, too.
    command = compose()["services"]["database"]["healthcheck"]["test"][1]
    assert "--host 127.0.0.1" in command


def test_names_of_a_cluster_do_not_become_settings() -> None:
    # A Service `longwatch` is LONGWATCH_PORT in every pod of its namespace: an unknown setting.
    assert all(pod["enableServiceLinks"] is False for pod in pods())


def test_pods_keep_to_the_restricted_standard() -> None:
    for pod in pods():
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_visitors_are_sent_to_the_port_that_is_listened_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LONGWATCH_SERVER__PORT", raising=False)
    port = load_settings(home=tmp_path, folder=tmp_path).server.port
    assert f"EXPOSE {port}" in (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert compose()["services"]["web"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    (service,) = [manifest["spec"] for manifest in manifests() if manifest["kind"] == "Service"]
    (web,) = [
        manifest["spec"]["template"]
        for manifest in manifests()
        if manifest["kind"] == "Deployment"
        and manifest["spec"]["template"]["metadata"]["labels"] == service["selector"]
    ]
    names = {row["name"]: row["containerPort"] for row in web["spec"]["containers"][0]["ports"]}
    assert names[service["ports"][0]["targetPort"]] == port


def test_nothing_is_read_from_a_store_without_its_bucket() -> None:
    services = yaml.safe_load(OBJECTS.read_text(encoding="utf-8"))["services"]
    for name, service in compose()["services"].items():
        if "longwatch" in service["image"]:
            waits = services[name]["depends_on"]["bucket"]["condition"]
            assert waits == "service_completed_successfully"


def ours() -> list[dict[str, Any]]:
    """Return the services of compose.yaml that run the image of the Dockerfile."""
    return [it for it in compose()["services"].values() if it["image"].startswith("longwatch")]
