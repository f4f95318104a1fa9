"""Names of splits in their usual spellings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

SPLITS = ("train", "val", "test")
_TRAIN = ("train", "training", "tr", "trn", "trainval", "trainset", "train_set")
_VAL = ("val", "valid", "validation", "vali", "devel", "valset", "val_set")
_TEST = ("test", "testing", "tst", "testset", "test_set")
_DEVELOPMENT, _EVALUATION = ("dev", "development"), ("eval", "evaluation")


def spelled(names: Iterable[str]) -> Mapping[str, str]:
    """Name of a split as it is written -> train, val or test; names that are none of them are left out.

    Some names depend on the others: `dev` is for validation where there is a training split, and for
    training where there is none; `eval` is for testing unless another split is. `pretrain` trains heads
    where there is no other training split.

    >>> dict(spelled(["Train", "dev", "Test", "fold-1"]))
    {'Train': 'train', 'dev': 'val', 'Test': 'test'}
    >>> dict(spelled(["dev", "eval"]))
    {'dev': 'train', 'eval': 'test'}
    """
    written = {name: name.strip().lower() for name in names}
    there = set(written.values())
    known = {**dict.fromkeys(_TRAIN, "train"), **dict.fromkeys(_VAL, "val"), **dict.fromkeys(_TEST, "test")}
    trains = not there.isdisjoint(_TRAIN)
    if not trains and "pretrain" in there:
        known["pretrain"], trains = "train", True
    known |= dict.fromkeys(_DEVELOPMENT, "val" if trains else "train")
    known |= dict.fromkeys(_EVALUATION, "test" if there.isdisjoint(_TEST) else "val")
    return {name: known[low] for name, low in written.items() if low in known}
