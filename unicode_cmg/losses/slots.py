"""Slots of two models: how alike they are, which of them pair up, and the contrast that aligns the pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from unicode_cmg.errors import InputError, at_least, one_of, positive
from unicode_cmg.losses._masked import at_least_float32, mean_of_clips

LARGEST_EXPONENT = 60.0
"""Bounds the gradient that a dropped slot's factor gets; not reached at temperatures of 1/30 and more."""


def slot_similarity(
    teacher: Float[Tensor, "batch teacher dim"], joint: Float[Tensor, "batch joint dim"]
) -> Float[Tensor, "batch teacher joint"]:
    """`C[k, l] = cos(s_k, s^_l)`, each slot of a teacher against each joint slot (SGA paper eq. 1).

    The text above the equation says dot product; the equation divides by the lengths, and so do we. A slot of
    length 0 is like nothing: its similarities are 0. Computed in float32 or better under autocast.
    """
    with torch.autocast(teacher.device.type, enabled=False):
        return _unit(teacher) @ _unit(joint).mT


def top_pairs(
    similarity: Float[Tensor, "batch teacher joint"],
    keep_teacher: Float[Tensor, "batch teacher"],
    keep_joint: Float[Tensor, "batch joint"],
    *,
    matching: Literal["top", "one-to-one"] = "top",
) -> Bool[Tensor, "batch teacher joint"]:
    """The slots of a teacher and of the joint representation that are to agree (SGA paper eq. 2).

    `top` takes the `K_m` largest entries of each sample's matrix, where `K_m` is the number of slots kept of
    the teacher in that sample. A slot may be in several pairs and another one in none. `one-to-one` takes the
    pairs of the largest total similarity in which no slot occurs twice (scipy's assignment, sample by sample
    on the CPU): `K_m` of them, or as many as joint slots are kept where those are fewer.

    Args:
        similarity: `[B, L_m, L]`; it gets no gradient from here.
        keep_teacher: `[B, L_m]`, above 0.5 where a slot is kept; the others are in no pair.
        keep_joint: `[B, L]`, likewise.
        matching: `top` or `one-to-one`.

    Returns:
        True at the pairs. Of equal entries `top` takes the earlier one, row by row.

    Raises:
        InputError: The matching is unknown.
    """
    one_of("top_pairs", ("top", "one-to-one"), matching=matching)
    kept_teacher, kept_joint = keep_teacher > 0.5, keep_joint > 0.5
    if matching == "one-to-one":
        return _assigned(similarity.detach(), kept_teacher, kept_joint)
    admissible = kept_teacher.unsqueeze(2) & kept_joint.unsqueeze(1)
    entries = similarity.detach().masked_fill(~admissible, -torch.inf).flatten(1)
    order = entries.argsort(dim=1, descending=True, stable=True)
    within = torch.arange(entries.shape[1], device=entries.device) < kept_teacher.sum(1, keepdim=True)
    return torch.zeros_like(within).scatter(1, order, within).view_as(admissible) & admissible


