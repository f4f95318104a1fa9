"""The page on data sets shows what happens, and its code runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from guide_pages import code_blocks
from places import DOCS
from tiny_sets import write_vggsound_avel

from unicode_cmg.data import FeatureStore
from unicode_cmg.data.check import available_checks, check_data
from unicode_cmg.data.layouts import read_retrieval, write_retrieval
from unicode_cmg.data.layouts.vggsound_avel import AVELClip

PAGE = (DOCS / "guide" / "data.md").read_text(encoding="utf-8")


def test_the_example_of_a_check_is_what_it_prints(digits_root: Path) -> None:
    (command,) = (line for line in code_blocks(PAGE, "sh")[0].splitlines() if "data check" in line)
    *_, task, folder = command.split()
    printed = check_data(task, digits_root).text().replace(str(digits_root), folder)
    assert printed == code_blocks(PAGE, "text")[0].rstrip("\n")


def test_every_task_is_on_the_page() -> None:
    for task in available_checks():
        assert f"`{task}`" in PAGE


def word_vectors(sentence: str) -> np.ndarray:
    return np.array([[len(word), 1.0] for word in sentence.split()], np.float32)


def test_the_code_makes_a_store_and_word_vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    clips = [AVELClip("a", "aaaaaaaaaa0", "val"), AVELClip("b", "aaaaaaaaaa1", "train")]
    features = {m: {clip.video_id: np.ones((10, 3)) for clip in clips} for m in ("audio", "video")}
    prompts = {"a": "one two three", "b": " ".join(["long"] * 12)}
    write_vggsound_avel(Path("data"), ("a", "b"), clips, features, prompts)
    pairs = [("item", f"caption number {k}") for k in range(5)]
    write_retrieval("clotho", Path("data"), {"audio": {"item": np.ones((15, 3))}}, pairs)
    pretraining, captions = code_blocks(PAGE, "python")
    exec(compile(pretraining, "data.md", "exec"), {"word_vectors": word_vectors})
    exec(compile(captions, "data.md", "exec"), {"word_vectors": word_vectors})
    store = FeatureStore.open("store")
    batch = store.batch([0, 1])
    assert store.ids == ("aaaaaaaaaa1", "aaaaaaaaaa0")  # train comes first
    assert batch.masks["text"].sum(1).tolist() == [10, 3]
    assert batch.features["text"][1, :4, 0].tolist() == [3, 3, 5, 0]
    words = read_retrieval("clotho", "data").features("text", np.array([4]))
    assert words.values.tolist() == [word_vectors("caption number 4").tolist()]
