"""Settings of a released model: read from sizes, completed by what is fixed, and compared with ours."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from unicode_cmg.errors import InputError

_FIX = "only a model with the released architecture can be written in the released layout"


def complete(read: Mapping[str, Any], fixed: Mapping[str, Any]) -> dict[str, Any]:
    """Nested values of a configuration with `fidelity: released`: those read and those fixed.

    Args:
        read: Nested, as in a configuration file.
        fixed: `section.setting` -> value.
    """
    values: dict[str, Any] = {"fidelity": "released"}
    _merge(values, read)
    for setting, value in fixed.items():
        nested: Mapping[str, Any] = {(parts := setting.split("."))[-1]: value}
        for section in reversed(parts[:-1]):
            nested = {section: nested}
        _merge(values, nested)
    return values


def check_expressible(
    values: Mapping[str, Any],
    fixed: Mapping[str, Any],
    required: Collection[str],
    *,
    title: str,
    where: object | None,
) -> None:
    """Refuse a configuration that a released model cannot have.

    Args:
        values: Nested values of the configuration.
        fixed: `section.setting` -> the one value it has in every released model; names the modalities too.
        required: Settings that no released model leaves null.
        title: The released method.
        where: The model, for error messages.

    Raises:
        InputError: A setting differs; the first is named.
    """
    modalities = list(dict.fromkeys(key.split(".")[1] for key in fixed if key.startswith("modalities.")))
    if set(values["modalities"]) != set(modalities):
        raise InputError(
            f"the modalities are {', '.join(values['modalities'])}",
            where=where,
            expected=f"{', '.join(modalities)}, as in every released {title}",
            fix=_FIX,
        )
    for setting, expected in fixed.items():
        found = _lookup(values, setting)
        if found != expected:
            raise InputError(
                f"'{setting}' is {_text(found)}",
                where=where,
                expected=f"{_text(expected)}, as in every released {title}",
                fix=_FIX,
            )
    for setting in required:
        if _lookup(values, setting) is None:
            raise InputError(
                f"'{setting}' is null",
                where=where,
                expected=f"a number, as in every released {title}",
                fix=_FIX,
            )


def _merge(values: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, Mapping):
            _merge(values.setdefault(key, {}), value)
        else:
            values[key] = value


def _lookup(values: Any, setting: str) -> Any:
    for part in setting.split("."):
        values = values[part]
    return values


def _text(value: Any) -> str:
    """A value as a configuration file shows it."""
    if value is None:
        return "null"
    return str(list(value) if isinstance(value, tuple) else value).lower()
