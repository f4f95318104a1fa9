"""How the modalities use the codes: perplexity, active codes, shares and agreement."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from unicode_cmg.errors import InputError


def code_counts(
    indices: Int64[Tensor, "*shape"], num_codes: int, mask: Bool[Tensor, "*shape"] | None = None
) -> Int64[Tensor, " codes"]:
    """How often each code occurs among the valid steps."""
    flat = indices.flatten()
    valid = torch.ones_like(flat) if mask is None else mask.flatten().long()
    return flat.new_zeros(num_codes).index_add_(0, flat, valid)


def perplexity_of_counts(counts: Int64[Tensor, " codes"]) -> Float[Tensor, ""]:
    """`exp(-sum_h p_h log p_h)` of how often each code was used: 1 if one code does all, H if all are used
    alike.

    The released code takes `log(p + 1e-10)`; the results agree to 1e-7. Without a single use the result is 1.
    """
    shares = counts.to(torch.float32 if counts.device.type == "mps" else torch.float64) / counts.sum().clamp(
        min=1
    )
    entropy: Tensor = torch.special.entr(shares).sum()
    return entropy.exp()


def perplexity(
    indices: Int64[Tensor, "*shape"], num_codes: int, mask: Bool[Tensor, "*shape"] | None = None
) -> Float[Tensor, ""]:
    """Effective number of codes in use, from 1 to `num_codes`; see `perplexity_of_counts`."""
    return perplexity_of_counts(code_counts(indices, num_codes, mask))


def agreement(
    indices_by_modality: Mapping[str, Int64[Tensor, "batch time"]],
    masks: Mapping[str, Bool[Tensor, "batch time"]] | None = None,
) -> dict[tuple[str, str], Float[Tensor, ""]]:
    """For each pair of modalities, the share of steps valid in both where both chose the same code.

    A pair that shares no valid step has agreement NaN.

    Raises:
        InputError: The modalities are not aligned.
    """
    if not _aligned(indices_by_modality):
        shapes = ", ".join(f"{m} {list(x.shape)}" for m, x in indices_by_modality.items())
        raise InputError(f"modalities differ in shape: {shapes}", where="agreement", expected="aligned steps")
    result = {}
    for (a, x), (b, y) in combinations(indices_by_modality.items(), 2):
        valid = _valid(masks, a, x) & _valid(masks, b, y)
        result[a, b] = ((x == y) & valid).sum() / valid.sum()
    return result


def clip_agreement(
    indices_by_modality: Mapping[str, Int64[Tensor, "batch _"]],
    masks: Mapping[str, Bool[Tensor, "batch _"]] | None = None,
) -> Int64[Tensor, ""]:
    """Number of clips whose most frequent code is the same in all modalities (the released `equal_num`).

    Ties go to the smaller code, as in the released code. Clips without a valid step in some modality do not
    count.
    """
    modal, present = [], []
    for name, indices in indices_by_modality.items():
        valid = _valid(masks, name, indices)
        modal.append(most_frequent(indices, valid))
        present.append(valid.any(-1))
    codes = torch.stack(modal)
    return ((codes == codes[0]).all(0) & torch.stack(present).all(0)).sum()


def usage_statistics(
    indices_by_modality: Mapping[str, Int64[Tensor, "batch _"]],
    num_codes: int,
    masks: Mapping[str, Bool[Tensor, "batch _"]] | None = None,
) -> dict[str, float]:
    """Usage of a codebook in one batch as plain floats, with a single transfer from the device.

    Keys: `perplexity/M` per modality; `active`, codes that any modality uses; `shared`, codes that every
    modality of the batch uses; and, where modalities are aligned, `agreement/A-B` per pair. What a modality
    would say that no clip of the batch has, or a pair that shares no step, is NaN.
    """
    counts = {m: code_counts(x, num_codes, _valid(masks, m, x)) for m, x in indices_by_modality.items()}
    used = torch.stack(list(counts.values())) > 0
    present = used.any(1)
    values = {
        f"perplexity/{m}": torch.where(present[k], perplexity_of_counts(count), torch.nan)
        for k, (m, count) in enumerate(counts.items())
    }
    values["active"] = used.any(0).sum()
    values["shared"] = ((used | ~present.unsqueeze(1)).all(0) & present.any()).sum()
    if _aligned(indices_by_modality):
        for (a, b), share in agreement(indices_by_modality, masks).items():
            values[f"agreement/{a}-{b}"] = share
    numbers = torch.stack([value.float() for value in values.values()]).tolist()
    return dict(zip(values, numbers, strict=True))


def _valid(
    masks: Mapping[str, Bool[Tensor, "batch _"]] | None, modality: str, indices: Int64[Tensor, "batch time"]
) -> Bool[Tensor, "batch time"]:
    mask = None if masks is None else masks.get(modality)
    return torch.ones_like(indices, dtype=torch.bool) if mask is None else mask


def most_frequent(
    indices: Int64[Tensor, "batch time"], valid: Bool[Tensor, "batch time"]
) -> Int64[Tensor, " batch"]:
    """The most frequent code of each clip among its valid steps, the smallest of equals."""
    same = (indices.unsqueeze(-1) == indices.unsqueeze(-2)) & valid.unsqueeze(-2)
    frequency = same.sum(-1).masked_fill(~valid, -1)
    winners = frequency == frequency.max(-1, keepdim=True).values
    return indices.masked_fill(~winners, torch.iinfo(indices.dtype).max).min(-1).values


def _aligned(indices_by_modality: Mapping[str, Tensor]) -> bool:
    return len({tuple(x.shape) for x in indices_by_modality.values()}) == 1
