"""What an evaluation needs of a data set of labelled clips."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int64


@runtime_checkable
class ClipTask(Protocol):
    """Clips of one class each, seen through several modalities, in published splits."""

    @property
    def root(self) -> str:
        """Name of the folder the clips were read from."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their numbers."""

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities."""

    def rows(self, split: str) -> Int64[np.ndarray, " rows"]:
        """Row numbers of a published split, in its order."""

    def shared_rows(self) -> Int64[np.ndarray, " shared"]:
        """Rows whose source video is also the source of a row of another split."""

    def labels(self, rows: Int64[np.ndarray, " rows"]) -> Int64[np.ndarray, " rows"]:
        """Class of each clip."""

    def features(self, modality: str, rows: Int64[np.ndarray, " rows"]) -> Float[np.ndarray, "rows time ..."]:
        """Features of one modality."""

    def mask(self, modality: str, rows: Int64[np.ndarray, " rows"]) -> Bool[np.ndarray, "rows time"]:
        """True where a step is real."""

    def fingerprint(self) -> str:
        """SHA-256 of what the clips are: equal for equal data, whatever the folder is called."""
