"""The configuration that `init` writes fits every store, and runs as it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unicode_cmg.batch import can_name_module
from unicode_cmg.data.store import FeatureStore
from unicode_cmg.errors import InputError
from unicode_cmg.methods import method_class
from unicode_cmg.training import PretrainConfig, fit
from unicode_cmg.training.fitted_config import METHODS, fitted_config

NAMES = st.one_of(
    st.sampled_from(["text", "on", "null", "1", "1e3", "-", "0x10", "yes", "words", "a-b", "training"]),
    st.from_regex(r"[A-Za-z0-9_-]{1,6}", fullmatch=True),
).filter(can_name_module)


@st.composite
def shapes(draw: st.DrawFn) -> dict[str, tuple[int, ...]]:
    """Modalities with steps, perhaps a grid, and channels."""
    names = draw(st.lists(NAMES, min_size=2, max_size=4, unique_by=str.lower))
    common = draw(st.integers(1, 4))
    alike = draw(st.booleans())
    steps = [common if alike else draw(st.integers(1, 4)) for _ in names]
    grids = [draw(st.sampled_from([(), (), (1, 3), (5, 7)])) for _ in names]
    return {
        name: (count, *grid, draw(st.integers(1, 7)))
        for name, count, grid in zip(names, steps, grids, strict=True)
    }


def write(path: Path, shapes: dict[str, tuple[int, ...]], *, clips: int = 40, absent: float = 0.0) -> Path:
    rng = np.random.default_rng(0)
    features, masks = {}, {}
    for name, (steps, *rest) in shapes.items():
        features[name] = rng.normal(size=(clips, steps, *rest)).astype(np.float32)
        masks[name] = np.arange(steps) < rng.integers(1, steps + 1, size=clips)[:, None]
        masks[name] &= (rng.random(clips) >= absent)[:, None] | (np.arange(clips) < 2)[:, None]
    masks[next(iter(masks))][:] = True
    FeatureStore.write(path, features, [f"clip{i}" for i in range(clips)], masks=masks)
    return path


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shapes=shapes(),
    method=st.sampled_from([None, *METHODS]),
    clips=st.integers(2, 90),
    absent=st.sampled_from([0.0, 0.4]),
)
@pytest.mark.slow
def test_it_fits_every_store(
    shapes: dict[str, tuple[int, ...]], method: str | None, clips: int, absent: float, tmp_path: Path
) -> None:
    path = write(tmp_path / "store", shapes, clips=clips, absent=absent)
    alike = len({steps for steps, *_ in shapes.values()}) == 1
    if not alike and method in ("dcid", "hdcid"):
        with pytest.raises(InputError, match="differ in their number of steps"):
            fitted_config(path, method)
        return
    config = PretrainConfig.parse(yaml.safe_load(fitted_config(path, method)), where="test")
    store = FeatureStore.open(path)
    assert config.method.name == method or method is None
    assert config.data.store == str(path)
    assert set(vars(config.method.settings)["modalities"]) == set(shapes)
    assert 2 <= config.training.batch_size <= clips
    assert clips % config.training.batch_size != 1
    steps = config.training.epochs * -(-clips // config.training.batch_size)
    assert config.optimizer.warmup_steps <= steps / 5
    model = method_class(config.method.name)(config.method.settings)
    batch = store.batch(list(range(config.training.batch_size)), modalities=model.modalities)
    losses = model.training_losses(batch, generator=torch.Generator().manual_seed(0))
    assert all(bool(torch.isfinite(loss)) for loss in losses.values())


@pytest.mark.slow
def test_it_trains_unchanged(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    store = write(tmp_path / "store", {"image": (1, 9), "caption": (1, 5)}, clips=12)
    file.write_text(fitted_config(store), encoding="utf-8")
    config = PretrainConfig.load(file)
    assert config.training.epochs == 50  # 12 clips are one step
    result = fit(config, tmp_path / "run", progress=False)
    assert result.steps == config.training.epochs
    assert "short-warm-up" not in [finding.kind for finding in result.verdict.findings]


def test_clips_of_several_steps_train_for_longer(tmp_path: Path) -> None:
    shapes = {"audio": (4, 6), "video": (4, 5, 5, 3), "caption": (1, 5)}
    values = yaml.safe_load(fitted_config(write(tmp_path / "store", shapes, clips=12)))
    assert values["method"]["name"] == "fcid"
    assert values["training"]["epochs"] == 300
    assert values["optimizer"]["warmup_steps"] == 30
    values["training"]["epochs"] = 2
    assert fit(PretrainConfig.parse(values, where="t"), tmp_path / "run", progress=False).steps == 2


def test_it_says_what_the_store_has(tmp_path: Path) -> None:
    shapes: dict[str, tuple[int, ...]] = {"audio": (6, 8), "video": (6, 7, 7, 16), "text": (6, 5)}
    text = fitted_config(write(tmp_path / "store", shapes, absent=0.3))
    assert "# dcid on" in text
    assert "video: {dim: 16, grid: [7, 7], window: 1}  # 1 to 6 steps; " in text
    words = r"text: \{dim: 5, context: 64, aligned: false\}"
    assert re.search(words + r"  # 1 to 6 steps; \d+ of 40 clips have it", text)


def test_dropout_is_strong_where_clips_are_few_or_of_few_groups(tmp_path: Path) -> None:
    def dropout(clips: int, groups: int) -> str | None:
        features = {m: np.zeros((clips, 1, 4), np.float32) for m in ("image", "text")}
        columns = {"group": [f"g{row % groups}" if groups else "" for row in range(clips)]}
        path = tmp_path / f"{clips}-{groups}"
        FeatureStore.write(path, features, [f"clip{i}" for i in range(clips)], columns=columns)
        found = re.search(r"  dropout: (.+)", fitted_config(path))
        return found and found[1]

    assert dropout(1200, 1200) == "0.3"
    assert dropout(1200, 0) == "0.3"  # an empty cell is no group
    assert dropout(1200, 100) == "0.5  # strong, because the clips are of 100 groups"
    assert dropout(900, 900) == "0.5  # strong, because the clips are few"


def test_modalities_of_one_step_stay_vectors_and_text_is_the_coarse_one(tmp_path: Path) -> None:
    path = write(tmp_path / "store", {"audio": (4, 8), "video": (4, 6), "text": (4, 5)})
    settings: Any = PretrainConfig.parse(
        yaml.safe_load(fitted_config(path, "fcid")), where="t"
    ).method.settings
    assert (settings.fine, settings.coarse) == (("audio", "video"), ("text",))
    flat = write(tmp_path / "flat", {"image": (1, 8), "text": (1, 6)})
    assert "context" not in fitted_config(flat)


@pytest.mark.parametrize(
    ("shapes", "clips", "said"),
    [
        ({"audio": (2, 3)}, 9, "a single modality"),
        ({"audio": (2, 3), "items": (2, 3)}, 9, "'items' cannot name a modality"),
        ({"audio": (2, 3), "video": (2, 3, 4)}, 9, "clips of 'video' are"),
        ({"audio": (2, 3), "video": (2, 3)}, 1, "a single clip"),
    ],
)
def test_a_store_that_no_method_fits_is_refused(
    shapes: dict[str, tuple[int, ...]], clips: int, said: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=said):
        fitted_config(write(tmp_path / "store", shapes, clips=clips))


def test_an_unknown_method_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "store", {"audio": (2, 3), "video": (2, 3)})
    with pytest.raises(InputError, match=r"--method: unknown method 'dcdi'.*did you mean 'dcid'"):
        fitted_config(path, "dcdi")


@pytest.mark.parametrize("name", ["with space", "umläut", "a: b # c", "line\nbreak", "'quoted'"])
def test_paths_of_any_kind_survive(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / name, {"audio": (2, 3), "video": (2, 3)})
    assert yaml.safe_load(fitted_config(path))["data"]["store"] == str(path)
