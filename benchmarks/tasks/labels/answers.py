"""What a column says of each clip: a class, several classes, a class for each step, or a number."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int64, Shaped

from benchmarks.tasks.labels.clip_table import UNKNOWN, ClipTable, listed
from unicode_cmg.errors import InputError, unknown

Kind = Literal["class", "classes", "steps", "number"]
KINDS: Mapping[Kind, str] = {
    "class": "one class a clip",
    "classes": "several classes a clip",
    "steps": "one class a step",
    "number": "one number a clip",
}
NO_LABEL = -1
"""The label of a step that has none."""

_STEP_COLUMN = "step"
_TIMES = re.compile(r"(?i)(start|begin|onset|offset|end)($|[_ ])")
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
_SEPARATORS = re.compile(r"[;|]")
_FEW = 20  # whole numbers with at most so many different values are classes
_ONES, _ZEROS = frozenset(("1", "1.0", "true", "yes")), frozenset(("0", "0.0", "false", "no"))
_ODD_ONES = 0.1  # a smaller share of words among numbers is a mistake


@dataclass(frozen=True)
class Answers:
    """What is true of each of N clips.

    Attributes:
        kind: Which of `KINDS`.
        classes: Names of the C classes; none for numbers.
        values: `[N]` classes; `[N, C]` zeros and ones; `[N, T]` classes of steps, -1 where there is none; or
            `[N]` numbers.
        known: `[N]` which clips have a label.
        steps: `[N]` how many steps of each clip are listed, of `steps` only.
        partial: Whether clips may have more steps than are listed.
        notes: Sentences on how the column was read.
    """

    kind: Kind
    classes: tuple[str, ...]
    values: Shaped[np.ndarray, "clips ..."]
    known: Bool[np.ndarray, " clips"]
    steps: Int64[np.ndarray, " clips"] | None
    notes: tuple[str, ...]
    partial: bool = False

    def strata(self) -> Int64[np.ndarray, " clips"]:
        """The class of each clip, or what comes nearest to it.

        That is the rarest of several classes, the most frequent of the steps, or a tenth of the numbers.
        """
        if self.kind == "class":
            return np.asarray(self.values, dtype=np.int64)
        if self.kind == "number":
            edges = np.quantile(self.values[self.known], np.linspace(0, 1, 11)[1:-1])
            return np.searchsorted(edges, self.values).astype(np.int64)
        if self.kind == "steps":
            return np.array([np.bincount(row[row >= 0], minlength=1).argmax() for row in self.values])
        rarity = np.where(self.values > 0, self.values[self.known].sum(axis=0), np.inf)
        none = len(self.classes)
        return np.where(np.isfinite(rarity).any(axis=1), rarity.argmin(axis=1), none).astype(np.int64)


def read_answers(
    table: ClipTable,
    columns: Sequence[str],
    asked: str | None,
    steps: Int64[np.ndarray, "modalities clips"],
) -> Answers:
    """Read labels.

    Args:
        table: The table.
        columns: The column of the labels; or several columns of zeros and ones, each of them a class.
        asked: One of `KINDS`; by default as the values look, and a note says how.
        steps: `[M, N]` the number of valid steps of each modality and clip of the store.

    Raises:
        InputError: There is no such column, a value is not of the kind, a clip has two labels, or there is
            nothing to tell apart.
    """
    if asked is not None and asked not in KINDS:
        raise unknown("kind of labels", asked, KINDS)
    kind = next((kind for kind in KINDS if kind == asked), None)
    for column in columns:
        table.column(column)
    clips, longest = steps.shape[1], steps.max(axis=0)
    if len(columns) > 1:
        if kind not in (None, "classes"):
            raise InputError(
                f"{len(columns)} label columns", where=table.where, expected=f"one, for the kind '{kind}'"
            )
        return _indicators(table, columns, clips)
    (column,) = columns
    rows = [row for row, value in enumerate(table.column(column)) if value.lower() not in UNKNOWN]
    if not rows:
        raise InputError(f"column '{column}' is empty", where=table.where, expected="labels")
    notes = list(table.notes)
    values = table.column(column)
    if kind in (None, "classes") and _commas_separate([values[row] for row in rows], kind):
        values = tuple(value.replace(",", ";") for value in values)
        table = replace(table, columns={**table.columns, column: values})
        notes.append(f"Commas in column '{column}' are taken to separate classes.")
    elif kind in (None, "number") and _decimal_commas([values[row] for row in rows]):
        values = tuple(value.replace(",", ".") for value in values)
        table = replace(table, columns={**table.columns, column: values})
        notes.append(f"Commas in column '{column}' are taken as decimal points.")
    if kind is None:
        kind = _kind_of(table, column, rows, steps)
        notes.append(
            f"Column '{column}' is taken as {KINDS[kind]}; --kind {'|'.join(k for k in KINDS if k != kind)}"
            " says otherwise."
        )
    lists: dict[int, list[str]] = {}
    long = kind == "steps" and _STEP_COLUMN in table.columns
    for row in rows:
        clip = table.rows[row]
        parts = _parts(values[row]) if kind in ("classes", "steps") else [values[row]]
        if clip not in lists or long:
            lists.setdefault(clip, [""] * int(longest[clip]) if long else parts)
            if long:
                lists[clip][_step(table, row, int(longest[clip]))] = values[row]
        elif kind == "classes":
            lists[clip] = list(dict.fromkeys([*lists[clip], *parts]))
        elif lists[clip] != parts:
            timed = [name for name in table.columns if _TIMES.match(name)]
            fix = "give --kind classes if a clip can have several"
            if timed:
                wanted = f"a row for each step, with a column '{_STEP_COLUMN}'"
                fix = f"write {wanted}, in place of {', '.join(timed)}"
            raise InputError(
                f"a second label '{values[row]}' for a clip that has '{'; '.join(lists[clip])}'",
                where=table.place(row),
                expected="one row for each clip",
                fix=fix,
            )
    repeated = len(rows) - len(lists)
    if repeated and not long and kind != "classes":
        notes.append(f"{repeated} rows repeat a clip with the label it has already.")
    if empty := clips - len(lists):
        notes.append(f"{empty} of {clips} clips have no label and are left out.")
    known = np.zeros(clips, dtype=np.bool_)
    known[list(lists)] = True
    if kind == "number":
        numbers = _numbers(table, column, rows, clips)
        return Answers(kind, (), numbers, known, None, tuple(notes))
    lists, classes = _classes(lists, notes, column)
    if kind != "classes" and len(classes) < 2:
        what = f"column '{column}' has one class only, '{classes[0]}'"
        raise InputError(what, where=table.where, expected="at least two, to tell apart")
    number = {name: place for place, name in enumerate(classes)}
    if kind == "class":
        if len(classes) == len(lists) > 2:
            raise InputError(
                f"each of {len(classes)} clips has a class of its own in column '{column}'",
                where=table.where,
                expected="classes of several clips",
                fix="give --kind number if these are numbers",
            )
        labels = np.zeros(clips, dtype=np.int64)
        for clip, names in lists.items():
            labels[clip] = number[names[0]]
        return Answers(kind, classes, labels, known, None, tuple(notes))
    if kind == "classes":
        tags = np.zeros((clips, len(classes)), dtype=np.float32)
        for clip, names in lists.items():
            tags[clip, [number[name] for name in names]] = 1
        return Answers(kind, classes, tags, known, None, tuple(notes))
    counts = np.zeros(clips, dtype=np.int64)
    grid = np.full((clips, max(map(len, lists.values()))), NO_LABEL, dtype=np.int64)
    for clip, names in lists.items():
        counts[clip] = max(place for place, name in enumerate(names, 1) if name)
        grid[clip, : len(names)] = [number.get(name, NO_LABEL) for name in names]
    return Answers(kind, classes, grid, known, counts, tuple(notes), partial=long)


def _commas_separate(values: Sequence[str], kind: Kind | None) -> bool:
    """Whether commas stand between classes: parts of such values come alone or with others too."""
    several = [value for value in dict.fromkeys(values) if "," in value]
    if not several or any(_SEPARATORS.search(value) for value in values) or _decimal_commas(values):
        return False
    used = Counter(part.strip() for value in set(values) for part in value.split(","))
    return kind == "classes" or all(any(used[p.strip()] > 1 for p in v.split(",")) for v in several)


def _decimal_commas(values: Sequence[str]) -> bool:
    """Whether values are numbers, most of them with a comma for the decimals, as some spreadsheets write."""
    commas = sum(_DECIMAL_COMMA.fullmatch(value) is not None for value in values)
    numbers = (_number(value.replace(",", ".", 1)) for value in values)
    return 2 * commas > len(values) and all(number is not None for number in numbers)


def _parts(value: str) -> list[str]:
    """The labels in one value; a separator alone stands for none."""
    return [part for piece in _SEPARATORS.split(value) if (part := piece.strip())]


def _kind_of(
    table: ClipTable, column: str, rows: Sequence[int], steps: Int64[np.ndarray, "modalities clips"]
) -> Kind:
    values = [table.column(column)[row] for row in rows]
    if _STEP_COLUMN in table.columns:
        return "steps"
    if any(_SEPARATORS.search(value) for value in values):
        parts = [_parts(value) for value in values]
        if all(len(set(names)) == len(names) for names in parts):
            return "classes"
        for row, names in zip(rows, parts, strict=True):
            if len(names) not in (lengths := steps[:, table.rows[row]].tolist()):
                raise InputError(
                    f"{len(names)} labels of a clip of {' or '.join(map(str, sorted({*lengths})))} steps, and"
                    f" some labels of column '{column}' stand twice in one value",
                    where=table.place(row),
                    expected="a label for each step, or each class of a clip once",
                )
        return "steps"
    numeric = [value for value in values if _number(value) is not None]
    if not numeric:
        return "class"
    whole = all(float(value).is_integer() for value in numeric if math.isfinite(float(value)))
    if len(numeric) < len(values):
        odd = len(values) - len(numeric)
        if not whole and odd < _ODD_ONES * len(values):
            row = next(row for row in rows if _number(table.column(column)[row]) is None)
            raise InputError(
                f"'{table.column(column)[row]}' in column '{column}', where {len(numeric)} of {len(values)}"
                " values are numbers",
                where=table.place(row),
                expected="a number",
                fix="correct it, or give --kind class",
            )
        return "class"
    different = sorted({int(float(value)) for value in numeric}) if whole else []
    numbered = whole and different[0] in (0, 1) and different[-1] - different[0] < len(different)
    many = len(different) > _FEW and not (numbered and len(values) >= 5 * len(different))
    return "class" if whole and not many else "number"


def _number(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None


def _numbers(table: ClipTable, column: str, rows: Sequence[int], clips: int) -> Shaped[np.ndarray, " clips"]:
    values = np.zeros(clips, dtype=np.float32)
    for row in rows:
        number = _number(table.column(column)[row])
        if number is None or not math.isfinite(number):
            raise InputError(
                f"'{table.column(column)[row]}' in column '{column}'",
                where=table.place(row),
                expected="a finite number, with a point for decimals",
                fix="leave the value empty if it is not known",
            )
        values[table.rows[row]] = number
    if len({values[table.rows[row]] for row in rows}) < 2:
        raise InputError(f"every number in column '{column}' is the same", where=table.where)
    return values


def _step(table: ClipTable, row: int, steps: int) -> int:
    value = table.column(_STEP_COLUMN)[row]
    if not value.isdecimal() or int(value) >= steps:
        raise InputError(
            f"step '{value}'", where=table.place(row), expected=f"0 to {steps - 1}, the steps of the clip"
        )
    return int(value)


def _classes(
    lists: Mapping[int, list[str]], notes: list[str], column: str
) -> tuple[dict[int, list[str]], tuple[str, ...]]:
    """The lists and the names of the classes, in the order of their numbers or of the alphabet."""
    counts = Counter(name for names in lists.values() for name in names if name)
    whole = {name: int(number) for name in counts if (number := _number(name)) is not None and _whole(number)}
    if len(whole) == len(counts):  # "1.0" is how a column of numbers with gaps writes 1
        renamed = {name: str(number) for name, number in whole.items()}
        lists = {clip: [renamed.get(name, name) for name in names] for clip, names in lists.items()}
        return dict(lists), tuple(map(str, sorted(set(whole.values()))))
    if whole and sum(counts[name] for name in whole) > 0:
        words = [name for name in counts if name not in whole]
        notes.append(
            f"Column '{column}' has both whole numbers and words as classes ({listed([*whole, *words])})."
        )
    folded = Counter(name.casefold() for name in counts)
    if alike := [name for name in sorted(counts) if folded[name.casefold()] > 1]:
        notes.append(f"Classes differ in upper and lower case only: {listed(alike)}.")
    return dict(lists), tuple(sorted(counts))


def _whole(number: float) -> bool:
    return math.isfinite(number) and number.is_integer()


def _indicators(table: ClipTable, columns: Sequence[str], clips: int) -> Answers:
    """One column of zeros and ones for each class."""
    tags = np.zeros((clips, len(columns)), dtype=np.float32)
    known = np.zeros(clips, dtype=np.bool_)
    seen: dict[int, int] = {}

    for row, clip in enumerate(table.rows):
        values = [table.column(column)[row].lower() for column in columns]
        if any(value in UNKNOWN for value in values):
            continue
        for column, value in zip(columns, values, strict=True):
            if value not in _ONES | _ZEROS:
                what = f"'{value}' in column '{column}'"
                raise InputError(what, where=table.place(row), expected="0 or 1")
        answer = np.array([value in _ONES for value in values], dtype=np.float32)
        if known[clip] and not np.array_equal(tags[clip], answer):
            raise InputError(
                f"other labels than line {table.lines[seen[clip]]} has of the clip"
                if table.lines
                else "two labels",
                where=table.place(row),
                expected="one row for each clip",
            )
        tags[clip], known[clip], seen[clip] = answer, True, row
    if not known.any():
        raise InputError("no row has a value in each label column", where=table.where)
    notes = list(table.notes)
    if unknown := clips - int(known.sum()):
        notes.append(f"{unknown} of {clips} clips have no label and are left out.")
    return Answers("classes", tuple(columns), tags, known, None, tuple(notes))
