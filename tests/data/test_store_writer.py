from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unicode_cmg.data import FeatureStore, StoreWriter
from unicode_cmg.errors import InputError

RNG = np.random.default_rng(0)


def clip(steps: int = 3, channels: int = 4) -> np.ndarray:
    return RNG.standard_normal((steps, channels)).astype(np.float32)


def test_writers_at_the_same_time_add_whole_parts(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "s", part_bytes=100) as one, StoreWriter(tmp_path / "s") as two:
        for number in range(4):
            one.add(f"a{number}", {"audio": clip()})
            two.add(f"b{number}", {"audio": clip()})
    store = FeatureStore.open(tmp_path / "s")
    assert store.ids == ("a0", "a1", "a2", "b0", "b1", "b2", "b3", "a3")
    assert [part.path.name for part in store.parts] == ["part-00000", "part-00001", "part-00002"]


def test_a_store_can_be_added_to_and_its_fingerprint_changes(tmp_path: Path) -> None:
    first, second = clip(), clip()
    FeatureStore.write(tmp_path / "s", {"audio": first[None]}, ["a"])
    before = FeatureStore.open(tmp_path / "s").fingerprint
    with StoreWriter(tmp_path / "s") as writer:
        assert "a" in writer
        writer.add("b", {"audio": second})
    store = FeatureStore.open(tmp_path / "s")
    np.testing.assert_array_equal(store.batch([1, 0]).features["audio"], np.stack([second, first]))
    assert store.fingerprint != before


def test_numbers_of_parts_give_the_order_of_clips(tmp_path: Path) -> None:
    for name, first in (("late", 1000), ("early", 0)):
        with StoreWriter(tmp_path / "s", first_part=first) as writer:
            writer.add(name, {"audio": clip()})
    assert FeatureStore.open(tmp_path / "s").ids == ("early", "late")


KILLED = """
import sys, time
import numpy as np
from unicode_cmg.data import StoreWriter
with StoreWriter(sys.argv[1], part_bytes=50) as writer:
    for number in range(7):
        writer.add(f"clip{number}", {"audio": np.full((1, 4), number, np.float32)})
    print("written", flush=True)
    time.sleep(60)
"""


@pytest.mark.slow
def test_a_killed_writer_leaves_whole_parts_and_can_be_resumed(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path / "s")], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    with child.stdout:
        assert child.stdout.readline() == "written\n"
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    assert FeatureStore.open(tmp_path / "s").ids == tuple(f"clip{n}" for n in range(4))
    with StoreWriter(tmp_path / "s") as writer:
        for number in range(7):
            if f"clip{number}" not in writer:
                writer.add(f"clip{number}", {"audio": np.full((1, 4), number, np.float32)})
    store = FeatureStore.open(tmp_path / "s")
    assert store.batch(range(7)).features["audio"][:, 0, 0].tolist() == list(range(7))


def test_an_error_drops_the_unfinished_part_alone(tmp_path: Path) -> None:
    def fail_after_two() -> None:
        with StoreWriter(tmp_path / "s") as writer:
            writer.add("a", {"audio": clip()})
            writer.flush()
            writer.add("b", {"audio": clip()})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_after_two()
    assert FeatureStore.open(tmp_path / "s").ids == ("a",)
    assert sorted(file.name for file in (tmp_path / "s").iterdir()) == ["features.json", "part-00000"]


def test_clips_that_are_refused_leave_the_writer_as_it_was(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "s") as writer:
        writer.add("a", {"audio": clip()})
        for name, features, message in (
            ("a", {"audio": clip()}, "clip id 'a' occurs twice"),
            ("b", {"audio": clip(channels=5)}, r"steps of \[5\] float32.*expected \[4\] float32"),
            ("b", {"audio": clip().astype(np.float64)}, "float64"),
            ("b", {"audio": clip(), "video": np.full((2, 2), np.nan)}, "NaN or infinite values in clip 'b'"),
            ("b", {}, "no valid step in any modality"),
            ("b", {"audio": np.zeros((0, 4), np.float32)}, r"\[1, 0, 4\]"),
            ("two\nlines", {"audio": clip()}, "one line of text"),
        ):
            with pytest.raises(InputError, match=message):
                writer.add(name, features)
        writer.add("b", {"audio": clip(), "video": np.ones((2, 2), np.float16)})
    assert FeatureStore.open(tmp_path / "s").dtypes == {"audio": "float32", "video": "float16"}


def test_another_writer_with_the_same_clip_is_refused_when_the_part_is_finished(tmp_path: Path) -> None:
    one, two = StoreWriter(tmp_path / "s"), StoreWriter(tmp_path / "s")
    one.add("a", {"audio": clip()})
    two.add("a", {"audio": clip()})
    one.flush()
    with pytest.raises(InputError, match="clip id 'a' occurs twice"):
        two.flush()
    assert FeatureStore.open(tmp_path / "s").ids == ("a",)


