"""What a container may use is told by its control groups, not by its machine."""

import os
from pathlib import Path

import psutil
import pytest

from app.machine import available_memory_bytes, total_memory_bytes, usable_cores

GIB = 1 << 30


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")


def test_container_is_bounded_by_its_group_and_those_around_it(tmp_path: Path) -> None:
    pod = "sys/fs/cgroup/pods/pod-1"
    write(
        tmp_path,
        **{
            "proc/self/cgroup": "0::/pods/pod-1/web",
            f"{pod}/web/memory.max": "max",
            f"{pod}/web/cpu.max": "150000 100000",
            f"{pod}/memory.max": str(GIB),
            f"{pod}/memory.current": str(GIB // 2),
            f"{pod}/memory.stat": f"anon 1\ninactive_file {GIB // 4}",
            f"{pod}/cpu.max": "max 100000",
        },
    )
    assert usable_cores(tmp_path) == 1
    assert total_memory_bytes(tmp_path) == GIB
    assert available_memory_bytes(tmp_path) <= GIB * 3 // 4


def test_groups_of_the_first_version_bound_as_well(tmp_path: Path) -> None:
    write(
        tmp_path,
        **{
            "proc/self/cgroup": "4:memory:/box\n2:cpu,cpuacct:/box",
            "sys/fs/cgroup/memory/box/memory.limit_in_bytes": str(GIB),
            "sys/fs/cgroup/memory/box/memory.usage_in_bytes": str(GIB + 1),
            "sys/fs/cgroup/memory/box/memory.stat": "inactive_file 0",
            "sys/fs/cgroup/cpu/box/cpu.cfs_quota_us": "-1",
            "sys/fs/cgroup/cpu/box/cpu.cfs_period_us": "100000",
        },
    )
    assert usable_cores(tmp_path) >= 1
    assert total_memory_bytes(tmp_path) == GIB
    assert available_memory_bytes(tmp_path) == 0


@pytest.mark.parametrize("text", ["", "0::/", "no line of groups"])
def test_machine_without_bounds_is_used_whole(tmp_path: Path, text: str) -> None:
    write(tmp_path, **{"proc/self/cgroup": text})
    assert usable_cores(tmp_path) == len(os.sched_getaffinity(0))
    assert total_memory_bytes(tmp_path) == psutil.virtual_memory().total
    assert 0 < available_memory_bytes(tmp_path) <= psutil.virtual_memory().total
