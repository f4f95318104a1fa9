"""AVE: classify the event of a ten-second clip, with a head trained on another modality of it.

28 classes, 3339/402/402 clips as published; any data set in the AVE layout will do.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int64

from unicode_cmg.data.layouts.ave import AVEData, read_ave

_SAMPLED_ROWS = 16  # of 7.7 GB of video; labels, splits and ids are hashed whole


@dataclass(frozen=True)
class AVETask:
    """An AVE folder as a `ClipTask`."""

    root: str
    data: AVEData

    @classmethod
    def read(cls, data_root: Path) -> AVETask:
        """Open the folder that contains `AVE/`, or `AVE/`, or its `data/`.

        Raises:
            InputError: As `read_ave`.
        """
        return cls(
            data_root.resolve().name,
            read_ave(data_root / "AVE" if (data_root / "AVE").is_dir() else data_root),
        )

    @property
    def classes(self) -> tuple[str, ...]:
        return self.data.classes

    @property
    def modalities(self) -> tuple[str, ...]:
        return tuple(self.data.modalities)

    def rows(self, split: str) -> Int64[np.ndarray, " rows"]:
        return self.data.order[split]

    def shared_rows(self) -> Int64[np.ndarray, " shared"]:
        return self.data.shared_rows()

    def labels(self, rows: Int64[np.ndarray, " rows"]) -> Int64[np.ndarray, " rows"]:
        return self.data.clip_labels(rows)

    def features(self, modality: str, rows: Int64[np.ndarray, " rows"]) -> Float[np.ndarray, "rows time ..."]:
        return self.data.features(modality, rows)

    def mask(self, modality: str, rows: Int64[np.ndarray, " rows"]) -> Bool[np.ndarray, "rows time"]:
        return self.data.mask(modality, rows)

    def fingerprint(self) -> str:
        digest = hashlib.sha256("\n".join([*self.classes, *self.data.video_ids]).encode())
        digest.update(np.ascontiguousarray(self.data.labels, dtype="<f4").tobytes())
        for split, order in sorted(self.data.order.items()):
            digest.update(split.encode() + np.ascontiguousarray(order, dtype="<i8").tobytes())
        sample = np.unique(np.linspace(0, len(self.data.annotations) - 1, _SAMPLED_ROWS).astype(np.int64))
        for modality in sorted(self.modalities):
            features = np.ascontiguousarray(self.features(modality, sample), dtype="<f4")
            digest.update(f"{modality}{features.shape}".encode() + features.tobytes())
        return digest.hexdigest()
