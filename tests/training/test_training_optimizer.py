"""How a step moves the parameters."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from tiny_method import Tiny, TinyConfig, tiny_config, write_tiny_store

from unicode_cmg.batch import FeatureBatch, StepView
from unicode_cmg.data.store import FeatureStore
from unicode_cmg.errors import InputError
from unicode_cmg.regularizers import ParameterGroup, Regularizer, RegularizerConfig, Regularizers
from unicode_cmg.training.optimizers import Optimizers
from unicode_cmg.training.process import accelerated
from unicode_cmg.training.run_folder import check_unchanged
from unicode_cmg.training.trainer import Trainer


@pytest.fixture(autouse=True)
def accelerate_is_left_as_found() -> Iterator[None]:
    with accelerated("no"):
        yield


def one_step(batch: FeatureBatch, scale: float | None) -> tuple[Tiny, dict[str, float]]:
    torch.manual_seed(0)
    accelerator = Accelerator()
    accelerator.scaler = None if scale is None else torch.amp.GradScaler("cpu", init_scale=scale)
    method = Tiny(TinyConfig(dropout=0.0))
    result = Trainer(method, tiny_config(Path("unused")), accelerator).step(
        batch, step=1, epoch=0, lr=0.01, statistics=False
    )
    return method, {name: value.item() for name, value in result.values.items()}


def test_loss_scaling_changes_nothing_and_an_overflow_skips_the_step(tmp_path: Path) -> None:
    batch = FeatureStore.open(write_tiny_store(tmp_path / "s")).batch(range(8))
    torch.manual_seed(0)
    untrained = Tiny(TinyConfig(dropout=0.0))
    (plain, values), (scaled, scaled_values) = one_step(batch, None), one_step(batch, 1024.0)
    overflown, _ = one_step(batch, math.inf)
    assert scaled_values == pytest.approx(values, rel=1e-5)
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(scaled.get_parameter(name), parameter)
        assert not torch.equal(parameter, untrained.get_parameter(name))
        assert torch.equal(overflown.get_parameter(name), untrained.get_parameter(name))


def test_each_module_is_clipped_alone_and_its_norm_is_logged_before_clipping(tmp_path: Path) -> None:
    batch = FeatureStore.open(write_tiny_store(tmp_path / "s")).batch(range(8))
    gradients, logged = {}, {}
    for limit in (0.01, None):
        torch.manual_seed(0)
        method = Tiny(TinyConfig(dropout=0.0))
        trainer = Trainer(method, tiny_config(Path("unused"), optimizer__clip_norm=limit), Accelerator())
        result = trainer.step(batch, step=1, epoch=0, lr=0.01, statistics=False)
        logged[limit] = {n: v for n, v in result.values.items() if n.startswith("gradient_norm/")}
        gradients[limit] = {
            f"gradient_norm/{name}": torch.cat([p.grad.flatten() for p in module.parameters()])
            for name, module in method.trained_modules().items()
        }
    for name, whole in gradients[None].items():
        assert whole.norm() > 0.02
        torch.testing.assert_close(logged[0.01][name], whole.norm())
        torch.testing.assert_close(logged[None][name], whole.norm())
        torch.testing.assert_close(gradients[0.01][name], whole * 0.01 / whole.norm(), rtol=1e-3, atol=1e-7)


class Held(Regularizer):
    """Parameters with a rate, a warm-up and a decay of their own."""

    name = "held"
    config_class = RegularizerConfig

    def __init__(self) -> None:
        super().__init__(RegularizerConfig(), StepView({}, {}, {}, {}, {}, {}))
        self.map = torch.nn.Linear(2, 2)

    def losses(self, view: StepView, *, generator: torch.Generator) -> dict[str, torch.Tensor]:
        return {}

    def parameter_groups(self) -> list[ParameterGroup]:
        return [ParameterGroup(tuple(self.parameters()), lr=0.4, weight_decay=0.5, warmup=0.5)]


def test_weight_decay_and_rate_are_those_of_the_run_or_of_a_group_of_its_own() -> None:
    method, held = Tiny(TinyConfig()), Held()
    config = tiny_config(Path("unused"), optimizer__weight_decay=0.2)
    optimizers = Optimizers(method, Regularizers({"held": held}), config, Accelerator())
    before = {p: p.detach().clone() for p in (*method.trained_parameters(), *held.parameters())}
    for parameter in before:
        parameter.grad = torch.zeros_like(parameter)
    optimizers.step(lr=0.1, share=0.25)
    for parameters, rest in (
        (method.trained_parameters(), 1 - 0.1 * 0.2),
        (held.parameters(), 1 - 0.2 * 0.5),
    ):
        for parameter in parameters:
            torch.testing.assert_close(parameter.detach(), before[parameter] * rest)


def test_critics_learn_only_from_their_own_losses(tmp_path: Path) -> None:
    batch = FeatureStore.open(write_tiny_store(tmp_path / "s")).batch(range(8))
    config = tiny_config(Path("unused"), critics__steps=0)
    torch.manual_seed(0)
    trainer = Trainer(Tiny(TinyConfig()), config, Accelerator())
    before = trainer.method.critic.weight.detach().clone()
    trainer.step(batch, step=1, epoch=0, lr=0.01, statistics=False)
    assert torch.equal(trainer.method.critic.weight, before)
    assert trainer.method.critic.weight.grad is None
    assert trainer.method.critic.weight.requires_grad


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("9/exp_avg", torch.zeros(2), "state of an unknown parameter '9/exp_avg'"),
        ("x/exp_avg", torch.zeros(2), "state of an unknown parameter 'x/exp_avg'"),
        ("0/exp_avg", torch.zeros(3), r"'0/exp_avg' has shape \[3\]; expected \[8, 6\]"),
    ],
)
def test_a_state_that_does_not_fit_the_optimizer_is_refused(
    key: str, value: torch.Tensor, message: str
) -> None:
    optimizers = Trainer(Tiny(TinyConfig()), tiny_config(Path("unused")), Accelerator()).optimizers
    with pytest.raises(InputError, match=message):
        optimizers.restore({"optimizer.main": {key: value}}, where="x")


def test_a_removed_setting_counts_as_changed() -> None:
    check_unchanged({"a": {"b": 1}, "c": {}}, {"a": {"b": 1}, "c": {}}, where="x")
    with pytest.raises(InputError, match=r"'a.c' is no such setting, but the run was started with 2"):
        check_unchanged({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, where="x")


def test_a_restored_state_lies_in_memory_as_its_parameter_does() -> None:
    """A fused step walks through both in the order of their memory."""

    def trained() -> tuple[Tiny, Optimizers]:
        torch.manual_seed(0)
        method = Tiny(TinyConfig(dropout=0.0))
        for p in method.trained_parameters():
            if p.ndim == 2:
                p.data = p.data.t().contiguous().t()
        return method, Optimizers(method, Regularizers(), tiny_config(Path("unused")), Accelerator())

    def move(method: Tiny, optimizers: Optimizers, step: int) -> None:
        gradients = torch.Generator().manual_seed(step)
        for p in method.trained_parameters():
            p.grad = torch.empty_like(p).copy_(torch.randn(p.shape, generator=gradients))
        optimizers.step(lr=0.1, share=0.0)

    (whole, one), (resumed, other) = trained(), trained()
    for method, optimizers in ((whole, one), (resumed, other)):
        move(method, optimizers, 1)
    other.restore(
        {name: {k: v.clone().contiguous() for k, v in state.items()} for name, state in one.state().items()},
        where="test",
    )
    for method, optimizers in ((whole, one), (resumed, other)):
        move(method, optimizers, 2)
    for name, parameter in whole.named_parameters():
        assert torch.equal(parameter, resumed.get_parameter(name)), name
