"""The toy world of the command line with a finished run, and commands in this process."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from toy_world import CLIPS, Outcome, Toy, features, write_config, write_store, write_toy_ave

import cli


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
    write_toy_ave(root / "ave", features(rng, CLIPS))
    assert cli.run(["pretrain", str(config), "--to", str(root / "run")]) == 0
    return Toy(store, config, root / "run", root / "ave")
