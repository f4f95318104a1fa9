"""A csv beside the features: labels, splits and whatever else is known of each clip."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from unicode_cmg.data.sources.source import IDS, Source
from unicode_cmg.data.splits import spelled
from unicode_cmg.errors import InputError, unknown
from unicode_cmg.files import read_json, read_text, reading

_LONGEST_VALUE = 16 << 20  # a text may have more words than csv allows by itself
_NAMES = ("clips", "labels", "metadata", "annotations", "meta")
_TABLES, _LISTS = (".csv", ".tsv", ".json"), (".csv", ".tsv", ".txt")
_ENDS = re.compile(r"(list|set|split|ids|files)$")
_KNOWN = ("label", "split", "group")


class Table(NamedTuple):
    """A table of clips: the names of its columns, and the values of each line."""

    header: list[str]
    lines: dict[Any, list[str]]

    def column(self, name: str) -> list[str]:
        """The values of a column."""
        at = self.header.index(name)
        return [values[at] for values in self.lines.values()]


def table_beside(source: Path) -> Path | None:
    """A csv that belongs to a source: in the folder, or beside the file with its name."""
    if source.is_dir():
        places = [source / f"{name}{suffix}" for name in _NAMES for suffix in _TABLES]
        only = [file for file in sorted(source.glob("*.[ct]sv")) if not split_in(file.stem)]
        places += only if len(only) == 1 else []
    else:
        places = [source.with_suffix(suffix) for suffix in _TABLES]
    return next((place for place in places if place.is_file() and place != source), None)


def split_lists_beside(source: Path) -> list[Path]:
    """Files such as `train.csv` and `test.txt` in a folder, which name the clips of a split each."""
    if not source.is_dir():
        return []
    files = [f for f in sorted(source.iterdir()) if f.suffix in _LISTS and f.is_file() and split_in(f.stem)]
    return files if len({split_in(file.stem) for file in files}) > 1 else []


def split_in(stem: str) -> str:
    """The name of a split in the name of a file, such as `trainlist01`; "" if there is none or several."""
    words = [_ENDS.sub("", word) for word in re.findall(r"[a-z]+", stem.lower())]
    found = {word for word in words if spelled([word])}
    return found.pop() if len(found) == 1 else ""


def join_split_lists(source: Source, paths: Sequence[Path], ids: str | None) -> None:
    """Add the split of each clip to a source, and the columns of tables of splits; errors as in `join_table`.

    Args:
        source: What to add to.
        paths: A csv or a list of ids for each split, whose names say which.
        ids: The column with the ids; guessed by default.
    """
    whole: Table | None = None
    for path in paths:
        table = _list(path) if path.suffix == ".txt" else read_table(path)
        if whole is None:
            whole = Table([*table.header, "split"], {})
        if [*table.header, "split"] != whole.header:
            expected = f"the columns of {paths[0].name}: {', '.join(whole.header[:-1])}"
            raise InputError(f"the columns {', '.join(table.header)}", where=path, expected=expected)
        whole.lines.update({(path, n): [*values, split_in(path.stem)] for n, values in table.lines.items()})
    if whole is not None:
        _join(source, whole, " and ".join(path.name for path in paths), ids, None)


def _list(path: Path) -> Table:
    """A line for each clip, which may have the number of a class behind its id."""
    lines = {n: line.strip() for n, line in enumerate(read_text(path).splitlines(), 1) if line.strip()}
    cut = {n: line.rsplit(maxsplit=1) for n, line in lines.items()}
    numbered = all(len(words) == 2 and words[1].isdecimal() for words in cut.values())
    return Table(["id"], {n: [cut[n][0] if numbered else line] for n, line in lines.items()})


def read_table(path: Path, unfit: dict[int, str] | None = None) -> Table:
    """A csv as `read_csv` reads it, or JSON: values or objects by id, or a list of objects.

    Raises:
        InputError: It is none of these.
    """
    if path.suffix != ".json":
        header, lines = read_csv(path, unfit)
        return Table(header, {n: [value.strip() for value in values] for n, values in lines.items()})
    content = read_json(path)
    if isinstance(content, dict) and content and not any(isinstance(v, dict) for v in content.values()):
        content = {clip: {"label": value} for clip, value in content.items()}
    if isinstance(content, dict):
        content = [{"id": clip, **v} for clip, v in content.items() if isinstance(v, dict)]
    if not isinstance(content, list) or not content or not all(isinstance(row, dict) for row in content):
        expected = "a label or an object for each id, or a list of objects"
        raise InputError("not a table of clips", where=path, expected=expected)
    header = list(dict.fromkeys(name for row in content for name in row))
    return Table(header, {n: [_cell(row.get(name)) for name in header] for n, row in enumerate(content, 1)})


def _cell(value: Any) -> str:
    """A value of JSON as a column holds it; several of a list with semicolons."""
    if isinstance(value, list):
        return ";".join(map(_cell, value)) or ";"
    return "" if value is None else str(value)


def join_table(source: Source, path: Path, ids: str | None, unfit: dict[int, str] | None = None) -> None:
    """Add the columns of a csv to a source, by the ids of its clips, or by rows if the source has no ids.

    Args:
        source: What to add to.
        path: The csv.
        ids: The column with the ids; by default the one that names most clips of the source.
        unfit: Takes the lines that cannot be used, and why; None: refuse them.

    Raises:
        InputError: The file is damaged, an id occurs twice, or no row fits.
    """
    _join(source, read_table(path, unfit), path, ids, unfit)


def _join(source: Source, table: Table, where: Any, ids: str | None, unfit: dict[int, str] | None) -> None:
    name = getattr(where, "name", where)
    if ids is not None and ids not in table.header:
        raise unknown("column", ids, table.header, where=where)
    if source.ids is None:
        if len(table.lines) != source.clips:
            what = f"{len(table.lines)} rows, but the source has {source.clips} clips and no ids"
            raise InputError(what, where=where, expected="a row for each clip, in their order")
        order: Sequence[int | None] = range(source.clips)
        source.notes.append(f"{name}: the clips have no ids, so its rows are taken in their order")
        key = ids or next((n for known in IDS for n in table.header if n.lower() == known), None)
        if key is not None:
            source.ids, source.ids_from = table.column(key), f"'{key}' of {name}"
    else:
        found = match_ids(table, [str(clip) for clip in source.ids], where, ids)
        key, order = found.column, _rows_of_clips(found, table, source, where, unfit)
        source.notes += [f"{name}: {note}" for note in found.notes]
    rows = list(table.lines.values())
    names = [column for column in table.header if column != key]
    called = names_of_columns(table)
    source.notes += [
        f"{name}: column '{old}' is kept as '{new}'" for old, new in called.items() if old != new
    ]
    for old in names:
        at = table.header.index(old)
        source.columns[called[old]] = [None if row is None else rows[row][at] for row in order]


def names_of_columns(table: Table) -> dict[str, str]:
    """Column -> its name: label, split and group in any spelling, and a column of splits by its values."""
    called = {name: name for name in table.header}
    for known in _KNOWN:
        alike = [name for name in table.header if name.lower() == known]
        if len(alike) == 1:
            called[alike[0]] = known
    if "split" not in called.values():
        for name in table.header:
            values = set(table.column(name)) - {""}
            if len(values) > 1 and len(spelled(values)) == len(values):
                called[name] = "split"
                break
    return called


class Matched(NamedTuple):
    """Which clip each row of a table is about.

    Attributes:
        column: The column of the ids.
        clips: For each row the number of its clip; None if it is of no clip.
        notes: How ids were compared, if not as they are.
    """

    column: str
    clips: list[int | None]
    notes: list[str]


def match_ids(table: Table, ids: Sequence[str], where: Any, asked: str | None = None) -> Matched:
    """Find the rows of clips: by the column and the spelling of ids that name most of them.

    Ids are compared as they are; without folder and ending; or without the zeros in front of numbers, which
    spreadsheets drop.

    Args:
        table: The table.
        ids: The ids of the clips.
        where: For messages.
        asked: The column of the ids; by default any.

    Raises:
        InputError: There is no such column, or no row is of a clip.
    """
    if asked is not None and asked not in table.header:
        raise unknown("column", asked, table.header, where=where)
    likely = sorted(table.header, key=lambda n: IDS.index(n.lower()) if n.lower() in IDS else len(IDS))
    best: tuple[int, str, list[int | None], str] = (0, asked or likely[0], [], "")
    for name in [asked] if asked else likely:
        values = table.column(name)
        for told, of_row, of_clip in _SPELLINGS:
            place = {of_clip(clip): row for row, clip in enumerate(ids)}
            spelled_rows = {value: of_row(value) for value in values}
            if len(place) < len(ids) or len(set(spelled_rows.values())) < len(spelled_rows):
                continue  # two ids would be the same
            rows = [place.get(spelled_rows[value]) for value in values]
            count = len(set(rows) - {None})
            if count > best[0]:
                best = count, name, rows, told
    count, name, rows, told = best
    if not count:
        value = next(iter(table.column(name)), "")
        raise InputError(
            f"no id of column '{name}', such as '{value}', is an id of a clip, such as '{ids[0]}'",
            where=where,
            fix="name the column of the ids by --id-column",
        )
    return Matched(name, rows, [f"ids of '{name}' are compared {told}"] if told else [])


def _base(text: str) -> str:
    """An id without folders, and without an ending such as .wav."""
    name = text.replace("\\", "/").rsplit("/", 1)[-1]
    return re.sub(r"(\.[A-Za-z]\w{0,4})+$", "", name) or name


def _as_is(text: str) -> str:
    return text


_SPELLINGS: tuple[tuple[str, Callable[[str], str], Callable[[str], str]], ...] = (
    ("", _as_is, _as_is),
    ("without folders and endings", lambda text: Path(text).stem, _as_is),
    ("without folders and endings", _base, _as_is),
    ("without folders and endings", _base, _base),
    ("without zeros in front", lambda text: text.lstrip("0"), lambda text: text.lstrip("0")),
)


def _rows_of_clips(
    found: Matched, table: Table, source: Source, where: Any, unfit: dict[int, str] | None
) -> list[int | None]:
    """The row of each clip; a clip without one has no values."""
    order: list[int | None] = [None] * source.clips
    ids = table.column(found.column)
    for row, (line, clip) in enumerate(zip(table.lines, found.clips, strict=True)):
        if clip is None:
            continue
        if order[clip] is None:
            order[clip] = row
        elif unfit is None:
            at = f"{line[0]}, line {line[1]}" if isinstance(line, tuple) else f"{where}, line {line}"
            raise InputError(
                f"the id '{ids[row]}' occurs twice",
                where=at,
                expected=f"one row for each '{found.column}'",
                fix="give a table with several rows for a clip to evaluate --labels",
            )
        else:
            unfit[line] = f"the id '{ids[row]}' occurs twice, and its first row is used"
    missing, unused = order.count(None), len({i for i, c in zip(ids, found.clips, strict=True) if c is None})
    if missing or unused:
        name = getattr(where, "name", where)
        source.notes.append(f"{name}: {missing} clips have no row, {unused} rows have no clip")
    return order


def read_csv(path: Path, unfit: dict[int, str] | None = None) -> tuple[list[str], dict[int, list[str]]]:
    """A csv; separated by tabs if its first line has one, else by semicolons or commas, whichever are more.

    A first line `sep=;`, as spreadsheets write it, says so too. Texts are UTF-8, or UTF-16 with its mark.

    Args:
        path: The file.
        unfit: Takes the lines that cannot be read or do not fit the first one, and why; None: refuse them.

    Returns:
        The names in the first line, and line -> its values. Columns without a name are left out, but for
        ids in the first one, which is called `id`.

    Raises:
        InputError: The file is damaged, or has no row.
    """
    longest = csv.field_size_limit(_LONGEST_VALUE)
    try:
        with reading(path), path.open("rb") as raw:
            encoding = "utf-16" if raw.read(2) in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        with reading(path), path.open(encoding=encoding, newline="") as file:
            first = file.readline()
            said = re.match(r'"?sep=(.)"?\s*$', first)
            if said is None:
                file.seek(0)
            separator = said[1] if said else "\t" if "\t" in first else max(",;", key=first.count)
            lines = csv.reader(file, delimiter=separator, strict=True)
            names = [name.strip() for name in next(lines)]
            rows = dict(_rows(lines, names, separator, path, unfit))
    except UnicodeError:
        fix = "save it as a csv file in UTF-8, which spreadsheets call 'CSV UTF-8'"
        raise InputError("not a text file", where=path, expected="UTF-8 text", fix=fix) from None
    except (csv.Error, ValueError) as error:
        raise InputError(f"not a table ({error})", where=path) from None
    finally:
        csv.field_size_limit(longest)
    if names and not names[0] and "id" not in names:
        index = [row[0] for row in rows.values()]
        if len(set(index)) == len(index) and not all(value.isdecimal() for value in index):
            names[0] = "id"  # as data frames write their index
    kept = [at for at, name in enumerate(names) if name]
    header = [names[at] for at in kept]
    if not (rows or unfit) or not header or len(set(header)) != len(header):
        twice = next((name for name in header if header.count(name) > 1), None)
        expected = "a line of different names, and a row for each clip"
        what = f"two columns '{twice}'" if twice else "not a table of clips"
        raise InputError(what, where=path, expected=expected)
    return header, {line: [row[at] for at in kept] for line, row in rows.items()}


def _rows(
    lines: Any, names: Sequence[str], separator: str, path: Path, unfit: dict[int, str] | None
) -> Iterator[tuple[int, list[str]]]:
    """Line -> its values, of lines that have any."""
    while True:
        start = lines.line_num + 1
        try:
            row = next(lines, None)
        except csv.Error as error:
            if unfit is None or lines.line_num > start:  # a quote that is not closed has hidden whole lines
                raise InputError(f"not a table ({error})", where=f"{path}, line {start}") from None
            unfit[start] = str(error)
            continue
        if row is None:
            return
        if not any(value.strip() for value in row):
            continue
        if len(row) != len(names):
            if unfit is None:
                raise InputError(
                    f"{len(row)} values",
                    where=f"{path}, line {start}",
                    expected=f"{len(names)}: {', '.join(names)}",
                    fix=f"put a value that holds a '{separator}' in double quotes",
                )
            unfit[start] = f"it has {len(row)} values, not {len(names)} as the first line"
        else:
            yield start, row
