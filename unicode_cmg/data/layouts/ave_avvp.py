"""The published AVE -> AVVP layout: heads are trained on AVE and tested on AVVP, in their shared classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64

from unicode_cmg.data.categories import ave_avvp_classes
from unicode_cmg.data.layouts.arrays import read_array, write_array
from unicode_cmg.data.layouts.ave import KEY, ORDER_KEY, AVEData, read_ave, read_order
from unicode_cmg.data.layouts.avvp import (
    EventClips,
    EventRow,
    read_classes,
    read_events,
    read_splits,
    write_events,
)
from unicode_cmg.data.layouts.tables import data_folder

CATEGORIES = "AVE_AVVP_Categories.txt"
ORDER, LABELS = "ave_avvp_order.h5", "ave_avvp_labels.h5"


@dataclass(frozen=True, eq=False)
class AVEAVVPData:
    """Two data sets in one set of classes.

    Attributes:
        classes: The S shared classes, by their AVVP names.
        ave: The AVE folder; its own labels have other columns.
        order: Rows of AVE that show a shared class, from all three splits.
        ave_labels: `[N, T, S+1]` for all N rows of AVE, background last; zero in rows outside `order`.
        avvp: AVVP's clips that have a shared class, with labels `[rows, 10, S+1]`.
    """

    classes: tuple[str, ...]
    ave: AVEData
    order: Int64[np.ndarray, " rows"]
    ave_labels: Float32[np.ndarray, "clips time columns"]
    avvp: EventClips

    def split_order(self, split: str) -> Int64[np.ndarray, " rows"]:
        """The part of `order` that is in one split of AVE."""
        return self.order[np.isin(self.order, self.ave.order[split])]


def read_ave_avvp(data_root: str | Path) -> AVEAVVPData:
    """Open the folders `AVE`, `AVVP` (its splits and features) and `AVE_AVVP` of a data root.

    Raises:
        InputError: As `read_ave` and `read_avvp`; or the files of `AVE_AVVP` do not fit those.
    """
    root = Path(data_root)
    ave, splits = read_ave(root / "AVE"), read_splits(data_folder(root / "AVVP"))
    tables = data_folder(root / "AVE_AVVP")
    classes = read_classes(tables / CATEGORIES, tuple(avvp for avvp, _ in ave_avvp_classes()))
    labels = read_array(tables / LABELS, KEY, (*ave.labels.shape[:2], len(classes) + 1)).astype(np.float32)
    order = read_order(tables / ORDER, len(ave.labels))
    events = read_events(root / "AVVP", tables, "AVE_AVVP", classes, splits)
    return AVEAVVPData(classes, ave, order, labels, events)


def write_ave_avvp(
    root: Path,
    classes: Sequence[str],
    order: Int64[np.ndarray, " rows"],
    ave_labels: Float32[np.ndarray, "clips time columns"],
    events: Mapping[str, Sequence[EventRow]],
) -> None:
    """Write the folder `root`; arguments as the attributes of `AVEAVVPData`, events by modality."""
    tables = root / "data"
    tables.mkdir(parents=True)
    (tables / CATEGORIES).write_text("\n".join(classes) + "\n", encoding="utf-8")
    write_array(tables / ORDER, ORDER_KEY, order)
    write_array(tables / LABELS, KEY, ave_labels)
    write_events(tables, "AVE_AVVP", events, separators={"_checked": ",", "_checked_combined": "\t"})
