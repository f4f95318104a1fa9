"""The page on checkpoints can be followed word for word."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest
import torch
from guide_pages import code_blocks
from places import DOCS
from released_files import features, golden_file, loaded
from result_files import evaluation, written
from small_hub import SmallHub

import cli
from unicode_cmg import load_pretrained, load_published, save_pretrained
from unicode_cmg.methods import method_class

PAGE = (DOCS / "guide" / "checkpoints.md").read_text(encoding="utf-8")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files the page speaks of."""
    monkeypatch.chdir(tmp_path)
    model = load_published(golden_file("dcid"))
    save_pretrained(model, tmp_path / "runs/mine/model", extra={"step": 7})
    written(tmp_path / "runs/mine/evaluation/ave.json", evaluation(model))
    shutil.copy(golden_file("dcid"), tmp_path / "DCID-model-5.pt")
    return tmp_path


@pytest.mark.slow
def test_its_code_runs(world: Path, hub: SmallHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    load, share = code_blocks(PAGE, "python")
    loaded("dcid").push_to_hub("user/name", token="hf_test")
    names: dict[str, object] = {"features": features("dcid")["audio"].float()}
    exec(compile(load, "checkpoints.md", "exec"), names)
    assert load_pretrained("models/mine").name == "dcid"
    hub.models.clear()
    exec(compile(share, "checkpoints.md", "exec"), names)
    assert b"license: cc-by-4.0" in hub.models["user/name"]["README.md"]
    assert b"71.2" in hub.models["user/name"]["README.md"]


@pytest.mark.slow
def test_its_conversions_run(world: Path) -> None:
    lines = [line for block in code_blocks(PAGE, "sh") for line in block.splitlines() if " convert " in line]
    assert len(lines) == 3
    for line in lines:
        assert cli.run(shlex.split(line)[1:]) == 0, line
    first, second = (torch.load(name, weights_only=True) for name in ("DCID-model-5.pt", "back.pt"))
    assert all(
        torch.equal(tensor, second["Decoder_parameters"][key])
        for key, tensor in first["Decoder_parameters"].items()
    )
    assert Path("mine.pt").is_file()


@pytest.mark.slow
def test_its_errors_are_those_of_the_program(world: Path, capfd: pytest.CaptureFixture[str]) -> None:
    values = torch.load("DCID-model-5.pt", weights_only=True)
    del values["Encoder_parameters"]["Cross_quantizer.ema_weight"]
    torch.save(values, "model.pt")
    settings = loaded("dcid").config.model_dump(mode="json")
    save_pretrained(
        method_class("dcid").from_values({**settings, "pooling": "conv"}, where="test"), "runs/mine/model"
    )
    shown = [
        line
        for block in code_blocks(PAGE, "text")
        for line in block.splitlines()
        if line.startswith("error: ")
    ]
    assert cli.run(["convert", "model.pt", "--to", "models/x"]) == 2
    assert capfd.readouterr().err.strip() == shown[0]
    assert cli.run(["convert", "runs/mine", "--to", "x.pt"]) == 2
    assert capfd.readouterr().err.strip() == shown[1]
