"""The embedded data set: digits in video, audio and text, written in the published layouts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unicode_cmg.data.digits.clips import (
    DigitClips,
    Pool,
    draw_clips,
    draw_reference_clips,
    split_instances,
)
from unicode_cmg.data.digits.sources import CLASSES
from unicode_cmg.data.digits.tasks import (
    draw_avvp,
    write_ave_avvp_task,
    write_ave_task,
    write_avvp_task,
    write_clotho_task,
    write_flickr_task,
    write_ucf_vgg_task,
)
from unicode_cmg.data.store import FeatureStore
from unicode_cmg.errors import at_least, one_of
from unicode_cmg.files import atomic_directory, check_replaceable, write_json

__all__ = ["CLASSES", "RECIPES", "Digits", "build_digits", "write_digits"]

RECIPES = ("default", "reference")
MANIFEST = "digits.json"
_LICENCE = (
    "The audio is derived from the Free Spoken Digit Dataset by Zohar Jackson and contributors, CC BY-SA 4.0 "
    "(https://creativecommons.org/licenses/by-sa/4.0/), and is under the same licence. The video is "
    "derived from 'Optical Recognition of Handwritten Digits' (UCI; E. Alpaydin, C. Kaynak) as it comes with "
    "scikit-learn."
)
COUNTS: dict[str, int] = {"pretrain": 3200, "train": 800, "val": 400, "test": 800}


@dataclass(frozen=True, eq=False)
class Digits:
    """The clips of one seed, and the instances each split may show.

    Attributes:
        clips: "pretrain", and "train", "val", "test" for the heads.
        pretrain_val: DigitClips of the validation instances, to choose a pretrained model by.
        pools: The instances of each split.
    """

    clips: dict[str, DigitClips]
    pretrain_val: DigitClips
    pools: dict[str, Pool]


def build_digits(recipe: str = "default", seed: int = 0) -> Digits:
    """Draw the clips.

    Args:
        recipe: "default", or "reference" for the arrays on which the released implementations were measured.
        seed: Equal seeds give equal arrays.

    Raises:
        InputError: The recipe is unknown or the seed negative.
    """
    one_of("digits", RECIPES, recipe=recipe)
    at_least("digits", 0, seed=seed)
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
    to = Path(to)
    check_replaceable(to, MANIFEST)
    digits = build_digits(recipe, seed)
    with atomic_directory(to) as scratch:
        source = {"name": "digits", "recipe": recipe, "seed": seed}
        _write_store(scratch / "pretrain", digits.clips["pretrain"], "pretrain", source)
        _write_store(scratch / "pretrain-val", digits.pretrain_val, "pretrain-val", source)
        _write_tasks(scratch, digits, seed)
        manifest = _manifest(scratch, digits) | source
        write_json(scratch / MANIFEST, manifest)
    return manifest


def _write_store(path: Path, clips: DigitClips, name: str, source: dict[str, Any]) -> None:
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


def _manifest(root: Path, digits: Digits) -> dict[str, Any]:
    """What was written under `root`, from how many instances, and the hash of each group of files."""
    clips = {split: len(part) for split, part in digits.clips.items()}
    return {
        "classes": list(CLASSES),
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
