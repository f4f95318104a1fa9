"""What a sweep file says of its curves: over which axis they go, and what they are compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from unicode_cmg.config import Config

Places = Sequence[Mapping[str, float | None]]
"""For each axis of a sweep: name of an option -> where it stands in the plot, if it says so."""


class PlotConfig(Config):
    """Curves over one axis of a sweep; each choice of options on the other axes makes one."""

    x: str = Field(description="what the axis shows, with its unit")
    scale: Literal["linear", "log"] = Field(default="linear", description="scale of the axis")
    against: str | None = Field(
        default=None,
        description="an option of another axis; the others of that axis are also shown in points above it, "
        "seed by seed",
    )
    chance: dict[str, float] = Field(
        default={}, description="task -> percent of blind guessing, drawn as a line"
    )


@dataclass(frozen=True)
class Layout:
    """A plot in terms of the axes of its sweep.

    Attributes:
        over: Number of the axis that the curves go over.
        at: Name of an option of that axis -> where it stands.
        against: Number of another axis, and its option that the others are compared with.
    """

    over: int
    at: Mapping[str, float]
    against: tuple[int, str] | None

    def curve(self, options: tuple[str, ...]) -> tuple[str, ...]:
        """The options that make the curve: all but that of the plotted axis."""
        return options[: self.over] + options[self.over + 1 :]

    def base(self, options: tuple[str, ...]) -> tuple[str, ...]:
        """The options of what these are compared with; the same, if there is nothing to compare with."""
        if self.against is None:
            return options
        axis, option = self.against
        return (*options[:axis], option, *options[axis + 1 :])


def layout_of(plot: PlotConfig | None, places: Places, tasks: Sequence[str]) -> Layout | None:
    """The layout of a plot; None without one.

    Raises:
        ValueError: It does not fit the axes or the tasks of the sweep.
    """
    placed = [i for i, axis in enumerate(places) if any(at is not None for at in axis.values())]
    if plot is None:
        if placed:
            raise ValueError("options have an 'at', but there is no 'plot'")
        return None
    if len(placed) != 1:
        raise ValueError(f"{len(placed)} axes have options with an 'at'; a 'plot' needs one")
    (over,) = placed
    at = {name: where for name, where in places[over].items() if where is not None}
    for name in places[over]:
        if name not in at:
            raise ValueError(f"the option '{name}' has no 'at', but others of its axis have")
        if plot.scale == "log" and at[name] <= 0:
            raise ValueError(f"the option '{name}' is at {at[name]:g}; expected above 0 on a log scale")
    if len(set(at.values())) < len(at):
        raise ValueError("two options have the same 'at'")
    unknown = [task for task in plot.chance if task not in tasks]
    if unknown:
        raise ValueError(f"'plot.chance' has '{unknown[0]}'; expected some of {', '.join(tasks)}")
    if plot.against is None:
        return Layout(over, at, None)
    compared = [i for i, axis in enumerate(places) if i != over and plot.against in axis]
    if len(compared) != 1:
        raise ValueError(f"'plot.against' is '{plot.against}'; expected an option of one other axis")
    return Layout(over, at, (compared[0], plot.against))
