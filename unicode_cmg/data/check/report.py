"""The report of a check: what is correct, what one should know, and what prevents use of the data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from unicode_cmg.errors import InputError

Level = Literal["ok", "note", "problem"]
T = TypeVar("T")
Line = TypeVar("Line")
_SHOWN = 3


@dataclass(frozen=True)
class Entry:
    """One line of the report.

    Attributes:
        level: "problem" if the data cannot be used as it is; "note" if it can, but one should know.
        where: The file or folder, relative to the root if it is inside.
        what: A clause about it.
    """

    level: Level
    where: str
    what: str


@dataclass
class CheckReport:
    """The entries, in the order of the checks.

    Attributes:
        task: What was checked.
        root: The folder that was given.
        every: Whether every clip is read, rather than a sample.
    """

    task: str
    root: Path
    every: bool = False
    _entries: list[Entry] = field(default_factory=list)

    def ok(self, where: Path, what: str) -> None:
        """Add something that is correct."""
        self._entries.append(Entry("ok", self._name(where), what))

    def note(self, where: Path, what: str) -> None:
        """Add something to know that does not prevent use of the data."""
        self._entries.append(Entry("note", self._name(where), what))

    def problem(self, where: Path, what: str) -> None:
        """Add something that prevents use of the data."""
        self._entries.append(Entry("problem", self._name(where), what))

    def classes(self, where: Path, what: str, *, published: bool, others: str = "the published ones") -> None:
        """Say whether the classes, counted by `what`, are the published ones in their order."""
        if published:
            self.ok(where, f"{what}, in the published order")
        else:
            self.note(where, f"{what}, which are not {others}")

    def note_names(self, where: Path, what: str, names: Sequence[str], more: str = "") -> None:
        """Note how many names there are of something, and the first few; nothing if there is none."""
        if names:
            self.note(where, f"{what}: {len(names)} ({shorten(names)}){more}")

    def problems(self, where: Path, messages: Sequence[str]) -> None:
        """Add one problem for many errors of a file: the first few, and how many more."""
        if messages:
            self.problem(where, shorten(messages, separator="; "))

    def attempt(self, read: Callable[..., T], *arguments: Any, **settings: Any) -> T | None:
        """The result of `read`, or None if it raises an `InputError`, which is added as a problem.

        The error is not added if its file already has a problem.
        """
        try:
            return read(*arguments, **settings)
        except InputError as error:
            where = "" if error.where is None else str(error.where)
            shown = self._name(where)
            known = [entry.where for entry in self._entries if entry.level == "problem"]
            if not any(shown == file or shown.startswith((f"{file},", f"{file}:")) for file in known):
                self._entries.append(Entry("problem", shown, str(error).removeprefix(f"{where}: ")))
        return None

    def compare(self, where: Path, counts: Mapping[str, int], published: Mapping[str, int]) -> None:
        """State counts: a note if one differs from its published count, as far as that is known."""
        different = {what for what, count in counts.items() if published.get(what, count) != count}
        stated = ", ".join(
            f"{count} {what}" + (f" (published {published[what]})" if what in different else "")
            for what, count in counts.items()
        )
        if different:
            self.note(where, stated)
        else:
            self.ok(where, stated + (", as many as published" if set(counts) <= set(published) else ""))

    @property
    def usable(self) -> bool:
        """Whether there is no problem."""
        return not self.counts()["problem"]

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    def counts(self) -> dict[str, int]:
        """The number of entries of each level."""
        counts = Counter(entry.level for entry in self._entries)
        return {level: counts[level] for level in ("ok", "note", "problem")}

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "task": self.task,
            "root": str(self.root),
            "usable": self.usable,
            "counts": self.counts(),
            "entries": [{"level": e.level, "where": e.where, "what": e.what} for e in self._entries],
        }

    def text(self) -> str:
        """A readable list of the entries, and a last line with the result."""
        lines = [f"{e.level:<8} {e.where + ': ' if e.where else ''}{e.what}" for e in self._entries]
        totals = [
            f"{count or 'no'} {level}{'' if count == 1 else 's'}"
            for level, count in reversed(self.counts().items())
            if level != "ok"
        ]
        result = "can be used" if self.usable else "cannot be used as it is"
        return "\n".join([f"{self.task} in {self.root}", *lines, f"{', '.join(totals)}: this data {result}"])

    def _name(self, where: Path | str) -> str:
        return "." if str(where) == str(self.root) else str(where).removeprefix(f"{self.root}/")


def parse_lines(
    parse: Callable[[int, Line], T], lines: Iterable[Line], path: Path
) -> tuple[list[T | None], list[str]]:
    """Parse every line of a file, also after an error.

    Args:
        parse: From the number of a line, counted from 1, and the line to its content.
        lines: The lines.
        path: The file, which the messages do not repeat.

    Returns:
        The content of each line, None where it cannot be parsed; and the messages of the errors.
    """
    parsed: list[T | None] = []
    errors = []
    for number, line in enumerate(lines, 1):
        try:
            parsed.append(parse(number, line))
        except InputError as error:
            parsed.append(None)
            errors.append(str(error).removeprefix(str(path)).lstrip(":,/ "))
    return parsed, errors


def shorten(names: Iterable[str], *, separator: str = ", ") -> str:
    """The first few names, and how many more there are."""
    names = list(names)
    more = f"{separator}and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return separator.join(names[:_SHOWN]) + more


def repeated(names: Iterable[str]) -> list[str]:
    """Names that occur more than once."""
    return [name for name, count in Counter(names).items() if count > 1]
