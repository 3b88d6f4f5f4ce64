"""Fingerprint of a net: the hash of its config and of the values of its parameters.

Decision: values are hashed as float32, *because* a checkpoint published in 16 bits is one model in
whatever format it runs; which format its latents have, their files say.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine.models.layers.preprocess import BICUBIC
from engine.models.layers.weights import PICKLES, write_json
from engine.records import Fingerprint

FINGERPRINT_DIGITS = 24
MEMO_NAME = ".fingerprints.json"
MEMO_FROM_BYTES = 256 << 20
"""Below this, hashing takes less time than it would take to be sure that nothing changed."""
HASHED_VALUES = 1 << 22
"""Values that are widened to float32 at once: 16 MiB."""


def weight_files(*folders: Path | None) -> tuple[Path, ...]:
    """List every weight file in and below folders; `None` stands for a part that is not there."""
    return tuple(
        path
        for folder in folders
        if folder is not None
        for path in sorted(folder.rglob("*"))
        if path.suffix in PICKLES | {".safetensors"}
    )


def hashed_fields(config: Any) -> dict[str, Any]:
    """Return the fields of a config, a dataclass, that its fingerprint hashes.

    The filter of a resize came later, and is left out where it is the one there was before.
    """
    return asdict(
        config,
        dict_factory=lambda fields: {
            name: value for name, value in fields if (name, value) != ("filter", BICUBIC)
        },
    )


def fingerprint_weights(
    config: Mapping[str, Any],
    module: nn.Module,
    files: Iterable[Path] = (),
    *,
    read: Callable[[str], Tensor] | None = None,
) -> Fingerprint:
    """Hash a config and the values of all parameters, whatever their number format.

    Args:
        config: What shapes the net beside its weights.
        module: The net.
        files: Those that the parameters came from. Of a large net the hash is kept beside the
            first one, and holds for as long as no file changes its size or its time.
        read: Reads the parameters that the module itself has no memory for, by their names.
    Cost: one pass over the weights on the CPU, about a second for 500 million parameters; nothing
        once it is kept.
    """
    start = json.dumps(config, sort_keys=True, default=str)
    key, memo = _memo(start, module, tuple(files))
    if memo is not None and (kept := _kept(memo).get(key)) is not None:
        return Fingerprint(kept)
    digest = hashlib.sha256(start.encode())
    for name, parameter in sorted(module.named_parameters()):
        digest.update(f"{name}{tuple(parameter.shape)}{torch.float32}".encode())
        value = parameter if read is None or not parameter.is_meta else read(name)
        for part in torch.split(value.detach().reshape(-1), HASHED_VALUES):
            digest.update(part.cpu().float().view(torch.uint8).numpy().data)
    fingerprint = digest.hexdigest()[:FINGERPRINT_DIGITS]
    if memo is not None:
        # A folder that cannot be written to is hashed anew each time.
        with suppress(OSError):
            write_json(memo, {**_kept(memo), key: fingerprint})
    return Fingerprint(fingerprint)


def _memo(start: str, module: nn.Module, files: Sequence[Path]) -> tuple[str, Path | None]:
    """Return the key of a net's hash, and the file that keeps it; `None` for a small net."""
    if not files or sum(path.stat().st_size for path in files) < MEMO_FROM_BYTES:
        return "", None
    digest = hashlib.sha256(start.encode())
    for path in files:
        state = path.stat()
        digest.update(f"{path.resolve()} {state.st_size} {state.st_mtime_ns}".encode())
    for name, parameter in sorted(module.named_parameters()):
        digest.update(f"{name}{tuple(parameter.shape)}{parameter.dtype}".encode())
    return digest.hexdigest(), files[0].parent / MEMO_NAME


def _kept(memo: Path) -> dict[str, str]:
    try:
        return dict(json.loads(memo.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}
