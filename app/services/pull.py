"""Checkpoints from a model hub: what a pull brings is said first, and verified afterwards.

Nothing else in Longwatch fetches anything that the user did not ask for.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx2
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from app.config.engine_config import models_folder
from app.config.settings import Settings
from app.schemas.common import MessageResponse
from app.schemas.models import PulledRepository, PullPlan
from engine.errors import DiskFullError, InputRefusedError, UnreachableError, WeightsError
from engine.files import atomic_write_bytes, sha256_of
from engine.models import registry

PULLED: Final = ("*.safetensors", "*.json", "*.txt", "*.model", "*.bin")
"""Weights, configs and tokenizers; never code. Pickled weights are read without their code."""
TOWER_FILES: Final = ("model.safetensors", "*.json", "*.txt", "*.model")
"""Of a tower, whose repository may hold its weights in several formats."""
DIGESTS: Final = "digests.json"
"""Beside a pulled checkpoint: the SHA-256 that the hub states of each of its large files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Repository:
    """A repository of the hub, where its files go, and what the hub says of them."""

    name: str
    revision: str | None
    patterns: tuple[str, ...]
    folder: Path
    licence: str
    sizes: dict[str, int]
    digests: dict[str, str]


def pull_model(
    name: str, settings: Settings, *, confirm: Callable[[PullPlan], bool] = lambda plan: True
) -> MessageResponse:
    """Fetch a checkpoint and the towers that bring its text side; a cut-off pull goes on.

    Args:
        name: `org/name`, or `org/name@revision`.
        confirm: Is shown what will be fetched, and may say no.
    Raises:
        InputRefusedError: Not such a name, or somebody said no.
        UnreachableError: The hub cannot be reached, or has no such model.
        DiskFullError: It would not fit.
        WeightsError: A file is not what the hub published.
    """
    repository, _, revision = name.partition("@")
    if repository.count("/") != 1:
        raise InputRefusedError(f"{name!r} is no model of the hub", hint="org/name[@revision]")
    folder = models_folder(settings) / name.replace("/", "--")
    towers = next(
        (release.towers for release in registry.releases() if release.repository == repository), ()
    )
    wanted = [_ask_hub(repository, revision or None, PULLED, folder)]
    wanted += [
        _ask_hub(tower, None, TOWER_FILES, folder / tower.rpartition("/")[2]) for tower in towers
    ]
    plan = _plan(name, wanted, folder)
    if plan.missing_bytes > plan.free_bytes:
        raise DiskFullError(
            f"{name} needs {plan.missing_bytes} bytes more, and {folder} has {plan.free_bytes}",
            hint="free some space, or set paths.models to a larger disk",
        )
    if not confirm(plan):
        raise InputRefusedError(f"{name} was not fetched")
    for part in wanted:
        _fetch(part)
    digests = {
        str((part.folder / file).relative_to(folder)): sha256
        for part in wanted
        for file, sha256 in part.digests.items()
    }
    atomic_write_bytes(folder / DIGESTS, json.dumps(digests, indent=1).encode())
    verify_digests(folder)
    return MessageResponse(message=f"{name} lies in {folder}; use it with --model {name}")


def verify_digests(folder: Path) -> int:
    """Compare the files of a pulled checkpoint with what the hub stated of them.

    Returns:
        How many were compared; 0 where it was not pulled by us.
    Raises:
        WeightsError: One is missing or has changed.
    """
    listing = folder / DIGESTS
    if not listing.is_file():
        return 0
    digests: dict[str, str] = json.loads(listing.read_text(encoding="utf-8"))
    for name, sha256 in digests.items():
        path = folder / name
        if not path.is_file():
            raise WeightsError(f"{path} is missing", hint="pull the model again")
        if sha256_of(path) != sha256:
            raise WeightsError(
                f"{path} is not the file that was published",
                hint="delete it and pull the model again",
            )
    return len(digests)


def _ask_hub(
    repository: str, revision: str | None, patterns: tuple[str, ...], folder: Path
) -> _Repository:
    """Ask the hub for the files of a repository, their sizes and digests, and its licence."""
    try:
        facts = HfApi().model_info(repository, revision=revision, files_metadata=True)
    except (HfHubHTTPError, HFValidationError, httpx2.HTTPError, OSError) as error:
        raise _unreachable(repository, error) from error
    files = [
        file
        for file in facts.siblings or ()
        if any(Path(file.rfilename).match(pattern) for pattern in patterns)
    ]
    return _Repository(
        name=repository,
        revision=facts.sha or revision,
        patterns=patterns,
        folder=folder,
        licence=str(getattr(facts.card_data, "license", None) or "not stated"),
        sizes={file.rfilename: file.size or 0 for file in files},
        digests={file.rfilename: file.lfs.sha256 for file in files if file.lfs is not None},
    )


def _plan(name: str, wanted: Sequence[_Repository], folder: Path) -> PullPlan:
    here = next(path for path in (folder, *folder.parents) if path.exists())
    sizes = {part.folder / file: n_bytes for part in wanted for file, n_bytes in part.sizes.items()}
    missing = [
        n_bytes
        for path, n_bytes in sizes.items()
        if not path.is_file() or path.stat().st_size != n_bytes
    ]
    weights = [
        n_bytes for path, n_bytes in sizes.items() if path.suffix in (".safetensors", ".bin")
    ]
    return PullPlan(
        name=name,
        repositories=[
            PulledRepository(name=part.name, licence=part.licence, bytes=sum(part.sizes.values()))
            for part in wanted
        ],
        missing_bytes=sum(missing),
        free_bytes=shutil.disk_usage(here).free,
        memory_bytes=sum(weights),
        folder=str(folder),
    )


def _fetch(part: _Repository) -> None:
    try:
        snapshot_download(
            part.name,
            revision=part.revision,
            local_dir=part.folder,
            allow_patterns=list(part.patterns),
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise _unreachable(part.name, error) from error


def _unreachable(name: str, error: Exception) -> UnreachableError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return UnreachableError(
        f"{name} cannot be fetched: {reason}",
        hint="check name and network; HF_TOKEN opens gated models, HF_ENDPOINT names a mirror",
    )
