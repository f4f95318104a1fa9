from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_sets import told, write_vggsound_avel

from unicode_cmg.data import FeatureStore
from unicode_cmg.data.categories import vggsound_avel_classes
from unicode_cmg.data.check import check_data
from unicode_cmg.data.layouts import read_vggsound_avel, write_clip
from unicode_cmg.data.layouts.vggsound_avel import AVELClip
from unicode_cmg.errors import InputError

CLASSES = ("race car", "police car (siren)")
PROMPTS = {"race car": "The roar of a race car, loud", "police car (siren)": "A siren"}
CLIPS = [
    AVELClip("race car", "-aaaaaaaaa0", "val"),
    AVELClip("police car (siren)", "aaaaaaaaaa1", "train"),
    AVELClip("race car", "aaaaaaaaaa2", "test"),
    AVELClip("race car", "aaaaaaaaaa3", "train"),
    AVELClip("police car (siren)", "aaaaaaaaaa4", "test"),
]


@pytest.fixture
def avel(tmp_path: Path) -> Path:
    features = {
        "audio": {c.video_id: np.full((8 + i, 3), float(i)) for i, c in enumerate(CLIPS)},
        "video": {c.video_id: np.full((10, 2, 2, 4), float(10 * i)) for i, c in enumerate(CLIPS)},
        # both shapes are published
        "label": {c.video_id: np.ones((10, 1) if i % 2 else 10) for i, c in enumerate(CLIPS)},
    }
    write_vggsound_avel(tmp_path, CLASSES, CLIPS, features, PROMPTS)
    return tmp_path


@pytest.mark.parametrize("inside", ["", "vggsound40k"])
def test_clips_classes_and_sentences_are_read_back(avel: Path, inside: str) -> None:
    data = read_vggsound_avel(avel / inside)
    assert data.classes == CLASSES
    assert data.clips == tuple(CLIPS)
    assert data.prompts == PROMPTS
    assert data.labels(np.array([1, 0])).tolist() == [1, 0]


def test_24k_is_train_and_40k_is_train_then_test_then_val(avel: Path) -> None:
    data = read_vggsound_avel(avel)
    assert data.rows("24k").tolist() == [1, 3]
    assert data.rows("40k").tolist() == [1, 3, 2, 4, 0]


def test_features_are_ten_steps_long(avel: Path) -> None:
    data = read_vggsound_avel(avel)
    assert data.features("audio", np.array([4, 0]))[:, :, 0].tolist() == [[4.0] * 10, [0.0] * 10]
    assert data.features("video", np.array([2])).shape == (1, 10, 2, 2, 4)
    assert data.events(np.array([0, 1])).tolist() == [[1.0] * 10, [1.0] * 10]


def test_chunks_make_a_feature_store(avel: Path, tmp_path: Path) -> None:
    data = read_vggsound_avel(avel)
    rows = data.rows("40k")
    ids = [data.clips[row].video_id for row in rows]
    FeatureStore.write(tmp_path / "store", {m: data.chunks(m, rows, size=2) for m in ("audio", "video")}, ids)
    batch = FeatureStore.open(tmp_path / "store").batch(range(5))
    assert batch.features["audio"][:, 0, 0].tolist() == rows.tolist()
    assert batch.features["video"][:, 0, 0, 0, 0].tolist() == (10 * rows).tolist()


def test_without_lists_of_their_own_the_published_classes_are_used_and_there_is_no_text(avel: Path) -> None:
    (avel / "vggsound40k/data/VggsoundAVEL40kCategories.txt").unlink()
    (avel / "vggsound40k/data/vggsoundCategories2Prompts.csv").unlink()
    data = read_vggsound_avel(avel)
    assert data.classes == vggsound_avel_classes()
    assert data.prompts == {}
    assert data.labels(np.array([0])).tolist() == [data.classes.index("race car")]


def change(name: str, old: str, new: str) -> Callable[[Path], None]:
    def apply(tables: Path) -> None:
        text = (tables / name).read_text()
        assert old in text
        (tables / name).write_text(text.replace(old, new))

    return apply


LIST, SENTENCES = "vggsound-avel40k.csv", "vggsoundCategories2Prompts.csv"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda t: (t / LIST).unlink(), "vggsound-avel40k.csv: no such file"),
        (change(LIST, "race car,aaaaaaaaaa2", "race,aaaaaaaaaa2"), "the class 'race' of 'aaaaaaaaaa2'"),
        (
            change(LIST, "aaaaaaaaaa3,train", "aaaaaaaaaa3,dev"),
            "the split 'dev' of 'aaaaaaaaaa3'; expected train",
        ),
        (change(LIST, "category,video_id,split", "id,b,c"), "no column 'category'"),
        (change(SENTENCES, "race car,", "race,"), "no sentence for 'race car'; expected one for each class"),
        (change(SENTENCES, "A siren", ""), r"no sentence for 'police car \(siren\)'"),
        (change(SENTENCES, "race car,", "race car,Again\nrace car,"), "two sentences for one class"),
    ],
)
def test_tables_that_make_no_sense_are_refused_and_are_a_problem_of_the_check(
    avel: Path, damage: Callable[[Path], None], message: str
) -> None:
    damage(avel / "vggsound40k/data")
    with pytest.raises(InputError, match=message):
        read_vggsound_avel(avel)
    problems = told(check_data("vggsound-avel", avel), "problem")
    assert any(re.search(message, problem) for problem in problems)


def test_labels_of_another_length_are_named(avel: Path) -> None:
    write_clip(avel / "vggsound40k/feature/label/zip/aaaaaaaaaa1.zip", np.ones((9, 1)))
    with pytest.raises(
        InputError, match=r"aaaaaaaaaa1.zip: the array is \[9, 1\]; expected \[10\] or \[10, 1\]"
    ):
        read_vggsound_avel(avel).events(np.array([1]))
