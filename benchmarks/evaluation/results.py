"""What `evaluate` returns: the record of an evaluation, with Markdown tables."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.markdown import html_table, markdown_table
from benchmarks.printed_numbers import PrintedNumber, printed_beside
from unicode_cmg.data_frame import data_frame
from unicode_cmg.results import Evaluation, JointResult, Measure, in_percent


class TaskResult(Evaluation):
    """The result of one task under one protocol; its fields are those of `Evaluation`."""

    def table(self, *, printed: bool = False) -> str:
        """Markdown tables that also read well as plain text.

        Args:
            printed: Put what the papers print for the same task and method, on other data, beside our
                numbers.
        """
        method, toc = self.checkpoint.method, self.toc is not None
        beside = [
            printed_beside(self.task, (row.source, row.target), row.metric, method, toc=toc)
            if printed
            else None
            for row in self.directions
        ]
        parts = [
            "".join(f"{line}\n" for line in self._heading()),
            markdown_table(*self._directions(beside, printed=printed), text=("direction", "kind")),
        ]
        for joint in self.joint:
            first, second = joint.targets
            about = f"heads of {joint.source}, {first} and {second} of {joint.clips} clips"
            parts += [f"{about}: mean F1 of a clip in %\n", markdown_table(*_joint(joint), text=("by",))]
        if printed:
            sources = dict.fromkeys(number.source for number in beside if number is not None)
            parts.append(f"PRINTED, on other data: {'; '.join(sources) or 'nothing to compare with'}")
        return "\n".join(parts).rstrip("\n")

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame` with a row for each direction and measure.

        Columns: `task`, `protocol`, `source`, `target`, `kind`, `measure`, `mean`, `std`, `low` and `high`
        (the ends of the interval), `constant`, and `shuffled`, `continuous` and `raw`, the means of the same
        measure in controls and without codes. Values are in percent where `in_percent` says so; missing
        where nothing was measured.

        Raises:
            InputError: pandas is not installed.
        """
        return data_frame(self._rows())

    def __repr__(self) -> str:
        scores = ", ".join(
            f"{row.source} -> {row.target} {decimal(row.mean, row.metric)}" for row in self.directions
        )
        metric = _title(self.directions[0].metric) + ": " if self.directions else ""
        return f"{type(self).__name__}({self.task}, {self.protocol}; {metric}{scores})"

    def __str__(self) -> str:
        return self.table()

    def _repr_html_(self) -> str:
        """What a notebook shows: the heading and the table of directions."""
        heading = "<br>".join(html.escape(line) for line in self._heading())
        table = html_table(*self._directions([None] * len(self.directions), printed=False))
        return f"<p>{heading}</p>{table}"

    def _rows(self) -> Iterator[dict[str, Any]]:
        for row in self.directions:
            same = {"task": self.task, "protocol": self.protocol, "source": row.source, "target": row.target}
            others = {"shuffled": row.shuffled, "continuous": row.continuous, "raw": row.raw}
            measures: dict[str, Measure] = {row.metric: row, **row.others}
            for name, measure in measures.items():
                low, high = measure.interval or (None, None)
                yield {
                    **same,
                    "kind": row.kind,
                    "measure": name,
                    **{"mean": measure.mean, "std": measure.std, "low": low, "high": high},
                    "constant": measure.constant,
                    **{
                        key: None if other is None or measure is not row else other.mean
                        for key, other in others.items()
                    },
                }

    def _heading(self) -> Iterator[str]:
        parts = [self.task, f"protocol {self.protocol}"]
        if self.seeds:
            parts.append(f"{len(self.seeds)} seed{'s' * (len(self.seeds) > 1)}")
        if self.classes:
            parts.append(f"{len(self.classes)} classes")
        yield ", ".join(parts)
        if len(self.code_layers) < len(self.checkpoint.code_layers):
            yield f"codes: {', '.join(self.code_layers)} of {', '.join(self.checkpoint.code_layers)}"
        if self.level is not None:
            yield f"level: {self.level}"
        if self.toc is not None:
            kept = (
                f"{t.code_layer} {t.kept} of {t.n_dims} dimensions" + ", mean subtracted" * t.centered
                for t in self.toc
            )
            anew = ", codes chosen anew in them" if self.toc[0].use == "requantize" else ""
            yield f"TOC: {', '.join(kept)}{anew}"
        if self.merge is not None:
            merged = (
                f"{m.code_layer} {m.n_codes} codes to {m.n_groups} (ratio {m.ratio:.2f})" for m in self.merge
            )
            yield f"merged: {', '.join(merged)}"
        if self.permute_codes_seed is not None:
            yield "CONTROL: the codes of the target modality are shuffled"
        yield from (f"NOTE {note}" for note in self.data.notes)
        yield from (f"LEAK {leak}" for leak in self.leaks)
        yield from (f"DEPARTURE {departure}" for departure in self.departures)

    def _directions(
        self, beside: Sequence[PrintedNumber | None], *, printed: bool
    ) -> tuple[list[str], list[list[str]]]:
        """Header, and a row for each direction and each floor."""
        rows = []
        shown = [
            name
            for name in ("shuffled", "continuous", "raw")
            if any(getattr(row, name) is not None for row in self.directions)
        ]
        for row, number in zip(self.directions, beside, strict=True):
            cells = {
                "direction": f"{row.source} -> {row.target}",
                _title(row.metric): decimal(row.mean, row.metric),
            }
            if self.seeds:
                cells["std"] = decimal(row.std, row.metric)
            if self.bootstrap is not None:
                ends = row.interval or ()
                interval = " to ".join(decimal(end, row.metric) for end in ends) or "-"
                cells[f"{self.bootstrap.percent:g} % interval"] = interval
            cells |= {_title(name): decimal(measure.mean, name) for name, measure in row.others.items()}
            without = {"shuffled": row.shuffled, "continuous": row.continuous, "raw": row.raw}
            cells |= {
                name: "-" if (measure := without[name]) is None else decimal(measure.mean, row.metric)
                for name in shown
            }
            if self.majority is None:
                cells[_title("constant") if in_percent(row.metric) else "constant"] = decimal(
                    row.constant, row.metric
                )
            if printed:  # with the decimals of the paper: one, or for retrieval two
                cells["printed"] = "-" if number is None else f"{number.value:.2f}".removesuffix("0")
            rows.append(cells | {"kind": row.kind})
        header = list(rows[0])
        floors = {"chance": self.chance, "majority class": self.majority}
        return header, [list(cells.values()) for cells in rows] + [
            [name, decimal(value), *["-"] * (len(header) - 3), "floor"]
            for name, value in floors.items()
            if value is not None
        ]


def _joint(joint: JointResult) -> tuple[list[str], list[list[str]]]:
    """Header, and a row for each unit that is counted: the first words of the measures."""
    units = dict.fromkeys(name.split()[0] for name in joint.measures)
    columns = dict.fromkeys(name.split()[1] for name in joint.measures)
    return ["by", *columns], [
        [f"{unit}s", *(decimal(joint.measures[f"{unit} {c}"].mean) for c in columns)] for unit in units
    ]


def _title(name: str) -> str:
    """The header of a measure, with its unit if that is percent."""
    return name.replace("_", " ") + (" %" if in_percent(name) else "")


def decimal(value: float | None, measure: str = "") -> str:
    """One decimal of percents and places; three digits of other numbers."""
    if value is None:
        return "-"
    return f"{value:.1f}" if in_percent(measure) or measure.endswith("rank") else f"{value:.3g}"
