"""Methods to pretrain a unified codebook, by their names in `unicode_cmg.registry`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from unicode_cmg.registry import available_methods, model_class

if TYPE_CHECKING:
    from unicode_cmg.methods.base import Method

__all__ = ["available_methods", "method_class"]


def method_class(name: str, *, where: object | None = None) -> type[Method[Any]]:
    """The class of a method as training sees it; see `unicode_cmg.registry.model_class`."""
    return cast("type[Method[Any]]", model_class(name, where=where))
