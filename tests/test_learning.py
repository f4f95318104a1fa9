"""A codebook pretrained for seconds carries what is learned on one modality to another, by its codes."""

from __future__ import annotations

from pathlib import Path

import pytest
from places import CONFIGS

import unicode_cmg as uc
from unicode_cmg.config import apply_overrides, load_yaml
from unicode_cmg.data.digits import write_digits

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
CONFIG = CONFIGS / "digits" / "dcid.yaml"
DIRECTIONS = ["video->audio", "audio->video"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("learning") / "digits"
    write_digits(root)
    return root


@pytest.fixture(scope="module")
def model(data: Path) -> uc.Method:
    """The quickstart's model with one transformer layer, after two of its 15 epochs at twice its rate."""
    changes = ["training.epochs=2", "optimizer.lr=2e-3", "method.transformer_layers=1"]
    changes.append(f"data.store={data / 'pretrain'}")
    config = uc.PretrainConfig.parse(apply_overrides(load_yaml(CONFIG), changes), where=CONFIG)
    return uc.load_pretrained(uc.fit(config, data.parent / "run", progress=False).model)


def test_heads_transfer_between_sound_and_picture(model: uc.Method, data: Path) -> None:
    result = uc.evaluate(model, "ave", data, directions=DIRECTIONS, continuous=False)
    assert result.chance == 10
    assert all(direction.mean > 40 for direction in result.directions), result.table()


def test_transfer_falls_to_chance_when_the_codes_are_permuted_between_modalities(
    model: uc.Method, data: Path
) -> None:
    result = uc.evaluate(
        model, "ave", data, directions=DIRECTIONS, permute_codes_seed=0, seeds=range(8), continuous=False
    )
    assert all(direction.mean < 25 for direction in result.directions), result.table()
