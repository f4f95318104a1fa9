from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_sets
from tiny_sets import one, told

from unicode_cmg.data.check import check_data
from unicode_cmg.data.check.features import sample
from unicode_cmg.data.layouts import (
    write_clip,
    write_retrieval,
)


class Runs:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("made-by-a-pickle",))


def pack(path: Path, value: object) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.pkl", pickle.dumps(value))


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda p: p.write_bytes(p.read_bytes()[:100]), "BBBBBBBBBBB.zip: not a readable zip"),
        (lambda p: pack(p, Runs()), "BBBBBBBBBBB.zip: not a plain array of numbers (it names posix.mkdir)"),
        (lambda p: write_clip(p, np.ones(10)), "BBBBBBBBBBB.zip: the array is [10]; expected [time, ...]"),
        (lambda p: write_clip(p, np.full((10, 5), np.nan)), "50 values are NaN or infinite"),
        (lambda p: write_clip(p, np.ones((10, 7))), "a step is [5] in most clips, but not in 1 of 3 read"),
    ],
)
def test_zips_that_cannot_be_used_are_problems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Path], object], problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tiny_sets.avvp(tmp_path)
    spoil(folder / "feature/audio/zip/BBBBBBBBBBB.zip")
    line = one(told(check_data("avvp", tmp_path), "problem"), "AVVP/feature/audio/zip: ", problem)
    assert "BBBBBBBBBBB.zip" in line
    assert not (tmp_path / "made-by-a-pickle").exists()


def test_clips_of_another_length_and_spare_zips_are_told(tmp_path: Path) -> None:
    folder = tiny_sets.avvp(tmp_path) / "feature/audio/zip"
    write_clip(folder / "BBBBBBBBBBB.zip", np.ones((7, 5)))
    write_clip(folder / "spare.zip", np.ones((7, 5)))
    findings = check_data("avvp", tmp_path)
    assert findings.usable
    one(
        told(findings, "note"),
        "feature/audio/zip",
        "1 of 3 read as a sample are not 10 steps long",
        "BBBBBBBBBBB",
    )
    one(told(findings, "ok"), "feature/audio/zip: 3 of 3 clips; files without a row in the list: 1")
    one(told(findings, "ok"), "feature/audio/zip: 7 to 10 steps of [5]")


def test_only_all_reads_every_clip(tmp_path: Path) -> None:
    items = [f"item {i:02d}" for i in range(40)]
    write_retrieval(
        "flickr-sound",
        tmp_path,
        {m: {item: np.ones((2, 3)) for item in items} for m in ("audio", "video")},
        [(item, None) for item in items],
    )
    folder = tmp_path / "FlickrSoundNet/Data/feature/audio/zip"
    sampled = check_data("flickr-sound", tmp_path)
    one(told(sampled, "ok"), "audio/zip: 2 steps of [3] (32 read as a sample)")
    unread = sorted(set(range(40)) - set(sample(40)))
    assert len(unread) == 8
    (folder / f"item {unread[0]:02d}.zip").write_bytes(b"")
    assert check_data("flickr-sound", tmp_path).usable
    line = one(told(check_data("flickr-sound", tmp_path, every=True), "problem"), "audio/zip")
    assert f"1 of 40 read cannot be used: item {unread[0]:02d}.zip: not a readable zip" in line
