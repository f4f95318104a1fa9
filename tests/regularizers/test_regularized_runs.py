from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from pull_regularizer import Pull, PullConfig, pull_run, write_store
from safetensors.torch import load_file

from unicode_cmg import load_pretrained
from unicode_cmg.checkpoints.sums import write_sums
from unicode_cmg.data import FeatureStore
from unicode_cmg.errors import InputError
from unicode_cmg.regularizers import ParameterGroup, Regularizers
from unicode_cmg.regularizers.registry import OURS
from unicode_cmg.training import Interrupted, fit, load_regularizers

PULL = {"name": "pull"}


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OURS, "pull", ("pull_regularizer", "Pull"))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return write_store(tmp_path / "store")


def lines(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model/model.safetensors")


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


def test_a_regularizer_adds_weighted_terms_and_trains_its_parameters(store: Path, tmp_path: Path) -> None:
    fit(pull_run(store, {**PULL, "weight": 3.0}), tmp_path / "run", progress=False)
    first = lines(tmp_path / "run")[0]["loss"]
    terms = {name for name in first if name.startswith("pull/")}
    assert terms == {"pull/near", "pull/size/all"}
    others = sum(
        value
        for name, value in first.items()
        if name not in terms and name.split("/")[0] not in ("total", "critic")
    )
    assert first["total"] == pytest.approx(others + 3 * first["pull/near"] + 1.5 * first["pull/size/all"])
    last = lines(tmp_path / "run")[-1]
    assert last["loss"]["pull/near"] < first["pull/near"]
    assert last["gradient_norm"]["pull"] > 0


@pytest.mark.slow
def test_the_exported_model_is_that_of_the_method_alone(store: Path, tmp_path: Path) -> None:
    fit(pull_run(store, PULL), tmp_path / "with", progress=False)
    fit(pull_run(store), tmp_path / "without", progress=False)
    assert weights(tmp_path / "with").keys() == weights(tmp_path / "without").keys()
    assert not same(weights(tmp_path / "with"), weights(tmp_path / "without"))
    x = torch.randn(2, 5, 6)
    assert load_pretrained(tmp_path / "with").encode("audio", x).codes.shape == (2, 5, 8)


@pytest.mark.slow
def test_with_weight_zero_the_method_trains_to_the_same_bits_as_without(store: Path, tmp_path: Path) -> None:
    fit(pull_run(store, {**PULL, "weight": 0.0}), tmp_path / "with", progress=False)
    fit(pull_run(store), tmp_path / "without", progress=False)
    assert same(weights(tmp_path / "with"), weights(tmp_path / "without"))
    assert "pull/near" in lines(tmp_path / "with")[-1]["loss"]


@pytest.mark.slow
def test_loss_weights_reach_the_terms_of_a_regularizer(store: Path, tmp_path: Path) -> None:
    fit(pull_run(store, PULL, loss_weights={"pull": 0.0}), tmp_path / "off", progress=False)
    fit(pull_run(store), tmp_path / "without", progress=False)
    assert same(weights(tmp_path / "off"), weights(tmp_path / "without"))


@pytest.mark.slow
def test_an_interrupted_run_with_a_regularizer_ends_with_the_same_bits(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = pull_run(store, {**PULL, "lr": 0.01, "warmup": 0.8})
    fit(config, tmp_path / "whole", progress=False)
    losses, calls = Pull.losses, [0]

    def signalled(self: Pull, *args: Any, **kwargs: Any) -> dict[str, torch.Tensor]:
        calls[0] += 1
        if calls[0] == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return losses(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Pull, "losses", signalled)
        with pytest.raises(Interrupted):
            fit(config, tmp_path / "parts", progress=False)
    fit(config, tmp_path / "parts", resume="auto", progress=False)
    last = "checkpoints/step-00000006/training_state.safetensors"
    assert same(load_file(tmp_path / "whole" / last), load_file(tmp_path / "parts" / last))
    assert "regularizers/members.pull.map.weight" in load_file(tmp_path / "whole" / last)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))


@pytest.mark.slow
def test_a_run_goes_on_from_a_checkpoint_that_knew_no_regularizers(store: Path, tmp_path: Path) -> None:
    fit(pull_run(store), tmp_path / "run", progress=False)
    state = tmp_path / "run/checkpoints/step-00000006/training_state.json"
    values = json.loads(state.read_text())
    del values["config"]["regularizers"], values["config"]["data"]["fraction"]
    state.write_text(json.dumps(values))
    write_sums(state.parent)
    result = fit(pull_run(store, training__epochs=3), tmp_path / "run", resume="auto", progress=False)
    assert result.steps == 9
    with pytest.raises(InputError, match="'regularizers' is"):
        fit(pull_run(store, PULL), tmp_path / "run", resume="auto", progress=False)


