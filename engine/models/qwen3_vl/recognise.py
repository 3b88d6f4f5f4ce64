"""Recognition of this family by a config, without its code and what that imports."""

from collections.abc import Mapping
from typing import Any


def recognises(config: Mapping[str, Any]) -> bool:
    """Tell whether a `config.json` is one of this family."""
    return config.get("model_type") == "qwen3_vl"
