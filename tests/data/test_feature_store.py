from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unicode_cmg.data import FeatureStore
from unicode_cmg.data.store.rows import all_finite
from unicode_cmg.errors import InputError

N, T = 6, 3


def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "audio": rng.standard_normal((N, T, 5)).astype(np.float16),
        "video": rng.standard_normal((N, T, 2, 2, 4)).astype(np.float32),
    }


MASK = np.array([[True] * T] * (N - 1) + [[True, False, False]])
IDS = [f"clip {i}" for i in range(N)]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    FeatureStore.write(tmp_path / "store", arrays(), IDS, {"audio": MASK}, {"name": "test"})
    return tmp_path / "store"


def test_a_batch_holds_the_rows_asked_for_in_their_order(store: Path) -> None:
    opened = FeatureStore.open(store)
    batch = opened.batch([4, 0, 4, 5])
    for name, values in arrays().items():
        assert torch.equal(batch.features[name], torch.from_numpy(values[[4, 0, 4, 5]]).float())
    assert torch.equal(batch.masks["audio"], torch.from_numpy(MASK[[4, 0, 4, 5]]))
    assert batch.masks["video"].all()
    assert batch.masks["video"].shape == (4, T)


def test_a_store_knows_its_clips_shapes_and_source(store: Path) -> None:
    opened = FeatureStore.open(store)
    assert len(opened) == N
    assert opened.ids == tuple(IDS)
    assert opened.modalities == {"audio": (T, 5), "video": (T, 2, 2, 4)}
    assert opened.source == {"name": "test"}
    assert repr(opened).startswith(f"FeatureStore('{store}': {len(opened)} clips; ")
    assert "\n" not in repr(opened)


def test_features_come_in_the_dtype_asked_for_and_only_the_modalities_asked_for(store: Path) -> None:
    batch = FeatureStore.open(store).batch([1], modalities=["video"], dtype=torch.float64)
    assert list(batch.features) == list(batch.masks) == ["video"]
    assert batch.features["video"].dtype == torch.float64


def test_no_rows_give_an_empty_batch(store: Path) -> None:
    assert FeatureStore.open(store).batch([]).features["video"].shape == (0, T, 2, 2, 4)


def test_features_are_mapped_and_cannot_be_changed_through_the_store(store: Path) -> None:
    values = FeatureStore.open(store).parts[0].arrays("audio").values
    before = (store / "part-00000/audio.npy").read_bytes()
    assert isinstance(values.base, np.memmap)
    values[:] = 7
    assert (store / "part-00000/audio.npy").read_bytes() == before


def test_a_table_of_pandas_is_a_vector_for_each_clip(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    values = np.arange(6, dtype=np.float32).reshape(3, 2)
    FeatureStore.write(tmp_path / "s", {"vitals": pandas.DataFrame(values)}, ids=range(3))
    assert (
        FeatureStore.open(tmp_path / "s").batch([0, 1, 2]).features["vitals"][:, 0].tolist()
        == values.tolist()
    )


def test_a_pickled_store_is_its_path(store: Path) -> None:
    sent = pickle.dumps(FeatureStore.open(store))
    assert len(sent) < 1000
    assert torch.equal(
        pickle.loads(sent).batch([2]).features["audio"][0], torch.from_numpy(arrays()["audio"][2]).float()
    )


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(0, N), max_size=4), dtype=st.sampled_from(["float16", "float32", "float64"]))
def test_chunks_of_any_size_make_the_same_store(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], dtype: str
) -> None:
    folder = tmp_path_factory.mktemp("chunks")
    values = arrays()["audio"].astype(dtype)
    FeatureStore.write(folder / "whole", {"audio": values}, IDS)
    FeatureStore.write(folder / "cut", {"audio": iter(np.split(values, sorted(cuts)))}, IDS)
    for file in (folder / "whole/part-00000").iterdir():
        assert file.read_bytes() == (folder / "cut/part-00000" / file.name).read_bytes()


def test_the_fingerprint_follows_content_ids_and_source(tmp_path: Path) -> None:
    def fingerprint(values: np.ndarray, ids: list[str], source: str) -> str:
        FeatureStore.write(tmp_path / "s", {"audio": values}, ids, source={"name": source})
        return FeatureStore.open(tmp_path / "s").fingerprint

    values = arrays()["audio"]
    changed = values.copy()
    changed[3, 1, 2] += 1
    prints = [
        fingerprint(values, IDS, "a"),
        fingerprint(changed, IDS, "a"),
        fingerprint(values, IDS[::-1], "a"),
        fingerprint(values, IDS, "b"),
    ]
    assert len(set(prints)) == 4
    assert fingerprint(values, IDS, "a") == prints[0]


