"""From files of results to the rows and columns of table 1 of the FCID paper and of the TOC paper."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.evaluation.metrics import mean_and_std
from benchmarks.evaluation.results import TaskResult
from benchmarks.printed_numbers import printed_numbers
from unicode_cmg.errors import InputError
from unicode_cmg.files import read_json
from unicode_cmg.results import DirectionResult

TASKS = {"ave": "AVE", "avvp": "AVVP", "ave-avvp": "AVE→AVVP", "ucf-vgg": "UCF(v)↔VGG(a)"}
"""The tasks of the layout, and what the papers call them."""

_DIRECTIONS = (("video", "audio"), ("audio", "video"))
_METHODS = {"dcid": "DCID", "fcid": "FCID", "hdcid": "H-DCID"}


@dataclass(frozen=True)
class Source:
    """One result.

    Attributes:
        path: Its file.
        row: Name of its row; empty to name it after its method.
        result: What the file holds.
    """

    path: Path
    row: str
    result: TaskResult


def read_sources(given: Iterable[str]) -> list[Source]:
    """Read results.

    Args:
        given: Files and run folders; `NAME=PATH` gives the row a name. Of a run all of `evaluation/` counts.

    Raises:
        InputError: A file is missing or no result, or a folder holds none.
    """
    sources = []
    for text in given:
        name, sign, path = text.partition("=")
        if not sign or Path(text).exists():  # a path may have an equals sign itself
            name, path = "", text
        folder = Path(path).is_dir()
        files = sorted(Path(path, "evaluation").glob("*.json")) if folder else [Path(path)]
        if not files:
            raise InputError(
                "no evaluation in this folder",
                where=path,
                expected="a run with results in its evaluation/",
                fix="run 'unicode-cmg evaluate ... --to RUN/evaluation/TASK.json'",
            )
        for file in files:
            result = TaskResult.from_json(read_json(file), where=file)
            sources.append(Source(file, name.strip(), result))
    return sources


@dataclass(frozen=True)
class Column:
    """One direction of one task."""

    task: str
    source: str
    target: str

    @property
    def arrow(self) -> str:
        """The direction as the papers print it."""
        return f"{self.source[0].upper()}→{self.target[0].upper()}"


@dataclass(frozen=True)
class Cell:
    """A number in percent; None where there is no deviation."""

    mean: float
    std: float | None = None


@dataclass(frozen=True)
class Row:
    """A line of the table; the average is there if all its cells are."""

    name: str
    cells: tuple[Cell | None, ...]
    average: Cell | None


@dataclass(frozen=True)
class PaperTable:
    """Results under one protocol.

    Attributes:
        protocol: Its name.
        columns: In the order of the papers; only those with a number.
        rows: What was measured.
        caption: What the numbers are, how they came about, and which leaks they have.
        printed: What a paper prints, on other data.
        printed_in: Where; empty without.
    """

    protocol: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    caption: str
    printed: tuple[Row, ...]
    printed_in: str


def paper_tables(sources: Sequence[Source], *, printed: bool = False) -> list[PaperTable]:
    """One table for each protocol.

    Controls with shuffled codes and tasks that are not in the layout are left out. A protocol that only some
    tasks have, such as "paper-f1" of AVVP, takes the others from the one it is a kind of, "paper".

    Args:
        sources: The results.
        printed: Also the rows of the paper whose measure on AVVP is the same.

    Raises:
        InputError: No result fits the layout, one cell would hold the same checkpoint twice, or one column
            numbers of different data.
    """
    fitting = [s for s in sources if s.result.task in TASKS and s.result.permute_codes_seed is None]
    if not fitting:
        raise InputError(
            "no result for this table", expected=f"results of {', '.join(TASKS)}, other than controls"
        )
    protocols = dict.fromkeys(source.result.protocol for source in fitting)
    return [_table(protocol, list(_under(protocol, fitting)), printed=printed) for protocol in protocols]


def _row_name(source: Source) -> str:
    """The method, the code layers if not all, and whether with TOC."""
    result = source.result
    name = source.row or _METHODS.get(result.checkpoint.method, result.checkpoint.method.upper())
    if len(result.code_layers) < len(result.checkpoint.code_layers):
        name += f", {', '.join(result.code_layers)}"
    if result.toc is not None:
        name += " + TOC" + ", requantized" * (result.toc[0].use == "requantize")
    return name


def _under(protocol: str, sources: Sequence[Source]) -> Iterator[Source]:
    """Results under a protocol, and of tasks without it those under the protocol it is a kind of."""
    have = {source.result.task for source in sources if source.result.protocol == protocol}
    for source in sources:
        wanted = protocol if source.result.task in have else protocol.split("-f1")[0]
        if source.result.protocol == wanted:
            yield source


def _table(protocol: str, sources: Sequence[Source], *, printed: bool) -> PaperTable:
    found: dict[str, dict[Column, list[tuple[Source, DirectionResult]]]] = {}
    for source in sources:
        for row in source.result.directions:
            if (row.source, row.target) in _DIRECTIONS:
                column = Column(source.result.task, row.source, row.target)
                found.setdefault(_row_name(source), {}).setdefault(column, []).append((source, row))
    filled = {column for entries in found.values() for column in entries}
    columns = tuple(c for task in TASKS for pair in _DIRECTIONS if (c := Column(task, *pair)) in filled)
    for column in columns:
        first, *others = (source for entries in found.values() for source, _ in entries.get(column, []))
        for other in others:
            if other.result.data.fingerprint != first.result.data.fingerprint:
                raise InputError(
                    f"results of task {column.task} on different data",
                    where=f"{first.path} and {other.path}",
                    expected="one data set in a column",
                )
    rows = []
    for name, entries in found.items():
        cells = tuple(_cell(name, entries[c]) if c in entries else None for c in columns)
        means = [cell.mean for cell in cells if cell is not None]
        rows.append(Row(name, cells, Cell(sum(means) / len(means)) if len(means) == len(cells) else None))
    metrics = {source.result.task: source.result.directions[0].metric for source in sources}
    paper = "TOC" if metrics.get("avvp") == "precision" else "FCID"
    return PaperTable(
        protocol=protocol,
        columns=columns,
        rows=tuple(rows),
        caption=_caption(protocol, [s.result for s in sources], metrics, _spread(found)),
        printed=tuple(_printed_beside(paper, columns)) if printed else (),
        printed_in=f"table 1 of the {paper} paper, by its own measures" if printed else "",
    )


def _cell(name: str, entries: Sequence[tuple[Source, DirectionResult]]) -> Cell:
    """One checkpoint over its heads, or several, each with the mean of its heads."""
    seen: dict[str, Source] = {}
    for source, _ in entries:
        first = seen.setdefault(source.result.checkpoint.fingerprint, source)
        if first is not source:
            raise InputError(
                f"two results of one checkpoint for task {source.result.task} in row {name}",
                where=f"{first.path} and {source.path}",
                fix="leave one out, or give their rows names: NAME=PATH",
            )
    if len(entries) == 1:
        return Cell(entries[0][1].mean, entries[0][1].std)
    return Cell(*mean_and_std([row.mean for _, row in entries]))


def _spread(found: dict[str, dict[Column, list[tuple[Source, DirectionResult]]]]) -> str:
    """What the deviations are of."""
    counts = {len(entries) for cells in found.values() for entries in cells.values()}
    checkpoints = "checkpoints, each the mean of its heads"
    if counts == {1}:
        return "the seeds of the heads"
    return checkpoints if 1 not in counts else f"{checkpoints}, and over heads where there is one checkpoint"


def _caption(protocol: str, results: Sequence[TaskResult], metrics: dict[str, str], spread: str) -> str:
    by_metric: dict[str, list[str]] = {}
    for task, title in TASKS.items():
        if task in metrics:
            by_metric.setdefault(metrics[task].replace("_", " ").replace("f1", "F1"), []).append(title)
    measures = "; ".join(f"{metric} on {', '.join(titles)}" for metric, titles in by_metric.items())
    names = {result.task: result.protocol for result in results}
    others = [f"{TASKS[task]}: {name}" for task, name in names.items() if name != protocol]
    where = f"protocol {protocol}" + (f" ({', '.join(others)})" if others else "")
    leaks = {leak.split(":")[0] for result in results for leak in result.leaks}
    numbers = sorted(leaks, key=lambda leak: (len(leak), leak))  # P10 after P9
    end = f" The protocol has known leaks: {', '.join(numbers)}." if leaks else ""
    return (
        f"In percent: {measures}; {where}. V→A: trained on video, tested on audio."
        f" ± is the sample standard deviation over {spread}; best in bold.{end}"
    )


def _printed_beside(paper: str, columns: Sequence[Column]) -> Iterator[Row]:
    """The rows of table 1 of a paper; its average is over all four tasks."""
    rows: dict[str, dict[tuple[str, str], float]] = {}
    for number in printed_numbers():
        if (number.paper, number.table) == (paper, "1"):
            rows.setdefault(number.row, {})[number.task, number.direction] = number.value
    for name, values in rows.items():
        cells = {place: Cell(value) for place, value in values.items()}
        average = cells.get(("average", "")) if len(columns) == 2 * len(TASKS) else None
        yield Row(name, tuple(cells.get((c.task, f"{c.source}->{c.target}")) for c in columns), average)
