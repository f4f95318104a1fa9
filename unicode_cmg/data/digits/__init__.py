"""The embedded data set: digits that are written, spoken and told about, in the published layouts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unicode_cmg.data._arrays import replaceable
from unicode_cmg.data.digits.clips import (
    Clips,
    Pool,
    draw_clips,
    split_instances,
)
from unicode_cmg.data.digits.manifest import MANIFEST, describe
from unicode_cmg.data.digits.pairs import write_clotho_task, write_flickr_task
from unicode_cmg.data.digits.reference import draw_reference_clips
from unicode_cmg.data.digits.sources import CLASSES
from unicode_cmg.data.digits.tasks import (
    draw_avvp,
    write_ave_avvp_task,
    write_ave_task,
    write_avvp_task,
    write_ucf_vgg_task,
)
from unicode_cmg.data.store import FeatureStore
from unicode_cmg.errors import InputError
from unicode_cmg.files import atomic_directory, write_json

__all__ = ["CLASSES", "RECIPES", "Digits", "build_digits", "write_digits"]

RECIPES = ("default", "reference")
COUNTS: dict[str, int] = {"pretrain": 3200, "train": 800, "val": 400, "test": 800}


@dataclass(frozen=True, eq=False)
class Digits:
    """The clips of one seed, and the instances each split may show.

    Attributes:
        clips: "pretrain", and "train", "val", "test" for the heads.
        pretrain_val: Clips of the validation instances, to choose a pretrained model by.
        pools: The instances of each split.
    """

    clips: dict[str, Clips]
    pretrain_val: Clips
    pools: dict[str, Pool]


def build_digits(recipe: str = "default", seed: int = 0) -> Digits:
    """Draw the clips.

    Args:
        recipe: "default", or "reference": the very arrays the released implementations were measured on.
        seed: Equal seeds give equal arrays.

    Raises:
        InputError: The recipe is unknown or the seed negative.
    """
    if recipe not in RECIPES:
        raise InputError(f"no recipe '{recipe}'", where="digits", expected=" or ".join(RECIPES))
    if seed < 0:
        raise InputError(f"the seed {seed}", where="digits", expected="a whole number, 0 or more")
    rng = np.random.default_rng(seed)
    pools = split_instances(rng)
    draw = draw_clips if recipe == "default" else draw_reference_clips
    clips = {split: draw(rng, pools[split], count) for split, count in COUNTS.items()}
    # the released implementations saw no other clips, so there the validation clips serve both purposes
    pretrain_val = clips["val"] if recipe == "reference" else draw(rng, pools["val"], COUNTS["val"])
    return Digits(clips, pretrain_val, pools)


def write_digits(to: str | Path, *, recipe: str = "default", seed: int = 0) -> dict[str, Any]:
    """Write the pretraining stores and the downstream tasks under `to`, in one atomic step.

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
        _write_tasks(scratch, digits, seed)
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
        {"text": clips.words()},
    )


def _write_tasks(root: Path, digits: Digits, seed: int) -> None:
    rows = write_ave_task(root, digits.clips)
    events = write_avvp_task(root, draw_avvp(np.random.default_rng([seed, 1]), digits.pools))
    write_ave_avvp_task(root, rows, events)
    write_ucf_vgg_task(root, np.random.default_rng([seed, 2]), digits.pools)
    write_clotho_task(root, np.random.default_rng([seed, 3]), digits.pools["test"])
    write_flickr_task(root, np.random.default_rng([seed, 4]), digits.pools["test"])
