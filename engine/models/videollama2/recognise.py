"""Recognition of this family by a config, without its code and what that imports."""

from collections.abc import Mapping
from typing import Any


def recognises(config: Mapping[str, Any]) -> bool:
    """Tell whether a `config.json` is one of this family; early ones call themselves `mistral`."""
    model_type = str(config.get("model_type", ""))
    return model_type.startswith("videollama2") or (
        model_type == "mistral" and "mm_projector_type" in config
    )
