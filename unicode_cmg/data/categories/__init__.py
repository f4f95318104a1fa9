"""Classes of the published data sets with their row counts, and the row counts of the published files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Literal, TypeAlias

Name: TypeAlias = Literal["ave", "avvp", "ave_avvp", "ucf_vgg", "vggsound_avel"]


@cache
def category_table(name: Name) -> tuple[Mapping[str, str], ...]:
    """The rows of a table of this folder, in its order; every value is text."""
    text = files(__package__).joinpath(f"{name}.csv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(io.StringIO(text)))


def ave_classes() -> tuple[str, ...]:
    """28 classes in the order of the label columns: that of first appearance in `Annotations.txt`."""
    return tuple(row["category"] for row in category_table("ave"))


def avvp_classes(order: Literal["cmg", "official"] = "cmg") -> tuple[str, ...]:
    """25 classes, in the order of the cross-modal-generalization code or in that of the data set's own."""
    rows = sorted(category_table("avvp"), key=lambda row: int(row[f"{order}_index"]))
    return tuple(row["category"] for row in rows)


def ave_avvp_classes() -> tuple[tuple[str, str], ...]:
    """12 pairs of an AVVP and an AVE class, in the order of the label columns."""
    return tuple((row["avvp_category"], row["ave_category"]) for row in category_table("ave_avvp"))


def ucf_vgg_classes() -> tuple[tuple[str, str], ...]:
    """16 pairs of a UCF101 and a VGGSound class; two of them have rows on one side only."""
    return tuple((row["ucf_category"], row["vggsound_category"]) for row in category_table("ucf_vgg"))


def vggsound_avel_classes() -> tuple[str, ...]:
    """141 classes of the 24K and 40K pretraining lists."""
    return tuple(row["category"] for row in category_table("vggsound_avel"))


def expected(task: str) -> Mapping[str, Any]:
    """Row counts of the published files of a task, as `unicode-cmg data check` names it; empty if unknown."""
    text = files(__package__).joinpath("expected.json").read_text(encoding="utf-8")
    counts: Mapping[str, Mapping[str, Any]] = json.loads(text)
    return counts.get(task, {})
