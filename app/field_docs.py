"""Strings below the fields of a model, read when a document about it is written.

Pydantic reads them itself where it is told to, but whenever such a class comes to be: that was a
sixth of the time that a short command takes.
"""

import ast
import inspect
import textwrap
from functools import cache

from pydantic import BaseModel


@cache
def field_docs(model: type[BaseModel]) -> dict[str, str]:
    """Return the string below each field of a model that has one, inherited fields included.

    Raises:
        OSError: The source of the class is not there, as in a program that was frozen.
    """
    docs: dict[str, str] = {}
    for owner in reversed(model.__mro__):
        if owner is not BaseModel and issubclass(owner, BaseModel):
            docs |= _own_docs(owner)
    return {name: docs[name] for name in model.model_fields if name in docs}


def _own_docs(owner: type[BaseModel]) -> dict[str, str]:
    if not inspect.get_annotations(owner):
        return {}
    tree = ast.parse(textwrap.dedent(inspect.getsource(owner)))
    (definition,) = tree.body
    assert isinstance(definition, ast.ClassDef)
    docs = {}
    for field, below in zip(definition.body, definition.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
            and isinstance(below.value.value, str)
        ):
            docs[field.target.id] = inspect.cleandoc(below.value.value)
    return docs
