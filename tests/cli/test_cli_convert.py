"""`unicode-cmg convert`, and released checkpoints in the place of our own."""

from __future__ import annotations

import json
import os
import resource
from pathlib import Path

import pytest
import torch
from places import GOLDEN

from unicode_cmg import load_pretrained

RELEASED = GOLDEN / "hdcid_ckpt_public.pt"


@pytest.mark.slow
def test_it_converts_there_and_back(command, tmp_path: Path) -> None:
    there = command("convert", RELEASED, "--to", tmp_path / "model")
    assert there.code == 0
    assert there.out.splitlines()[:2] == [
        f"{tmp_path / 'model'}: hdcid, native layout",
        "modules: Encoder, Text_ar_lstm",
    ]
    assert "layers.1.decoder" in there.out
    assert "fresh parameters" in there.out
    back = command("convert", tmp_path / "model", "--to", tmp_path / "back.pt")
    assert back.code == 0
    assert "not written, their parameters are fresh" in back.out
    old, new = (torch.load(path, weights_only=True) for path in (RELEASED, tmp_path / "back.pt"))
    assert old.keys() == new.keys()
    assert all(torch.equal(new["Encoder_parameters"][k], t) for k, t in old["Encoder_parameters"].items())


def test_json_says_what_was_carried_over_and_what_was_dropped(command, tmp_path: Path) -> None:
    source = GOLDEN / "dcid_ckpt_public.pt"
    outcome = command("convert", source, "--to", tmp_path / "model", "--json")
    assert outcome.err == ""
    assert json.loads(outcome.out) == {
        "source": str(source),
        "target": str(tmp_path / "model"),
        "layout": "native",
        "method": "dcid",
        "modules": [
            "Encoder",
            "CPC",
            "Text_ar_lstm",
            "Video_mi_net",
            "Text_mi_net",
            "Audio_mi_net",
            "Decoder",
        ],
        "fresh": [],
        "dropped": [
            "optimizer",
            "optimizer_video_mi_net",
            "optimizer_text_mi_net",
            "optimizer_audio_mi_net",
        ],
    }


def test_a_model_the_released_layout_cannot_express_is_refused(command, toy, tmp_path: Path) -> None:
    error = command("convert", toy.run, "--to", tmp_path / "ours.pt").error
    assert "the modalities are audio, video; expected audio, video, text, as in every released DCID" in error
    assert str(toy.run) in error
    assert not (tmp_path / "ours.pt").exists()


def test_a_damaged_file_is_refused(command, tmp_path: Path) -> None:
    (tmp_path / "half.pt").write_bytes(RELEASED.read_bytes()[:9999])
    error = command("convert", tmp_path / "half.pt", "--to", tmp_path / "model").error
    assert "half.pt: not a whole file of torch.save" in error
    assert not (tmp_path / "model").exists()


def test_a_folder_of_other_things_is_left_alone(command, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("1,2")
    assert "'data.csv'" in command("convert", RELEASED, "--to", tmp_path).error
    assert (tmp_path / "data.csv").read_text() == "1,2"


@pytest.mark.slow
@pytest.mark.parametrize("target", ["model", "back.pt"])
def test_a_full_disk_leaves_what_was_there(
    command, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command("convert", RELEASED, "--to", tmp_path / "model")
    command("convert", tmp_path / "model", "--to", tmp_path / "back.pt")
    before = (tmp_path / "back.pt").read_bytes()
    source = RELEASED if target == "model" else tmp_path / "model"

    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    assert "the disk is full" in command("convert", source, "--to", tmp_path / target).error
    assert load_pretrained(tmp_path / "model").name == "hdcid"
    assert (tmp_path / "back.pt").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"model", "back.pt"}


@pytest.mark.slow
def test_a_file_that_may_not_grow_leaves_what_was_there(command, tmp_path: Path) -> None:
    command("convert", RELEASED, "--to", tmp_path / "model")
    (tmp_path / "back.pt").write_text("old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        outcome = command("convert", tmp_path / "model", "--to", tmp_path / "back.pt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "back.pt: cannot write here (File too large)" in outcome.error
    assert (tmp_path / "back.pt").read_text() == "old"
    assert {path.name for path in tmp_path.iterdir()} == {"model", "back.pt"}


def test_a_released_file_is_evaluated_as_it_stands(command, toy) -> None:
    error = command("evaluate", RELEASED, "--task", "ave", "--data", toy.ave).error
    where = toy.ave / "data" / "audio_feature.h5"
    assert error.startswith(f"{where}: 'audio' features of shape [24, 4, 6]; expected [batch, time >= 1, 16]")
