from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from unicode_cmg.data import FeatureStore, StoreWriter
from unicode_cmg.data.check import check_feature_store
from unicode_cmg.data.store_summary import store_summary
from unicode_cmg.errors import InputError


@pytest.fixture
def store(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    with StoreWriter(tmp_path / "s", source={"extractor": "mine"}) as writer:
        for number in range(6):
            features = {"video": rng.standard_normal((2, 3)).astype(np.float32)}
            if number % 3:
                features["audio"] = rng.standard_normal((1 + number % 2, 4)).astype(np.float16)
            split, speaker = ("train", "test")[number // 4], f"s{number % 5}"
            columns = {"label": "dog" if number else None, "split": split, "speaker": speaker}
            writer.add(f"clip-{number}", features, columns=columns)
            if number == 2:
                writer.flush()
    return tmp_path / "s"


def test_a_whole_store_can_be_used_and_what_one_should_know_is_noted(store: Path) -> None:
    report = check_feature_store(store, every=True)
    assert report.usable
    notes = [f"{entry.where}: {entry.what}" for entry in report if entry.level == "note"]
    assert notes == [
        "part-00000/audio.npy: 4 of 6 clips have it (66.7 %)",
        ".: clips without a value of 'label': 1 (clip-0)",
        ".: values of 'speaker' in more than one split, a leak: 1 (s0)",
    ]
    assert "6 clips in 2 parts" in report.text()


def flip(name: str) -> Callable[[Path], None]:
    def apply(store: Path) -> None:
        content = bytearray((store / name).read_bytes())
        content[-1] ^= 1
        (store / name).write_bytes(content)

    return apply


def drop_first_line(store: Path) -> None:
    table = store / "part-00000/clips.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[1:]))


def copy_part(store: Path) -> None:
    (store / "part-00005").mkdir()
    for file in (store / "part-00000").iterdir():
        (store / "part-00005" / file.name).write_bytes(file.read_bytes())


@pytest.mark.parametrize(
    ("damage", "where", "what"),
    [
        (flip("part-00001/video.npy"), "part-00001/video.npy", "changed since it was written"),
        (flip("part-00000/ids.txt"), "part-00000/ids.txt", "changed since it was written"),
        (lambda s: (s / "part-00001/clips.csv").unlink(), "part-00001/clips.csv", "no such file, but"),
        (lambda s: (s / "part-00001/video.npy").unlink(), "part-00001/video.npy", "no such file"),
        (lambda s: (s / "part-00001/part.json").write_text("{"), "part-00001/part.json", "not valid JSON"),
        (lambda s: (s / "features.json").write_text(""), "features.json", "the file is empty"),
        (drop_first_line, "part-00000/clips.csv", "changed since it was written"),
        (copy_part, "part-00005/ids.txt", "the clip id 'clip-0' occurs twice"),
    ],
)
def test_damage_is_a_problem_with_its_file(
    store: Path, damage: Callable[[Path], None], where: str, what: str
) -> None:
    damage(store)
    problems = [entry for entry in check_feature_store(store) if entry.level == "problem"]
    assert any(entry.where == where and what in entry.what for entry in problems), problems


def test_what_a_killed_writer_left_is_noted(store: Path) -> None:
    (store / ".part.partial-abc").mkdir()
    report = check_feature_store(store)
    assert report.usable
    assert "killed: 1 (.part.partial-abc)" in report.text()


def test_constant_clips_are_noted(tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal((3, 2, 4))
    values[1] = 0
    FeatureStore.write(tmp_path / "s", {"audio": values}, list("abc"))
    assert "clips whose values are all the same: 1 (b)" in check_feature_store(tmp_path / "s").text()


def test_no_store_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no features.json.*data check ave data"):
        check_feature_store(tmp_path)


def test_the_summary_counts_clips_modalities_pairs_and_labels(store: Path) -> None:
    summary = store_summary(store)
    assert (summary.clips, summary.parts, summary.source) == (6, 2, {"extractor": "mine"})
    audio = summary.modalities["audio"]
    assert (audio.shape, audio.dtype, audio.clips) == ((2, 4), "float16", 4)
    assert (audio.fewest_steps, audio.most_steps) == (1, 2)
    assert summary.pairs == {"video-audio": 4}
    assert summary.columns["label"] == {"dog": 5, "": 1}
    assert summary.columns["split"] == {"train": 4, "test": 2}
    assert "column label, 2 values: dog 5, (unknown) 1" in summary.text()
