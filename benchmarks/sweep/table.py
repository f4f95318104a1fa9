"""Tables of a sweep: Markdown for people, CSV for everything else."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.sweep.runs import Outcome
from unicode_cmg.files import write_text


def mean_std(values: Sequence[float]) -> str:
    """`mean ± sample standard deviation`, to one decimal."""
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def outcome_table(outcomes: Sequence[Outcome]) -> str:
    """One line a row: for each task and direction the mean over pretraining seeds, ± their deviation."""
    columns = [
        (task, direction) for task, by_direction in outcomes[0].scores.items() for direction in by_direction
    ]
    several = len(outcomes[0].scores) > 1
    shared = any(o.same_code is not None for o in outcomes)
    header = [
        "",
        "seeds",
        *(f"{task + ' ' if several else ''}{s[0].upper()}->{t[0].upper()}" for task, (s, t) in columns),
        *(["same code"] if shared else []),
        "seconds",
    ]
    lines = []
    for name in dict.fromkeys(o.row for o in outcomes):
        runs = [o for o in outcomes if o.row == name]
        cells = [mean_std([o.scores[task][direction] for o in runs]) for task, direction in columns]
        same = [o.same_code for o in runs if o.same_code is not None]
        if shared:
            cells.append(mean_std(same) if same else "not measured")
        seconds = [o.seconds for o in runs if o.seconds is not None]
        cells.append(f"{statistics.median(seconds):.0f}" if seconds else "not measured")
        lines.append([name, str(len(runs)), *cells])
    return markdown(header, lines)


def tidy_csv(outcomes: Sequence[Outcome]) -> str:
    """One line for each number: row, seed, measure, source, target, value."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", "seed", "measure", "source", "target", "value"])
    for o in outcomes:
        for task, by_direction in o.scores.items():
            writer.writerows([o.row, o.seed, task, s, t, value] for (s, t), value in by_direction.items())
        if o.same_code is not None:
            writer.writerow([o.row, o.seed, "same code", "audio", "video", o.same_code])
        if o.seconds is not None:
            writer.writerow([o.row, o.seed, "seconds", "", "", o.seconds])
    return text.getvalue()


def save_table(to: Path, table: str, outcomes: Sequence[Outcome]) -> None:
    """Write `table.md` and `table.csv` into a folder, and print the table."""
    write_text(to / "table.md", table)
    write_text(to / "table.csv", tidy_csv(outcomes))
    print(f"\n{table}\nwritten to {to / 'table.md'} and table.csv")
