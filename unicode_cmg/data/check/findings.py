"""What a check has found: what is as it should be, what one should know, and what prevents using the data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from unicode_cmg.errors import InputError

Level = Literal["ok", "note", "problem"]
Found = TypeVar("Found")
_SHOWN = 3


@dataclass(frozen=True)
class Finding:
    """One line of the list.

    Attributes:
        level: "problem" where the data cannot be used as it is, "note" where it can, but one should know.
        where: The file or folder, relative to the root where it is inside.
        what: A clause about it.
    """

    level: Level
    where: str
    what: str


@dataclass
class Findings:
    """The list, as it grows.

    Attributes:
        task: What was checked.
        root: The folder that was given.
        every: Whether to read every clip, rather than a sample.
    """

    task: str
    root: Path
    every: bool = False
    _list: list[Finding] = field(default_factory=list)

    def ok(self, where: Path, what: str) -> None:
        """Something is as it should be."""
        self._add("ok", where, what)

    def note(self, where: Path, what: str) -> None:
        """Something to know that prevents nothing."""
        self._add("note", where, what)

    def problem(self, where: Path, what: str) -> None:
        """Something that prevents using the data."""
        self._add("problem", where, what)

    def attempt(self, read: Callable[..., Found], *arguments: Any, **settings: Any) -> Found | None:
        """What `read` returns, or None where it refuses; that is a problem then.

        An error that was found before, or that names a file with a problem already, is not listed again.
        """
        try:
            return read(*arguments, **settings)
        except InputError as error:
            where = "" if error.where is None else str(error.where)
            what = str(error).removeprefix(f"{where}: ")
            shown = self._name(where)
            known = [f.where for f in self._list if f.level == "problem"]
            if not any(shown == file or shown.startswith((f"{file},", f"{file}:")) for file in known):
                self._list.append(Finding("problem", shown, what))
        return None

    def compare(self, where: Path, found: Mapping[str, int], published: Mapping[str, int]) -> None:
        """State counts: a note where one is not the published one, of those for which there is one."""
        told = [
            f"{count} {what}"
            + (f" (published {published[what]})" if published.get(what, count) != count else "")
            for what, count in found.items()
        ]
        if any(published.get(what, count) != count for what, count in found.items()):
            self.note(where, ", ".join(told))
        else:
            self.ok(where, ", ".join(told) + (", as published" if set(found) <= set(published) else ""))

    def errors(self, where: Path, messages: Sequence[str]) -> None:
        """One problem for many errors of a file: the first few, and how many more."""
        if messages:
            self.problem(where, shorten(messages, separator="; "))

    @property
    def usable(self) -> bool:
        """Whether there is no problem."""
        return all(finding.level != "problem" for finding in self._list)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self._list)

    def counts(self) -> dict[str, int]:
        """How many findings there are of each level."""
        found = Counter(finding.level for finding in self._list)
        return {level: found[level] for level in ("ok", "note", "problem")}

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON has it."""
        return {
            "task": self.task,
            "root": str(self.root),
            "usable": self.usable,
            "counts": self.counts(),
            "findings": [{"level": f.level, "where": f.where, "what": f.what} for f in self._list],
        }

    def text(self) -> str:
        """A readable list in the order of the checks, and a last line that sums it up."""
        problems, notes = (self.counts()[level] for level in ("problem", "note"))
        lines = [f"{f.level:<8} {f.where + ': ' if f.where else ''}{f.what}" for f in self._list]
        end = "cannot be used as it is" if problems else "can be used"
        summary = f"{_count(problems, 'problem')}, {_count(notes, 'note')}: this data {end}"
        return "\n".join([f"{self.task} in {self.root}", *lines, summary])

    def _add(self, level: Level, where: Path, what: str) -> None:
        self._list.append(Finding(level, self._name(str(where)), what))

    def _name(self, where: str) -> str:
        return "." if where == str(self.root) else where.removeprefix(f"{self.root}/")


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"


def shorten(names: Iterable[str], *, separator: str = ", ") -> str:
    """The first few names, and how many more there are."""
    names = list(names)
    more = f"{separator}and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return separator.join(names[:_SHOWN]) + more


def named(what: str, names: Sequence[str]) -> str:
    """How many there are of something, and the first few."""
    return f"{what}: {len(names)} ({shorten(names)})"


def repeated(names: Iterable[str]) -> list[str]:
    """Names that occur more than once."""
    return [name for name, count in Counter(names).items() if count > 1]
