"""H-DCID in the fit loop: the warm start across a resume, and the order of the released step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from released_models import golden, golden_batch, released_model, released_step
from safetensors.torch import load_file
from tiny_models import values_of

from unicode_cmg import load_pretrained
from unicode_cmg.data.store import FeatureStore
from unicode_cmg.methods.hdcid import HDCID
from unicode_cmg.training import PretrainConfig, fit
from unicode_cmg.training.process import accelerated
from unicode_cmg.training.randomness import step_generator
from unicode_cmg.training.trainer import Trainer


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """22 clips: three steps an epoch in batches of 8."""
    path = tmp_path_factory.mktemp("data") / "store"
    rng = np.random.default_rng(0)
    shapes = {"audio": (22, 5, 6), "video": (22, 5, 3, 3, 4)}
    arrays = {m: rng.standard_normal(shape).astype(np.float32) for m, shape in shapes.items()}
    FeatureStore.write(path, arrays, [f"clip{i}" for i in range(22)])
    return path


@pytest.fixture(scope="module")
def run(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose second layer joins in the second of two epochs."""
    path = tmp_path_factory.mktemp("runs") / "run"
    fit(config_of(store), path, progress=False)
    return path


def config_of(store: Path, **settings: Any) -> PretrainConfig:
    modalities = {"audio": {"dim": 6}, "video": {"dim": 4, "grid": [3, 3], "specific_dim": 8}}
    method = {"name": "hdcid", **values_of("hdcid", modalities, warm_start_epochs=1), **settings}
    training = {"epochs": 2, "batch_size": 8, "log_every": 2, "checkpoint_every": 1, "keep_checkpoints": 9}
    values = {"method": method, "data": {"store": str(store)}, "critics": {"steps": 2}, "training": training}
    return PretrainConfig.parse(values, where="test")


def lines(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({"codebook": {"init": "data", "revive_after": 2}}, (2, 4)),
        ({"fidelity": "released", "codebook": {"revive_after": 2}}, (3,)),
        ({"codebook": {"quantizer": "rvq", "codebooks": 2, "init": "data"}}, (3,)),
        ({"codebook": {"quantizer": "fsq", "levels": [3, 3, 4]}, "warm_start_steps": 4}, (3,)),
    ],
    ids=["corrected", "released", "rvq", "fsq"],
)
def test_a_run_resumed_around_the_warm_start_ends_with_the_same_bits(
    settings: dict[str, Any], steps: tuple[int, ...], store: Path, tmp_path: Path
) -> None:
    config = config_of(store, **settings)
    fit(config, tmp_path / "whole", progress=False)
    for step in steps:
        run = tmp_path / f"from{step}"
        fit(config, run, resume=tmp_path / f"whole/checkpoints/step-{step:08d}", progress=False)
        for name in ("model.safetensors", "training_state.safetensors"):
            left, right = (
                load_file(r / "checkpoints/step-00000006" / name) for r in (tmp_path / "whole", run)
            )
            assert left.keys() == right.keys()
            assert all(torch.equal(left[key], right[key]) for key in left), (step, name)


def test_the_log_shows_when_the_second_layer_joins(run: Path) -> None:
    before, after = lines(run)[0], lines(run)[-1]
    for group, name in (
        ("loss", "cpc/layer1"),
        ("loss", "critic/layer1/audio"),
        ("gradient_norm", "cpc/layer1"),
        ("codebook", "layer1/active"),
    ):
        assert (
            name.replace("layer1", "layer0") in before[group] or name.replace("/layer1", "") in before[group]
        )
        assert name not in before[group]
        assert np.isfinite(after[group][name])


def test_the_second_layer_keeps_its_first_parameters_until_it_joins(run: Path) -> None:
    first, last, joined = (
        load_file(run / f"checkpoints/step-{step:08d}/model.safetensors") for step in (1, 3, 4)
    )
    second = [key for key in first if key.startswith("layers.1.")]
    assert all(torch.equal(first[key], last[key]) for key in second)
    moved = {key.split(".")[2] for key in second if not torch.equal(last[key], joined[key])}
    assert moved == {"general", "specific", "decoder", "critic", "cpc", "codebook"}
    assert not torch.equal(first["layers.0.codebook.embedding"], last["layers.0.codebook.embedding"])


def test_a_trained_model_loads_with_both_layers(run: Path, store: Path) -> None:
    model = load_pretrained(run)
    assert isinstance(model, HDCID)
    x = FeatureStore.open(store).batch([0, 1]).features["video"]
    assert model.encode("video", x).indices.shape == (2, 5, 2)
    names = json.loads((run / "model/config.json").read_text())["codebooks"]
    assert names == {f"layer{k}": f"layers.{k}.codebook.embedding" for k in (0, 1)}


@pytest.mark.slow
@pytest.mark.parametrize("epoch", [0, 3])
def test_the_fit_loop_takes_the_released_step(epoch: int, store: Path) -> None:
    """Six encodings, the codebooks moved after each, and the losses on the last one."""
    batch = golden_batch(golden("hdcid_train_step_public"))
    config = config_of(store).model_copy(
        update={"critics": config_of(store).critics.model_copy(update={"steps": 5})}
    )
    trained, expected = released_model("hdcid").train(), released_model("hdcid").train()
    with accelerated("no") as accelerator:
        device = accelerator.device
        trainer = Trainer(trained.to(device), config, accelerator)
        result = trainer.step(batch.to(device), step=1, epoch=epoch, lr=4e-4, statistics=True)
    record = released_step(expected, batch, epoch=epoch, generator=step_generator(config.training.seed, 1))

    assert result.values["loss/total"].item() == pytest.approx(record.total.item(), rel=1e-9)
    for name, loss in record.losses.items():
        assert result.values[f"loss/{name}"].item() == pytest.approx(loss.item(), rel=1e-9), name
    for name, loss in record.critic_losses.items():
        assert result.values[f"loss/{name}"].item() == pytest.approx(loss, rel=1e-9), name
    for key, value in expected.state_dict().items():
        torch.testing.assert_close(trained.state_dict()[key].cpu(), value, rtol=1e-7, atol=1e-9, msg=key)


def test_a_module_without_gradients_is_not_in_the_norms(store: Path) -> None:
    batch = golden_batch(golden("hdcid_train_step_public")).to("cpu", torch.float32)
    with accelerated("no") as accelerator:
        method = HDCID(released_model("hdcid").config).to(accelerator.device)
        trainer = Trainer(method, config_of(store), accelerator)
        result = trainer.step(batch.to(accelerator.device), step=1, epoch=0, lr=4e-4, statistics=False)
    norms = {name for name in result.values if name.startswith("gradient_norm/")}
    assert norms == {f"gradient_norm/{name}" for name in ("context", "encoder", "cpc/layer0", "decoder")}
