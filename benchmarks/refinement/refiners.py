"""Refiners: rules that make the codes of a code layer smaller, with their settings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float, Int64
from pydantic import Field, field_validator
from torch import Tensor

from benchmarks.evaluation.heads import LabelledCodes
from benchmarks.refinement.matching import codebook_array, codebook_errors
from benchmarks.refinement.merging import merged_view
from benchmarks.refinement.views import KeptDims, LayerView, Projected, Use, view_of
from toc import VARIANTS, merge_codes, optimize
from toc.dimensions import how_many
from unicode_cmg.config import Config
from unicode_cmg.errors import InputError

Size = int | float | Literal["auto"]
"""How many dimensions: a number, a fraction of D, or as many as TOC finds right without being told."""


@dataclass(frozen=True)
class CodeLayer:
    """What a refiner may look at to refine one code layer.

    Attributes:
        name: Of the code layer.
        place: Among the evaluated code layers, from 0.
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
        return codebook_array(self.codebook)


class Refiner(Config, ABC):
    """A rule that makes codes smaller; `refiner` is its name in configurations."""

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
    def views(self, layer: CodeLayer) -> list[list[LayerView]]:
        """For each size of `keep`, what heads see of a code layer: one view, or one for each random draw.

        Raises:
            InputError: A size is not possible, or the codebook cannot be refined.
        """

    def counts(self, layer: CodeLayer) -> list[int]:
        """Each size of `keep` as a number of dimensions.

        Raises:
            InputError: The codebook has fewer, or cannot be scored for `auto`.
        """
        codes = layer.codewords
        with codebook_errors(f"code layer {layer.name}"):
            return [
                len(optimize(codes, size).indices) if size == "auto" else how_many(size, codes.shape[1])
                for size in self.keep
            ]


class TOCRefiner(Refiner):
    """The dimensions that score best in the codebook (FCID paper eq. 9; TOC paper eq. 11).

    `lam: 0` is the similarity alone (S), `lam: 1` the variance alone (V).
    """

    refiner: Literal["toc"]
    lam: float = Field(default=0.3, ge=0, le=1, description="weight of the variance against the similarity")
    variant: str = Field(
        default="corrected", description="definition of the scores: ours, the papers', or a released script's"
    )
    center: bool | Literal["auto"] | None = Field(
        default=None,
        description="score the codebook less its mean codeword; auto: where a common offset would decide; "
        "by default as the variant says, or auto",
    )
    use: Use = Field(
        default="slice", description="look at the kept dimensions of the codes, or choose codes anew in them"
    )

    @field_validator("variant")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in VARIANTS:
            raise ValueError(f"unknown variant '{value}'; expected one of {', '.join(VARIANTS)}")
        return value

    @property
    def requantizes(self) -> bool:
        return self.use == "requantize"

    def views(self, layer: CodeLayer) -> list[list[LayerView]]:
        options = {"lam": self.lam, **VARIANTS[self.variant]}
        if self.center is not None:
            options["center"] = self.center
        with codebook_errors(f"code layer {layer.name}"):
            selections = [optimize(layer.codewords, size, layer=layer.name, **options) for size in self.keep]
        return [[view_of(selection, self.use, layer.codebook)] for selection in selections]


class RandomRefiner(Refiner):
    """Dimensions drawn at random: what a selection has to beat."""

    refiner: Literal["random"]
    draws: int = Field(default=10, ge=1, description="how many selections; results are their mean")
    seed: int = Field(default=0, ge=0, description="of the draws")

    def views(self, layer: CodeLayer) -> list[list[LayerView]]:
        """The order of a draw is the same for every size: the smaller selection lies in the larger one."""
        orders = [
            np.random.default_rng([self.seed, draw, layer.place]).permutation(layer.codebook.shape[1])
            for draw in range(self.draws)
        ]
        return [[_first(order, count) for order in orders] for count in self.counts(layer)]


class PCARefiner(Refiner):
    """Coordinates along the directions in which the codes vary most: mixed from all dimensions.

    Like TOC it needs the codebook alone.
    """

    refiner: Literal["pca"]

    def views(self, layer: CodeLayer) -> list[list[LayerView]]:
        from sklearn.decomposition import PCA

        counts, most = self.counts(layer), min(layer.codewords.shape)
        if max(counts) > most:
            raise InputError(
                f"{max(counts)} principal components of {len(layer.codewords)} codes",
                where=f"code layer {layer.name}",
                expected=f"at most {most}",
            )
        fitted = PCA(max(counts), svd_solver="full").fit(layer.codewords)
        return [[Projected(fitted.mean_, fitted.components_[:count].T.copy())] for count in counts]


