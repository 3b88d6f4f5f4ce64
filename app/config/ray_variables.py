"""Variables by which Ray is told what it takes from the environment alone."""

import os


def choose_ray_variables() -> None:
    """Set what was not set: no reports about the use of Ray to its makers, no change of GPUs."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # As later versions do by themselves; 2.60 warns of it.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
