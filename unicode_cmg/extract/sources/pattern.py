"""Patterns such as `videos/{video_id}.mp4`, filled with the values of a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import Formatter
from typing import Any

from unicode_cmg.errors import InputError, unknown


class Pattern:
    """A text with names of columns in braces, and formats of Python: `{image_id:012d}`, `{filename:.11}`.

    >>> Pattern("{image_id:012d}.jpg").fill({"image_id": "139"})
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

    def check(self, columns: Sequence[str], where: object) -> None:
        """Refuse names that are no columns of a list.

        Raises:
            InputError: The first such name.
        """
        for _, name, _, _ in self._pieces:
            if name is not None and name not in columns:
                raise unknown("column", name, columns, where=f"{where}: '{self.text}'")

    def fill(self, values: Mapping[str, Any]) -> str:
        """The text for a row; empty if one of its values is.

        Raises:
            InputError: A value does not fit the format.
        """
        filled = []
        for literal, name, form, _ in self._pieces:
            filled.append(literal)
            if name is None:
                continue
            value = values.get(name)
            if value in (None, ""):
                return ""
            try:
                filled.append(format(int(value) if form and form[-1] == "d" else str(value), form or ""))
            except (TypeError, ValueError):
                raise InputError(f"'{name}' is {value!r}", expected=f"a value for '{self.text}'") from None
        return "".join(filled)
