"""The records that flow between stages: a batch of features by modality, its checks, and its codes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from unicode_cmg.draws import ClipDraws
from unicode_cmg.errors import InputError, unknown


def can_name_module(name: str) -> bool:
    """Whether a modality, or anything else with a submodule of its own, can be a key of `nn.ModuleDict`."""
    return bool(name) and "." not in name and not hasattr(nn.ModuleDict(), name)


def cleared(x: Float[Tensor, "*shape"], mask: Bool[Tensor, "*leading"] | None) -> Float[Tensor, "*shape"]:
    """`x` with zeros where the mask is False: what stood there, even NaN, has no influence and no gradient.

    A factor of 0 would not do: 0 times NaN is NaN, also in the backward pass.

    Args:
        x: `[B, T, ...]`, or `[B, ...]`.
        mask: Of the first axes of `x`; None leaves `x` as it is.
    """
    if mask is None:
        return x
    return torch.where(mask.view(*mask.shape, *[1] * (x.ndim - mask.ndim)), x, 0)


def _shapes(tensors: Mapping[str, Tensor]) -> str:
    return ", ".join(f"{name} {list(x.shape)}" for name, x in tensors.items())


@dataclass(frozen=True)
class FeatureBatch:
    """Features of the same clips in several modalities; a clip may lack any of them.

    Attributes:
        features: Modality name -> `[batch, time, ...]` floats: `[B, T, C]`, or `[B, T, H, W, C]` for video
            with its spatial grid (channels last, as the published features are).
        masks: Modality name -> `[batch, time]` booleans, True where the step is real and not padding. A clip
            without any real step lacks the modality; what stands in its features has no influence.
        draws: What each clip draws in this step, such as for dropout; None draws from torch's global
            generator.
    """

    features: Mapping[str, Float[Tensor, "batch time ..."]]
    masks: Mapping[str, Bool[Tensor, "batch time"]]
    draws: ClipDraws | None = None

    @classmethod
    def of(cls, features: Mapping[str, Tensor]) -> FeatureBatch:
        """A batch in which every step is valid."""
        return cls(
            dict(features),
            {m: torch.ones(x.shape[:2], dtype=torch.bool, device=x.device) for m, x in features.items()},
        )

    def __repr__(self) -> str:
        return f"FeatureBatch({_shapes(self.features)})"

    def __len__(self) -> int:
        return next(iter(self.features.values())).shape[0]

    def only(self, modalities: Iterable[str]) -> FeatureBatch:
        """The same clips in these modalities alone; one that is not there is left out."""
        names = [m for m in modalities if m in self.features]
        features, masks = {m: self.features[m] for m in names}, {m: self.masks[m] for m in names}
        return FeatureBatch(features, masks, self.draws)

    def drawing(self, generator: torch.Generator) -> FeatureBatch:
        """The same batch with draws of its clips, from a CPU generator."""
        device = next(iter(self.features.values())).device
        return replace(self, draws=ClipDraws.of(len(self), generator, device=device))

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> FeatureBatch:
        """The same batch on another device, there its features may get another dtype."""
        draws = self.draws
        if draws is not None:
            draws = replace(draws, keys=draws.keys.to(device=device, non_blocking=True))
        return FeatureBatch(
            {m: x.to(device, non_blocking=True).to(dtype or x.dtype) for m, x in self.features.items()},
            {m: x.to(device=device, non_blocking=True) for m, x in self.masks.items()},
            draws,
        )


@dataclass(frozen=True)
class Encoding:
    """What `model.encode` returns for one modality.

    Attributes:
        general: `[B, T, D]` modality-general features before quantization.
        codes: `[B, T, K*D]` codewords of the K code layers, concatenated.
        indices: `[B, T, K]` int64, the index of each codeword in its code layer.
        unquantized: `[B, T, K*D]` what each of the K code layers quantized, side by side as the codes are:
            `general` for a method with one codebook; a residual codebook was given what those before it left
            over, and a deeper layer of H-DCID has general features of its own.
    """

    general: Float[Tensor, "batch time dim"]
    codes: Float[Tensor, "batch time code_dim"]
    indices: Int64[Tensor, "batch time layers"]
    unquantized: Float[Tensor, "batch time code_dim"]

    def __repr__(self) -> str:
        return f"Encoding({_shapes(vars(self))})"


@dataclass(frozen=True)
class StepView:
    """What a training step shows to regularizers: the named tensors of one batch, with their graph.

    Attributes:
        features: Column of the feature store -> `[B, T, ...]` features as they were read: the modalities of
            the method, and the columns that regularizers asked for beside them.
        masks: Column -> `[B, T]` True where a step is valid; it holds for `general` and `specific` too.
        general: Modality of the method -> `[B, T, D]` modality-general features of every step, before
            quantization.
        specific: Modality -> `[B, T, S]` modality-specific features, one vector a step; modalities and
            methods without them are not named.
        codes: Modality -> `[B, T', D]` codewords, with gradients as if they were not quantized. T' is 1 in a
            method that codes clips as a whole.
        code_masks: Modality -> `[B, T']` True where a code is valid.
    """

    features: Mapping[str, Float[Tensor, "batch _ ..."]]
    masks: Mapping[str, Bool[Tensor, "batch _"]]
    general: Mapping[str, Float[Tensor, "batch _ dim"]]
    specific: Mapping[str, Float[Tensor, "batch _ _"]]
    codes: Mapping[str, Float[Tensor, "batch _ dim"]]
    code_masks: Mapping[str, Bool[Tensor, "batch _"]]

    def cleared(self) -> StepView:
        """The same view with zeros where a step or code is not valid, and no gradient there."""

        def valid(x: Tensor, mask: Tensor) -> Tensor:
            return cleared(x, mask if mask.shape[1] == x.shape[1] else mask.any(1, keepdim=True))

        return replace(
            self,
            features={m: valid(x, self.masks[m]) for m, x in self.features.items()},
            general={m: valid(z, self.masks[m]) for m, z in self.general.items()},
            specific={m: valid(z, self.masks[m]) for m, z in self.specific.items()},
            codes={m: valid(z, self.code_masks[m]) for m, z in self.codes.items()},
        )

    def with_columns(self, batch: FeatureBatch) -> StepView:
        """The same view with the columns of `batch` that it lacks."""
        return replace(
            self, features={**batch.features, **self.features}, masks={**batch.masks, **self.masks}
        )


@runtime_checkable
class FeatureShape(Protocol):
    """What a configuration says of the features of one modality."""

    @property
    def dim(self) -> int:
        """Channels."""

    @property
    def grid(self) -> tuple[int, int] | None:
        """Height and width; None for one vector a step."""


def check_batch(
    batch: FeatureBatch, shapes: Mapping[str, FeatureShape], *, aligned: Collection[str] | None = None
) -> None:
    """Refuse a batch that lacks a modality or whose features have another shape.

    Args:
        batch: The batch.
        shapes: Modality -> what the method was configured for.
        aligned: Modalities that must have the same number of steps; default: all.

    Raises:
        InputError: It does not fit.
    """
    given, known = set(batch.features), set(shapes)
    if given != known:
        name = sorted(given ^ known)[0]
        raise InputError(
            f"modality '{name}' is {'unknown to the model' if name in given else 'missing'}",
            where="batch",
            expected=f"exactly {', '.join(sorted(known))}",
        )
    for m, x in batch.features.items():
        check_features(m, x, shapes)
    lengths = {m: x.shape[1] for m, x in batch.features.items() if aligned is None or m in aligned}
    if len(set(lengths.values())) > 1:
        raise InputError(
            f"clips have different lengths: {', '.join(f'{m} {n}' for m, n in lengths.items())} steps",
            where="batch",
            expected="the same number of steps in every modality",
            fix="bring them to common steps, by data import --align or unicode_cmg.data.align",
        )


def check_features(modality: str, features: Tensor, shapes: Mapping[str, FeatureShape]) -> None:
    """Refuse the features of an unknown modality, or of another shape than configured.

    Raises:
        InputError: They do not fit.
    """
    if modality not in shapes:
        raise unknown("modality", modality, shapes, where="model")
    want = (*(shapes[modality].grid or ()), shapes[modality].dim)
    if features.ndim != 2 + len(want) or tuple(features.shape[2:]) != want or features.shape[1] == 0:
        raise InputError(
            f"'{modality}' features of shape {list(features.shape)}",
            where="model",
            expected=f"[batch, time >= 1, {', '.join(map(str, want))}]",
            fix="use the features the model was configured for",
        )
