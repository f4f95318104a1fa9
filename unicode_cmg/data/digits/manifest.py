"""`digits.json`: what was written, from how many instances, and the hash of each group of files."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from unicode_cmg.data.digits.clips import Clips, Pool
from unicode_cmg.data.digits.sources import CLASSES

MANIFEST = "digits.json"
_LICENCE = (
    "The audio is derived from the Free Spoken Digit Dataset by Zohar Jackson and contributors, CC BY-SA 4.0 "
    "(https://creativecommons.org/licenses/by-sa/4.0/), and is under the same licence. The video is "
    "derived from 'Optical Recognition of Handwritten Digits' (UCI; E. Alpaydin, C. Kaynak) as it comes with "
    "scikit-learn."
)


def describe(
    root: Path, clips: dict[str, Clips], pretrain_val: Clips, pools: dict[str, Pool]
) -> dict[str, Any]:
    """The manifest of the files under `root`, but for where they come from."""
    return {
        "classes": list(CLASSES),
        "clips": {split: len(c) for split, c in clips.items()} | {"pretrain-val": len(pretrain_val)},
        "instances": {
            split: {"scans": sum(map(len, pool.scans)), "recordings": sum(map(len, pool.recordings))}
            for split, pool in pools.items()
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
