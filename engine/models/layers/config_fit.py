"""Configs of checkpoints that do not fit their family, as one error."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from engine.errors import WeightsError


@contextmanager
def config_fits(folder: Path, name: str) -> Iterator[None]:
    """Read a config and build its net within this: what goes wrong then is the config's fault.

    Args:
        folder: Of the checkpoint.
        name: Of its family.
    Raises:
        WeightsError: A field has a value that the family does not compute, or of another type.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RuntimeError) as e:
        raise WeightsError(f"the config of {folder} does not fit {name}: {e}") from e
