"""The stamps benchmark without its downloads: rows, groups and splits of a small folder; the baselines."""

from __future__ import annotations

import csv
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from places import ROOT

from unicode_cmg.data import FeatureStore

Image = pytest.importorskip("PIL.Image")
FOLDER = ROOT / "examples" / "stamps"


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    return lambda name: runpy.run_path(str(FOLDER / f"{name}.py"))


def stamp(root: Path, name: str, text: str, colour: int, *languages: str, sound: bytes = b"") -> None:
    path = root / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 20), (colour, 255 - colour, colour)).save(path)
    if text:
        path.with_suffix(".txt").write_text(f"{text}\nfr.utf8=Un texte.\n", encoding="utf-8")
    for language in languages:
        Path(f"{root / name}_desc_{language}.ogg").write_bytes(f"{name} in {language}".encode())
    if sound:
        path.with_suffix(".ogg").write_bytes(sound)


def test_what_stamps_share_puts_them_into_one_group_and_one_split(tmp_path: Path, module: Any) -> None:
    root = tmp_path / "stamps"
    for number in range(25):
        stamp(root, f"animals/a{number:02}", f"Animal number {number}.", 5 * number, "fr", "ru")
    stamp(root, "animals/dog", "A dog.", 200, "fr", "xx", sound=b"bark")
    stamp(root, "animals/dog_mirror", "", 230)
    stamp(root, "toys/dog", "a  DOG", 245, "fr")
    stamp(root, "toys/puppy", "A puppy.", 245, "ru")  # its picture is that of toys/dog
    stamp(root, "symbols/b", "The letter B.", 160, "fr", sound=b"bee")
    told = module("manifest")["write_manifest"](root, tmp_path / "manifest.csv")
    assert told == "30 stamps in 27 groups, 54 descriptions in 9 languages, 1 with a sound effect"
    with (tmp_path / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    dogs = [row for row in rows.values() if row["group"] == "animals/dog"]
    assert {row["id"] for row in dogs} == {
        *("animals/dog.fr", "animals/dog_mirror", "toys/dog.fr", "toys/puppy.ru"),
    }
    assert len({row["split"] for row in dogs}) == 1
    assert [row["id"] for row in dogs if row["search_fr"]] == ["animals/dog.fr"]
    assert rows["animals/dog.fr"]["sound"] == "animals/dog.ogg"
    assert rows["symbols/b.fr"]["sound"] == ""  # it says the letter
    assert (rows["animals/dog.fr"]["label"], rows["toys/dog.fr"]["label"]) == ("animals", "")
    splits = {row["split"]: 0 for row in rows.values()}
    for row in rows.values():
        splits[row["split"]] += 1
    assert splits["train"] > splits["test"] > splits["val"] > 0


def test_ridge_regression_finds_what_a_linear_map_turned(tmp_path: Path, module: Any) -> None:
    rng = np.random.default_rng(0)
    hidden, count = rng.normal(size=(240, 6)).astype("float32"), 240
    split = np.array(["train", "val", "test"])[np.minimum(np.arange(count) // 100, 2)].tolist()
    features = {m: (hidden @ rng.normal(size=(6, 8)).astype("float32"))[:, None] for m in ("one", "two")}
    noise = rng.normal(size=(count, 1, 8)).astype("float32")
    label = np.array(["low", "high"])[(hidden[:, 0] > 0).astype(int)].tolist()
    columns = {"split": split, "label": label, "search_fr": split, "language": ["fr"] * count}
    FeatureStore.write(
        tmp_path / "store", {**features, "noise": noise}, [f"c{i}" for i in range(count)], columns=columns
    )
    code = module("baselines")
    opened = code["Features"](FeatureStore.open(tmp_path / "store"), ("one", "two", "noise"))
    found = code["baselines"](opened, ("fr",))
    assert found["searched"] == {"fr": 40}
    for part in (found["together"], found["apart"]):
        assert part["retrieval"]["fr"]["one->two"] == 100
        assert part["retrieval"]["fr"]["noise->two"] < 60
        assert part["transfer"]["one->two"] > 80 > 70 > part["transfer"]["one->noise"]
        assert part["probes"]["one"] > 80
