"""Support for tests of several processes: what starts two of them on this CPU."""

import os
import subprocess
import sys
from pathlib import Path


def launch_two(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a script in two processes that `accelerate launch` starts, and wait for both.

    Args:
        arguments: Options of the launcher, the script, and what it is given.
    """
    command = (
        *(sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "2"),
        *("--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"),
        *("--main_process_port", "0"),
    )
    return subprocess.run(
        [*command, *arguments],
        env={**os.environ, "PYTHONPATH": os.getcwd(), "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
