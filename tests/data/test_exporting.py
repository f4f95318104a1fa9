from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from unicode_cmg.data import FeatureStore
from unicode_cmg.data.export import export_store
from unicode_cmg.data.importing import import_features
from unicode_cmg.errors import InputError

RNG = np.random.default_rng(0)
AUDIO = [None if n == 0 else RNG.standard_normal((n, 3)).astype(np.float16) for n in (2, 0, 4, 1, 3)]
VIDEO = RNG.standard_normal((5, 2, 2, 2, 3)).astype(np.float32)
WORDS = [["a", "b"], [], ["c", "d", "", "é"], ["x"], ["1", "2", "3"]]
COLUMNS = {"label": ["dog", "cat", None, "dog", "cow; pig"], "split": ["train", "test", "train", "", "train"]}


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    FeatureStore.write(
        tmp_path / "s",
        {"audio": AUDIO, "video": VIDEO},
        list("abcde"),
        tokens={"audio": WORDS},
        columns=COLUMNS,
        source={"extractor": "mine"},
    )
    return FeatureStore.open(tmp_path / "s")


def assert_same(found: FeatureStore, store: FeatureStore) -> None:
    assert sorted(found.ids) == sorted(store.ids)
    rows = [found.ids.index(clip) for clip in store.ids]
    assert found.dtypes == store.dtypes
    mine, theirs = store.batch(range(len(store))), found.batch(rows)
    for modality in store.modalities:
        np.testing.assert_array_equal(mine.features[modality], theirs.features[modality])
        np.testing.assert_array_equal(mine.masks[modality], theirs.masks[modality])
    for name, values in store.columns.items():
        assert tuple(found.columns[name][row] for row in rows) == values


def test_what_was_exported_is_imported_as_it_was(tmp_path: Path, store: FeatureStore) -> None:
    written = export_store(store, tmp_path / "parquet")
    assert written["splits"] == {"train": 3, "test": 1, "none": 1}
    found = import_features(tmp_path / "parquet", tmp_path / "back").store
    assert_same(found, store)
    words = dict(zip(found.ids, found.tokens("audio"), strict=True))
    assert words == dict(zip(store.ids, store.tokens("audio"), strict=True))


def test_the_card_names_the_files_and_their_columns(tmp_path: Path, store: FeatureStore) -> None:
    export_store(store, tmp_path / "parquet")
    head = yaml.safe_load((tmp_path / "parquet/README.md").read_text().split("---\n")[1])
    (config,) = head["configs"]
    for entry in config["data_files"]:
        (file,) = (tmp_path / "parquet").glob(entry["path"])
        assert entry["split"] in file.name
        assert pq.read_schema(file).names == [feature["name"] for feature in head["dataset_info"]["features"]]
    assert head["dataset_info"]["features"][1] == {"name": "audio", "list": {"list": "float16"}}


def test_a_folder_of_something_else_is_not_replaced(tmp_path: Path, store: FeatureStore) -> None:
    export_store(store, tmp_path / "parquet")
    export_store(store, tmp_path / "parquet")
    with pytest.raises(InputError, match="other files"):
        export_store(store, store.path)


LOAD = """
import json, sys
import numpy as np
import datasets
loaded = datasets.load_dataset(sys.argv[1])
rows = {row["id"]: row for part in loaded.values() for row in part}
loaded.save_to_disk(sys.argv[2])
shapes = {clip: None if row["audio"] is None else list(np.shape(row["audio"])) for clip, row in rows.items()}
print(json.dumps({"splits": {name: len(part) for name, part in loaded.items()}, "audio": shapes,
                  "video": rows["b"]["video"], "label": rows["e"]["label"]}))
"""


@pytest.mark.slow
def test_the_library_datasets_loads_it_and_what_it_saves_is_imported(
    tmp_path: Path, store: FeatureStore
) -> None:
    pytest.importorskip("datasets", exc_type=ImportError)
    export_store(store, tmp_path / "parquet")
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")}
    child = subprocess.run(
        [sys.executable, "-c", LOAD, str(tmp_path / "parquet"), str(tmp_path / "saved")],
        env=os.environ | offline,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = json.loads(child.stdout.splitlines()[-1])
    assert loaded["splits"] == {"train": 3, "test": 1, "none": 1}
    assert loaded["audio"] == {"a": [2, 3], "b": None, "c": [4, 3], "d": [1, 3], "e": [3, 3]}
    np.testing.assert_array_equal(np.array(loaded["video"], np.float32), VIDEO[1])
    assert loaded["label"] == "cow; pig"
    back = "from unicode_cmg.data.importing import import_features as f; import sys; f(*sys.argv[1:])"
    subprocess.run(
        [sys.executable, "-c", back, str(tmp_path / "saved"), str(tmp_path / "back")],
        env=os.environ | offline,
        check=True,
    )
    assert_same(FeatureStore.open(tmp_path / "back"), store)
