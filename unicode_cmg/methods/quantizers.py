"""What the methods share about their quantizers: names of index layers, statistics, code matching."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unicode_cmg.codebook import Quantized, Quantizer, usage_statistics
from unicode_cmg.losses import cmcm_loss, reconstruction_loss


def layer_sizes(name: str, quantizer: Quantizer) -> dict[str, int]:
    """Index layer -> number of its codes; `name`, or `name.k` where the quantizer has several codebooks."""
    sizes = quantizer.sizes
    if len(sizes) == 1:
        return {name: sizes[0]}
    return {f"{name}.{k}": size for k, size in enumerate(sizes)}


def codebooks(name: str, quantizer: Quantizer) -> dict[str, Float[Tensor, "_ _"]]:
    """Index layer -> codebook `[H, D]`; empty for a quantizer without codebooks."""
    books = quantizer.codebooks()
    return dict(zip(layer_sizes(name, quantizer), books, strict=True)) if books else {}


def codebook_keys(name: str, quantizer: Quantizer, prefix: str) -> dict[str, str]:
    """Index layer -> key of its codebook in the state dict; the quantizer stands at `prefix`."""
    keys = [f"{prefix}.{key}" for key in quantizer.codebook_keys()]
    return dict(zip(layer_sizes(name, quantizer), keys, strict=True)) if keys else {}


def statistics(
    name: str,
    quantizer: Quantizer,
    quantized: Mapping[str, Quantized],
    masks: Mapping[str, Bool[Tensor, "batch _"]],
) -> dict[str, float]:
    """Perplexity, active codes and agreement between modalities of each index layer, in this batch."""
    result: dict[str, float] = {}
    for k, (layer, size) in enumerate(layer_sizes(name, quantizer).items()):
        indices = {m: q.lookups[k].indices for m, q in quantized.items()}
        result |= {f"{layer}/{key}": v for key, v in usage_statistics(indices, size, masks).items()}
    return result


def code_matching(
    quantized: Mapping[str, Quantized],
    masks: Mapping[str, Bool[Tensor, "batch _"]],
    form: Literal["corrected", "released"],
) -> Float[Tensor, ""]:
    """CMCM, averaged over the codebooks of the quantizer."""
    count = len(next(iter(quantized.values())).lookups)
    losses = [
        cmcm_loss({m: q.lookups[k].squared_distances for m, q in quantized.items()}, masks=masks, form=form)
        for k in range(count)
    ]
    return torch.stack(losses).mean()


def learns_by_gradient(quantizer: Quantizer) -> bool:
    """Whether the codes follow the features by gradient and not by averages."""
    return any(True for _ in quantizer.parameters())


def codebook_losses(
    quantizer: Quantizer,
    general: Mapping[str, Float[Tensor, "batch _ dim"]],
    masks: Mapping[str, Bool[Tensor, "batch _"]],
) -> dict[str, Float[Tensor, ""]]:
    """Modality -> VQ loss `||sg[z^m] - e^m||^2` (TOC paper, appendix A, eq 4).

    MM-EMA takes its place for codebooks, so for these there is none. Without it nothing but reconstruction
    would tell finite scalars what to say of the features, and reconstruction can do without them.
    """
    if not learns_by_gradient(quantizer):
        return {}
    constants = {m: z.detach() for m, z in general.items()}
    return {
        m: reconstruction_loss(quantizer.quantize(z).codes, z, mask=masks[m]) for m, z in constants.items()
    }