def test_writing_replaces_a_store_but_no_other_folder(tmp_path: Path, store: Path) -> None:
    FeatureStore.write(store, {"audio": arrays()["audio"][:2]}, IDS[:2])
    assert len(FeatureStore.open(store)) == 2
    assert not (store / "part-00000/video.npy").exists()
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="other files"):
        FeatureStore.write(tmp_path / "home", arrays(), IDS)
    assert (tmp_path / "home" / "thesis.tex").exists()


def test_a_failed_write_leaves_the_old_store_and_no_scratch_files(tmp_path: Path, store: Path) -> None:
    before = FeatureStore.open(store).fingerprint
    bad = arrays()
    bad["video"][2, 1, 0, 0, 0] = np.nan
    with pytest.raises(InputError, match=r"video.*clip 2"):
        FeatureStore.write(store, bad | {"video": iter(np.split(bad["video"], [1]))}, IDS)
    assert FeatureStore.open(store).fingerprint == before
    assert [p.name for p in tmp_path.iterdir()] == ["store"]


def chunks_that_change() -> list[np.ndarray]:
    return [np.zeros((3, T, 5), np.float32), np.zeros((3, T, 6), np.float32)]


@pytest.mark.parametrize(
    ("features", "ids", "masks", "message"),
    [
        ({}, IDS, None, "nothing to write"),
        ({"audio": np.zeros((0, T, 5), np.float32)}, [], None, "nothing to write"),
        ({"audio": np.zeros((5, T, 5), np.float32)}, IDS, None, "5 clips; expected 6"),
        ({"audio": np.zeros((7, T, 5), np.float32)}, IDS, None, "7 clips; expected 6"),
        ({"audio": iter([np.zeros((7, T, 5), np.float32)])}, IDS, None, "more clips than ids; expected 6"),
        ({"audio": np.zeros((6, 0, 5), np.float32)}, IDS, None, r"\[6, 0, 5\]"),
        ({"audio": np.zeros(6, np.float32)}, IDS, None, r"\[6\]"),
        ({"audio": np.zeros((6, T, 5), np.int64)}, IDS, None, "int64"),
        ({"audio": iter(chunks_that_change())}, IDS, None, r"\[3, 3, 6\].*after clip 3"),
        ({"../audio": np.zeros((6, T, 5), np.float32)}, IDS, None, "modality name"),
        ({"audio": np.zeros((6, T, 5), np.float32)}, [*IDS[:5], "two\nlines"], None, "clip id"),
        ({"audio": np.zeros((6, T, 5), np.float32)}, IDS, {"audio": MASK[:, :2]}, r"\[6, 2\]"),
        (
            {"audio": np.zeros((6, T, 5), np.float32)},
            IDS,
            {"audio": ~MASK},
            "clip 'clip 0' has no valid step in any",
        ),
        ({"audio": np.zeros((6, T, 5), np.float32)}, IDS, {"text": MASK}, "mask for 'text'"),
    ],
)
def test_arrays_that_do_not_fit_are_not_written(
    tmp_path: Path, features: dict, ids: list[str], masks: dict | None, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        FeatureStore.write(tmp_path / "s", features, ids, masks)
    assert not (tmp_path / "s").exists()


def edit(file: str = "part-00000/part.json", **changes: object) -> Callable[[Path], None]:
    def apply(store: Path) -> None:
        index = json.loads((store / file).read_text())
        (store / file).write_text(json.dumps(index | changes))

    return apply


def audio(shape: list[int], dtype: str) -> dict[str, object]:
    return {"audio": {"shape": shape, "dtype": dtype, "clips": N}}


def cut(name: str, size: int) -> Callable[[Path], None]:
    return lambda store: (store / name).write_bytes((store / name).read_bytes()[:size])


def save(name: str, values: np.ndarray) -> Callable[[Path], None]:
    return lambda store: np.save(store / name, values)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda s: (s / "features.json").unlink(), "no features.json"),
        (cut("features.json", 40), "not valid JSON"),
        (cut("features.json", 0), "empty"),
        (edit(clips=0), "clips"),
        (edit("features.json", format_version=1), "format_version"),
        (edit(modalities={}), "modalities"),
        (edit(modalities=audio([0, 5], "float16")), r"shape.0' is 0"),
        (
            edit(modalities=audio([T, 6], "float16")),
            r"audio.npy.*\[6, 3, 5\].*\[6, 3, 6\]",
        ),
        (edit(modalities=audio([T, 5], "float32")), "float16.*float32"),
        (lambda s: (s / "part-00000/audio.npy").unlink(), "audio.npy: no such file"),
        (cut("part-00000/audio.npy", 0), "audio.npy: not a readable"),
        (cut("part-00000/audio.npy", 20), "audio.npy: not a readable"),
        (cut("part-00000/audio.npy", 150), "audio.npy: not a readable"),
        (cut("part-00000/video.npy", -1), "video.npy: not a readable"),
        (cut("part-00000/ids.txt", 15), "ids.txt: 3 clip ids"),
        (lambda s: (s / "part-00000/ids.txt").unlink(), "ids.txt: no such file"),
        (save("part-00000/audio.mask.npy", MASK[:, :2]), r"audio.mask.npy.*\[6, 2\]"),
        (save("part-00000/audio.mask.npy", MASK.astype(np.int64)), "int64"),
        (edit(modalities={"../x": audio([T, 5], "float16")["audio"]}), "modalities"),
        (edit(clips=7), "ids.txt: 6 clip ids"),
        (lambda s: (s / "part-00000").rename(s / "part"), "no part in this store"),
        (save("part-00000/audio.npy", np.array([{}], dtype=object)), "audio.npy: not a readable"),
    ],
)
def test_a_damaged_store_is_refused_with_the_file_named(
    store: Path, damage: Callable[[Path], None], message: str
) -> None:
    damage(store)
    with pytest.raises(InputError, match=message):
        FeatureStore.open(store)


