"""What stands where a mask is False has no influence on any loss and gets no gradient, even if it is NaN."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from unicode_cmg.losses import (
    CLUB,
    CrossModalCPC,
    cmcm_loss,
    commitment_loss,
    gram_loss,
    info_nce,
    reconstruction_loss,
    slot_retrieval_loss,
    structure_loss,
)
from unicode_cmg.losses.club import among_present

CLIPS, STEPS, DIM = 5, 3, 4
NAMES = ("a", "b", "c")
torch.manual_seed(0)
CRITIC = CLUB(x_dim=DIM, y_dim=DIM, hidden=8).double()
CPC = CrossModalCPC(NAMES, dim=DIM).double()

Values = dict[str, Tensor]
LOSSES: dict[str, Callable[[Values, Values], Tensor]] = {
    "reconstruction": lambda x, mask: reconstruction_loss(x["a"], x["b"], mask["a"] & mask["b"]),
    "commitment": lambda x, mask: sum(commitment_loss(x, x, masks=mask).values()),
    "club": lambda x, mask: CRITIC.mutual_information(
        x["a"], x["b"], torch.arange(CLIPS).flip(0), mask["a"] & mask["b"]
    ),
    "club, released": lambda x, mask: CRITIC.mutual_information(
        x["a"], x["b"], torch.arange(CLIPS).flip(0), mask["a"] & mask["b"], form="released"
    ),
    "club, all": lambda x, mask: CRITIC.mutual_information(
        x["a"], x["b"], mask=mask["a"] & mask["b"], negatives="all"
    ),
    "club of clips, released": lambda x, mask: CRITIC.mutual_information(
        x["a"][:, 0], x["b"][:, 0], torch.arange(CLIPS), (mask["a"] & mask["b"])[:, 0], form="released"
    ),
    "critic": lambda x, mask: CRITIC.log_likelihood(x["a"], x["b"], mask["a"] & mask["b"]),
    "cpc": lambda x, mask: CPC(x, step=1, masks=mask).loss,
    "cpc of one step": lambda x, mask: (
        CPC({m: z[:, :1] for m, z in x.items()}, masks={m: v[:, :1] for m, v in mask.items()}).loss
    ),
    "cmcm": lambda x, mask: cmcm_loss(x, mask),
    "cmcm, released": lambda x, mask: cmcm_loss(x, mask, "released"),
    "info_nce": lambda x, mask: info_nce(
        x["a"][:, 0], x["b"][:, 0], symmetric=True, mask=(mask["a"] & mask["b"])[:, 0]
    ),
    "structure": lambda x, mask: structure_loss(
        x["a"].flatten(0, 1), x["b"].flatten(0, 1), mask=(mask["a"] & mask["b"]).flatten()
    ),
    "gram": lambda x, mask: gram_loss(
        {m: z[:, 0] for m, z in x.items()}, "a", mask=torch.stack([mask[m][:, 0] for m in NAMES]).all(0)
    ),
    "slot_retrieval": lambda x, mask: slot_retrieval_loss(
        x, mask, queries="all", generator=torch.Generator().manual_seed(0)
    ),
}


def masks_of(pattern: list[list[bool]], lengths: list[int]) -> Values:
    """Clips lack modalities as the pattern says; of those that are there, some steps are padding."""
    valid = torch.arange(STEPS) < torch.tensor(lengths).unsqueeze(1)
    return {m: valid & torch.tensor([row[k] for row in pattern]).unsqueeze(1) for k, m in enumerate(NAMES)}


def value_and_gradients(loss: Callable[[Values, Values], Tensor], x: Values, mask: Values) -> list[Tensor]:
    leaves = {m: z.clone().requires_grad_() for m, z in x.items()}
    for module in (CRITIC, CPC):
        module.zero_grad()
    value = loss(leaves, mask)
    if value.requires_grad:
        value.backward()
    parameters = [p.grad for module in (CRITIC, CPC) for p in module.parameters() if p.grad is not None]
    inputs = [torch.zeros_like(z) if z.grad is None else z.grad for z in leaves.values()]
    return [value.detach(), *inputs, *(g.clone() for g in parameters)]


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=8, deadline=None)
@given(
    pattern=st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=CLIPS, max_size=CLIPS),
    lengths=st.lists(st.integers(1, STEPS), min_size=CLIPS, max_size=CLIPS),
    garbage=st.sampled_from([torch.nan, torch.inf, -torch.inf, 1e300]),
)
def test_garbage_where_a_mask_is_false_changes_nothing(
    name: str, pattern: list[list[bool]], lengths: list[int], garbage: float
) -> None:
    generator = torch.Generator().manual_seed(1)
    x = {m: torch.randn(CLIPS, STEPS, DIM, dtype=torch.float64, generator=generator) for m in NAMES}
    if name.startswith("cmcm"):  # of squared distances
        x = {m: z.square() for m, z in x.items()}
    mask = masks_of(pattern, lengths)
    dirty = {m: z.masked_fill(~mask[m].unsqueeze(-1), garbage) for m, z in x.items()}
    clean, found = (value_and_gradients(LOSSES[name], values, mask) for values in (x, dirty))
    for expected, value in zip(clean, found, strict=True):
        assert expected.isfinite().all()
        assert torch.equal(expected, value)
    for m, gradient in zip(NAMES, found[1:], strict=False):
        assert not gradient[~mask[m]].any()


@settings(max_examples=50, deadline=None)
@given(present=st.lists(st.booleans(), min_size=1, max_size=9), seed=st.integers(0, 99))
def test_negatives_are_a_permutation_of_the_clips_that_are_there(present: list[bool], seed: int) -> None:
    order = torch.randperm(len(present), generator=torch.Generator().manual_seed(seed))
    mask = torch.tensor(present)
    found = among_present(order, mask)
    there = [clip for clip, is_there in enumerate(present) if is_there]
    assert found[mask].tolist() == [clip for clip in order.tolist() if clip in there]
    assert sorted(found.tolist()) == list(range(len(present)))
    if all(present):
        assert torch.equal(found, order)
