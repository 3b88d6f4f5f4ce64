"""Free memory goes back to the system, where the C library can do that."""

import subprocess
import sys

import pytest

from engine.allocator import MemoryReturn, _malloc_trim, return_free_memory

LITTER = """
import os
import torch
from engine.allocator import return_free_memory

def anonymous_bytes():
    resident, shared = open("/proc/self/statm").read().split()[1:3]
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")

torch.zeros(1)
before = anonymous_bytes()
# Small blocks between large ones: what is freed below them stays with the library.
pairs = [(torch.ones(16_000), torch.ones(8)) for _ in range(1_000)]
small = [pair[1] for pair in pairs]
del pairs
kept = anonymous_bytes() - before
return_free_memory()
print(kept, anonymous_bytes() - before)
"""


@pytest.mark.skipif(_malloc_trim() is None, reason="this C library keeps what it has")
def test_memory_that_is_free_goes_back() -> None:
    out = subprocess.run(
        [sys.executable, "-c", LITTER], capture_output=True, text=True, check=True
    ).stdout
    kept, left = map(int, out.split())
    assert kept > 30_000_000
    assert left < kept / 4


def test_nothing_happens_where_the_library_has_no_such_function(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("engine.allocator._malloc_trim", lambda: None)
    assert return_free_memory() is False


def test_threads_that_beat_together_return_once_a_pause() -> None:
    rare, often = MemoryReturn(3600.0), MemoryReturn(0.0)
    assert [rare.beat() for _ in range(3)] == [True, False, False]
    assert [often.beat() for _ in range(3)] == [True, True, True]
