"""Small AVE, AVVP and AVE_AVVP folders: AVE clips have one event each, AVVP clips those of `tiny_avvp`.

Both speak of the sets of classes that `tiny_avvp` has codes for, so that `tiny_localizer` knows them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tiny_avvp import CLASSES, DIM, SUBSETS, centres, names, turns, write_tiny_avvp

from unicode_cmg.data.layouts.ave import Annotation, write_ave
from unicode_cmg.data.layouts.ave_avvp import write_ave_avvp
from unicode_cmg.data.layouts.avvp import EventRow, read_avvp
from unicode_cmg.data.layouts.zips import STEPS

SHARED = ("siren", "bell")
"""The classes of the task, in an order of their own."""
COUNTS = {"train": 60, "val": 24, "test": 12}
ALSO_IN_AVVP = 3
"""So many AVE train clips are of test videos of AVVP; one val clip is of a val video."""


def write_tiny_across(root: Path) -> Path:
    """Write `root/AVE`, `root/AVVP` and `root/AVE_AVVP`."""
    write_tiny_avvp(root)
    rng = np.random.default_rng(27)
    total = sum(COUNTS.values())
    classes = np.arange(total) % len(CLASSES)
    starts = rng.integers(0, 4, total)
    inside = (np.arange(STEPS) >= starts[:, None]) & (
        np.arange(STEPS) < starts[:, None] + rng.integers(3, 7, (total, 1))
    )
    alone = np.array([int(np.flatnonzero((np.eye(len(CLASSES))[c] == SUBSETS).all(1))[0]) for c in classes])
    codes = np.where(inside, alone[:, None], 0) + len(SUBSETS) * rng.integers(0, 2, (total, STEPS))
    points = centres()[codes]
    features = {
        modality: ((points + 0.05 * rng.normal(size=(total, STEPS, DIM))) @ rotation).astype(np.float32)
        for modality, rotation in turns().items()
    }
    labels = np.zeros((total, STEPS, len(CLASSES) + 1), np.float32)
    np.put_along_axis(labels, np.where(inside, classes[:, None], len(CLASSES))[..., None], 1, axis=-1)
    ends = np.cumsum([0, *COUNTS.values()])
    order = {split: np.arange(ends[i], ends[i + 1]) for i, split in enumerate(COUNTS)}
    ids = [f"ave-{row:07d}" for row in range(total)]
    of_shared = [row for row in range(total) if CLASSES[classes[row]] in SHARED]
    for row, name in zip(of_shared[:ALSO_IN_AVVP], names()["test"][10:], strict=False):
        ids[row] = name[:11]
    ids[next(row for row in of_shared if row in order["val"])] = names()["val"][40][:11]
    annotations = [
        Annotation(CLASSES[c], i, int(s), int(s + n))
        for c, i, s, n in zip(classes, ids, starts, inside.sum(1), strict=True)
    ]
    write_ave(root / "AVE", features, labels, order, annotations)

    columns = [CLASSES.index(name) for name in SHARED]
    across = np.zeros((total, STEPS, len(SHARED) + 1), np.float32)
    across[..., :-1] = labels[..., columns]
    across[of_shared, :, -1] = ~across[of_shared].any(-1)
    events = {
        modality: [
            EventRow(row.filename, kept)
            for row in table
            if (kept := tuple(event for event in row.events if event.label in SHARED))
        ]
        for modality, table in read_avvp(root / "AVVP").rows.items()
    }
    write_ave_avvp(root / "AVE_AVVP", SHARED, np.array(of_shared), across, events)
    return root