def slot_contrast(
    similarity: Mapping[str, Float[Tensor, "batch _ joint"]],
    pairs: Mapping[str, Bool[Tensor, "batch _ joint"]],
    teacher_slots: Mapping[str, Float[Tensor, "batch _ dim"]],
    teacher_keep: Mapping[str, Float[Tensor, "batch _"]],
    joint_slots: Float[Tensor, "batch joint dim"],
    joint_keep: Float[Tensor, "batch joint"],
    *,
    form: Literal["paper", "bounded"],
    temperature: float = 1.0,
) -> Float[Tensor, ""]:
    """Paired slots attract each other, slots of one model repel each other (SGA paper eq. 3).

    For one sample and teacher m, with `P` the sum of `exp(C[k, l])` over its pairs and `I` the sum of
    `exp(cos)` over all ordered pairs of different slots of that teacher, plus the same over the joint slots,

    - `paper` is `log I - log P`, as printed. It has no lower bound: a dropped slot takes its entries out of
      `I`, and with one slot left on each side `I` is empty and the loss minus infinity. Such a sample has no
      term for that teacher here and is left out of the mean, so nothing brings its slots back either.
    - `bounded` is `log(I + P) - log P`, which is 0 or more, and 0 with one slot left on each side.

    Every exponential is multiplied by the `keep` of both its slots, so the loss also has a gradient in
    whether a slot is kept, dropped slots included. A sample without any pair has no term either. The mean is
    over all samples and teachers that have one; the paper prints the loss of a single sample and no
    temperature. Computed in float32 or better under autocast.

    Args:
        similarity: Teacher -> `[B, L_m, L]`, of `slot_similarity`.
        pairs: Teacher -> `[B, L_m, L]`, of `top_pairs`.
        teacher_slots: Teacher -> `[B, L_m, D]`.
        teacher_keep: Teacher -> `[B, L_m]`, 1 for a kept slot and 0 for a dropped one, usually with a
            straight-through gradient.
        joint_slots: `[B, L, D]`.
        joint_keep: `[B, L]`, likewise.
        form: `paper` or `bounded`.
        temperature: Divides all cosines.

    Raises:
        InputError: There is no teacher, the mappings name different ones, the form is unknown, or the
            temperature is not positive.
    """
    where = "slot_contrast"
    at_least(where, 1, teachers=len(similarity))
    for name, given in (("pairs", pairs), ("slots", teacher_slots), ("keep", teacher_keep)):
        if given.keys() != similarity.keys():
            what, expected = f"{name} of teachers {sorted(given)}", f"of {sorted(similarity)}"
            raise InputError(what, where=where, expected=expected)
    one_of(where, ("paper", "bounded"), form=form)
    positive(where, temperature=temperature)
    with torch.autocast(joint_slots.device.type, enabled=False):
        joint_keep = at_least_float32(joint_keep)
        joint = _within(joint_slots, joint_keep)
        losses, defined = [], []
        for m, cosines in similarity.items():
            keep = at_least_float32(teacher_keep[m])
            both = pairs[m] * keep.unsqueeze(2) * joint_keep.unsqueeze(1)
            paired_slots = (at_least_float32(cosines).flatten(1), both.flatten(1))
            own_slots = [_within(teacher_slots[m], keep), joint]
            attraction, paired = _log_sum([paired_slots], temperature)
            repulsion, opposed = _log_sum(
                [*own_slots, paired_slots] if form == "bounded" else own_slots, temperature
            )
            losses.append(repulsion - attraction)
            defined.append(paired & opposed)
        return mean_of_clips(torch.stack(losses, 1), torch.stack(defined, 1))


def _unit(slots: Float[Tensor, "batch slots dim"]) -> Float[Tensor, "batch slots dim"]:
    return functional.normalize(at_least_float32(slots), dim=-1)


def _assigned(
    similarity: Float[Tensor, "batch teacher joint"],
    kept_teacher: Bool[Tensor, "batch teacher"],
    kept_joint: Bool[Tensor, "batch joint"],
) -> Bool[Tensor, "batch teacher joint"]:
    from scipy.optimize import linear_sum_assignment  # takes two seconds to import

    # it refuses NaN; a run that has diverged should end where its loss is looked at, not here.
    scores = np.nan_to_num(similarity.cpu().double().numpy())
    chosen = np.zeros(scores.shape, dtype=bool)
    samples = zip(kept_teacher.cpu().numpy(), kept_joint.cpu().numpy(), strict=True)
    for at, (teacher, joint) in enumerate(samples):
        rows, columns = np.flatnonzero(teacher), np.flatnonzero(joint)
        row, column = linear_sum_assignment(scores[at][np.ix_(rows, columns)], maximize=True)
        chosen[at, rows[row], columns[column]] = True
    return torch.from_numpy(chosen).to(similarity.device)


def _within(
    slots: Float[Tensor, "batch slots dim"], keep: Float[Tensor, "batch slots"]
) -> tuple[Float[Tensor, "batch entries"], Float[Tensor, "batch entries"]]:
    """Cosine and weight of each ordered pair of slots of one model; a slot with itself weighs nothing."""
    unit = _unit(slots)
    others = ~torch.eye(keep.shape[1], dtype=torch.bool, device=keep.device)
    weights = others * keep.unsqueeze(2) * keep.unsqueeze(1)
    return (unit @ unit.mT).flatten(1), weights.flatten(1)


def _log_sum(
    entries: Sequence[tuple[Float[Tensor, "batch _"], Float[Tensor, "batch _"]]], temperature: float
) -> tuple[Float[Tensor, " batch"], Bool[Tensor, " batch"]]:
    """`log sum_i w_i exp(c_i / temperature)` of each row, and whether anything weighs; 0 where nothing does.

    Weights of 0 get the gradient that the formula has there; by `logsumexp` and `log w_i` it would be NaN.

    Args:
        entries: Cosines and weights, side by side.
        temperature: Divides the cosines.
    """
    cosines, weights = (torch.cat(parts, dim=1) for parts in zip(*entries, strict=True))
    weighs = weights > 0
    some = weighs.any(1)
    logits = cosines / temperature
    peak = logits.detach().masked_fill(~weighs, -torch.inf).amax(1)
    peak = torch.where(some, peak, 0)
    scaled = (logits - peak.unsqueeze(1)).clamp(max=LARGEST_EXPONENT).exp()
    total = (weights * scaled).sum(1)
    return torch.where(some, total, 1).log() + peak, some