def test_parts_with_a_common_id_or_other_shapes_are_refused(tmp_path: Path) -> None:
    for name, ids, channels in (("s", "ab", 4), ("same", "bc", 4), ("wide", "cd", 5)):
        FeatureStore.write(tmp_path / name, {"audio": np.zeros((2, 3, channels), np.float32)}, list(ids))
    (tmp_path / "same/part-00000").rename(tmp_path / "s/part-00007")
    with pytest.raises(InputError, match=r"part-00007/ids.txt: the clip id 'b' occurs twice.*part-00000"):
        FeatureStore.open(tmp_path / "s")
    (tmp_path / "s/part-00007").rename(tmp_path / "aside")
    (tmp_path / "wide/part-00000").rename(tmp_path / "s/part-00007")
    with pytest.raises(InputError, match=r"part-00007/audio.npy: steps of \[5\].*expected \[4\]"):
        FeatureStore.open(tmp_path / "s")


def test_writers_must_agree_on_the_source(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "s", source={"extractor": "one"}) as writer:
        writer.add("a", {"audio": clip()})
    StoreWriter(tmp_path / "s", source={"extractor": "one"})
    StoreWriter(tmp_path / "s")
    with pytest.raises(InputError, match="another source"):
        StoreWriter(tmp_path / "s", source={"extractor": "two"})
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter.tex").write_text("years of work")
    with pytest.raises(InputError, match="other files"):
        StoreWriter(tmp_path / "thesis")


def test_hashes_are_those_of_the_files(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "s") as writer:
        writer.add("a", {"audio": clip(2)}, columns={"label": "dog"})
        writer.add("b", {"audio": clip(3)}, columns={"label": "cat"})
    part = tmp_path / "s/part-00000"
    noted = json.loads((part / "part.json").read_text())["sha256"]
    assert set(noted) == {"audio.npy", "audio.mask.npy", "ids.txt", "clips.csv"}
    assert noted == {name: hashlib.sha256((part / name).read_bytes()).hexdigest() for name in noted}


def test_an_absent_modality_takes_no_space_and_reads_as_masked_zeros(tmp_path: Path) -> None:
    video = np.ones((4, 2, 3), np.float32)
    audio = [clip(2), None, None, clip(1)]
    FeatureStore.write(tmp_path / "s", {"audio": audio, "video": video}, list("abcd"))
    store = FeatureStore.open(tmp_path / "s")
    assert np.load(tmp_path / "s/part-00000/audio.npy").shape == (2, 2, 4)
    assert store.present["audio"].tolist() == [True, False, False, True]
    assert store.valid_steps("audio").tolist() == [2, 0, 0, 1]
    batch = store.batch([3, 1, 0])
    assert batch.masks["audio"].tolist() == [[True, False], [False, False], [True, True]]
    assert not batch.features["audio"][1].any()
    np.testing.assert_array_equal(batch.features["audio"][2], audio[0])
    np.testing.assert_array_equal(batch.features["audio"][0, :1], audio[3])


def test_a_mask_of_clips_says_which_of_them_have_a_modality(tmp_path: Path) -> None:
    has = np.array([True, False, True])
    both = {"audio": np.ones((3, 2, 4)), "video": np.ones((3, 2))}
    FeatureStore.write(tmp_path / "s", both, np.arange(3), {"audio": has})
    assert FeatureStore.open(tmp_path / "s").present["audio"].tolist() == has.tolist()
    with pytest.raises(InputError, match="no clip has a valid step of 'audio'"):
        FeatureStore.write(tmp_path / "s", both, np.arange(3), {"audio": np.zeros(3, bool)})


