"""Configs of preprocessors in checkpoint folders: files of their own, or parts of one."""

from pathlib import Path
from typing import Any, Final, Literal

from engine.models.layers.weights import read_config

Kind = Literal["image", "video"]
FILES: Final[dict[Kind, str]] = {
    "image": "preprocessor_config.json",
    "video": "video_preprocessor_config.json",
}
WHOLE: Final = "processor_config.json"
"""The file in which transformers 5 keeps all of them; what stands there counts first, as there."""


def find_preprocessor(folder: Path, *kinds: Kind) -> dict[str, Any] | None:
    """Read the config of the first preprocessor that a checkpoint has; `None` if it has none.

    Args:
        folder: Of the checkpoint.
        kinds: In the order in which they are asked for.
    """
    whole = read_config(folder, WHOLE) if (folder / WHOLE).is_file() else {}
    for kind in kinds:
        part = whole.get(f"{kind}_processor")
        if isinstance(part, dict):
            return part
        if (folder / FILES[kind]).is_file():
            return read_config(folder, FILES[kind])
    return None


def read_preprocessor(folder: Path, *kinds: Kind) -> dict[str, Any]:
    """Read the config of the first preprocessor that a checkpoint has.

    Args:
        folder: Of the checkpoint.
        kinds: In the order in which they are asked for.
    Raises:
        NotFoundError: It has none of them.
    """
    config = find_preprocessor(folder, *kinds)
    return read_config(folder, FILES[kinds[-1]]) if config is None else config
