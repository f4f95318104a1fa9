"""What a sweep file says: configurations or checkpoints, what varies, what is measured, and the plot."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from benchmarks.refinement import Choice, RefineSection, check_choices
from benchmarks.sweep.rows import Read, Row, RowData, SavedRow, TrainedRow
from benchmarks.tasks import available_protocols, available_tasks
from unicode_cmg.config import Config, load_yaml
from unicode_cmg.errors import InputError, unknown
from unicode_cmg.results import HeadConfig

Recipe = Literal["default", "hard", "reference"]
_READ: Read = {"": ()}


class DataChoice(Config):
    """Data of some rows of a sweep, in place of those of the whole sweep."""

    digits: Recipe | None = Field(default=None, description="use the embedded digits, drawn by this recipe")
    folder: str | None = Field(
        default=None, description="folder of the data of the tasks, relative to the sweep file"
    )
    store: str = Field(
        default="pretrain",
        description="feature store to pretrain on, relative to the folder of the data; `.` is that folder",
    )
    tasks: tuple[str, ...] | None = Field(
        default=None, description="tasks to evaluate on; default: those of the sweep"
    )
    options: dict[str, Any] = Field(
        default={}, description="what these tasks take beside the folder, such as `label_column: class`"
    )

    @model_validator(mode="after")
    def _one_place(self) -> DataChoice:
        if (self.digits is None) == (self.folder is None):
            raise ValueError("expected either 'digits' or 'folder'")
        return self


class Option(Config):
    """One option on an axis of a sweep."""

    config: str | None = Field(
        default=None,
        description="another configuration, relative to the sweep file; default: that of the sweep",
    )
    set: tuple[str, ...] = Field(default=(), description="changes to the configuration, as for `--set`")
    data: DataChoice | None = Field(
        default=None, description="other data than those of the sweep; on at most one axis"
    )
    read: Read = Field(
        default=_READ,
        description="table rows that each run gives: suffix of the row's name -> code layers that heads see; "
        "an empty list stands for all code layers; `layer0` includes `layer0.0`, `layer0.1`, ...",
    )
    at: float | None = Field(
        default=None,
        description="position on the horizontal axis of `plot`; all options of that axis need one",
    )


class Saved(Config):
    """Models that exist already; several models count as the seeds of one row."""

    models: tuple[str, ...] = Field(
        min_length=1, description="model or run folders, or released .pt files, relative to the sweep file"
    )
    read: Read = Field(default=_READ, description="as for an option of an axis")


class PlotConfig(Config):
    """Curves over one axis of a sweep; each combination of options on the other axes gives one curve."""

    x: str = Field(description="label of the horizontal axis, with its unit")
    scale: Literal["linear", "log"] = Field(default="linear", description="scale of the horizontal axis")
    against: str | None = Field(
        default=None,
        description="an option of another axis; the other options of that axis are also shown as differences "
        "from it in points, seed by seed",
    )
    chance: dict[str, float] = Field(
        default={}, description="task -> accuracy of random guessing in percent, drawn as a line"
    )


@dataclass(frozen=True)
class Layout:
    """A plot in terms of the axes of its sweep.

    Attributes:
        plot: What the sweep file says.
        over: Number of the axis that the curves go over.
        at: Name of an option of that axis -> its position.
        against: Number of another axis, and its option that the others are compared with.
    """

    plot: PlotConfig
    over: int
    at: Mapping[str, float]
    against: tuple[int, str] | None

    def curve(self, options: tuple[str, ...]) -> tuple[str, ...]:
        """The options that define the curve: all but that of the plotted axis."""
        return options[: self.over] + options[self.over + 1 :]

    def base(self, options: tuple[str, ...]) -> tuple[str, ...]:
        """The options that these are compared with; the same options if there is no comparison."""
        if self.against is None:
            return options
        axis, option = self.against
        return (*options[:axis], option, *options[axis + 1 :])


class SweepConfig(RefineSection):
    """A sweep: every combination of one option from each axis is pretrained with every seed and evaluated."""

    config: str | None = Field(
        default=None, description="the pretraining configuration, relative to the sweep file"
    )
    set: tuple[str, ...] = Field(default=(), description="changes for all runs, as for `--set`")
    digits: Recipe | None = Field(
        default=None,
        description="use the embedded digits, drawn by this recipe, or by that of `--recipe`; null: `--data` "
        "names a folder",
    )
    axes: tuple[dict[str, Option], ...] = Field(
        default=(), description="what varies: for each axis, name of an option -> the option"
    )
    checkpoints: dict[str, Saved] = Field(
        default={}, description="name of a row -> models to evaluate, which the sweep does not train"
    )
    tasks: tuple[str, ...] = Field(default=("ave",), min_length=1, description="tasks to evaluate on")
    directions: tuple[str, ...] | None = Field(
        default=("video->audio", "audio->video", "video->video", "audio->audio"),
        description="modality a head is trained on -> modality it is tested on; null: all of each task",
    )
    protocol: str = Field(
        default="held-out",
        description="protocol of the heads; of a task without `paper-f1`, `paper` takes its place",
    )
    report: Literal["val", "test"] = Field(
        default="test", description="split of the numbers: val to choose settings, test to report them"
    )
    head: HeadConfig | None = Field(
        default=None, description="how heads are trained; default: as the protocol says"
    )
    continuous: bool = Field(
        default=False,
        description="also train heads on what was quantized, and within a modality on the features; this "
        "takes most of the time of an evaluation",
    )
    head_seeds: tuple[int, ...] = Field(default=(0, 1, 2), min_length=1, description="seeds of the heads")
    seeds: tuple[int, ...] = Field(default=(0, 1, 2), min_length=1, description="pretraining seeds")
    choose: dict[str, Choice] = Field(
        default={}, description="name -> a choice among refinements, made for every run and task"
    )
    plot: PlotConfig | None = Field(
        default=None, description="curves over the axis whose options have a position (`at`)"
    )

    @model_validator(mode="after")
    def _whole(self) -> SweepConfig:
        if not self.axes and not self.checkpoints:
            raise ValueError("nothing to evaluate; expected 'axes' or 'checkpoints'")
        if self.axes and self.config is None:
            raise ValueError("there are 'axes' but no 'config' to vary")
        if self.report == "val" and self.protocol != "held-out":
            raise ValueError("'report' is val, and only the protocol held-out has validation clips")
        check_choices(self.choose, self.refine)
        self.layout()
        return self

    def layout(self) -> Layout | None:
        """The plot in terms of the axes; None without a plot.

        Raises:
            ValueError: It does not fit the axes or the tasks.
        """
        placed = [i for i, axis in enumerate(self.axes) if any(o.at is not None for o in axis.values())]
        plot = self.plot
        if plot is None:
            if placed:
                raise ValueError("options have an 'at', but there is no 'plot'")
            return None
        if len(placed) != 1:
            raise ValueError(f"{len(placed)} axes have options with an 'at'; a 'plot' needs one")
        (over,) = placed
        at = {name: option.at for name, option in self.axes[over].items() if option.at is not None}
        for name in self.axes[over]:
            if name not in at:
                raise ValueError(f"the option '{name}' has no 'at', but others of its axis have")
            if plot.scale == "log" and at[name] <= 0:
                raise ValueError(f"the option '{name}' is at {at[name]:g}; expected above 0 on a log scale")
        if len(set(at.values())) < len(at):
            raise ValueError("two options have the same 'at'")
        for task in plot.chance:
            if task not in self.tasks:
                raise ValueError(f"'plot.chance' has '{task}'; expected some of {', '.join(self.tasks)}")
        if plot.against is None:
            return Layout(plot, over, at, None)
        compared = [i for i, axis in enumerate(self.axes) if i != over and plot.against in axis]
        if len(compared) != 1:
            raise ValueError(f"'plot.against' is '{plot.against}'; expected an option of one other axis")
        return Layout(plot, over, at, (compared[0], plot.against))


def load_sweep(path: Path, *, trust_code: bool = False) -> tuple[SweepConfig, list[Row]]:
    """Read a sweep file and check every configuration that it leads to.

    Args:
        path: The file.
        trust_code: Whether its runs import and run what a configuration names as `package.module:callable`.

    Raises:
        InputError: The file, or a configuration that it leads to, is wrong.
    """
    sweep = SweepConfig.parse(load_yaml(path), where=path)
    rows: list[Row] = []
    for combination in product(*(axis.items() for axis in sweep.axes)) if sweep.axes else ():
        row = replace(_trained_row(sweep, path.parent, combination), trust_code=trust_code)
        row.pretraining()
        rows.append(row)
    for name, saved in sweep.checkpoints.items():
        rows.append(SavedRow(name, saved.read, tuple(path.parent / model for model in saved.models)))
    for task in {task for row in rows for task in row.data.tasks or sweep.tasks} & set(available_tasks()):
        protocol_of(sweep.protocol, available_protocols(task), where=f"{path}: protocol, task {task}")
    return sweep, rows


def protocol_of(wanted: str, known: Collection[str], *, where: object) -> str:
    """The protocol, or the one that it is a kind of if a task does not have it.

    Raises:
        InputError: The task has neither.
    """
    for name in (wanted, wanted.removesuffix("-f1")):
        if name in known:
            return name
    raise unknown("protocol", wanted, known, where=where)


def _trained_row(sweep: SweepConfig, folder: Path, combination: Sequence[tuple[str, Option]]) -> TrainedRow:
    names, options = zip(*combination, strict=True)
    configs = [option.config for option in options if option.config is not None]
    reads = [option.read for option in options if option.read != _READ]
    data = [option.data for option in options if option.data is not None]
    for key, given in (("config", configs), ("read", reads), ("data", data)):
        if len(given) > 1:
            where = f"sweep row '{', '.join(names)}'"
            raise InputError(f"two axes give a '{key}'", where=where, expected="at most one axis")
    return TrainedRow(
        name=", ".join(names),
        read=(*reads, _READ)[0],
        options=names,
        config=folder / (*configs, str(sweep.config))[0],
        overrides=(*sweep.set, *(change for option in options for change in option.set)),
        data=_row_data(data[0], folder) if data else RowData(),
    )


def _row_data(choice: DataChoice, folder: Path) -> RowData:
    place = None if choice.folder is None else folder / choice.folder
    return RowData(choice.digits, place, choice.store, choice.tasks, choice.options)
