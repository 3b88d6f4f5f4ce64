"""Opening of an index by the name of its backend: in a folder, or in a database that is given."""

from pathlib import Path

from engine import index, plugins
from engine.protocols import VectorIndex
from engine.records import Fingerprint
from engine.vector_rows import VectorTables


def open_index(
    backend: str, dim: int, path: Path, fingerprint: Fingerprint, tables: VectorTables | None
) -> VectorIndex:
    """Open an index.

    Args:
        backend: A module of `engine/index`.
        dim: Components of a vector.
        path: Of its files.
        fingerprint: Of the pipeline or encoder that makes the vectors.
        tables: The database, for a backend that keeps none in files.
    """
    opened = plugins.load(index, backend, defines=("open_index",))
    where = {} if tables is None else {"tables": tables}
    built: VectorIndex = opened.open_index(dim, path, fingerprint, **where)
    return built
