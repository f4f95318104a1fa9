"""What a sweep file says: a configuration, what to vary in it, and what to measure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Literal

from pydantic import Field

from benchmarks.heads import HeadConfig
from unicode_cmg.config import Config, apply_overrides, load_yaml
from unicode_cmg.errors import InputError
from unicode_cmg.training import PretrainConfig


class Option(Config):
    """One choice on an axis of a sweep."""

    config: str | None = Field(
        default=None, description="another configuration, relative to the sweep file; default: the sweep's"
    )
    set: tuple[str, ...] = Field(default=(), description="changes, as for `--set`")
    read: dict[str, tuple[str, ...]] = Field(
        default={"": ()},
        description="rows to read from each run: suffix of the row's name -> code layers that heads see; "
        "none stands for all; `layer0` stands for `layer0.0`, `layer0.1`, ... too",
    )


class SweepConfig(Config):
    """A sweep: every combination of one option from each axis is pretrained with every seed and evaluated."""

    config: str = Field(description="the pretraining configuration, relative to the sweep file")
    set: tuple[str, ...] = Field(default=(), description="changes that all runs have, as for `--set`")
    digits: Literal["default", "reference"] | None = Field(
        default=None,
        description="use the embedded digits, drawn by this recipe; null: `--data` names a folder",
    )
    axes: tuple[dict[str, Option], ...] = Field(
        min_length=1, description="what varies: for each axis, name of an option -> the option"
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
    seeds: tuple[int, ...] = Field(default=(0, 1, 2), min_length=1, description="pretraining seeds")


@dataclass(frozen=True)
class Row:
    """One pretraining configuration of a sweep.

    Attributes:
        name: Names of its options, with commas between.
        config: File of the configuration.
        overrides: Changes to it.
        read: Suffix of a table row -> code layers its heads see; empty for all.
    """

    name: str
    config: Path
    overrides: tuple[str, ...]
    read: Mapping[str, tuple[str, ...]]

    def pretraining(self, *changes: str) -> PretrainConfig:
        """The configuration of its run.

        Raises:
            InputError: The file or a change is wrong.
        """
        values = apply_overrides(load_yaml(self.config), [*self.overrides, *changes])
        return PretrainConfig.parse(values, where=f"{self.config}: {self.name}")


def load_sweep(path: Path) -> tuple[SweepConfig, list[Row]]:
    """Read a sweep file; every configuration it leads to is checked.

    Raises:
        InputError: The file, or a configuration it leads to, is wrong.
    """
    sweep = SweepConfig.parse(load_yaml(path), where=path)
    rows = [
        _row(sweep, path.parent, combination) for combination in product(*(a.items() for a in sweep.axes))
    ]
    for row in rows:
        row.pretraining()
    return sweep, rows


def _row(sweep: SweepConfig, folder: Path, combination: tuple[tuple[str, Option], ...]) -> Row:
    name = ", ".join(name for name, _ in combination)
    configs = [option.config for _, option in combination if option.config is not None]
    reads = [option.read for _, option in combination if option.read != {"": ()}]
    if len(configs) > 1 or len(reads) > 1:
        raise InputError(
            "two axes give a 'config' or a 'read'", where=f"sweep row '{name}'", expected="one axis that does"
        )
    return Row(
        name=name,
        config=folder / (configs or [sweep.config])[0],
        overrides=(*sweep.set, *(change for _, option in combination for change in option.set)),
        read=(reads or [{"": ()}])[0],
    )
