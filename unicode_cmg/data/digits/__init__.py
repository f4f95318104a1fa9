"""The embedded data set: digits that are written, spoken and told about, in the published layouts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from unicode_cmg.data._arrays import replaceable
from unicode_cmg.data.digits.clips import (
    Clips,
    Pool,
    Split,
    draw_clips,
    split_instances,
)
from unicode_cmg.data.digits.manifest import MANIFEST, describe
from unicode_cmg.data.digits.reference import draw_reference_clips
from unicode_cmg.data.digits.sources import CLASSES
from unicode_cmg.data.layouts.ave import SPLITS, Annotation, write_ave
from unicode_cmg.data.store import FeatureStore
from unicode_cmg.errors import InputError
from unicode_cmg.files import atomic_directory, write_json

__all__ = ["CLASSES", "Digits", "Recipe", "build_digits", "write_digits"]

Recipe = Literal["default", "reference"]
COUNTS: dict[Split, int] = {"pretrain": 3200, "train": 800, "val": 400, "test": 800}


@dataclass(frozen=True)
class Digits:
    """The clips of one seed, and the instances each split may show.

    Attributes:
        clips: "pretrain", and "train", "val", "test" for the heads.
        pretrain_val: Clips of the validation instances, to choose a pretrained model by.
        pools: The instances of each split.
    """

    clips: dict[Split, Clips]
    pretrain_val: Clips
    pools: dict[Split, Pool]


def build_digits(recipe: Recipe = "default", seed: int = 0) -> Digits:
    """Draw the clips.

    Args:
        recipe: "default", or "reference" for exactly the arrays that the released implementations were measured on.
        seed: Equal seeds give equal arrays.

    Raises:
        InputError: The recipe is unknown or the seed negative.
    """
    if recipe not in get_args(Recipe):
        raise InputError(f"no recipe '{recipe}'", where="digits", expected=" or ".join(get_args(Recipe)))
    if seed < 0:
        raise InputError(f"the seed {seed}", where="digits", expected="a whole number, 0 or more")
    rng = np.random.default_rng(seed)
    pools = split_instances(rng)
    draw = draw_clips if recipe == "default" else draw_reference_clips
    clips = {split: draw(rng, pools[split], count) for split, count in COUNTS.items()}
    # the released implementations saw no other clips, so there the validation clips serve both purposes
    pretrain_val = clips["val"] if recipe == "reference" else draw(rng, pools["val"], COUNTS["val"])
    return Digits(clips, pretrain_val, pools)


def write_digits(to: str | Path, *, recipe: Recipe = "default", seed: int = 0) -> dict[str, Any]:
    """Write the pretraining stores and the four downstream tasks under `to`, in one atomic step.

    Returns:
        The manifest, also written as `digits.json`.

    Raises:
        InputError: As `build_digits`; or `to` holds something else, or cannot be written.
    """
    digits = build_digits(recipe, seed)
    to = Path(to)
    replaceable(to, MANIFEST)
    with atomic_directory(to) as scratch:
        source = {"name": "digits", "recipe": recipe, "seed": seed}
        _write_store(scratch / "pretrain", digits.clips["pretrain"], "pretrain", source)
        _write_store(scratch / "pretrain-val", digits.pretrain_val, "pretrain-val", source)
        _write_ave(scratch / "AVE", digits)
        manifest = describe(scratch, digits.clips, digits.pretrain_val, digits.pools) | source
        write_json(scratch / MANIFEST, manifest)
    return manifest


def _write_store(path: Path, clips: Clips, name: str, source: dict[str, Any]) -> None:
    FeatureStore.write(
        path,
        {"audio": clips.audio, "video": clips.video, "text": clips.text},
        [f"{name}-{i:05d}" for i in range(len(clips))],
        None if clips.text_mask is None else {"text": clips.text_mask},
        source,
    )


def _write_ave(path: Path, digits: Digits) -> None:
    clips = Clips.concatenate([digits.clips["train"], digits.clips["val"], digits.clips["test"]])
    ends = np.cumsum([len(digits.clips["train"]), len(digits.clips["val"]), len(digits.clips["test"])])
    starts = (0, *ends[:-1])
    write_ave(
        path,
        {"video": clips.video, "audio": clips.audio, "text": clips.text},
        clips.labels,
        {split: np.arange(start, end) for split, start, end in zip(SPLITS, starts, ends, strict=True)},
        [
            Annotation(CLASSES[digit], f"ave-{row:07d}", start, end)
            for row, (digit, start, end) in enumerate(clips.intervals())
        ],
        clips.text_mask,
    )
