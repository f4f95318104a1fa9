"""Which code the modalities of a step choose together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from unicode_cmg.batch import cleared
from unicode_cmg.codebook.quantizer import Features, Masks, Quantized


@dataclass(frozen=True)
class Joint:
    """The common choices of a batch.

    Attributes:
        features: Modality -> `[B, T, D]` features on the clock of the modalities that share one; a step of a
            free modality stands where it joined, the mean of them where several did.
        masks: Modality -> `[B, T]` True where there is one.
        indices: Modality -> `[B, T]` the code of each step of that clock, the same in every modality.
        assigned: Modality -> `[B, T_m]` the code of each of its own steps.
    """

    features: Mapping[str, Float[Tensor, "batch time dim"]]
    masks: Mapping[str, Bool[Tensor, "batch time"]]
    indices: Mapping[str, Int64[Tensor, "batch time"]]
    assigned: Mapping[str, Int64[Tensor, "batch _"]]

    @classmethod
    @torch.no_grad()
    def of(
        cls,
        features: Features,
        masks: Masks,
        free: Collection[str],
        quantize: Callable[[Float[Tensor, "batch time dim"]], Quantized],
    ) -> Joint:
        """Choose one code a step for all modalities: the nearest to the mean of those that are there.

        `argmin_h sum_m ||z^m - e_h||^2 = argmin_h ||mean_m z^m - e_h||^2`.

        Args:
            features: `[B, T, D]` by modality.
            masks: `[B, T]`, True where a step is real.
            free: Modalities whose steps are not those of the others. If all are, none is.
            quantize: Finds the nearest codeword.
        """
        real = {
            m: torch.ones_like(z[..., 0], dtype=torch.bool) if masks is None or m not in masks else masks[m]
            for m, z in features.items()
        }
        clock = {m: cleared(z.detach(), real[m]) for m, z in features.items()}
        joins: dict[str, Int64[Tensor, "batch _"]] = {}
        timed = [m for m in features if m not in free] or list(features)
        mean, there = _mean({m: clock[m] for m in timed}, real)
        for m in features:
            if m not in timed:
                joins[m] = _nearest_steps(clock[m], mean, there)
                clock[m], real[m] = _moved(clock[m], real[m], joins[m], mean.shape[1])
        mean, _ = _mean(clock, real)
        indices = quantize(mean).indices[..., 0]
        assigned = {m: indices.gather(1, joins[m]) if m in joins else indices for m in features}
        return cls(clock, real, dict.fromkeys(features, indices), assigned)


def _mean(
    features: Mapping[str, Float[Tensor, "batch time dim"]], masks: Mapping[str, Bool[Tensor, "batch time"]]
) -> tuple[Float[Tensor, "batch time dim"], Bool[Tensor, "batch time"]]:
    """Mean over the modalities that have a step, and whether any has."""
    number = torch.stack([masks[m] for m in features]).sum(0)
    total = torch.stack(list(features.values())).sum(0)
    return total / number.clamp(min=1).unsqueeze(-1), number > 0


def _nearest_steps(
    free: Float[Tensor, "batch own dim"],
    mean: Float[Tensor, "batch time dim"],
    there: Bool[Tensor, "batch time"],
) -> Int64[Tensor, "batch own"]:
    """For each step of a free modality the step of the clock that is nearest; its own place without any."""
    distances = torch.cdist(free, mean).masked_fill(~there.unsqueeze(1), torch.inf)
    places = torch.arange(free.shape[1], device=free.device).clamp(max=mean.shape[1] - 1)
    return torch.where(there.any(1, keepdim=True), distances.argmin(-1), places)


def _moved(
    x: Float[Tensor, "batch own dim"],
    real: Bool[Tensor, "batch own"],
    places: Int64[Tensor, "batch own"],
    time: int,
) -> tuple[Float[Tensor, "batch time dim"], Bool[Tensor, "batch time"]]:
    """Steps at other places of their clips, the mean where several come together; and where there is any."""
    number = x.new_zeros(len(x), time).scatter_add_(1, places, real.to(x.dtype))
    total = x.new_zeros(len(x), time, x.shape[-1])
    total.scatter_add_(1, places.unsqueeze(-1).expand_as(x), x)
    return total / number.clamp(min=1).unsqueeze(-1), number > 0
