"""The registry of methods: a name leads to a class and its configuration, imported when first asked for."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from unicode_cmg.config import Config
from unicode_cmg.errors import InputError

if TYPE_CHECKING:
    from unicode_cmg.methods.base import Method

METHODS = {
    "dcid": ("unicode_cmg.methods.dcid", "DCID", "DCIDConfig"),
    "fcid": ("unicode_cmg.methods.fcid", "FCID", "FCIDConfig"),
    "hdcid": ("unicode_cmg.methods.hdcid", "HDCID", "HDCIDConfig"),
}
"""Method name -> module, class of the method, class of its configuration. Adding a method adds one line."""


def available_methods() -> tuple[str, ...]:
    """Names that `build_method` and the `method.name` of a configuration accept."""
    return tuple(METHODS)


def config_class(name: str, *, where: object | None = None) -> type[Config]:
    """The configuration class of a method.

    Args:
        name: Name of the method.
        where: The file or argument the name came from, for the error message.

    Raises:
        InputError: There is no such method.
    """
    module, _, config = _entry(name, where)
    return cast("type[Config]", getattr(import_module(module), config))


def build_method(name: str, config_values: Mapping[str, Any], where: object) -> Method[Any]:
    """A method with fresh parameters, in training mode.

    Args:
        name: Name of the method.
        config_values: Plain values of its configuration.
        where: The file or argument they came from, for error messages.

    Raises:
        InputError: There is no such method, or its configuration is wrong.
    """
    config = config_class(name, where=where).parse(config_values, where=where)
    module, method, _ = METHODS[name]
    return cast("Method[Any]", getattr(import_module(module), method)(config))


def _entry(name: str, where: object | None) -> tuple[str, str, str]:
    if name in METHODS:
        return METHODS[name]
    nearest = difflib.get_close_matches(str(name), METHODS, n=1, cutoff=0.0)
    raise InputError(
        f"unknown method '{name}'",
        where=where,
        expected="one of " + ", ".join(METHODS),
        fix=f"did you mean '{nearest[0]}'?" if nearest else None,
    )
