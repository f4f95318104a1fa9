"""Finding regularizers by name: ours, and those of installed packages."""

from __future__ import annotations

import difflib
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from unicode_cmg.errors import InputError

if TYPE_CHECKING:
    from unicode_cmg.regularizers.base import Regularizer

GROUP = "unicode_cmg.regularizers"
"""The group of entry points under which a package offers regularizers: `NAME = "module:Class"`."""

OURS = {
    "gram": ("unicode_cmg.regularizers.gram", "Gram"),
    "slot_alignment": ("unicode_cmg.regularizers.slot_alignment", "SlotAlignment"),
    "structure": ("unicode_cmg.regularizers.structure", "Structure"),
}
"""Name -> module and class, imported when first asked for."""


def available_regularizers() -> tuple[str, ...]:
    """Names that `regularizers` in a configuration accepts: ours first, then those of other packages."""
    return (*OURS, *sorted(set(_offered()) - set(OURS)))


def regularizer_class(name: str, *, where: object) -> type[Regularizer]:
    """The class of a regularizer.

    Args:
        name: Its name; ours come before those of other packages.
        where: The file or argument the name came from, for the error message.

    Raises:
        InputError: There is none of this name, or the package that offers it cannot be used.
    """
    if name in OURS:
        module, attribute = OURS[name]
        found: type[Regularizer] = getattr(import_module(module), attribute)
        return found
    offered = _offered()
    if name in offered:
        return _loaded(offered[name], where)
    known = available_regularizers()
    nearest = difflib.get_close_matches(str(name), known, n=1, cutoff=0.0)
    raise InputError(
        f"unknown regularizer '{name}'",
        where=where,
        expected="one of " + ", ".join(known),
        fix=f"did you mean '{nearest[0]}'?",
    )


def _offered() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def _loaded(point: EntryPoint, where: object) -> type[Regularizer]:
    """The class behind an entry point, checked: it is code of strangers to us."""
    from unicode_cmg.regularizers.base import Regularizer, RegularizerConfig

    package = point.dist.name if point.dist is not None else "an unknown package"
    try:
        found: Any = point.load()
    except Exception as error:  # whatever importing somebody's module raises
        raise InputError(
            f"the regularizer '{point.name}' of {package} cannot be imported ({error})",
            where=where,
            fix=f"mend or reinstall {package}",
        ) from error
    settings = getattr(found, "config_class", None)
    if not (isinstance(found, type) and issubclass(found, Regularizer)):
        what = f"is {point.value}, not a subclass of unicode_cmg.regularizers.Regularizer"
    elif not (isinstance(settings, type) and issubclass(settings, RegularizerConfig)):
        what = "has no 'config_class' derived from RegularizerConfig"
    elif getattr(found, "name", None) != point.name or set("./") & set(point.name):
        what = (
            f"calls itself '{getattr(found, 'name', None)}'; both names must be the same, without '.' and '/'"
        )
    else:
        return found
    raise InputError(
        f"the regularizer '{point.name}' of {package} {what}",
        where=where,
        fix=f"tell the authors of {package}",
    )