class SparseProbeRefiner(Refiner):
    """An oracle: the dimensions with the largest weights in logistic regressions with an L1 penalty.

    It looks at the labels of the training clips of the source modality, which the others may not: what it
    gains over them is the price of going without. There is one regression for each class, on the codewords
    of each step where steps have labels, else on their mean over the steps of a clip. The importance of a
    dimension is the sum over the classes of its absolute weights, times its standard deviation.

    Dimensions keep their scales, as heads see them: standardised, those that hardly vary would look as good
    as any, and heads, which learn in steps of one length, can do little with them.
    """

    uses_labels: ClassVar[bool] = True

    refiner: Literal["l1"]
    strength: float = Field(
        default=0.1,
        gt=0,
        description="inverse weight of the penalty (C of scikit-learn), for codes with a mean variance of 1",
    )

    def views(self, layer: CodeLayer) -> list[list[LayerView]]:
        order = np.argsort(-self._importances(layer), kind="stable")
        return [[_first(order, count)] for count in self.counts(layer)]

    def _importances(self, layer: CodeLayer) -> Float[np.ndarray, " dim"]:
        from sklearn.multiclass import OneVsRestClassifier

        if layer.training is None:
            raise RuntimeError("a refiner that uses labels was asked to refine a task without heads")
        clips = layer.training
        codes = clips.tables[layer.place][clips.indices[..., layer.place]].cpu().numpy()
        labels = clips.labels.cpu().numpy()
        if labels.ndim == 1:
            rows, truth = codes.mean(axis=1), labels[:, None] == np.unique(labels)
        else:
            rows, truth = codes.reshape(-1, codes.shape[-1]), labels.reshape(-1, labels.shape[-1]) > 0
        truth = truth[:, truth.any(axis=0) & ~truth.all(axis=0)]
        rows = rows.astype(np.float64)
        rows -= rows.mean(axis=0)
        spread = rows.std(axis=0)
        rows /= np.sqrt(np.square(spread).mean()) or 1.0
        models = OneVsRestClassifier(_sparse_regression(self.strength)).fit(rows, truth.astype(np.int64))
        weights = np.concatenate([model.coef_ for model in models.estimators_])
        total: Float[np.ndarray, " dim"] = np.abs(weights).sum(axis=0) * spread
        return total


class MergeRefiner(Refiner):
    """Codes merged by Ward's method, see `toc.merge_codes`; heads see the mean codeword of each group.

    Sizes are numbers of codes, or fractions of them; `auto` takes the strongest elbow, however weak it is.
    The number of dimensions stays the same.
    """

    refiner: Literal["merge"]

    def views(self, layer: CodeLayer) -> list[list[LayerView]]:
        codes = layer.codewords
        with codebook_errors(f"code layer {layer.name}"):
            sizes = [max(2, round(s * len(codes))) if isinstance(s, float) else s for s in self.keep]
            merges = [merge_codes(codes, size, force=True, layer=layer.name) for size in sizes]
        return [[merged_view(merge, layer.codebook)] for merge in merges]


AnyRefiner = Annotated[
    TOCRefiner | MergeRefiner | RandomRefiner | PCARefiner | SparseProbeRefiner,
    Field(discriminator="refiner"),
]
_NAMES = ("toc", "merge", "random", "pca", "l1")


class RefineSection(Config):
    """Refiners by name, as a part of other configurations."""

    refine: dict[str, AnyRefiner] = Field(
        default={}, description="name -> a refiner of the codebooks, evaluated on every run"
    )

    @field_validator("refine", mode="before")
    @classmethod
    def _known_refiners(cls, value: Any) -> Any:
        for name, settings in value.items() if isinstance(value, Mapping) else ():
            kind = settings.get("refiner") if isinstance(settings, Mapping) else None
            if kind not in _NAMES:
                raise ValueError(f"'{name}' has the refiner {kind!r}; expected one of {', '.join(_NAMES)}")
        return value


def parse_refiners(values: Mapping[str, Any]) -> dict[str, Refiner]:
    """Refiners from plain values, such as `{"half": {"refiner": "toc", "keep": 0.5}}`.

    Raises:
        InputError: A refiner is unknown, or one of its settings is unknown or wrong.
    """
    return dict(RefineSection.parse({"refine": values}, where="refinements").refine)


def _first(order: Int64[np.ndarray, " dim"], count: int) -> KeptDims:
    return KeptDims(np.sort(order[:count]).astype(np.int64))


def _sparse_regression(strength: float) -> Any:
    from sklearn.linear_model import LogisticRegression

    # penalty="l1" became l1_ratio=1 in scikit-learn 1.8, and each is refused by versions of the other kind
    named_before = LogisticRegression().get_params().get("penalty") == "l2"
    options: dict[str, Any] = {"penalty": "l1"} if named_before else {"l1_ratio": 1.0}
    return LogisticRegression(C=strength, solver="liblinear", random_state=0, **options)
