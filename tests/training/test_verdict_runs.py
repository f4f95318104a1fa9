"""Real runs, good and bad, and what is said of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_models import changed_config

from unicode_cmg.data.store import FeatureStore
from unicode_cmg.training import Callback, Finding, PretrainConfig, RunResult, Verdict, fit
from unicode_cmg.training.diagnosis import read_verdict

DIMS = {"audio": 12, "video": 10}


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    """Clips of eight kinds, seen and heard through different matrices."""
    rng = np.random.default_rng(0)
    kinds = rng.normal(size=(8, 6))[np.arange(160) % 8][:, None] + 0.1 * rng.normal(size=(160, 4, 6))
    return {m: (kinds @ rng.normal(size=(6, dim)) / 2).astype(np.float32) for m, dim in DIMS.items()}


def write(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    FeatureStore.write(path, arrays, [f"clip{i}" for i in range(160)])
    return path


def config(store: Path, **changes: Any) -> PretrainConfig:
    """Four steps an epoch."""
    method: dict[str, Any] = {"name": "dcid", "dim": 16, "num_codes": 16, "heads": 2, "transformer_layers": 1}
    method |= {
        "feedforward": 32,
        "critic_hidden": 8,
        "modalities": {m: {"dim": dim} for m, dim in DIMS.items()},
    }
    values: dict[str, Any] = {
        "method": method | {"codebook": {"init": "data", "revive_after": 10}},
        "data": {"store": str(store)},
        "optimizer": {"lr": 0.003, "warmup_steps": 10},
        "training": {"epochs": 12, "batch_size": 40, "log_every": 4},
    }
    return changed_config(values, changes)


class Listener(Callback):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def on_log(self, line: Any) -> None:
        self.heard.append("log")

    def on_finding(self, finding: Finding) -> None:
        self.heard.append(finding.kind)

    def on_end(self, verdict: Verdict) -> None:
        self.heard.append("end")


@pytest.mark.slow
def test_a_good_run_is_healthy_and_nothing_is_said(
    arrays: dict[str, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listener = Listener()
    result = fit(config(write(tmp_path / "store", arrays)), tmp_path / "run", callbacks=[listener])
    assert result.verdict.sentence == "healthy"
    assert result.verdict.findings == ()
    assert read_verdict(tmp_path / "run") == result.verdict
    assert "warning:" not in capsys.readouterr().err
    assert listener.heard == ["log"] * 12 + ["end"]


def short(store: Path, run: Path, **changes: Any) -> RunResult:
    return fit(config(store, **{"training__epochs": 2, "optimizer__warmup_steps": 0} | changes), run)


@pytest.mark.slow
def test_clips_that_do_not_belong_together_are_found(arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    shuffled = {**arrays, "video": np.random.default_rng(1).permutation(arrays["video"])}
    result = fit(config(write(tmp_path / "store", shuffled)), tmp_path / "run", progress=False)
    assert result.verdict.sentence.startswith("collapsed: ")
    assert "unrelated-codes" in [finding.kind for finding in result.verdict.findings]


def test_clips_of_other_splits_take_no_part_in_the_verdict(
    arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    video = np.concatenate([arrays["video"][:40], np.roll(arrays["video"][40:], 3, axis=0)])
    splits = {"split": ["train"] * 40 + ["test"] * 120}
    store = tmp_path / "store"
    FeatureStore.write(
        store, {"audio": arrays["audio"], "video": video}, [f"clip{i}" for i in range(160)], columns=splits
    )
    run = fit(config(store, data__split=["train"], training__epochs=48), tmp_path / "run", progress=False)
    assert run.verdict.findings == ()


def test_constant_features_are_found_before_the_first_step(
    arrays: dict[str, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = write(tmp_path / "store", {**arrays, "video": np.full_like(arrays["video"], 0.5)})
    result = short(store, tmp_path / "run")
    lines = capsys.readouterr().err.splitlines()
    assert lines[1].startswith(
        "warning: the features of 'video' are the same in every step of every clip; try"
    )
    assert sum("[constant-features]" in line for line in lines) == 1
    assert result.verdict.findings[0].kind == "constant-features"
    assert (result.model / "config.json").exists()


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"optimizer__warmup_steps": 8}, "short-warm-up"),
        ({"training__batch_size": 1, "data__limit": 6}, "single-clip-batches"),
        ({"method__name": "hdcid", "method__warm_start_epochs": 2}, "late-terms"),
        ({"method__name": "hdcid", "method__warm_start_steps": 8}, "late-terms"),
        ({"optimizer__lr": 30.0, "training__epochs": 6}, "guessing"),
    ],
)
def test_misuse_is_found(
    arrays: dict[str, np.ndarray], tmp_path: Path, changes: dict[str, Any], kind: str
) -> None:
    verdict = short(write(tmp_path / "store", arrays), tmp_path / "run", **changes).verdict
    assert kind in [finding.kind for finding in verdict.findings if finding.bad]


def test_an_h_dcid_that_outlasts_its_warm_start_is_not_said_to_end_before(
    arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    changes = {"method__name": "hdcid", "method__warm_start_epochs": 1}
    verdict = short(write(tmp_path / "store", arrays), tmp_path / "run", **changes).verdict
    assert "late-terms" not in [finding.kind for finding in verdict.findings]


def test_a_resumed_run_has_the_verdict_of_one_that_was_not_interrupted(
    arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    store = write(tmp_path / "store", arrays)
    whole = short(store, tmp_path / "whole", training__epochs=4)
    short(store, tmp_path / "run", training__epochs=2)
    resumed = fit(
        config(store, optimizer__warmup_steps=0, training__epochs=4), tmp_path / "run", resume="auto"
    )
    assert resumed.verdict == whole.verdict
    assert (tmp_path / "run/verdict.json").read_bytes() == (tmp_path / "whole/verdict.json").read_bytes()
