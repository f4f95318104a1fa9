"""What a run is told: configuration, learning rate, weights of the losses."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from tiny_method import TinyConfig

from unicode_cmg.errors import InputError
from unicode_cmg.training import PretrainConfig
from unicode_cmg.training.config import OptimizerConfig
from unicode_cmg.training.objective import LossWeights
from unicode_cmg.training.optimizers import learning_rate

FEWEST: dict[str, Any] = {"method": {"name": "tiny"}, "data": {"store": "s"}}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "'method' is missing"),
        ({**FEWEST, "method": {}}, r"x: 'method.name' is missing; expected one of dcid"),
        ({**FEWEST, "method": {"name": 3}}, r"x: 'method.name' is 3; expected one of dcid"),
        ({**FEWEST, "method": {"name": "tyni"}}, r"x: method: unknown method 'tyni'.*did you mean 'tiny'\?"),
        (
            {**FEWEST, "method": {"name": "tiny", "dimm": 3}},
            r"x: method 'tiny': unknown key 'dimm'; did you mean 'dim'\?",
        ),
        ({"method": {"name": "tiny"}}, "'data' is missing"),
        ({"method": {"name": "tiny"}, "data": {}}, "'data.store' is missing"),
        ({**FEWEST, "trainig": {}}, r"unknown key 'trainig'; did you mean 'training'\?"),
        (
            {**FEWEST, "training": {"epoch": 3}},
            r"unknown key 'training.epoch'; did you mean 'training.epochs'\?",
        ),
        (
            {**FEWEST, "optimizer": {"milestones": [3, 2]}},
            r"x: optimizer.milestones: \[3, 2\] is not a rising list of epochs",
        ),
        (
            {**FEWEST, "loss_weights": {"club": -1}},
            r"'loss_weights.club' is -1; expected greater than or equal to 0",
        ),
        (
            {**FEWEST, "training": {"precision": "fp8"}},
            r"'training.precision' is 'fp8'; expected 'no', 'bf16' or 'fp16'",
        ),
    ],
)
def test_a_wrong_configuration_names_the_key(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        PretrainConfig.parse(values, where="x")


def test_a_bare_no_of_yaml_is_the_precision_no() -> None:
    values = {**FEWEST, "training": {"precision": False}}
    assert PretrainConfig.parse(values, where="x").training.precision == "no"


def test_the_defaults_are_the_released_recipe() -> None:
    config = PretrainConfig.parse(FEWEST, where="x")
    assert (config.method.name, config.method.settings) == ("tiny", TinyConfig())
    assert config.optimizer.model_dump() == {
        "lr": 4e-4,
        "weight_decay": 0.0,
        "schedule": "milestones",
        "milestones": (10, 20, 30),
        "gamma": 0.5,
        "warmup_steps": 0,
        "clip_norm": 0.5,
    }
    assert (config.critics.lr, config.critics.steps, config.training.batch_size) == (1e-3, 5, 80)


def test_milestones_halve_the_rate_as_torch_does() -> None:
    config = OptimizerConfig(lr=0.4, milestones=(2, 3))
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=0.4)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 3], gamma=0.5)
    for epoch in range(5):
        for batch in range(4):
            optimizer.step()
            rate = learning_rate(config, step=4 * epoch + batch, steps_per_epoch=4, total_steps=20)
            assert rate == pytest.approx(optimizer.param_groups[0]["lr"])
        scheduler.step()


def test_the_rate_warms_up_to_its_value_and_the_cosine_ends_near_zero() -> None:
    config = OptimizerConfig(lr=1.0, schedule="cosine", warmup_steps=4)
    rates = [learning_rate(config, step=s, steps_per_epoch=5, total_steps=20) for s in range(20)]
    assert rates[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert rates[12] == pytest.approx(0.5)
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert 0 < rates[-1] < 0.01


def test_a_constant_rate_stays() -> None:
    config = OptimizerConfig(lr=1.0, schedule="constant", milestones=(1,))
    assert {learning_rate(config, step=s, steps_per_epoch=1, total_steps=9) for s in range(9)} == {1.0}


def test_a_warm_up_longer_than_the_run_is_no_error() -> None:
    config = OptimizerConfig(lr=1.0, schedule="cosine", warmup_steps=100)
    assert learning_rate(config, step=9, steps_per_epoch=10, total_steps=10) == pytest.approx(0.1)


def test_the_longest_beginning_of_a_name_sets_the_weight() -> None:
    weights = LossWeights({"a": 2.0, "a/b": 3.0, "c/d/e": 4.0})
    names = ("a", "a/x", "a/b", "a/b/c", "ab", "c/d", "c/d/e")
    assert [weights.of(name) for name in names] == [2.0, 2.0, 3.0, 3.0, 1.0, 1.0, 4.0]


def test_the_total_is_the_weighted_sum_and_unweighted_terms_get_no_gradient() -> None:
    terms = {name: torch.tensor(float(i + 1), requires_grad=True) for i, name in enumerate(("a", "b/x", "c"))}
    total = LossWeights({"b": 0.5, "c": 0.0}).total(terms, {})
    total.backward()
    assert total.item() == 2.0
    assert [None if t.grad is None else t.grad.item() for t in terms.values()] == [1.0, 0.5, None]


def test_a_term_of_weight_zero_cannot_spoil_the_total() -> None:
    assert LossWeights({"b": 0.0}).total({"a": torch.tensor(1.0), "b": torch.tensor(math.nan)}, {}) == 1


def test_weights_that_leave_nothing_to_train_on_are_refused() -> None:
    with pytest.raises(InputError, match="loss_weights: every loss term has weight 0"):
        LossWeights({"a": 0.0, "b": 0.0}).check(["a/x", "b"], {})
    with pytest.raises(InputError, match="every loss term has weight 0 in the first step"):
        LossWeights({"a": 0.0}).check(["a/x", "b/x"], {"b/x": 0.0})


def test_weights_of_terms_that_join_later_are_known() -> None:
    LossWeights({"a/later": 0.5, "a": 2.0}).check(["a/x"], {"a/later/x": 0.0})
    with pytest.raises(InputError, match=r"no loss term 'a/latest'.*did you mean 'a/later'"):
        LossWeights({"a/latest": 0.5}).check(["a/x"], {"a/later/x": 0.0})
