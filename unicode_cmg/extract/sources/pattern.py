"""Patterns such as `videos/{video_id}.mp4`, filled with the values of a row."""

from __future__ import annotations

from collections.abc import Mapping
from string import Formatter
from typing import Any

from unicode_cmg.errors import InputError, unknown


class Pattern:
    """A text with names of columns in braces, and formats of Python: `{image_id:012d}`, `{filename:.11}`.

    >>> Pattern("{image_id:012d}.jpg").fill({"image_id": "139"}, "captions.csv, line 2")
    '000000000139.jpg'

    Args:
        text: The pattern.

    Raises:
        InputError: It is no such text.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            self._pieces = list(Formatter().parse(text))
        except ValueError as error:
            raise InputError(f"the pattern '{text}' ({error})", expected="such as videos/{id}.mp4") from None
        for _, name, _, conversion in self._pieces:
            if conversion or (name is not None and not name):
                raise InputError(f"the pattern '{text}'", expected="names of columns in braces")

    def fill(self, values: Mapping[str, Any], where: str) -> str:
        """The text for a row; empty if one of its values is.

        Raises:
            InputError: There is no such column, or a value does not fit the format.
        """
        filled = []
        for literal, name, form, _ in self._pieces:
            filled.append(literal)
            if name is None:
                continue
            if name not in values:
                raise unknown("column", name, values, where=f"{where}: '{self.text}'")
            value = values[name]
            if value in (None, ""):
                return ""
            try:
                filled.append(format(int(value) if form and form[-1] == "d" else str(value), form or ""))
            except (TypeError, ValueError):
                what = f"'{name}' is {value!r}"
                raise InputError(what, where=where, expected=f"a value for '{self.text}'") from None
        return "".join(filled)
