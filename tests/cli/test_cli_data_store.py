from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def arrays(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    audio, image = rng.normal(size=(6, 4, 3)), rng.normal(size=(6, 5))
    np.savez(tmp_path / "mine.npz", audio=audio, image=image)
    rows = [f"c{row},{'ab'[row % 2]},{('train', 'test')[row // 3]}" for row in range(6)]
    (tmp_path / "mine.csv").write_text("\n".join(["id,label,split", *rows]) + "\n")
    return tmp_path / "mine.npz"


def test_import_info_check_and_export_follow_each_other(command, arrays: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    done = command("data", "import", arrays, "--to", store, "--align", "2", "--dtype", "float16", "--json")
    imported = json.loads(done.out)
    assert imported["modalities"] == {"audio": [2, 3], "image": [2, 5]}
    assert imported["columns"] == ["label", "split"]
    info = json.loads(command("data", "info", store, "--json").out)
    assert info["columns"]["label"] == {"a": 3, "b": 3}
    assert info["modalities"]["audio"]["dtype"] == "float16"
    checked = command("data", "check", store)
    assert checked.code == 0
    assert "clips by split: train 3, test 3" in checked.out
    exported = json.loads(command("data", "export", store, "--to", tmp_path / "parquet", "--json").out)
    assert exported["splits"] == {"train": 3, "test": 3}


def test_what_the_user_says_replaces_the_guesses(command, arrays: Path, tmp_path: Path) -> None:
    options = ("--modality", "sound=audio", "--labels", tmp_path / "mine.csv", "--id-column", "id")
    done = command("data", "import", arrays, "--to", tmp_path / "s", *options, "--align", "sound=8")
    assert done.code == 0
    assert "modality sound\n" in done.out
    assert "'image' [6, 5] float64 is not imported" in done.out
    assert "sound  8 steps of 3 float64" in command("data", "info", tmp_path / "s").out
    again = command("data", "import", arrays, "--to", tmp_path / "s", "--append", "--modality", "sound=audio")
    assert again.code == 2
    assert "the clip id 'c0' occurs twice" in again.error


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--modality", "audio"), "--modality: 'audio'; expected NAME=VALUE"),
        (("--modality", "a=audio", "--modality", "a=image"), "'a' is given twice"),
        (("--align", "audio=many"), "--align: 'audio=many'; expected a number of steps"),
        (("--align", "0"), "audio is 0"),
        (("--modality", "a=sound"), "unknown key 'sound'"),
    ],
)
def test_options_that_do_not_fit_are_one_line(
    command, arrays: Path, tmp_path: Path, options: tuple[str, ...], says: str
) -> None:
    done = command("data", "import", arrays, "--to", tmp_path / "s", *options)
    assert done.code == 2
    assert says in done.error
    assert not (tmp_path / "s").exists()


def test_a_damaged_store_fails_its_check(command, arrays: Path, tmp_path: Path) -> None:
    command("data", "import", arrays, "--to", tmp_path / "s")
    file = tmp_path / "s/part-00000/audio.npy"
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    checked = command("data", "check", tmp_path / "s")
    assert checked.code == 2
    assert "problem  part-00000/audio.npy: the file has changed since it was written" in checked.out


def test_a_check_without_a_folder_or_a_store_says_what_to_type(command, tmp_path: Path) -> None:
    assert "data check ave data" in command("data", "check", "ave").error
    assert "no features.json in this folder" in command("data", "check", tmp_path).error
