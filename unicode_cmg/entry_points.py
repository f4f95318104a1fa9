"""What installed packages offer by entry points: regularizers, tasks and other classes, loaded by name."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from unicode_cmg.errors import InputError


def offered(group: str) -> dict[str, EntryPoint]:
    """Name -> entry point of a group, such as `unicode_cmg.tasks`; nothing is imported.

    In a package these lines of `pyproject.toml` offer a class: `[project.entry-points."GROUP"]`, and below it
    `NAME = "module:Class"`.
    """
    return {point.name: point for point in entry_points(group=group)}


def load_offered(point: EntryPoint, kind: str, base: type, *, where: object | None = None) -> Any:
    """The class behind an entry point, which is code of strangers to us: checked, with its package in errors.

    Args:
        point: From `offered`.
        kind: What it stands for, such as "task".
        base: What it must be a subclass of; its attribute `name` must be the name of the entry point.
        where: The file or argument the name came from, for the error message.

    Raises:
        InputError: It cannot be imported, is no such class, or calls itself differently.
    """
    try:
        found: Any = point.load()
    except Exception as error:  # whatever importing somebody's module raises
        raise wrong_offer(point, kind, f"cannot be imported ({error})", where=where) from error
    if not (isinstance(found, type) and issubclass(found, base)):
        what = f"is {point.value}, not a subclass of {base.__module__}.{base.__qualname__}"
        raise wrong_offer(point, kind, what, where=where)
    if getattr(found, "name", None) != point.name or set("./") & set(point.name):
        what = f"calls itself '{getattr(found, 'name', None)}'"
        what += "; both names must be the same, without '.' and '/'"
        raise wrong_offer(point, kind, what, where=where)
    return found


def wrong_offer(point: EntryPoint, kind: str, what: str, *, where: object | None = None) -> InputError:
    """The error for something that a package offers and that cannot be used."""
    package = point.dist.name if point.dist is not None else "an unknown package"
    return InputError(
        f"the {kind} '{point.name}' of {package} {what}",
        where=where,
        fix=f"reinstall {package}, or tell its authors",
    )
