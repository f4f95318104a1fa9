"""The registry of methods: a name leads to a class, which is imported when it is first asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from unicode_cmg.errors import unknown

if TYPE_CHECKING:
    from unicode_cmg.model import Model

METHODS = {
    "dcid": ("unicode_cmg.methods.dcid", "DCID"),
    "fcid": ("unicode_cmg.methods.fcid", "FCID"),
    "hdcid": ("unicode_cmg.methods.hdcid", "HDCID"),
}
"""Name of a method -> module and class. Adding a method adds one line."""


def available_methods() -> tuple[str, ...]:
    """Names that `method.name` of a configuration accepts."""
    return tuple(METHODS)


def model_class(name: str, *, where: object | None = None) -> type[Model]:
    """The class of a method; its `from_values` builds a method from plain values of its configuration.

    Args:
        name: Name of the method.
        where: The file or argument the name came from, for the error message.

    Raises:
        InputError: There is no such method.
    """
    if name not in METHODS:
        raise unknown("method", name, METHODS, where=where)
    module, attribute = METHODS[name]
    return cast("type[Model]", getattr(import_module(module), attribute))
