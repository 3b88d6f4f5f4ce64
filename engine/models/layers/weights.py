"""Checkpoint loading: one strict loader from safetensors to any module.

A key map is a sequence of `(released, ours)` names in which `*` stands for one segment between
dots and `**` for any number of them; the first row that matches counts. An empty name of ours
drops the key. Projections that we fuse are named by their part, `attention.qkv.q.weight`, and
fill their rows. The same map read backwards names what we save.
"""

import json
import pickle
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from engine.errors import NotFoundError, WeightsError
from engine.files import atomic_write, atomic_write_bytes
from engine.models.layers.allocation import matrix_store
from engine.models.layers.fused_linear import FusedLinear

KeyMap = Sequence[tuple[str, str]]
INDEX_NAME = "model.safetensors.index.json"
PICKLES = frozenset({".bin", ".pt", ".pth"})
"""Endings of torch's own format; read with nothing but tensors allowed."""
MAPPED_BYTES = 32 << 20
"""Read of a file before it is opened anew."""
_reads_headers = ContextVar("reads_headers", default=False)
_STARS = re.compile(r"(\*\*|\*)")


@dataclass(frozen=True, slots=True)
class Slot:
    """A place that one released tensor fills: a parameter, or some of its rows."""

    owner: nn.Module
    name: str
    rows: slice

    @property
    def parameter(self) -> nn.Parameter:
        """The parameter of its owner; it is another one once that has memory."""
        return self.owner.get_parameter(self.name)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the released tensor that belongs here."""
        rows = range(self.parameter.shape[0])[self.rows] if self.parameter.dim() else ()
        head = (len(rows),) if self.parameter.dim() else ()
        return (*head, *self.parameter.shape[1:])


def slots(module: nn.Module) -> dict[str, Slot]:
    """Return every parameter by name, fused ones by their parts."""
    by_name: dict[str, Slot] = {}
    for prefix, owner in module.named_modules():
        dot = f"{prefix}." if prefix else ""
        for name, _ in owner.named_parameters(recurse=False):
            if not isinstance(owner, FusedLinear):
                by_name[f"{dot}{name}"] = Slot(owner, name, slice(None))
                continue
            start = 0
            for part, n_rows in owner.parts.items():
                by_name[f"{dot}{part}.{name}"] = Slot(owner, name, slice(start, start + n_rows))
                start += n_rows
    return by_name


class Fields(dict[str, Any]):
    """A JSON object of a checkpoint; asking for a field that it lacks is a `WeightsError`."""

    def __missing__(self, key: str) -> Any:
        raise WeightsError(
            f"a config of this checkpoint lacks the field {key!r}",
            hint="copy its config files from the release",
        )

    def __or__(self, other: Mapping[str, Any]) -> "Fields":  # type: ignore[override]
        """Both, `other` over this; still strict."""
        return Fields({**self, **other})

    def __ror__(self, other: Mapping[str, Any]) -> "Fields":  # type: ignore[override]
        """Both, this over `other`; still strict."""
        return Fields({**other, **self})


def read_config(folder: Path, name: str = "config.json") -> dict[str, Any]:
    """Read a JSON file of a checkpoint folder; all its objects are `Fields`.

    Raises:
        NotFoundError: There is none.
        WeightsError: It is no JSON object.
    """
    path = folder / name
    if not path.is_file():
        raise NotFoundError(f"{folder} has no {name}", hint="name the checkpoint's own folder")
    try:
        config = json.loads(path.read_text(encoding="utf-8"), object_hook=Fields)
    except ValueError as error:
        raise WeightsError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(config, dict):
        raise WeightsError(f"{path} holds no JSON object")
    return config


def files_of(folder: Path) -> tuple[Path, ...]:
    """List the weight files of a checkpoint: those of its index, or all that lie there.

    Raises:
        WeightsError: There are none, or the index names one that is missing or lies elsewhere.
    """
    index = folder / INDEX_NAME
    if index.is_file():
        weight_map = read_config(folder, INDEX_NAME)["weight_map"]
        named: list[Any] = [*weight_map.values()] if isinstance(weight_map, dict) else [None]
        if not all(isinstance(name, str) and name and Path(name).name == name for name in named):
            raise WeightsError(f"{index}: weight_map must name a file of the folder for each key")
        names = sorted(set(named))
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise WeightsError(f"{index} names files that are missing: {_first(missing)}")
        return tuple(folder / name for name in names)
    single = folder / "model.safetensors"
    if single.is_file():
        return (single,)
    files = sorted(folder.glob("model*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))
    if not files:
        raise WeightsError(f"{folder} holds no model*.safetensors")
    return tuple(files)


def keys_of(folder: Path) -> frozenset[str]:
    """Return the names of all tensors of a checkpoint folder.

    Raises:
        WeightsError: No files, or one that cannot be read.
    """
    return frozenset(tensor_files(folder))


def tensor_files(folder: Path) -> dict[str, Path]:
    """Return the file of each tensor of a checkpoint folder, by its name.

    Raises:
        WeightsError: No files, or one that cannot be read.
    """
    files = dict[str, Path]()
    for path in files_of(folder):
        if path.suffix in PICKLES:
            files |= {key: path for key, _ in read_file(path)}
        else:
            with _opened(path) as file:
                files |= dict.fromkeys(file.keys(), path)
    return files


def shape_of(folder: Path, key: str) -> tuple[int, ...] | None:
    """Read the shape of one tensor of a checkpoint folder from a header; `None` if unknown."""
    for path in sorted(folder.glob("model*.safetensors")):
        with _opened(path) as file:
            if key in file.keys():  # noqa: SIM118
                return tuple(file.get_slice(key).get_shape())
    return None


def read_tensors(
    folder: Path, *, wanted: Callable[[str], bool] = lambda _: True
) -> Iterator[tuple[str, Tensor]]:
    """Yield the wanted tensors of a checkpoint folder, one at a time, on the CPU.

    Those of safetensors come by their names, so that parts of a layer stand together wherever the
    shards have them.

    Raises:
        WeightsError: No files, or one that cannot be read.
    """
    pickles = [path for path in files_of(folder) if path.suffix in PICKLES]
    for path in pickles:
        yield from read_file(path, wanted=wanted)
    if not pickles:
        yield from _read(
            (key, path) for key, path in sorted(tensor_files(folder).items()) if wanted(key)
        )


def read_file(
    path: Path, *, wanted: Callable[[str], bool] = lambda _: True
) -> Iterator[tuple[str, Tensor]]:
    """Yield the wanted tensors of one file: safetensors, or a pickle of tensors alone."""
    if path.suffix in PICKLES:
        device = "meta" if _reads_headers.get() else "cpu"
        try:
            tensors = torch.load(path, map_location=device, weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, OSError, EOFError) as error:
            raise WeightsError(f"{path} cannot be read: {error}") from error
        yield from ((key, tensor) for key, tensor in tensors.items() if wanted(key))
        return
    with _opened(path) as file:
        keys = [key for key in file.keys() if wanted(key)]  # noqa: SIM118
    yield from _read((key, path) for key in keys)


def _read(places: Iterable[tuple[str, Path]]) -> Iterator[tuple[str, Tensor]]:
    """Yield tensors of safetensors; what was read of a file leaves memory piece by piece."""
    with ExitStack() as stack:
        path, n_bytes = None, 0
        for key, home in places:
            if home != path or n_bytes > MAPPED_BYTES:
                # A file stays mapped, page by page that was touched, until it is closed.
                stack.close()
                file = stack.enter_context(_opened(home))
                path, n_bytes = home, 0
            tensor = _shaped(file, key) if _reads_headers.get() else file.get_tensor(key)
            n_bytes += tensor.nbytes
            yield key, tensor


@contextmanager
def headers_only() -> Iterator[None]:
    """Yield meta tensors from files read meanwhile, to check a net key by key in no memory."""
    token = _reads_headers.set(True)
    try:
        yield
    finally:
        _reads_headers.reset(token)


def _shaped(file: Any, key: str) -> Tensor:
    header = file.get_slice(key)
    dtype = torch.float32 if "F" in header.get_dtype() else torch.int8
    return torch.empty(header.get_shape(), dtype=dtype, device="meta")


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} cannot be read: {error}") from error


def translate(key: str, key_map: KeyMap) -> str | None:
    """Translate a released key to our name; empty if dropped, `None` if no row knows it."""
    for released, ours in key_map:
        match = _pattern(released).fullmatch(key)
        if match:
            for segment in match.groups():
                star = "**" if "**" in ours else "*"
                ours = ours.replace(star, segment, 1)
            return ours
    return None


def released_names(module: nn.Module, key_map: KeyMap) -> dict[str, str]:
    """Map our name of every slot to the released one."""
    # Rows that drop a key have no name of ours, and nothing to write.
    backwards = [(ours, released) for released, ours in key_map if ours]
    names = {name: translate(name, backwards) for name in slots(module)}
    nameless = [name for name, released in names.items() if released is None]
    if nameless:
        raise ValueError(f"key_map must name every parameter, not so {_first(nameless)}")
    return {name: released for name, released in names.items() if released is not None}


def under(prefix: str, key_map: KeyMap, ours: str) -> KeyMap:
    """Return the same map with a prefix on either side, for a part of a larger module."""
    return tuple(
        (f"{prefix}{released}", f"{ours}{name}" if name else "") for released, name in key_map
    )


def moved(key_map: KeyMap, prefix: str, new: str) -> KeyMap:
    """Return the same map for a release in which one beginning of the names is another."""
    return tuple(
        (new + released.removeprefix(prefix) if released.startswith(prefix) else released, ours)
        for released, ours in key_map
    )


def fill(
    module: nn.Module,
    tensors: Iterable[tuple[str, Tensor]],
    key_map: KeyMap,
    *,
    source: str,
    cut_rows: Mapping[str, int] | None = None,
    optional: str = "",
) -> dict[str, bool]:
    """Copy released tensors into a module, strictly both ways.

    Args:
        module: Its parameters have memory and a dtype, or get them as `matrices_in` says; tensors
            are cast to it.
        tensors: Released names and tensors, in any order.
        key_map: Rules from released names to ours.
        source: What to call the checkpoint in an error.
        cut_rows: For these of our names, rows beyond this count are ignored.
        optional: Regular expression of our names that may stay unfilled; the caller sees to them.
    Returns:
        Of each of our names, whether it was filled.
    Raises:
        WeightsError: Keys without a home, slots without a key, or wrong shapes; the first three.
    """
    by_name, store = slots(module), matrix_store()
    filled = dict.fromkeys(by_name, False)
    n_open = Counter(slot.owner for slot in by_name.values())
    unknown, misshapen = list[str](), list[str]()
    for key, tensor in tensors:
        name = translate(key, key_map)
        if name == "":
            continue
        if name is None or name not in by_name:
            unknown.append(key)
            continue
        rows = (cut_rows or {}).get(name)
        value = tensor if rows is None else tensor[:rows]
        slot = by_name[name]
        # Whole numbers are codes, whose scales nobody here applies.
        if tuple(value.shape) != slot.shape or not value.is_floating_point():
            kind = "" if value.is_floating_point() else " of whole numbers"
            misshapen.append(f"{key} is {list(tensor.shape)}{kind}, not {list(slot.shape)}")
            continue
        if store is not None:
            store.open(slot.owner)
        with torch.no_grad():
            target = slot.parameter[slot.rows] if slot.parameter.dim() else slot.parameter
            target.copy_(value)
        n_open[slot.owner] -= not filled[name]
        filled[name] = True
        if store is not None and not n_open[slot.owner]:
            store.close(slot.owner)
    missing = [n for n, done in filled.items() if not done and not re.fullmatch(optional, n)]
    _refuse(source, missing=missing, unknown=unknown, misshapen=misshapen)
    return filled


def save(module: nn.Module, folder: Path, key_map: KeyMap, *, n_shards: int = 1) -> None:
    """Write a module under released names, as one file or as shards with an index.

    Args:
        module: Any.
        folder: Exists; files are written beside their names, then renamed.
        key_map: Names every parameter.
        n_shards: More than one writes an index.
    """
    tensors, names = {}, released_names(module, key_map)
    for ours, slot in slots(module).items():
        value = slot.parameter.detach()
        tensors[names[ours]] = value[slot.rows].contiguous().cpu() if value.dim() else value.cpu()
    keys = sorted(tensors)
    if n_shards == 1:
        _write(folder / "model.safetensors", tensors)
        return
    weight_map = {}
    for shard in range(n_shards):
        name = f"model-{shard + 1:05d}-of-{n_shards:05d}.safetensors"
        part = {key: tensors[key] for key in keys[shard::n_shards]}
        _write(folder / name, part)
        weight_map.update(dict.fromkeys(part, name))
    total = sum(tensor.nbytes for tensor in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
    write_json(folder / INDEX_NAME, index)


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a JSON file of a checkpoint folder."""
    atomic_write_bytes(path, json.dumps(values, indent=1).encode())


@cache
def _pattern(name: str) -> re.Pattern[str]:
    parts = [{"*": r"([^.]+)", "**": "(.+)"}.get(p, re.escape(p)) for p in _STARS.split(name)]
    return re.compile("".join(parts))


def _write(path: Path, tensors: dict[str, Tensor]) -> None:
    with atomic_write(path, single_writer=True) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})


def _refuse(source: str, **problems: list[str]) -> None:
    counts = [f"{len(keys)} {kind}: {_first(keys)}" for kind, keys in problems.items() if keys]
    if counts:
        raise WeightsError(f"{source} does not fit; {'; '.join(counts)}")


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
