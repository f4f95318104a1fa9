"""How a stack of heads is trained, and which epoch of each is kept."""

from __future__ import annotations

import pytest
import torch
from head_cases import CLASSES, Case, case, dense
from torch import nn

from benchmarks.evaluation.fitting import FittedHeads, fit_heads, head_logits
from benchmarks.evaluation.heads import Heads, LabelledCodes
from unicode_cmg.results import HeadConfig

KINDS = pytest.mark.parametrize("kind", ["clips", "events"])


def fit(
    this: Case, seeds: tuple[int, ...], config: HeadConfig, judge: LabelledCodes | None = None
) -> FittedHeads:
    selection = {"judge": this.data if judge is None else judge}
    return fit_heads(
        this.data, selection, objective=this.objective, classes=CLASSES, seeds=seeds, config=config
    )["judge"]


@KINDS
@pytest.mark.parametrize("clip", [0.5, 0.01])
def test_training_is_that_of_a_plain_loop(kind: str, clip: float) -> None:
    """Adam on batches of the clips, gradients clipped head by head; the whole loop written for one seed."""
    this, seed = case(kind), 5
    config = HeadConfig(lr=0.01, epochs=3, batch_size=8, clip=clip, milestones=(2,), select="last")
    ours = fit(this, (4, seed), config)

    generator = torch.Generator().manual_seed(seed)
    head = this.plain(Heads.initial(6, this.objective.columns(CLASSES), [generator]), 0)
    optimizer = torch.optim.Adam([*head.parameters(), *head.extra()], lr=0.01)
    for epoch in range(3):
        for group in optimizer.param_groups:
            group["lr"] = 0.01 if epoch < 2 else 0.005
        order = torch.randperm(len(this.data), generator=generator)
        for start in range(0, len(this.data), 8):
            rows = order[start : start + 8]
            optimizer.zero_grad()
            head.loss(dense(this.data)[rows], this.data.labels[rows]).backward()
            nn.utils.clip_grad_norm_(head.parameters(), clip)
            optimizer.step()
    expected = this.plain(ours.heads, 1)
    for name, parameter in head.named_parameters():
        torch.testing.assert_close(expected.get_parameter(name), parameter, rtol=1e-4, atol=1e-5)


@KINDS
def test_a_head_does_not_depend_on_the_others_in_the_stack(kind: str) -> None:
    this, config = case(kind), HeadConfig(lr=0.01, epochs=4, batch_size=8)
    together, alone = fit(this, (0, 1, 2), config), fit(this, (1,), config)
    assert together.epochs[1] == alone.epochs[0]
    for many, one in zip(together.heads.parameters, alone.heads.parameters, strict=True):
        torch.testing.assert_close(many[1], one[0], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@KINDS
def test_the_epoch_is_the_best_by_the_metric_and_of_equals_the_one_of_least_loss(kind: str) -> None:
    this = case(kind)
    settings = {"lr": 0.02 if kind == "clips" else 0.002, "batch_size": 8}
    chosen = fit(this, (0,), HeadConfig(epochs=6, **settings), this.other)
    history = []
    for epochs in range(1, 7):
        heads = fit(this, (0,), HeadConfig(epochs=epochs, select="last", **settings), this.other).heads
        logits = head_logits(this.objective, heads, this.other)
        value = this.objective.judge(logits, this.other.labels)[this.objective.metric].item()
        history.append((value, -this.objective.losses(logits, this.other.labels[None]).item(), heads))
    best = max(range(6), key=lambda epoch: history[epoch][:2])
    assert len({value for value, _, _ in history}) < 6, "no tie: the case would not tell"
    assert chosen.epochs == (best + 1,)
    torch.testing.assert_close(chosen.heads.class_weight, history[best][2].class_weight)


def test_selection_clips_are_never_trained_on() -> None:
    this, config = case("clips"), HeadConfig(epochs=2, select="last")
    one, other = fit(this, (0,), config), fit(this, (0,), config, this.other)
    torch.testing.assert_close(one.heads.hidden_weight, other.heads.hidden_weight, rtol=0, atol=0)


def test_the_discounts_of_the_released_loss_only_grow() -> None:
    this = case("events")
    heads = this.stack(0)
    (discounts,) = this.objective.loss_parameters(heads)
    discounts.requires_grad_()
    logits = this.objective.logits(heads, this.data.tables, this.data.indices[None])
    this.objective.training_losses(logits, this.data.labels[None], [discounts]).sum().backward()
    assert (discounts.grad < 0).all()
