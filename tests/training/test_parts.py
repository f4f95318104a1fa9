"""The pieces of the fit loop, each alone."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from hypothesis import given
from hypothesis import strategies as st
from tiny_method import Tiny, TinyConfig, tiny_config, write_tiny_store

from unicode_cmg.batch import FeatureBatch
from unicode_cmg.data.store import FeatureStore
from unicode_cmg.errors import InputError
from unicode_cmg.training import NonFiniteLoss, PretrainConfig, fit
from unicode_cmg.training.batches import BatchPlan, read_ahead
from unicode_cmg.training.config import OptimizerConfig
from unicode_cmg.training.finite import FiniteGuard
from unicode_cmg.training.metrics import MetricsLog
from unicode_cmg.training.progress import Progress
from unicode_cmg.training.randomness import (
    capture,
    epoch_order,
    preserved,
    restore,
    step_generator,
    validation_generator,
)
from unicode_cmg.training.run_folder import check_unchanged
from unicode_cmg.training.schedule import learning_rate
from unicode_cmg.training.signals import StopRequest
from unicode_cmg.training.state import optimizer_tensors, restore_optimizer
from unicode_cmg.training.trainer import Trainer
from unicode_cmg.training.weights import LossWeights
from unicode_cmg.training.window import Window

# configuration


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "'method' is missing"),
        ({"method": {}, "data": {"store": "s"}}, r"x: 'method.name' is missing; expected one of dcid"),
        ({"method": {"name": 3}, "data": {"store": "s"}}, r"x: 'method.name' is 3; expected one of dcid"),
        (
            {"method": {"name": "tyni"}, "data": {"store": "s"}},
            r"x: method: unknown method 'tyni'.*did you mean 'tiny'\?",
        ),
        (
            {"method": {"name": "tiny", "dimm": 3}, "data": {"store": "s"}},
            r"x: method: unknown key 'dimm'; did you mean 'dim'\?",
        ),
        ({"method": {"name": "tiny"}}, "'data' is missing"),
        ({"method": {"name": "tiny"}, "data": {}}, "'data.store' is missing"),
        (
            {"method": {"name": "tiny"}, "data": {"store": "s"}, "trainig": {}},
            r"unknown key 'trainig'; did you mean 'training'\?",
        ),
        (
            {"method": {"name": "tiny"}, "data": {"store": "s"}, "training": {"epoch": 3}},
            r"unknown key 'training.epoch'; did you mean 'training.epochs'\?",
        ),
        (
            {"method": {"name": "tiny"}, "data": {"store": "s"}, "optimizer": {"milestones": [3, 2]}},
            r"x: optimizer.milestones: \[3, 2\] is not a rising list of epochs",
        ),
        (
            {"method": {"name": "tiny"}, "data": {"store": "s"}, "loss_weights": {"club": -1}},
            r"'loss_weights.club' is -1; expected greater than or equal to 0",
        ),
        (
            {"method": {"name": "tiny"}, "data": {"store": "s"}, "training": {"precision": "fp8"}},
            r"'training.precision' is 'fp8'; expected 'no', 'bf16' or 'fp16'",
        ),
    ],
)
def test_a_wrong_configuration_names_the_key(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        PretrainConfig.parse(values, where="x")


def test_the_defaults_are_the_published_recipe() -> None:
    config = PretrainConfig.parse({"method": {"name": "tiny"}, "data": {"store": "s"}}, where="x")
    assert config.method == {"name": "tiny", **TinyConfig().model_dump()}
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


def test_every_setting_is_described() -> None:
    def visit(model: Any) -> None:
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"
            if isinstance(field.annotation, type) and hasattr(field.annotation, "model_fields"):
                visit(field.annotation)

    visit(PretrainConfig)


# the learning rate


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


# weights of the losses


def test_the_longest_beginning_of_a_name_sets_the_weight() -> None:
    weights = LossWeights({"a": 2.0, "a/b": 3.0, "c/d/e": 4.0})
    names = ("a", "a/x", "a/b", "a/b/c", "ab", "c/d", "c/d/e")
    assert [weights.of(name) for name in names] == [2.0, 2.0, 3.0, 3.0, 1.0, 1.0, 4.0]


def test_the_total_is_the_weighted_sum_and_unweighted_terms_get_no_gradient() -> None:
    terms = {name: torch.tensor(float(i + 1), requires_grad=True) for i, name in enumerate(("a", "b/x", "c"))}
    total = LossWeights({"b": 0.5, "c": 0.0}).total(terms)
    total.backward()
    assert total.item() == 2.0
    assert [None if t.grad is None else t.grad.item() for t in terms.values()] == [1.0, 0.5, None]


def test_a_term_of_weight_zero_cannot_spoil_the_total() -> None:
    assert LossWeights({"b": 0.0}).total({"a": torch.tensor(1.0), "b": torch.tensor(math.nan)}) == 1


def test_weights_that_leave_nothing_to_train_on_are_refused() -> None:
    with pytest.raises(InputError, match="loss_weights: every loss term has weight 0"):
        LossWeights({"a": 0.0, "b": 0.0}).check(["a/x", "b"])


# batches


@given(
    clips=st.integers(1, 60),
    batch_size=st.integers(1, 20),
    ranks=st.integers(1, 4),
    drop_last=st.booleans(),
    seed=st.integers(0, 3),
)
def test_an_epoch_shows_every_clip_once_and_ranks_share_each_batch(
    clips: int, batch_size: int, ranks: int, drop_last: bool, seed: int
) -> None:
    plans = [BatchPlan(clips, batch_size, drop_last, seed, ranks, rank) for rank in range(ranks)]
    whole = BatchPlan(clips, batch_size, drop_last, seed)
    steps = plans[0].steps_per_epoch
    for epoch in (0, 2):
        seen = []
        for step in range(epoch * steps, (epoch + 1) * steps):
            parts = [plan.indices(step) for plan in plans]
            assert all(len(part) for part in parts)
            assert sum(map(len, parts)) == batch_size or step % steps == steps - 1
            seen.append(np.concatenate(parts))
            if steps == whole.steps_per_epoch:
                assert (seen[-1] == whole.indices(step)).all()
        flat = np.concatenate(seen) if seen else np.array([], dtype=np.int64)
        assert len(set(flat.tolist())) == len(flat)
        if batch_size >= ranks:
            left_out = clips % batch_size if drop_last or clips % batch_size < ranks else 0
            assert len(flat) == clips - left_out


def test_epochs_differ_in_order_and_the_order_cannot_be_changed() -> None:
    assert (epoch_order(0, 0, 50) != epoch_order(0, 1, 50)).any()
    assert (epoch_order(0, 0, 50) != epoch_order(1, 0, 50)).any()
    with pytest.raises(ValueError, match="read-only"):
        epoch_order(0, 0, 50)[0] = 1


def test_reading_ahead_gives_the_same_batches_in_the_same_order(tmp_path: Path) -> None:
    store = FeatureStore.open(write_tiny_store(tmp_path / "s"))
    chunks = [np.array([i, 21 - i]) for i in range(7)]
    batches = list(read_ahead(store, iter(chunks), ("video",), torch.device("cpu")))
    assert len(batches) == 7
    for chunk, batch in zip(chunks, batches, strict=True):
        assert set(batch.features) == {"video"}
        assert torch.equal(batch.features["video"], store.batch(chunk).features["video"])


def test_a_reader_that_is_left_early_leaves_no_thread(tmp_path: Path) -> None:
    store = FeatureStore.open(write_tiny_store(tmp_path / "s"))
    batches = read_ahead(store, (np.array([0]) for _ in range(1000)), ("audio",), torch.device("cpu"))
    next(batches)
    assert any("read-ahead" in thread.name for thread in threading.enumerate())
    batches.close()
    assert not any("read-ahead" in thread.name for thread in threading.enumerate())


def test_an_error_of_the_store_reaches_the_loop(tmp_path: Path) -> None:
    store = FeatureStore.open(write_tiny_store(tmp_path / "s"))
    with pytest.raises(InputError, match="rows 99 to 99"):
        list(read_ahead(store, [np.array([0]), np.array([99])], ("audio",), torch.device("cpu")))


# random numbers


def test_generators_depend_on_seed_step_and_purpose_alone() -> None:
    keys = [(step_generator, s, n) for s in (0, 1) for n in (0, 1)] + [(validation_generator, 0, 0)]
    draws = [torch.rand(3, generator=make(s, n)) for make, s, n in keys]
    again = [torch.rand(3, generator=make(s, n)) for make, s, n in keys]
    assert all(torch.equal(a, b) for a, b in zip(draws, again, strict=True))
    assert len({tuple(d.tolist()) for d in draws}) == len(keys)


def test_random_states_survive_json_and_come_back() -> None:
    np.random.standard_normal()  # noqa: NPY002 - leaves a cached second value
    random.gauss(0, 1)
    tensors, values = capture()
    values = json.loads(json.dumps(values))
    expected = torch.rand(3), np.random.standard_normal(3)  # noqa: NPY002
    restore(tensors, values)
    assert random.getstate() == (values["python"][0], tuple(values["python"][1]), values["python"][2])
    assert torch.equal(torch.rand(3), expected[0])
    assert (np.random.standard_normal(3) == expected[1]).all()  # noqa: NPY002


def test_preserved_restores_after_an_error_too() -> None:
    before = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError), preserved():
        _ = torch.rand(3) + 1 / 0
    assert torch.equal(torch.get_rng_state(), before)


# NaN and infinity


def scalars(*values: float, device: str = "cpu") -> dict[str, torch.Tensor]:
    return {name: torch.tensor(value, device=device) for name, value in zip("abc", values, strict=False)}


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_the_guard_names_the_first_bad_value_at_once_on_the_cpu(bad: float) -> None:
    guard = FiniteGuard()
    guard.watch(scalars(1.0, 2.0), step=6)
    with pytest.raises(
        NonFiniteLoss, match=r"'b' is NaN or infinite at step 7.*no checkpoint was written yet"
    ):
        guard.watch(scalars(1.0, bad, bad), step=7)
    guard.check()
    guard.watch({}, step=8)


def test_on_other_devices_the_guard_remembers_the_first_bad_step() -> None:
    guard = FiniteGuard(wait=False)
    for step, values in enumerate([(1.0, 2.0), (1.0, math.nan), (math.inf, math.nan)], start=1):
        guard.watch({f"loss {k}": v for k, v in scalars(*values).items()}, step=step)
        guard.watch(scalars(1.0, 1.0 if step < 3 else math.nan), step=step)
    with pytest.raises(NonFiniteLoss, match="'loss b' is NaN or infinite at step 2"):
        guard.check()


# the window


def test_the_window_means_and_continues_after_a_restart() -> None:
    window = Window()
    for value in (1.0, 2.0):
        window.add({"loss/a": torch.tensor(value), "norm/b/c": torch.tensor(10 * value)})
    tensors, values = window.state()
    resumed = Window()
    resumed.restore(tensors, json.loads(json.dumps(values)), torch.device("cpu"))
    resumed.add({"loss/a": torch.tensor(6.0), "norm/b/c": torch.tensor(0.0)})
    assert resumed.close(resumed.means()) == {"loss": {"a": 3.0}, "norm": {"b/c": 10.0}}
    resumed.add({"loss/a": torch.tensor(5.0), "norm/b/c": torch.tensor(1.0)})
    assert resumed.close(resumed.means())["loss"] == {"a": 5.0}


def test_new_names_start_a_new_window() -> None:
    window = Window()
    window.add({"loss/a": torch.tensor(1.0)})
    window.add({"loss/a": torch.tensor(3.0), "loss/b": torch.tensor(4.0)})
    assert window.close(window.means()) == {"loss": {"a": 3.0, "b": 4.0}}


# metrics


def test_a_number_json_cannot_say_becomes_null(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "m.jsonl", after_step=0)
    log.write({"step": 1, "loss": {"a": 1.0}, "codebook": {"x": math.nan}})
    log.close()
    assert json.loads((tmp_path / "m.jsonl").read_text()) == {
        "step": 1,
        "loss": {"a": 1.0},
        "codebook": {"x": None},
    }


def test_tensorboard_gets_every_number(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    store = write_tiny_store(tmp_path / "store")
    result = fit(tiny_config(store, training__tensorboard=True), tmp_path / "run", progress=False)
    events = EventAccumulator(str(tmp_path / "run/tensorboard"))
    events.Reload()
    assert {"lr", "loss/total", "loss/reconstruction/audio", "gradient_norm/encoder"} <= set(
        events.Tags()["scalars"]
    )
    points = events.Scalars("loss/total")
    assert [point.step for point in points] == [2, 4, 6]
    assert points[-1].value == pytest.approx(result.last["loss"]["total"])


def test_a_missing_tensorboard_is_an_input_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError, match=r"training.tensorboard: TensorBoard is not installed; pip install"):
        MetricsLog(tmp_path / "m.jsonl", after_step=0, tensorboard=tmp_path / "tb")
    assert not (tmp_path / "m.jsonl").exists()


def test_the_progress_bar_counts_from_where_the_run_stood(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(True, total=10, done=4)
    progress.advance()
    progress.report({"step": 5, "epoch": 1, "seconds": 1.0, "loss": {"a/x": 1.0, "a/y": 2.0}, "codebook": {}})
    progress.close()
    err = capsys.readouterr().err
    assert "5/10" in err
    assert "a 3" in err


# signals


def test_the_first_signal_is_noted_and_the_second_raises() -> None:
    before = signal.getsignal(signal.SIGTERM)
    received: list[int | None] = []

    def twice() -> None:
        with StopRequest() as stop:
            received.append(stop.received)
            os.kill(os.getpid(), signal.SIGTERM)
            received.append(stop.received)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        twice()
    assert received == [None, signal.SIGTERM]
    assert signal.getsignal(signal.SIGTERM) is before


def test_outside_the_main_thread_nothing_is_caught() -> None:
    before, seen = signal.getsignal(signal.SIGINT), []

    def work() -> None:
        with StopRequest() as stop:
            seen.append((stop.received, signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(None, before)]


# the optimizer


def one_step(batch: FeatureBatch, scale: float | None) -> tuple[Tiny, dict[str, float]]:
    torch.manual_seed(0)
    accelerator = Accelerator()
    accelerator.scaler = None if scale is None else torch.amp.GradScaler("cpu", init_scale=scale)
    method = Tiny(TinyConfig(dropout=0.0))
    result = Trainer(method, tiny_config(Path("unused")), accelerator).step(
        batch, step=1, lr=0.01, statistics=False
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


def test_critics_learn_only_from_their_own_losses(tmp_path: Path) -> None:
    batch = FeatureStore.open(write_tiny_store(tmp_path / "s")).batch(range(8))
    config = tiny_config(Path("unused"), critics__steps=0)
    torch.manual_seed(0)
    trainer = Trainer(Tiny(TinyConfig()), config, Accelerator())
    before = trainer.method.critic.weight.detach().clone()
    trainer.step(batch, step=1, lr=0.01, statistics=False)
    assert torch.equal(trainer.method.critic.weight, before)
    assert trainer.method.critic.weight.grad is None
    assert trainer.method.critic.weight.requires_grad


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("optimizer.main/9/exp_avg", torch.zeros(2), "state of an unknown parameter '9/exp_avg'"),
        ("optimizer.main/x/exp_avg", torch.zeros(2), "state of an unknown parameter 'x/exp_avg'"),
        ("optimizer.main/0/exp_avg", torch.zeros(3), r"'0/exp_avg' has shape \[3\]; expected \[2\]"),
    ],
)
def test_a_state_that_does_not_fit_the_optimizer_is_refused(
    key: str, value: torch.Tensor, message: str
) -> None:
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(2))])
    optimizer.param_groups[0]["params"][0].grad = torch.ones(2)
    optimizer.step()
    tensors = optimizer_tensors("main", optimizer)
    assert set(tensors) == {f"optimizer.main/0/{slot}" for slot in ("step", "exp_avg", "exp_avg_sq")}
    with pytest.raises(InputError, match=message):
        restore_optimizer("main", optimizer, {**tensors, key: value}, where="x")


def test_a_removed_setting_counts_as_changed() -> None:
    check_unchanged({"a": {"b": 1}, "c": {}}, {"a": {"b": 1}, "c": {}}, where="x")
    with pytest.raises(InputError, match=r"'a.c' is no such setting, but the run was started with 2"):
        check_unchanged({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, where="x")
