"""Which clips train heads, choose their epoch and are reported: as a column says, or drawn."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int64, Shaped

from unicode_cmg.data.splits import spelled
from unicode_cmg.errors import InputError

_FOLDS = 5

Splits = Shaped[np.ndarray, " clips"]
"""The name of the split of each clip; empty where it is in none."""


def read_splits(values: Sequence[str], column: str, where: Path) -> Splits:
    """The splits that a column names, in any of their usual spellings.

    Clips of a split `pretrain` train heads too where there is no other training split, and are left out where
    there is one.

    Raises:
        InputError: A name is none of them.
    """
    counts = Counter(values)
    known = spelled(counts)
    for name, count in counts.items():
        if name and name not in known and name.lower() != "pretrain":
            raise InputError(
                f"{count} clips are in a split '{name}' of column '{column}'",
                where=where,
                expected="train, val, test, or nothing for clips to leave out",
                fix="write which folds are for what into a column" if name.strip().isdecimal() else None,
            )
    return np.array([known.get(name, "") for name in values], dtype="<U5")


def draw_splits(
    strata: Int64[np.ndarray, " clips"],
    groups: Sequence[str],
    chosen: Bool[np.ndarray, " clips"],
    seed: int,
    where: Path,
) -> Splits:
    """A fifth of the chosen clips for testing, a fifth for validation, the rest for training.

    Clips of a group stay together, and each stratum, such as a class, is divided like the whole as far as
    groups allow.

    Args:
        strata: Number of the stratum of each clip.
        groups: Name of the group of each clip; clips without one are groups of their own.
        chosen: The clips to divide; the others are in no split.
        seed: Of the draw.
        where: For error messages.

    Raises:
        InputError: There are too few groups.
    """
    splits = np.full(len(chosen), "", dtype="<U5")
    rows = np.flatnonzero(chosen)
    fold = _folds(strata[rows], [groups[row] for row in rows.tolist()], seed, 3, where)
    splits[rows] = np.array(["test", "val", *["train"] * (_FOLDS - 2)])[fold]
    return splits


def draw_validation(
    splits: Splits, strata: Int64[np.ndarray, " clips"], groups: Sequence[str], seed: int, where: Path
) -> Splits:
    """The same splits with a fifth of the training clips, as `draw_splits` draws them, for validation.

    Raises:
        InputError: There are too few groups.
    """
    rows, drawn = np.flatnonzero(splits == "train"), splits.copy()
    fold = _folds(strata[rows], [groups[row] for row in rows.tolist()], seed, 2, where)
    drawn[rows[fold == 0]] = "val"
    return drawn


def _folds(
    strata: Int64[np.ndarray, " rows"], groups: Sequence[str], seed: int, least: int, where: Path
) -> Int64[np.ndarray, " rows"]:
    """The fold of each row, as many folds as groups allow, at most five; row by row in a group the same."""
    from sklearn.model_selection import StratifiedGroupKFold  # here, because it takes a second

    _, number = np.unique(groups, return_inverse=True)
    count = int(number.max(initial=-1)) + 1
    if count < least:
        raise InputError(
            f"{count} groups of clips to draw splits from",
            where=where,
            expected=f"at least {least}",
            fix="name the splits in a column",
        )
    folds = min(_FOLDS, count)
    if Counter(strata.tolist()).most_common(1)[0][1] < folds:
        strata = np.zeros_like(strata)  # no stratum is large enough to be divided
    fold = np.zeros(len(strata), dtype=np.int64)
    divide = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class")  # notes on the splits say it
        for place, (_, members) in enumerate(divide.split(strata, strata, number)):
            fold[members] = place
    return fold
