from __future__ import annotations

import pytest
import torch
from head_cases import CLASSES, TIME, case, dense, generators
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from benchmarks.evaluation.clip_codes import EncodedClips
from benchmarks.evaluation.fitting import head_logits
from benchmarks.evaluation.heads import Heads, LabelledCodes
from benchmarks.evaluation.scoring import code_permutations

KINDS = pytest.mark.parametrize("kind", ["clips", "events"])


@KINDS
@pytest.mark.parametrize("dims", [(6,), (4, 3)])
def test_looking_up_after_the_linear_maps_is_the_same_head(kind: str, dims: tuple[int, ...]) -> None:
    this = case(kind, dims)
    heads = this.stack(0, 1)
    logits = this.objective.logits(heads, this.data.tables, this.data.indices.expand(2, -1, -1, -1))
    for seed in range(2):
        torch.testing.assert_close(logits[seed], this.plain(heads, seed)(dense(this.data)))


@KINDS
def test_the_gradients_are_those_of_the_plain_head(kind: str) -> None:
    this = case(kind)
    heads = Heads(*(p.requires_grad_() for p in this.stack(3).parameters))
    plain = this.plain(heads, 0)
    this.objective.logits(heads, this.data.tables, this.data.indices[None])[0].square().sum().backward()
    plain(dense(this.data)).square().sum().backward()
    torch.testing.assert_close(heads.hidden_weight.grad[0], plain.hidden.weight.grad)
    torch.testing.assert_close(heads.hidden_bias.grad[0], plain.hidden.bias.grad)
    torch.testing.assert_close(heads.class_weight.grad[0].T, plain.columns.weight.grad)
    torch.testing.assert_close(heads.class_bias.grad[0], plain.columns.bias.grad)


@settings(max_examples=30)
@given(
    st.integers(0, 10_000),
    st.sampled_from([(5,), (3, 4), (2, 3, 4)]),
    st.sampled_from([2, 7, 300]),
    st.booleans(),
)
def test_the_gradient_takes_the_step_of_the_maximum_in_each_code_layer(
    seed: int, dims: tuple[int, ...], steps: int, own_tables: bool
) -> None:
    """Against automatic differentiation of `max_t W x_t`; codes repeat, heads may have own tables."""
    g = torch.Generator().manual_seed(seed)
    shape = (2,) if own_tables else ()
    tables = [torch.randn(*shape, 4 + k, dim, generator=g).double() for k, dim in enumerate(dims)]
    indices = torch.stack([torch.randint(0, t.shape[-2], (2, 3, steps), generator=g) for t in tables], dim=-1)
    initial = Heads.initial(sum(dims), CLASSES, generators(seed, seed + 1), hidden=6)
    heads = Heads(*(p.double().requires_grad_() for p in initial.parameters))
    logits = heads.clip_logits(tables, indices)
    (found,) = torch.autograd.grad(logits.square().sum(), heads.hidden_weight)
    for s in range(2):
        own = [t[s] if own_tables else t for t in tables]
        x = torch.cat([t[indices[s, ..., k]] for k, t in enumerate(own)], dim=-1)
        weight = heads.hidden_weight[s].detach().requires_grad_()
        pooled = (x @ weight.T).max(dim=1).values + heads.hidden_bias[s]
        expected = pooled @ heads.class_weight[s] + heads.class_bias[s]
        torch.testing.assert_close(logits[s], expected)
        (gradient,) = torch.autograd.grad(expected.square().sum(), weight)
        torch.testing.assert_close(found[s], gradient)


@KINDS
def test_the_training_loss_is_that_of_the_plain_head(kind: str) -> None:
    this = case(kind)
    heads = this.stack(0, 1)
    logits = this.objective.logits(heads, this.data.tables, this.data.indices.expand(2, -1, -1, -1))
    labels = this.data.labels.expand(2, *this.data.labels.shape)
    losses = this.objective.training_losses(logits, labels, this.objective.loss_parameters(heads))
    for seed in range(2):
        torch.testing.assert_close(
            losses[seed], this.plain(heads, seed).loss(dense(this.data), this.data.labels)
        )


def test_heads_start_as_linear_layers_do() -> None:
    heads = Heads.initial(64, CLASSES, generators(0))
    for parameter in heads.parameters:
        assert parameter.abs().max() <= 1 / 8
    assert heads.hidden_weight.std() == pytest.approx(nn.Linear(64, 64).weight.std().item(), rel=0.05)


@KINDS
def test_permuted_codes_are_looked_up_under_their_new_number(kind: str) -> None:
    this = case(kind, count=600)
    heads = this.stack(0, 1)
    permutation = torch.stack([torch.randperm(7, generator=g) for g in generators(2, 3)])
    logits = head_logits(this.objective, heads, this.data, [permutation])
    for seed in range(2):
        renamed = LabelledCodes(this.data.tables, permutation[seed][this.data.indices], this.data.labels)
        torch.testing.assert_close(logits[seed], head_logits(this.objective, heads, renamed)[seed])


def test_every_head_has_its_own_permutation_of_the_codes() -> None:
    clips = EncodedClips(
        (torch.zeros(30, 2),),
        (torch.arange(30),),
        torch.zeros(1, TIME, 1, dtype=torch.int64),
        torch.ones(1, TIME, dtype=torch.bool),
        torch.arange(1).numpy(),
    )
    (orders,) = code_permutations(clips, (0, 1), 3)
    assert not torch.equal(orders[0], orders[1])
    assert torch.equal(orders.sort(dim=1).values, torch.arange(30).expand(2, -1))
    assert torch.equal(code_permutations(clips, (1,), 3)[0][0], orders[1])
    assert not torch.equal(code_permutations(clips, (1,), 4)[0][0], orders[1])


@settings(max_examples=40)
@given(st.integers(0, 10_000))
def test_steps_that_are_not_real_do_not_count_for_the_class_of_a_clip(seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    mask = torch.rand(9, TIME, generator=g) < 0.5
    mask[torch.arange(9), torch.randint(0, TIME, (9,), generator=g)] = True
    table = torch.randn(5, 6, generator=g)
    indices = torch.randint(0, 5, (9, TIME, 1), generator=g)
    rows = torch.arange(9).numpy()
    encoded = EncodedClips((table,), (torch.arange(5),), indices, mask, rows)
    data = encoded.labelled(rows[::2], rows[::2] % CLASSES)
    heads = Heads.initial(6, CLASSES, generators(seed))
    hidden = table[indices[::2, :, 0]] @ heads.hidden_weight[0].T + heads.hidden_bias[0]
    pooled = torch.stack([h[m].max(dim=0).values for h, m in zip(hidden, mask[::2], strict=True)])
    expected = pooled @ heads.class_weight[0] + heads.class_bias[0]
    torch.testing.assert_close(heads.clip_logits(data.tables, data.indices[None])[0], expected)
