"""What a run watches for and writes down: NaN, metrics, signals."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import threading
from pathlib import Path

import pytest
import torch
from tiny_method import tiny_config, write_tiny_store

from unicode_cmg.errors import InputError
from unicode_cmg.training import NonFiniteLoss, fit
from unicode_cmg.training.metrics import FiniteGuard, MetricsLog, Window
from unicode_cmg.training.process import StopRequest


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