def test_values_that_are_not_finite_are_found_when_their_clip_is_read(store: Path) -> None:
    values = np.load(store / "part-00000/audio.npy")
    values[3, 1, :2] = np.nan
    values[3, 2, 0] = -np.inf
    np.save(store / "part-00000/audio.npy", values)
    opened = FeatureStore.open(store)
    opened.batch([0, 1, 2, 4, 5])
    with pytest.raises(InputError, match=r"3 values of modality 'audio'.*'clip 3'"):
        opened.batch([5, 3])


def test_large_finite_values_are_no_error(tmp_path: Path) -> None:
    FeatureStore.write(tmp_path / "s", {"a": np.full((1, 2, 3), 3e38, np.float32)}, ["x"])
    assert FeatureStore.open(tmp_path / "s").batch([0]).features["a"].isfinite().all()


def test_values_too_large_for_the_dtype_asked_for_are_an_error(tmp_path: Path) -> None:
    FeatureStore.write(tmp_path / "s", {"a": np.full((1, 2, 3), 1e300)}, ["x"])
    opened = FeatureStore.open(tmp_path / "s")
    assert opened.batch([0], dtype=torch.float64).features["a"][0, 0, 0] == 1e300
    with pytest.raises(InputError, match="finite float32"):
        opened.batch([0])


def test_unknown_modalities_and_rows_are_named(store: Path) -> None:
    opened = FeatureStore.open(store)
    with pytest.raises(InputError, match="unknown modality 'text'; expected one of audio, video"):
        opened.batch([0], modalities=["text"])
    for rows in ([0, N], [-1]):
        with pytest.raises(InputError, match="expected 0 to 5"):
            opened.batch(rows)


def test_a_mask_that_does_not_fit_the_features_is_refused_when_it_is_read(store: Path) -> None:
    np.save(store / "part-00000/audio.mask.npy", ~MASK)
    with pytest.raises(InputError, match=r"audio.mask.npy: 1 clips have a valid step.*holds 6"):
        FeatureStore.open(store).batch([0])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("value", [np.nan, -np.nan, np.inf, -np.inf])
def test_one_value_that_is_not_finite_is_seen_among_the_largest_that_are(dtype: str, value: float) -> None:
    most = np.finfo(dtype).max
    values = np.array([0, -0.0, most, -most, np.finfo(dtype).tiny, -1], dtype)
    assert all_finite(values)
    for place in range(len(values)):
        wrong = values.copy()
        wrong[place] = value
        assert not all_finite(wrong)


@pytest.mark.parametrize("channels", [3, 200_000])  # gathered, or copied one by one
def test_features_are_read_as_they_are_stored(tmp_path: Path, channels: int) -> None:
    given = np.random.default_rng(0).standard_normal((5, 2, channels)).astype(np.float16)
    FeatureStore.write(tmp_path / "s", {"a": given}, range(5))
    opened = FeatureStore.open(tmp_path / "s")
    rows = [4, 0, 0, 3]
    read = opened.batch(rows, dtype=None).features["a"]
    assert read.dtype == torch.float16
    np.testing.assert_array_equal(read.numpy(), given[rows])
    np.testing.assert_array_equal(opened.batch(rows).features["a"].numpy(), given[rows].astype(np.float32))
