"""Rows of the speed table: what is timed against what, in turns, as ratios in the same round."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

Work = Callable[[], object]
_LEAST_SECONDS = 0.02


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        name: What is measured, and its sizes.
        against: What it is compared with; for a figure without comparison its unit.
        values: Of each round: how many times as fast as that, or the figure.
        reach: What it should reach; empty where nothing is asked.
        seconds: Median time of ours.
        guarded: Whether a fall below 0.7 of the recorded value fails.
    """

    name: str
    against: str
    values: tuple[float, ...]
    reach: str = ""
    seconds: float | None = None
    guarded: bool = False

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def cells(self) -> tuple[str, ...]:
        """The line, with the median and the smallest and largest value of the rounds."""
        if not self.values:
            return self.name, self.against, "not measured", "", "", self.reach
        spread = f"{_short(min(self.values))} to {_short(max(self.values))}"
        ours = "" if self.seconds is None else f"{_short(1e3 * self.seconds)} ms"
        return self.name, self.against, _short(self.median), spread, ours, self.reach


HEADER = ("row", "times as fast as, or unit", "median", "rounds", "ours", "reach")


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def now() -> float:
    """Seconds: of the processor where one thread computes, so that other programs do not blur them."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def in_turns(
    works: Mapping[str, Work], rounds: int, clock: Callable[[], float] | None = None
) -> dict[str, list[float]]:
    """Seconds of each work in each round; they take turns, and one round before warms up.

    Short works are repeated until 20 ms have passed; their mean counts.
    """
    clock = clock or now
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            started, runs, passed = clock(), 0, 0.0
            while passed < _LEAST_SECONDS:
                work()
                runs, passed = runs + 1, clock() - started
                if number == 0:
                    break
            if number:
                seconds[name].append(passed / runs)
    return seconds


def compared(
    name: str,
    ours: Work,
    references: Mapping[str, Work],
    rounds: int,
    *,
    reach: str | Mapping[str, str] = "",
    guarded: bool = True,
    clock: Callable[[], float] | None = None,
) -> list[Row]:
    """A row for each reference: how many times as fast ours is.

    Args:
        name: Of the rows.
        ours: One run of ours.
        references: What it is compared with -> one run of that.
        rounds: Timed rounds.
        reach: What all rows should reach, or each by the name of its reference.
        guarded: As of `Row`.
        clock: What tells the seconds; `now` by default.
    """
    seconds = in_turns({"": ours, **references}, rounds, clock)
    reaches = dict.fromkeys(references, reach) if isinstance(reach, str) else reach
    return [
        Row(
            name,
            other,
            tuple(theirs / own for theirs, own in zip(seconds[other], seconds[""], strict=True)),
            reaches.get(other, ""),
            statistics.median(seconds[""]),
            guarded,
        )
        for other in references
    ]


def fallen(rows: Sequence[Row], recorded: Mapping[str, float]) -> list[str]:
    """Which guarded rows are below 0.7 of what was recorded, one line each.

    Of several rounds the best counts: another program can make a round slow, and none makes it fast.
    """
    found = []
    for row in rows:
        key = f"{row.name} | {row.against}"
        known = recorded.get(key)
        if row.guarded and row.values and known is not None and max(row.values) < 0.7 * known:
            found.append(f"{key}: {_short(max(row.values))}, recorded {_short(known)}")
    return found
