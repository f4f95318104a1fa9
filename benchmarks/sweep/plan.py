"""What a sweep file says: configurations or checkpoints, what to vary in them, and what to measure."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from benchmarks.evaluation.heads import HeadConfig
from benchmarks.refinement.choice import Choice, check_choices
from benchmarks.refinement.ways import RefineSection
from benchmarks.sweep.plot import Layout, PlotConfig, layout_of
from benchmarks.sweep.rows import Read, Row, SavedRow, TrainedRow
from unicode_cmg.config import Config, load_yaml
from unicode_cmg.errors import InputError

_READ: Read = {"": ()}


class Option(Config):
    """One choice on an axis of a sweep."""

    config: str | None = Field(
        default=None, description="another configuration, relative to the sweep file; default: the sweep's"
    )
    set: tuple[str, ...] = Field(default=(), description="changes, as for `--set`")
    read: Read = Field(
        default=_READ,
        description="rows to read from each run: suffix of the row's name -> code layers that heads see; "
        "none stands for all; `layer0` stands for `layer0.0`, `layer0.1`, ... too",
    )
    at: float | None = Field(
        default=None, description="where it stands on the axis of `plot`; all options of that axis say it"
    )


class Saved(Config):
    """Models that are there already; several count as the seeds of one row."""

    models: tuple[str, ...] = Field(
        min_length=1, description="model or run folders, or released .pt files, relative to the sweep file"
    )
    read: Read = Field(default=_READ, description="as for an option of an axis")


class SweepConfig(RefineSection):
    """A sweep: every combination of one option from each axis is pretrained with every seed and evaluated."""

    config: str | None = Field(
        default=None, description="the pretraining configuration, relative to the sweep file"
    )
    set: tuple[str, ...] = Field(default=(), description="changes that all runs have, as for `--set`")
    digits: Literal["default", "reference"] | None = Field(
        default=None,
        description="use the embedded digits, drawn by this recipe; null: `--data` names a folder",
    )
    axes: tuple[dict[str, Option], ...] = Field(
        default=(), description="what varies: for each axis, name of an option -> the option"
    )
    checkpoints: dict[str, Saved] = Field(
        default={}, description="name of a row -> models to evaluate, which are not trained here"
    )
    tasks: tuple[str, ...] = Field(default=("ave",), min_length=1, description="what to evaluate on")
    directions: tuple[str, ...] = Field(
        default=("video->audio", "audio->video", "video->video", "audio->audio"),
        description="modality a head learns from -> modality it is read on",
    )
    report: Literal["val", "test"] = Field(
        default="test", description="split of the numbers: val to choose settings, test to report them"
    )
    head: HeadConfig | None = Field(default=None, description="how heads train; default: the protocol's way")
    head_seeds: tuple[int, ...] = Field(default=(0, 1, 2), min_length=1, description="seeds of the heads")
    seeds: tuple[int, ...] = Field(default=(0, 1, 2), min_length=1, description="pretraining seeds")
    choose: dict[str, Choice] = Field(
        default={}, description="name -> a refinement chosen among others, for every run and task"
    )
    plot: PlotConfig | None = Field(
        default=None, description="curves over the axis whose options say where they stand (`at`)"
    )

    @model_validator(mode="after")
    def _whole(self) -> SweepConfig:
        if not self.axes and not self.checkpoints:
            raise ValueError("nothing to evaluate; expected 'axes' or 'checkpoints'")
        if self.axes and self.config is None:
            raise ValueError("there are 'axes' but no 'config' to vary")
        check_choices(self.choose, self.refine)
        self.layout()
        return self

    def layout(self) -> Layout | None:
        """The plot in terms of the axes; None without one."""
        places = [{name: option.at for name, option in axis.items()} for axis in self.axes]
        return layout_of(self.plot, places, self.tasks)


def load_sweep(path: Path) -> tuple[SweepConfig, list[Row]]:
    """Read a sweep file; every configuration it leads to is checked.

    Raises:
        InputError: The file, or a configuration it leads to, is wrong.
    """
    sweep = SweepConfig.parse(load_yaml(path), where=path)
    trained = []
    if sweep.config is not None:
        combinations = product(*(axis.items() for axis in sweep.axes)) if sweep.axes else ()
        trained = [_row(sweep, sweep.config, path.parent, combination) for combination in combinations]
    for row in trained:
        row.pretraining()
    saved = [
        SavedRow(name, dict(entry.read), tuple(path.parent / model for model in entry.models))
        for name, entry in sweep.checkpoints.items()
    ]
    return sweep, [*trained, *saved]


def _row(
    sweep: SweepConfig, config: str, folder: Path, combination: tuple[tuple[str, Option], ...]
) -> TrainedRow:
    name = ", ".join(name for name, _ in combination)
    configs = [option.config for _, option in combination if option.config is not None]
    reads = [option.read for _, option in combination if option.read != _READ]
    if len(configs) > 1 or len(reads) > 1:
        raise InputError(
            "two axes give a 'config' or a 'read'", where=f"sweep row '{name}'", expected="one axis that does"
        )
    return TrainedRow(
        name=name,
        read=(reads or [_READ])[0],
        options=tuple(name for name, _ in combination),
        config=folder / (configs or [config])[0],
        overrides=(*sweep.set, *(change for _, option in combination for change in option.set)),
    )
