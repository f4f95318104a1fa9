"""`encode` and `codes`: what they write, print, and refuse."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from unicode_cmg.data import FeatureStore
from unicode_cmg.encoding import read_codes


def test_encode_writes_a_table_of_codes(command, toy, tmp_path: Path) -> None:
    file = tmp_path / "codes.parquet"
    done = command("encode", toy.run, toy.store, "--to", file, "--batch-size", 5)
    assert done.code == 0
    assert done.out == f"{file}: 192 rows, 24 clips, audio, video; layer0 of 6 codes\n"
    assert done.err.splitlines()[-1].startswith("encoded 24/24 clips")
    codes = read_codes(file)
    assert codes.vector is None
    assert codes.indices("video").shape == (24, 4)
    assert set(np.unique(codes.indices("audio"))) <= set(range(6))


def test_encode_writes_what_is_asked_for(command, toy, tmp_path: Path) -> None:
    file = tmp_path / "new" / "codes.parquet"
    done = command("encode", toy.run, toy.store, "--to", file, "--vectors", "--modalities", "video", "--json")
    assert json.loads(done.out) == {
        "path": str(file),
        "rows": 96,
        "clips": 24,
        "modalities": ["video"],
        "code_layers": {"layer0": 6},
        "merged": {},
        "vectors": True,
    }
    assert read_codes(file).vector.shape == (96, 8)


@pytest.mark.slow
def test_codes_writes_table_record_and_picture(command, toy, tmp_path: Path) -> None:
    done = command("codes", toy.run, toy.store, "--to", tmp_path / "codes")
    assert done.code == 0
    assert done.out.startswith("layer0: 6 codes on 24 clips")
    assert done.out.endswith(f"written to {tmp_path / 'codes'}\n")
    assert {f.name for f in (tmp_path / "codes").iterdir()} == {"codes.csv", "codes.json", "codes.png"}
    printed = command(
        "codes", toy.run, toy.store, "--to", tmp_path / "codes", "--code-layer", "layer0", "--json"
    )
    assert json.loads(printed.out) == json.loads((tmp_path / "codes" / "codes.json").read_text())
    assert json.loads(printed.out)["shares"] == "per step"
    raw = command("codes", toy.run, toy.store, "--to", tmp_path / "codes", "--raw")
    assert "raw counts" in raw.out


@pytest.mark.slow
def test_codes_of_a_run_go_where_its_report_looks(command, toy, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(toy.run, run)
    assert command("codes", run, toy.ave, "--split", "val").out.endswith(f"written to {run / 'codes'}\n")
    assert json.loads((run / "codes" / "codes.json").read_text())["labels"]["split"] == "val"
    assert command("report", run).code == 0
    assert "What the codes mean" in (run / "report.html").read_text(encoding="utf-8")
    assert "have not been compared" not in (run / "report.html").read_text(encoding="utf-8")
    assert "unknown split 'dev'" in command("codes", run, toy.ave, "--split", "dev").error
    assert "this is no folder of a run" in command("codes", run / "model", toy.store).error


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--modalities", "audio,smell"], "unknown modality 'smell'; expected one of audio, video"),
        (["--level", "clip"], "no level 'clip'"),
        (["--batch-size", "0"], "--batch-size"),
        (["--to", "FOLDER"], "this is a folder"),
        (["--to", "FOLDER/x.csv"], "written as Parquet, not as .csv; expected a name such as x.parquet"),
        (["--to", "FILE/codes.parquet"], "cannot write here"),
    ],
)
def test_a_bad_encoding_is_refused(command, toy, tmp_path: Path, arguments: list[str], says: str) -> None:
    (tmp_path / "file").write_text("mine")
    places = {"FOLDER": str(tmp_path), "FILE": str(tmp_path / "file")}
    for short, place in places.items():
        arguments = [argument.replace(short, place) for argument in arguments]
    assert says in command("encode", toy.run, toy.store, "--to", tmp_path / "c.parquet", *arguments).error
    assert [f.name for f in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--code-layer", "layer7"], "unknown code layer 'layer7'; expected one of layer0"),
        (["--level", "clip"], "no level 'clip'"),
        (["--to", "FILE"], "this is a file"),
    ],
)
def test_a_bad_look_at_codes_is_refused(
    command, toy, tmp_path: Path, arguments: list[str], says: str
) -> None:
    (tmp_path / "file").write_text("mine")
    arguments = [argument.replace("FILE", str(tmp_path / "file")) for argument in arguments]
    assert says in command("codes", toy.run, toy.store, "--to", tmp_path / "codes", *arguments).error
    assert [f.name for f in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("name", ["encode", "codes"])
def test_models_and_features_that_are_missing_or_do_not_fit_are_refused(
    command, toy, tmp_path: Path, name: str
) -> None:
    target = ("--to", tmp_path / "out")
    assert "no features.json" in command(name, toy.run, toy.run, *target).error
    assert "no such folder" in command(name, toy.run, tmp_path / "nowhere", *target).error
    assert "there is no model here" in command(name, toy.store, toy.store, *target).error
    FeatureStore.write(tmp_path / "wide", {"audio": np.ones((2, 3, 9), np.float32)}, ["a", "b"])
    error = command(name, toy.run, tmp_path / "wide", *target).error
    assert f"{tmp_path / 'wide' / 'part-00000' / 'audio.npy'}: 'audio' features of shape [2, 3, 9]" in error
    FeatureStore.write(tmp_path / "other", {"smell": np.ones((2, 3, 9), np.float32)}, ["a", "b"])
    assert "expected a common modality" in command(name, toy.run, tmp_path / "other", *target).error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["encode", "codes"])
def test_features_that_are_not_finite_are_refused(command, toy, tmp_path: Path, name: str) -> None:
    shutil.copytree(toy.store, tmp_path / "store")
    values = np.load(tmp_path / "store" / "part-00000/video.npy")
    values[7, 1, 2] = np.nan
    np.save(tmp_path / "store" / "part-00000/video.npy", values)
    error = command(name, toy.run, tmp_path / "store", "--to", tmp_path / "out").error
    assert "NaN" in error
    assert "clip-7" in error
    assert not (tmp_path / "out").exists()


def test_ctrl_c_leaves_no_table(command, toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("unicode_cmg.progress.Progress.advance", interrupt)
    done = command("encode", toy.run, toy.store, "--to", tmp_path / "c.parquet")
    assert (done.code, done.out, done.err) == (130, "", "interrupted\n")
    assert list(tmp_path.iterdir()) == []
