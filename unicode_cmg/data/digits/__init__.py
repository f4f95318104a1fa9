"""The embedded data set: digits in video, audio and text, written in the published layouts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

import numpy as np

from unicode_cmg.data.digits.clips import (
    ClipsT,
    DigitClips,
    Pool,
    draw_clips,
    draw_reference_clips,
    split_instances,
)
from unicode_cmg.data.digits.hard_clips import (
    PAIRS,
    HardClips,
    choose_pairs,
    draw_hard_clips,
    pair_name,
)
from unicode_cmg.data.digits.sources import CLASSES
from unicode_cmg.data.digits.tasks import (
    draw_avvp,
    draw_hard_avvp,
    write_ave_avvp_task,
    write_ave_task,
    write_avvp_task,
    write_clotho_task,
    write_flickr_task,
    write_hard_retrieval_tasks,
    write_ucf_vgg_task,
)
from unicode_cmg.data.store import FeatureStore
from unicode_cmg.errors import at_least, one_of
from unicode_cmg.files import atomic_directory, check_replaceable, write_json

__all__ = ["CLASSES", "RECIPES", "Digits", "build_digits", "build_hard_digits", "write_digits"]

RECIPES = ("default", "reference", "hard")
MANIFEST = "digits.json"
_LICENCE = (
    "The audio is derived from the Free Spoken Digit Dataset by Zohar Jackson and contributors, CC BY-SA 4.0 "
    "(https://creativecommons.org/licenses/by-sa/4.0/), and is under the same licence. The video is "
    "derived from 'Optical Recognition of Handwritten Digits' (UCI; E. Alpaydin, C. Kaynak) as it comes with "
    "scikit-learn."
)
COUNTS: dict[str, int] = {"pretrain": 3200, "train": 800, "val": 400, "test": 800}
HARD_COUNTS: dict[str, int] = {"pretrain": 2400, "train": 960, "val": 480, "test": 960}


@dataclass(frozen=True, eq=False)
class Digits(Generic[ClipsT]):
    """The clips of one seed, and the instances each split may show.

    Attributes:
        clips: "pretrain", and "train", "val", "test" for the heads.
        pretrain_val: Clips of the validation instances, to choose a pretrained model by.
        pools: The instances of each split.
    """

    clips: Mapping[str, ClipsT]
    pretrain_val: ClipsT
    pools: dict[str, Pool]


def build_digits(recipe: str = "default", seed: int = 0) -> Digits[DigitClips]:
    """Draw the clips of one digit each.

    Args:
        recipe: "default", or "reference" for the arrays on which the released implementations were measured.
        seed: Equal seeds give equal arrays.

    Raises:
        InputError: There is no such recipe, or the seed is negative.
    """
    one_of("digits", ("default", "reference"), recipe=recipe)
    at_least("digits", 0, seed=seed)
    rng = np.random.default_rng(seed)
    pools = split_instances(rng)
    draw = draw_clips if recipe == "default" else draw_reference_clips
    clips = {split: draw(rng, pools[split], count) for split, count in COUNTS.items()}
    # the released implementations saw no other clips, so there the validation clips serve both purposes
    pretrain_val = clips["val"] if recipe == "reference" else draw(rng, pools["val"], COUNTS["val"])
    return Digits(clips, pretrain_val, pools)


def build_hard_digits(seed: int = 0) -> tuple[Digits[HardClips], list[tuple[int, int]]]:
    """Draw the clips of the hard recipe, and the pairs of digits that are its classes.

    The instances of each split are those of the default recipe of the same seed.

    Raises:
        InputError: The seed is negative.
    """
    at_least("digits", 0, seed=seed)
    rng = np.random.default_rng(seed)
    pools = split_instances(rng)
    pairs = choose_pairs(rng)
    clips = {split: draw_hard_clips(rng, pools[split], n, pairs) for split, n in HARD_COUNTS.items()}
    return Digits(clips, draw_hard_clips(rng, pools["val"], HARD_COUNTS["val"], pairs), pools), pairs


def write_digits(to: str | Path, *, recipe: str = "default", seed: int = 0) -> dict[str, Any]:
    """Write the pretraining stores and the downstream tasks under `to`, in one atomic step.

    Args:
        to: Folder to write.
        recipe: One of `RECIPES`.
        seed: Equal seeds give equal files.

    Returns:
        The manifest, also written as `digits.json`.

    Raises:
        InputError: There is no such recipe, or the seed is negative; `to` holds something else, or cannot be
            written.
    """
    to = Path(to)
    check_replaceable(to, MANIFEST)
    one_of("digits", RECIPES, recipe=recipe)
    with atomic_directory(to) as scratch:
        source = {"name": "digits", "recipe": recipe, "seed": seed}
        if recipe == "hard":
            hard, pairs = build_hard_digits(seed)
            classes = tuple(map(pair_name, pairs))
            _write_stores(scratch, hard, source)
            write_ave_task(scratch, hard.clips, classes)
            _write_hard_tasks(scratch, hard.pools, pairs, seed)
            manifest = _manifest(scratch, hard, classes) | source
        else:
            digits = build_digits(recipe, seed)
            _write_stores(scratch, digits, source)
            rows = write_ave_task(scratch, digits.clips, CLASSES)
            _write_tasks(scratch, digits.pools, rows, seed)
            manifest = _manifest(scratch, digits, CLASSES) | source
        write_json(scratch / MANIFEST, manifest)
    return manifest


def _write_stores(root: Path, digits: Digits[ClipsT], source: dict[str, Any]) -> None:
    """Write the stores `pretrain` and `pretrain-val`."""
    for name, clips in (("pretrain", digits.clips["pretrain"]), ("pretrain-val", digits.pretrain_val)):
        FeatureStore.write(
            root / name,
            {"audio": clips.audio, "video": clips.video, "text": clips.text},
            [f"{name}-{i:05d}" for i in range(len(clips))],
            None if clips.text_mask is None else {"text": clips.text_mask},
            source,
            {"text": clips.words()},
        )


def _write_tasks(root: Path, pools: dict[str, Pool], rows: DigitClips, seed: int) -> None:
    events = write_avvp_task(root, draw_avvp(np.random.default_rng([seed, 1]), pools))
    write_ave_avvp_task(root, rows, events)
    write_ucf_vgg_task(root, np.random.default_rng([seed, 2]), pools)
    write_clotho_task(root, np.random.default_rng([seed, 3]), pools["test"])
    write_flickr_task(root, np.random.default_rng([seed, 4]), pools["test"])


def _write_hard_tasks(root: Path, pools: dict[str, Pool], pairs: list[tuple[int, int]], seed: int) -> None:
    """AVVP and retrieval; the classes of the other tasks are single digits, which no clip has here."""
    write_avvp_task(root, draw_hard_avvp(np.random.default_rng([seed, 1]), pools, pairs))
    clips = draw_hard_clips(np.random.default_rng([seed, 3]), pools["test"], len(PAIRS), list(PAIRS))
    write_hard_retrieval_tasks(root, clips)


def _manifest(root: Path, digits: Digits[ClipsT], classes: tuple[str, ...]) -> dict[str, Any]:
    """What was written under `root`, from how many instances, and the hash of each group of files."""
    clips = {split: len(part) for split, part in digits.clips.items()}
    return {
        "classes": list(classes),
        "clips": clips | {"pretrain-val": len(digits.pretrain_val)},
        "instances": {
            split: {"scans": sum(map(len, pool.scans)), "recordings": sum(map(len, pool.recordings))}
            for split, pool in digits.pools.items()
        },
        "sha256": {group.name: _hash(group) for group in sorted(root.iterdir()) if group.is_dir()},
        "licence": _LICENCE,
    }


def _hash(folder: Path) -> str:
    """Of the paths and the bytes of all files in a folder."""
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            digest.update(file.relative_to(folder).as_posix().encode() + b"\0")
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