def test_parts_without_a_common_modality_make_one_store(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "s") as writer:
        writer.add("a", {"audio": clip(), "text": clip(5)}, tokens={"text": list("hello")})
        writer.flush()
        writer.add("b", {"video": clip(2), "text": clip(1)})
    store = FeatureStore.open(tmp_path / "s")
    assert {m: p.tolist() for m, p in store.present.items()} == {
        "audio": [True, False],
        "text": [True, True],
        "video": [False, True],
    }
    assert store.batch([0, 1]).masks["video"].tolist() == [[False, False], [True, True]]
    assert list(store.tokens("text")) == [tuple("hello"), ("", None, None, None, None)]


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_any_parts_read_back_as_what_was_added(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("parts") / "s"
    lengths = st.dictionaries(st.sampled_from(["audio", "video"]), st.integers(1, 4), min_size=1)
    clips = data.draw(st.lists(lengths, min_size=1, max_size=8))
    channels = data.draw(st.sampled_from([2, 9000]))  # gathered, and one by one
    added = [{m: clip(steps, channels) for m, steps in given.items()} for given in clips]
    with StoreWriter(path) as writer:
        for number, features in enumerate(added):
            writer.add(str(number), features)
            if data.draw(st.booleans()):
                writer.flush()
    store = FeatureStore.open(path)
    rows = data.draw(st.lists(st.integers(0, len(added) - 1), max_size=6))
    batch = store.batch(rows)
    for modality, (steps, *_) in store.modalities.items():
        assert steps == max(len(features[modality]) for features in added if modality in features)
        for at, row in enumerate(rows):
            given = added[row].get(modality, np.zeros((0, channels), np.float32))
            want = np.zeros((steps, channels), np.float32)
            want[: len(given)] = given
            np.testing.assert_array_equal(batch.features[modality][at], want)
            assert batch.masks[modality][at].tolist() == [step < len(given) for step in range(steps)]


@pytest.mark.parametrize(
    "values",
    [
        torch.ones(3, 2, 4, dtype=torch.bfloat16, requires_grad=True),
        torch.ones(3, 2, 4, dtype=torch.float64),
        np.ones((3, 2, 4), ">f4"),
        np.ones((4, 2, 3), np.float16).T,
        [np.ones((2, 4))] * 3,
        [[[1.0] * 4] * 2] * 3,
    ],
)
def test_floats_of_any_kind_are_written(tmp_path: Path, values: object) -> None:
    FeatureStore.write(tmp_path / "s", {"audio": values}, np.arange(3))
    store = FeatureStore.open(tmp_path / "s")
    assert store.ids == ("0", "1", "2")
    assert torch.equal(store.batch([0, 1, 2]).features["audio"], torch.ones(3, 2, 4))


def test_an_array_with_two_axes_is_one_step_for_each_clip(tmp_path: Path) -> None:
    FeatureStore.write(tmp_path / "s", {"image": torch.ones(3, 5)}, torch.arange(3))
    assert FeatureStore.open(tmp_path / "s").modalities == {"image": (1, 5)}


@pytest.mark.parametrize(
    ("values", "ids", "message"),
    [
        (np.ones((2, 3, 4), np.longdouble), ["a", "b"], "expected float16 or float32 or float64"),
        (np.ones((2, 3, 4), int), ["a", "b"], r"int64.*astype\('float32'\)"),
        (np.ones((2, 3, 4), object), ["a", "b"], "values of object"),
        (np.ones((2, 3, 4)), np.array([0.5, 1.5]), "clip id 0.5; expected one line of text, or an integer"),
        (np.ones((2, 3, 4)), ["a", b"b"], "clip id b'b'"),
        (np.ones((2, 3, 4)), ["a", "\ud800"], "clip id"),
        (np.ones((2, 3, 4)), ["a", "a"], "clip id 'a' occurs twice"),
        (np.ones((2, 3, 4)), [1, "1"], "clip id '1' occurs twice"),
        (np.ones(()), ["a", "b"], r"\[\]"),
        (7, ["a", "b"], "a int"),
    ],
)
def test_values_and_ids_that_mean_nothing_are_one_clear_line(
    tmp_path: Path, values: object, ids: object, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        FeatureStore.write(tmp_path / "s", {"audio": values}, ids)


def test_nan_is_allowed_where_the_mask_says_padding(tmp_path: Path) -> None:
    values = np.ones((2, 3, 4), np.float16)
    values[1, 2] = np.nan
    mask = np.isfinite(values).all(axis=2)
    FeatureStore.write(tmp_path / "s", {"audio": values}, ["a", "b"], {"audio": mask})
    batch = FeatureStore.open(tmp_path / "s").batch([1])
    assert batch.features["audio"].isfinite().all()
    assert batch.masks["audio"].tolist() == [[True, True, False]]
    with pytest.raises(InputError, match=r"clip 'b'; .*mask these steps"):
        FeatureStore.write(tmp_path / "s", {"audio": values}, ["a", "b"])
    with pytest.raises(InputError, match="clip 'b', in a step that its mask says is valid"):
        FeatureStore.write(tmp_path / "s", {"audio": values}, ["a", "b"], {"audio": np.ones((2, 3), bool)})


@pytest.mark.slow
@settings(max_examples=10, deadline=None)
@given(values=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=2, max_size=2))
def test_columns_read_back_as_text(tmp_path_factory: pytest.TempPathFactory, values: list[str]) -> None:
    path = tmp_path_factory.mktemp("columns") / "s"
    ids = ['a "quoted" id', "b, with a comma"]
    with StoreWriter(path) as writer:
        writer.write(ids, {"image": np.ones((2, 3))}, columns={"label": values})
    assert FeatureStore.open(path).columns == {"label": tuple(values)}


def test_unknown_values_of_columns_are_empty(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "s") as writer:
        writer.add("a", {"image": clip()}, columns={"label": ["dog", "bark"], "score": 0.5})
        writer.add("b", {"image": clip()}, columns={"label": None, "score": float("nan")})
        writer.add("c", {"image": clip()}, columns={"split": "test"})
    store = FeatureStore.open(tmp_path / "s")
    assert store.columns == {
        "label": ("dog;bark", "", ""),
        "score": ("0.5", "", ""),
        "split": ("", "", "test"),
    }
    table = tmp_path / "s/part-00000/clips.csv"
    table.write_text(table.read_text().replace("\nb,", "\nx,"))
    with pytest.raises(InputError, match=r"clips.csv: the rows do not fit the clips"):
        FeatureStore.open(tmp_path / "s").columns  # noqa: B018
