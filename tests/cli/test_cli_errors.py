"""Wrong input: exit code 2 and one line on stderr, and nothing that was there before is lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from unicode_cmg.data import FeatureStore


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["quickstart", "--nonsense"], "No such option"),
        (["quickstart", "--seed", "-1"], "'--seed'"),
        (["quickstart", "--seed", "one"], "'--seed'"),
        (["quickstart", "--resume", "sometimes"], "'--resume'"),
        (["data", "digits"], "'--to'"),
        (["data", "digits", "--to", "x", "--recipe", "other"], "'--recipe'"),
        (["toc", "x", "--to", "y", "--lam", "2"], "'--lam'"),
        (["evaluate", "x", "--task", "ave"], "'--data'"),
    ],
)
def test_usage_errors_are_one_line(command, arguments: list[str], says: str) -> None:
    error = command(*arguments).error
    assert says in error
    assert "--help'" in error


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "no such file"),
        ("", "the file is empty"),
        ("method: {name: dcid", "not valid YAML"),
        ("- 1\n- 2\n", "a list at the top level"),
        ("method: {name: nothing}\ndata: {store: x}\n", "nothing"),
        ("data: {store: x}\n", "'method' is missing"),
    ],
)
def test_a_bad_config_is_refused(command, tmp_path: Path, text: str | None, says: str) -> None:
    config = tmp_path / "config.yaml"
    if text is not None:
        config.write_text(text, encoding="utf-8")
    error = command("pretrain", config, "--to", tmp_path / "run").error
    assert says in error
    assert "config.yaml" in error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("training.epoch=3", "did you mean 'training.epochs'?"),
        ("training.epochs=0", "'training.epochs' is 0"),
        ("training.epochs", "expected key.subkey=value"),
        ("method.modalities.smell.dim=3", "smell"),
        ("method.modalities.audio.dim=7", "7"),
        ("data.store=nowhere", "nowhere"),
    ],
)
def test_a_bad_setting_is_refused(command, toy, tmp_path: Path, setting: str, says: str) -> None:
    assert says in command("pretrain", toy.config, "--to", tmp_path / "run", "--set", setting).error


def test_a_truncated_config_of_a_copy_is_refused(command, toy, tmp_path: Path) -> None:
    whole = toy.config.read_text(encoding="utf-8")
    (tmp_path / "half.yaml").write_text(whole[: whole.index("store") + 3], encoding="utf-8")
    assert "half.yaml" in command("pretrain", tmp_path / "half.yaml", "--to", tmp_path / "run").error


@pytest.mark.parametrize("spoil", ["missing", "empty", "truncated", "index"])
def test_a_damaged_store_is_refused(command, toy, tmp_path: Path, spoil: str) -> None:
    store = tmp_path / "store"
    shutil.copytree(toy.store, store)
    audio = store / "part-00000/audio.npy"
    if spoil == "missing":
        audio.unlink()
    elif spoil == "empty":
        audio.write_bytes(b"")
    elif spoil == "truncated":
        audio.write_bytes(audio.read_bytes()[:-10])
    else:
        (store / "features.json").write_text('{"format_version": 1, "clips"', encoding="utf-8")
    error = command("pretrain", toy.config, "--to", tmp_path / "run", "--set", f"data.store={store}").error
    assert str(store) in error


def test_features_with_nan_are_refused(command, toy, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(toy.store, store)
    values = np.load(store / "part-00000/audio.npy")
    values[3, 1, 2] = np.nan
    np.save(store / "part-00000/audio.npy", values)
    outcome = command("pretrain", toy.config, "--to", tmp_path / "run", "--set", f"data.store={store}")
    assert outcome.code == 2
    assert "NaN" in outcome.err.splitlines()[-1]


def test_clips_without_steps_are_refused(command, toy, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(toy.store, store)
    index = json.loads((store / "part-00000/part.json").read_text())
    index["modalities"]["audio"]["shape"][0] = 0
    (store / "part-00000/part.json").write_text(json.dumps(index))
    values = np.load(store / "part-00000/audio.npy")
    np.save(store / "part-00000/audio.npy", values[:, :0])
    error = command("pretrain", toy.config, "--to", tmp_path / "run", "--set", f"data.store={store}").error
    assert "part.json" in error


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        ("missing", "no such folder"),
        ("no-config", "there is no model here"),
        ("empty-config", "the file is empty"),
        ("truncated-weights", "safetensors"),
        ("empty-weights", "empty"),
        ("newer", "newer version"),
        ("other-sizes", "shape"),
    ],
)
def test_a_damaged_checkpoint_is_refused(command, toy, tmp_path: Path, spoil: str, says: str) -> None:
    model = tmp_path / "model"
    if spoil != "missing":
        shutil.copytree(toy.run / "model", model)
    config, weights = model / "config.json", model / "model.safetensors"
    if spoil == "no-config":
        config.unlink()
    elif spoil == "empty-config":
        config.write_text("")
    elif spoil == "truncated-weights":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif spoil == "empty-weights":
        weights.write_bytes(b"")
    elif spoil in ("newer", "other-sizes"):
        values = json.loads(config.read_text())
        if spoil == "newer":
            values["format_version"] = 2
        else:
            values["config"]["num_codes"] = 7
        config.write_text(json.dumps(values))
    assert says in command("evaluate", model, "--task", "ave", "--data", toy.ave).error


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--data", "nowhere"], "nowhere"),
        (["--data", "AVE", "--task", "sleep"], "unknown task 'sleep'"),
        (["--data", "AVE", "--seeds", "1,b"], "--seeds"),
        (["--data", "AVE", "--seeds", "1,1"], "seeds"),
        (["--data", "AVE", "--toc", "nowhere.json"], "nowhere.json"),
        (["--data", "AVE", "--protocol", "best"], "unknown protocol 'best'; expected one of held-out, paper"),
    ],
)
def test_a_bad_evaluation_is_refused(command, toy, arguments: list[str], says: str) -> None:
    arguments = [str(toy.ave) if argument == "AVE" else argument for argument in arguments]
    assert says in command("evaluate", toy.run, "--task", "ave", *arguments).error


def test_evaluation_data_of_another_size_is_refused(command, toy, tmp_path: Path) -> None:
    run = tmp_path / "run"
    values = yaml.safe_load(toy.config.read_text())
    rng = np.random.default_rng(0)
    arrays = {
        "audio": rng.normal(size=(8, 4, 9)).astype("f4"),
        "video": rng.normal(size=(8, 4, 5)).astype("f4"),
    }
    FeatureStore.write(tmp_path / "store", arrays, [str(i) for i in range(8)])
    values["method"]["modalities"]["audio"]["dim"] = 9
    values["data"]["store"] = str(tmp_path / "store")
    (tmp_path / "wide.yaml").write_text(yaml.safe_dump(values))
    assert command("pretrain", tmp_path / "wide.yaml", "--to", run).code == 0
    error = command("evaluate", run, "--task", "ave", "--data", toy.ave).error
    assert "6" in error
    assert "9" in error


def test_a_folder_that_is_no_run_has_no_report(command, tmp_path: Path) -> None:
    assert "no config.yaml" in command("report", tmp_path).error
    assert "no such folder" in command("report", tmp_path / "nowhere").error


def test_a_run_that_exists_is_not_begun_again(command, toy, tmp_path: Path) -> None:
    before = (toy.run / "metrics.jsonl").read_bytes()
    assert (
        "already holds a run" in command("pretrain", toy.config, "--to", toy.run, "--resume", "never").error
    )
    assert (toy.run / "metrics.jsonl").read_bytes() == before


def test_a_run_is_not_continued_with_other_settings(command, toy) -> None:
    error = command("pretrain", toy.config, "--to", toy.run, "--set", "training.seed=9").error
    assert "'training.seed' is 9" in error


def test_digits_do_not_replace_other_things(command, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("words")
    command("data", "digits", "--to", tmp_path / "thesis").error  # noqa: B018 - reading it checks it
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "words"