@pytest.mark.slow
def test_method_and_regularizers_are_read_back_from_a_run(store: Path, tmp_path: Path) -> None:
    fit(pull_run(store, PULL), tmp_path / "run", progress=False)
    opened = FeatureStore.open(store)
    method, regularizers = load_regularizers(tmp_path / "run", opened)
    (pull,) = regularizers
    kept = load_file(tmp_path / "run/checkpoints/step-00000006/training_state.safetensors")
    assert torch.equal(pull.map.weight, kept["regularizers/members.pull.map.weight"])
    assert not pull.training
    assert not method.training
    with pytest.raises(InputError, match=r"no checkpoint of a run here.*exported model does not hold them"):
        load_regularizers(tmp_path / "run/model", opened)
    fit(pull_run(store), tmp_path / "bare", progress=False)
    with pytest.raises(InputError, match="trained without regularizers"):
        load_regularizers(tmp_path / "bare", opened)


@pytest.mark.slow
def test_validation_logs_the_terms_without_their_noise(store: Path, tmp_path: Path) -> None:
    config = pull_run(store, {**PULL, "noise": 1e6}, data__val_store=str(store), loss_weights={"pull": 0.0})
    fit(config, tmp_path / "run", progress=False)
    entries = [line["validation"] for line in lines(tmp_path / "run") if "validation" in line]
    assert len(entries) == 2
    assert all(entry["pull/near"] < 1e3 for entry in entries)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (
            [{"weight": 1.0}],
            r"test: 'regularizers.0.name' is missing; expected one of gram, slot_alignment, structure",
        ),
        ([{"name": "pul"}], r"regularizers.0: unknown regularizer 'pul'.*did you mean 'pull'\?"),
        ([PULL, PULL], "'pull' is there twice"),
        ([{"name": "pull", "noize": 1}], r"regularizer 'pull': unknown key 'noize'; did you mean 'noise'\?"),
        ([{"name": "pull", "weight": -1}], "'weight' is -1; expected greater than or equal to 0"),
    ],
)
def test_a_wrong_entry_is_named(entries: list[dict[str, Any]], message: str, store: Path) -> None:
    with pytest.raises(InputError, match=message):
        pull_run(store, *entries)


def test_a_store_without_the_column_is_refused_before_training(store: Path, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"no column 'depth', which a regularizer reads.*the store has audio"
    ):
        fit(pull_run(store, {**PULL, "column": "depth"}), tmp_path / "run", progress=False)


def test_a_method_that_shows_nothing_says_so(store: Path, tmp_path: Path) -> None:
    import sys

    sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
    import tiny_method  # noqa: F401 - registers itself

    config = pull_run(store, PULL, method={"name": "tiny"})
    with pytest.raises(InputError, match="the method 'tiny' takes no regularizers"):
        fit(config, tmp_path / "run", progress=False)


def test_a_rate_of_its_own_warms_up_and_stays() -> None:
    group = ParameterGroup((), lr=1e-4, warmup=0.1)
    rates = [group.rate(run=1.0, share=share) for share in (0.01, 0.05, 0.1, 0.5, 1.0)]
    assert rates == pytest.approx([1e-5, 5e-5, 1e-4, 1e-4, 1e-4])
    assert ParameterGroup(()).rate(run=0.3, share=0.01) == 0.3
    assert ParameterGroup((), lr=0.2).rate(run=0.3, share=0.01) == 0.2


def test_building_regularizers_leaves_the_global_random_state_alone(store: Path) -> None:
    opened = FeatureStore.open(store)
    batch = opened.batch([0])
    from unicode_cmg.methods import method_class

    config = pull_run(store, PULL)
    method = method_class("dcid").from_values(config.method.settings.model_dump(), where="test").eval()
    view = method.view(batch, method.represent(batch.only(method.modalities))).with_columns(batch)
    before = torch.get_rng_state()
    one, two, other = (Regularizers.build(config.regularizers, view, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    assert same(one.state_dict(), two.state_dict())
    assert not same(one.state_dict(), other.state_dict())
    assert config.regularizers[0].settings == PullConfig()
