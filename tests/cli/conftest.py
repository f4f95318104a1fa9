"""The toy world of the command line with a finished run, and commands in this process."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from toy_world import CLIPS, STEPS, Outcome, Toy, features, write_config, write_store

import cli
from unicode_cmg.data.layouts.ave import Annotation, write_ave


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run `unicode-cmg ARGUMENTS` in this process, as its entry point does."""

    def call(*arguments: object) -> Outcome:
        capfd.readouterr()
        code = cli.run([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """The toy world with a finished run."""
    root = tmp_path_factory.mktemp("toy")
    rng = np.random.default_rng(0)
    store = write_store(root / "store", features(rng, CLIPS))
    config = write_config(root / "config.yaml", store)
    labels = np.zeros((CLIPS, STEPS, 3), dtype=np.float32)
    labels[np.arange(CLIPS), :, np.arange(CLIPS) % 2] = 1
    splits = {"train": np.arange(0, 12), "val": np.arange(12, 18), "test": np.arange(18, 24)}
    notes = [Annotation(("bell", "drum")[i % 2], f"video-{i}", 0, STEPS) for i in range(CLIPS)]
    write_ave(root / "ave", features(rng, CLIPS), labels, splits, notes)
    assert cli.run(["pretrain", str(config), "--to", str(root / "run")]) == 0
    return Toy(store, config, root / "run", root / "ave")
