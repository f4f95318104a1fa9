"""Methods to pretrain a unified codebook, by their names in `unicode_cmg.registry`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from unicode_cmg.registry import available_methods, model_class

if TYPE_CHECKING:
    from unicode_cmg.methods.base import Method

__all__ = ["available_methods", "build_method", "method_class"]


def method_class(name: str, *, where: object | None = None) -> type[Method[Any]]:
    """The class of a method; `method_class(name)(config)` builds it from a parsed `config_class`.

    Args:
        name: Name of the method.
        where: The file or argument the name came from, for the error message.

    Raises:
        InputError: There is no such method.
    """
    return cast("type[Method[Any]]", model_class(name, where=where))


def build_method(name: str, config_values: Mapping[str, Any], where: object) -> Method[Any]:
    """A method with fresh parameters, in training mode.

    Args:
        name: Name of the method.
        config_values: Plain values of its configuration.
        where: The file or argument they came from, for error messages.

    Raises:
        InputError: There is no such method, or its configuration is wrong.
    """
    return method_class(name, where=where).from_values(config_values, where=where)
