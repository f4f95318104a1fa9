"""The page on adding a method can be followed word for word, with its package as `pip` installs it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from guide_pages import code_blocks, installed_example
from places import DOCS

from unicode_cmg import FeatureStore, PretrainConfig, available_methods, fit, load_pretrained
from unicode_cmg.testing import CHECKS

PAGE = (DOCS / "guide" / "add-a-method.md").read_text(encoding="utf-8")


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Path]:
    """The package of the page on the path, with the metadata that its pyproject.toml asks for."""
    with installed_example(PAGE, tmp_path / "site-packages"):
        yield tmp_path


@pytest.mark.slow
def test_the_example_keeps_every_promise_and_trains(
    installed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "plain" in available_methods()
    _, check, parametrized = code_blocks(PAGE, "python")
    names: dict[str, object] = {}
    exec(compile(check, "add-a-method.md", "exec"), names)
    passed, skipped = map(int, re.findall(r"\d+", capsys.readouterr().out))
    assert passed + skipped == len(CHECKS)
    assert f"Plain fails 1 of {len(CHECKS)} checks" in PAGE
    exec(compile(parametrized, "add-a-method.md", "exec"), names)

    rng = np.random.default_rng(0)
    features = {m: rng.normal(size=(8, 3, c)).astype("float32") for m, c in (("audio", 6), ("video", 4))}
    FeatureStore.write(installed / "store", features, [f"clip-{k}" for k in range(8)])
    values = {
        "method": {"name": "plain", "modalities": {"audio": {"dim": 6}, "video": {"dim": 4}}, "dim": 8},
        "data": {"store": str(installed / "store")},
        "training": {"epochs": 1, "batch_size": 4},
    }
    run = fit(PretrainConfig.parse(values, where="test"), installed / "run", progress=False)
    assert load_pretrained(run.model).name == "plain"


def test_every_check_of_the_page_exists() -> None:
    for name in re.findall(r"`(\w+_\w+_\w+_\w+)`", PAGE):
        assert name in CHECKS
    for name in re.findall(r"^(\w+): \(nan", PAGE, flags=re.MULTILINE):
        assert name in CHECKS
