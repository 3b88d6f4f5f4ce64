"""A process is known to be gone only where its number means anything."""

import subprocess
import sys

from app.worker.processes import is_dead, this_machine, this_process


def lease_of(pid: int) -> str:
    return f"{this_process().rpartition(':')[0]}:{pid}#0a1b2c3d"


def ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_ended_process_of_this_machine_is_dead() -> None:
    assert is_dead(lease_of(ended_process()))
    assert not is_dead(f"{this_process()}#0a1b2c3d")


def test_nobody_knows_of_a_machine_of_the_same_name() -> None:
    # Two machines that came of one image are called alike, and count their processes alike: an
    # alert would be sent twice, and a video read by two.
    lease = lease_of(ended_process())
    boot = this_machine()[:8]
    assert boot in lease
    assert not is_dead(lease.replace(boot, "0" * 8))
