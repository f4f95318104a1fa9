"""Errors that belong to the user: one line that says what, where, what was expected and how to mend it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_STEERING = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    r"""`text` with every character that could steer a terminal written as JSON writes it.

    These are control characters except tab and line feed, marks that turn the direction of writing, and
    halves of surrogate pairs, which cannot be printed at all. The meaning of a JSON text is unchanged.

    >>> print(printable("café\x1b[2J"))
    café\u001b[2J
    """
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


_LONGEST = 1000


def _shortened(text: str) -> str:
    """A text without its middle, if a value from a file has made it endless."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 3 :]}"


class RankLost(RuntimeError):
    """Another process of a job that trains on several has ended, so that this one cannot go on."""


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
        super().__init__(printable(_shortened(" ".join(message.split()))))


class SetupError(InputError):
    """The machine or the installation is at fault, whatever the data: a package is missing, a disk is full.

    Work on many files lists other `InputError`s, each with its file, and stops at one of these.
    """


def did_you_mean(name: object, known: Iterable[str]) -> str | None:
    """ "did you mean 'audio'?" with the known name nearest to a wrong one; None if nothing is known."""
    nearest = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.0)
    return f"did you mean '{nearest[0]}'?" if nearest else None


def unknown(kind: str, name: object, known: Iterable[str], *, where: object | None = None) -> InputError:
    """The error for a name that is not among the known ones, which it lists.

    Args:
        kind: What the name stands for, such as "modality".
        name: The name that was given.
        known: The names that exist.
        where: The file, key or argument the name was found in.
    """
    names = list(known)
    return InputError(
        f"unknown {kind} '{name}'",
        where=where,
        expected=f"one of {', '.join(names)}" if names else None,
        fix=did_you_mean(name, names),
    )


def one_of(where: object, options: Iterable[str], **settings: str) -> None:
    """Refuse settings whose value is none of the options: `one_of("CLUB", ("paper", "released"), form=form)`.

    Raises:
        InputError: The first setting that is none of them.
    """
    allowed = tuple(options)
    for name, value in settings.items():
        if value not in allowed:
            expected = " or ".join(f"'{option}'" for option in allowed)
            raise InputError(f"{name} is '{value}'", where=where, expected=expected)


def at_least(where: object, least: int | float, **settings: int | float) -> None:
    """Refuse settings that are too small: `at_least("SharedCodebook", 1, num_codes=num_codes, dim=dim)`.

    Raises:
        InputError: The first setting below `least`, or one that is not a number.
    """
    for name, value in settings.items():
        if not value >= least:
            raise InputError(f"{name} is {value}", where=where, expected=f"at least {least:g}")


def positive(where: object, **settings: int | float) -> None:
    """Refuse settings that are 0 or less: `positive("info_nce", temperature=temperature)`.

    Raises:
        InputError: The first setting that is not above 0, or one that is not a number.
    """
    for name, value in settings.items():
        if not value > 0:
            raise InputError(f"{name} is {value}", where=where, expected="a positive number")
