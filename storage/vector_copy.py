"""Rows of numbers to and from PostgreSQL as arrays: the binary form of COPY."""

from typing import Any, Final

import numpy as np

_HEAD: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TAIL: Final = b"\xff\xff"

INT2, INT4, INT8, FLOAT4, FLOAT8 = ">i2", ">i4", ">i8", ">f4", ">f8"


def halfvec(dim: int) -> np.dtype[Any]:
    """Return the form of a vector of half floats."""
    return np.dtype([("dim", INT2), ("unused", INT2), ("values", ">f2", (dim,))])


def row_type(**columns: "str | np.dtype[Any]") -> np.dtype[Any]:
    """Return the form of a row without nulls; beside each column stands its length in bytes."""
    fields: list[tuple[str, Any]] = [("n_fields", INT2)]
    for name, form in columns.items():
        fields += [(f"{name}_bytes", INT4), (name, form)]
    return np.dtype(fields)


def packed(form: np.dtype[Any], **columns: np.ndarray) -> bytes:
    """Return rows as COPY FROM wants them."""
    rows = np.zeros(len(next(iter(columns.values()))), form)
    rows["n_fields"] = len(columns)
    for name, values in columns.items():
        rows[f"{name}_bytes"] = form[name].itemsize
        if form[name].names:
            rows[name]["dim"] = values.shape[1]
            rows[name]["values"] = values
        else:
            rows[name] = values
    return _HEAD + rows.tobytes() + _TAIL


def unpacked(form: np.dtype[Any], content: bytes) -> np.ndarray:
    """Return the rows that COPY TO has written."""
    n_bytes = len(content) - len(_HEAD) - len(_TAIL)
    return np.frombuffer(content, form, count=n_bytes // form.itemsize, offset=len(_HEAD))
