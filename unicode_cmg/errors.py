"""Errors that belong to the user: one line that says what, where, what was expected and how to mend it."""

from __future__ import annotations


class InputError(Exception):
    """Something the user gave is wrong; the command line prints the message and exits with code 2.

    Args:
        what: What is wrong, as a short clause ("feature dimension is 12").
        where: The file, key or argument it was found in.
        expected: What would have been right.
        fix: What the user can do about it.
    """

    def __init__(
        self,
        what: str,
        *,
        where: object | None = None,
        expected: str | None = None,
        fix: str | None = None,
    ) -> None:
        self.what, self.where, self.expected, self.fix = what, where, expected, fix
        message = what if where is None else f"{where}: {what}"
        if expected is not None:
            message += f"; expected {expected}"
        if fix is not None:
            message += f"; {fix}"
        super().__init__(" ".join(message.split()))
