"""What every way of making the codes of a layer smaller has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float, Shaped
from pydantic import Field, field_validator
from torch import Tensor

from benchmarks.evaluation.heads import LabelledCodes
from benchmarks.refinement.views import LayerView
from toc import CodebookError, optimize
from toc.dimensions import how_many
from unicode_cmg.config import Config
from unicode_cmg.errors import InputError

Size = int | float | Literal["auto"]
"""How many dimensions: a number, a fraction of D, or as many as TOC finds right without being told."""


@dataclass(frozen=True)
class LayerMaterial:
    """What a way may look at to refine one code layer.

    Attributes:
        name: Of the layer.
        place: Among the evaluated layers, from 0.
        codebook: `[H, D]`.
        training: The training clips of the modality that heads learn on, for oracles; None without heads.
    """

    name: str
    place: int
    codebook: Float[Tensor, "codes dim"]
    training: LabelledCodes | None

    @cached_property
    def codewords(self) -> Float[np.ndarray, "codes dim"]:
        """The codebook in NumPy."""
        values: Float[np.ndarray, "codes dim"] = self.codebook.detach().float().cpu().numpy()
        return values

    def training_clips(
        self,
    ) -> tuple[Float[np.ndarray, "clips time dim"], Shaped[np.ndarray, " clips *axes"]]:
        """The codewords of the steps of the training clips, and what is true of the clips."""
        if self.training is None:
            raise RuntimeError("a way that uses labels was asked to refine a task without heads")
        vectors = self.training.tables[self.place][self.training.indices[..., self.place]]
        return vectors.cpu().numpy(), self.training.labels.cpu().numpy()


class Way(Config, ABC):
    """A way of refining, with its settings."""

    uses_labels: ClassVar[bool] = False

    keep: tuple[Size, ...] = Field(
        min_length=1,
        description="sizes, one or a list: a number of dimensions, a fraction of them, or auto",
    )

    @field_validator("keep", mode="before")
    @classmethod
    def _sizes(cls, value: Any) -> Any:
        sizes = list(value) if isinstance(value, (list, tuple)) else [value]
        for size in sizes:
            whole = isinstance(size, int) and not isinstance(size, bool) and size >= 1
            if size != "auto" and not whole and not (isinstance(size, float) and 0 < size <= 1):
                raise ValueError(
                    f"{size!r} is no size; expected a number of dimensions, a fraction such as 0.5, or auto"
                )
        return sizes

    @property
    def requantizes(self) -> bool:
        """Whether codes are chosen anew, for which clips are encoded with what was quantized."""
        return False

    @abstractmethod
    def views(self, layer: LayerMaterial) -> list[list[LayerView]]:
        """For each size of `keep`, what heads see of a layer: one view, or one for each random draw.

        Raises:
            InputError: A size is not possible, or the codebook cannot be refined.
        """

    def counts(self, layer: LayerMaterial) -> list[int]:
        """Each size of `keep` as a number of dimensions.

        Raises:
            InputError: The layer has fewer, or its codebook cannot be scored for `auto`.
        """
        codes = layer.codewords
        with codebook_errors(layer.name):
            return [
                len(optimize(codes, size).indices) if size == "auto" else how_many(size, codes.shape[1])
                for size in self.keep
            ]


@contextmanager
def codebook_errors(layer: str) -> Iterator[None]:
    """Turn what TOC says of a codebook into an error that names the layer."""
    try:
        yield
    except CodebookError as error:
        raise InputError(str(error), where=f"code layer {layer}") from None
