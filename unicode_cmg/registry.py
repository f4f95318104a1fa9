"""The registry of methods, ours and those of installed packages: a name leads to a class, which is imported
when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from unicode_cmg.entry_points import load_offered, offered, wrong_offer
from unicode_cmg.errors import unknown

if TYPE_CHECKING:
    from unicode_cmg.model import Model

GROUP = "unicode_cmg.methods"
"""The group of entry points under which a package offers methods: `NAME = "module:Class"`."""

METHODS = {
    "dcid": ("unicode_cmg.methods.dcid", "DCID"),
    "fcid": ("unicode_cmg.methods.fcid", "FCID"),
    "hdcid": ("unicode_cmg.methods.hdcid", "HDCID"),
}
"""Name of a method -> module and class. Adding a method adds one line."""


def available_methods() -> tuple[str, ...]:
    """Names that `method.name` of a configuration accepts: ours first, then those of other packages."""
    return (*METHODS, *sorted(set(offered(GROUP)) - set(METHODS)))


def model_class(name: str, *, where: object | None = None) -> type[Model]:
    """The class of a method; its `from_values` builds a method from plain values of its configuration.

    Args:
        name: Name of the method; ours come before those of other packages.
        where: The file or argument the name came from, for the error message.

    Raises:
        InputError: There is no such method, or the package that offers it cannot be used.
    """
    if name in METHODS:
        module, attribute = METHODS[name]
        return cast("type[Model]", getattr(import_module(module), attribute))
    points = offered(GROUP)
    if name not in points:
        raise unknown("method", name, available_methods(), where=where)
    from unicode_cmg.config import Config
    from unicode_cmg.model import Model

    found = load_offered(points[name], "method", Model, where=where)
    settings = getattr(found, "config_class", None)
    if not (isinstance(settings, type) and issubclass(settings, Config)):
        what = "has no 'config_class' derived from unicode_cmg.config.Config"
        raise wrong_offer(points[name], "method", what, where=where)
    return cast("type[Model]", found)
