"""The only importer of Ray: a cluster, its readers, and what becomes of the calls to them."""

import importlib.util
import re
import socket
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

from app.config.ray_variables import choose_ray_variables
from app.worker.node_reader import NodeOrder, NodeReader
from engine.errors import (
    InputRefusedError,
    LongwatchError,
    MissingCapabilityError,
    UnreachableError,
)

LOCAL: Final = "local"
AUTO: Final = "auto"
CONNECT_S: Final = 5.0
_CLIENT: Final = "ray://"
_HOST_AND_PORT: Final = re.compile(r"(?:ray://)?(\[[0-9a-fA-F:]+\]|[\w.-]+):(\d{1,5})")
_INSTALL: Final = "pip install 'longwatch[ray]'"
_LOCAL_STORE_BYTES: Final = 200 << 20
"""Calls carry a few bytes, so the store of a cluster of our own needs none."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call to a reader that is under way."""

    ref: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """The end of a call."""

    value: Any = None
    died: str | None = None
    """Why the reader is gone, or cannot be there; `None` while it is."""


class RayReader:
    """A reader in a process of the cluster."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def open(self) -> Call:
        """Begin to open the library there."""
        return Call(self._actor.open.remote())

    def run(self, job: int, created_at: str) -> Call:
        """Begin a job there."""
        return Call(self._actor.run.remote(job, created_at))

    def stop(self) -> None:
        """Ask it to hand its job back."""
        self._actor.stop.remote()

    def end(self) -> None:
        """End its process."""
        import ray

        with suppress(ray.exceptions.RayError, ConnectionError):
            ray.kill(self._actor)


class RayCluster:
    """A cluster that this process is connected to."""

    def __init__(self, *, cpus: int) -> None:
        self._cpus = cpus

    def capacity(self) -> int:
        """Return how many readers have room: one a GPU, or one for so many CPU cores of a node."""
        import ray

        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if any(node.get("GPU", 0) >= 1 for node in nodes):
            return sum(int(node.get("GPU", 0)) for node in nodes)
        cpus = self._reader_cpus(nodes)
        return sum(int(node.get("CPU", 0)) // cpus for node in nodes)

    def start(self, order: NodeOrder) -> RayReader:
        """Start a reader, which waits in the cluster until there is room for it."""
        import ray

        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        has_gpus = any(node.get("GPU", 0) >= 1 for node in nodes)
        needs = {"num_gpus": 1} if has_gpus else {"num_cpus": self._reader_cpus(nodes)}
        actor = ray.remote(NodeReader).options(
            **needs,
            # So that it hears to stop while it works.
            max_concurrency=2,
            max_restarts=0,
            scheduling_strategy="SPREAD",
        )
        return RayReader(actor.remote(order))

    def wait(self, calls: Collection[Call], timeout_s: float) -> dict[Call, Returned]:
        """Wait for calls to end, and return those that have."""
        import ray

        if not calls:
            return {}
        by_ref = {call.ref: call for call in calls}
        done, _ = ray.wait([*by_ref], num_returns=len(by_ref), timeout=timeout_s)
        if not done:
            return {}
        return {by_ref[ref]: _returned(ref) for ref in done}

    def _reader_cpus(self, nodes: list[dict[str, float]]) -> int:
        largest = max((int(node.get("CPU", 0)) for node in nodes), default=0)
        return max(1, min(self._cpus, largest))


@contextmanager
def open_cluster(address: str, *, cpus: int) -> Iterator[RayCluster]:
    """Connect to a cluster, or start one on this machine, and leave it at the end.

    Args:
        address: `ray://HOST:PORT`, `HOST:PORT` on a node of the cluster, `auto`, or `local`.
        cpus: CPU cores of a reader where there are no GPUs.
    Raises:
        MissingCapabilityError: Ray is not installed, or the cluster has another version of it.
        InputRefusedError: It is no such address.
        UnreachableError: Nobody answers there.
    """
    where = _checked(address)
    if importlib.util.find_spec("ray") is None:
        raise MissingCapabilityError("work on a cluster needs Ray", hint=_INSTALL)
    choose_ray_variables()
    # Late: it takes a second, and belongs to no other command.
    import ray

    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if where == LOCAL:
        options |= {
            "address": LOCAL,
            "include_dashboard": False,
            "object_store_memory": _LOCAL_STORE_BYTES,
        }
    else:
        options["address"] = where
    try:
        ray.init(**options)
    except Exception as error:
        raise cluster_refusal(where, error) from error
    try:
        yield RayCluster(cpus=cpus)
    finally:
        ray.shutdown()


def _checked(address: str) -> str:
    """Return an address as Ray takes it, of a machine that answers."""
    plain = address.strip()
    if plain.removeprefix(_CLIENT) in {LOCAL, AUTO}:
        return plain.removeprefix(_CLIENT)
    match = _HOST_AND_PORT.fullmatch(plain)
    if match is None or int(match[2]) > 65535:
        raise InputRefusedError(
            f"{address!r} is no address of a Ray cluster",
            hint="write ray://HOST:10001, HOST:6379 on one of its nodes, auto, or local",
        )
    try:
        socket.create_connection((match[1].strip("[]"), int(match[2])), CONNECT_S).close()
    except OSError as error:
        # Ray itself would try for a minute and write pages.
        raise UnreachableError(
            f"no Ray cluster answers at {plain}: {error.strerror or error}",
            hint="`ray status` on its head node says whether it runs",
        ) from error
    return plain


def cluster_refusal(where: str, error: Exception) -> LongwatchError:
    """Return why a cluster cannot be used, in one sentence."""
    text = " ".join(str(error).split())
    if "ray[client]" in text:
        return MissingCapabilityError(
            "addresses that begin with ray:// need Ray's client", hint=_INSTALL
        )
    if "ersion mismatch" in text or "versions are incompatible" in text:
        stated = re.findall(r"(?:Ray|Python): ?([\d.]+)", text)
        which = f" ({', '.join(stated)})" if stated else ""
        return MissingCapabilityError(
            f"the cluster at {where} runs another Ray or Python than this machine{which}",
            hint="install the same versions on every machine",
        )
    return UnreachableError(
        f"no Ray cluster can be used at {where}: {text[:200] or type(error).__name__}",
        hint="start one with `ray start --head`, or take --on local",
    )


def _returned(ref: Any) -> Returned:
    """Return the end of a call that has ended."""
    import ray

    try:
        return Returned(value=ray.get(ref))
    # Whatever a node raised, or could not even load, comes as the first.
    except (ray.exceptions.RayError, ConnectionError) as error:
        return Returned(died=_last_line(error))


def _last_line(error: Exception) -> str:
    """Return the line that says what happened, of an error with a traceback in it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    named = [line for line in lines if re.match(r"[\w.]*(Error|Exception)\b", line)]
    return ([*named[-1:], *lines[:1]] or [type(error).__name__])[0][:300]
