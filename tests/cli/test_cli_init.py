"""`init`, the configurations that have a name, and errors of `--set`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from toy_world import Outcome, Toy, write_config

from unicode_cmg.data.store import FeatureStore
from unicode_cmg.training import PretrainConfig
from unicode_cmg.training.config import shipped_configs


def test_init_prints_a_configuration_and_json(command: Callable[..., Outcome], toy: Toy) -> None:
    text = command("init", toy.store, "--method", "hdcid")
    values = json.loads(command("init", toy.store, "--method", "hdcid", "--json").out)
    assert (text.code, text.err) == (0, "")
    assert yaml.safe_load(text.out) == values
    assert PretrainConfig.parse(values, where="test").method.name == "hdcid"


@pytest.mark.slow
def test_what_init_prints_runs_unchanged(command: Callable[..., Outcome], tmp_path: Path) -> None:
    rng, dims = np.random.default_rng(0), {"image": 12, "text": 10}  # one step: the shortest run it plans
    kinds = rng.normal(size=(8, 6))[np.arange(64) % 8][:, None] + 0.1 * rng.normal(size=(64, 1, 6))
    arrays = {m: (kinds @ rng.normal(size=(6, dim))).astype(np.float32) for m, dim in dims.items()}
    FeatureStore.write(tmp_path / "store", arrays, [f"clip{i}" for i in range(64)])
    file = tmp_path / "mine.yaml"
    file.write_text(command("init", tmp_path / "store").out)
    done = command("pretrain", file, "--to", tmp_path / "run", "--strict")
    assert done.code == 0
    assert done.out.splitlines()[-1] == "verdict: healthy"


def test_init_refuses_what_is_no_store(command: Callable[..., Outcome], tmp_path: Path) -> None:
    assert command("init", tmp_path / "nowhere").error.endswith("no such folder; expected a feature store")


@pytest.mark.parametrize("name", shipped_configs())
def test_a_shipped_configuration_has_a_name(
    command: Callable[..., Outcome], name: str, tmp_path: Path
) -> None:
    error = command("pretrain", name, "--to", tmp_path / "run", "--set", "data.store=nowhere").error
    assert error == "nowhere: no such folder; expected a feature store"


def test_an_unknown_name_lists_the_known_ones(command: Callable[..., Outcome]) -> None:
    error = command("pretrain", "dcdi").error
    assert error.startswith("dcdi: no such file, and no shipped configuration of this name")
    assert "one of dcid, fcid, hdcid; did you mean 'dcid'?" in error
    assert command("pretrain", "missing.yaml").error.startswith("missing.yaml: no such file")


def test_a_file_is_preferred_to_a_name(
    command: Callable[..., Outcome], toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_config(tmp_path / "dcid", toy.store)
    monkeypatch.chdir(tmp_path)
    assert command("pretrain", "dcid", "--set", "training.epochs=0").error.startswith(
        "--set training.epochs=0"
    )
    assert PretrainConfig.load("dcid").data.store == str(toy.store)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["training.epochs=none"], "--set training.epochs=none: 'training.epochs' is 'none'"),
        (["method.dmi=3"], "--set method.dmi=3: method 'dcid': unknown key 'dmi'; did you mean 'dim'?"),
        (["training.seed=1", "trainin.seed=2"], "--set trainin.seed=2: unknown key 'trainin'"),
        (["method.heads=3"], "--set method.heads=3: method 'dcid': 'dim' is 8 and 'heads' is 3"),
        (["method.name=dcdi"], "--set method.name=dcdi: method: unknown method 'dcdi'"),
        (["data.store=null"], "--set data.store=null: 'data.store' is None"),
    ],
)
def test_an_error_of_set_names_the_option(
    command: Callable[..., Outcome], toy: Toy, settings: list[str], says: str
) -> None:
    arguments = [word for setting in settings for word in ("--set", setting)]
    assert command("pretrain", toy.config, *arguments).error.startswith(says)


def test_an_error_of_the_file_names_the_file(
    command: Callable[..., Outcome], toy: Toy, tmp_path: Path
) -> None:
    values = yaml.safe_load(toy.config.read_text())
    values["training"]["epochs"] = "many"
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(values))
    assert command("pretrain", file, "--set", "training.seed=1").error.startswith(
        f"{file}: 'training.epochs'"
    )
