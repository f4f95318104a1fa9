from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import tiny_sets
from tiny_sets import append, edit, h5, told

from unicode_cmg.data.check import check_data
from unicode_cmg.data.layouts import read_ave
from unicode_cmg.data.layouts.arrays import read_array, read_rows, write_array
from unicode_cmg.data.layouts.ave import Annotation, write_ave
from unicode_cmg.errors import InputError

# class, video, event; the seventh row is background only, as row 26 of the published file is
EVENTS = [
    ("Bell", "vid-0000000", 0, 10),
    ("Dog", "vid-0000001", 2, 7),
    ("Bell", "vid-0000002", 9, 10),
    ("Flute, wood", "vid-0000003", 0, 3),
    ("Dog", "vid-0000000", 1, 4),
    ("Dog", "vid-0000004", 0, 10),
    ("Dog", "vid-0000005", 0, 0),
    ("Bell", "vid-0000002", 0, 4),
]
CLASSES = ("Bell", "Dog", "Flute, wood")
ORDER = {"train": [0, 1, 2, 7], "val": [3, 6], "test": [4, 5]}


ROWS = [Annotation(*event) for event in EVENTS]


def labels() -> np.ndarray:
    return tiny_sets.one_hot(ROWS, CLASSES)


def features() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "video": rng.random((len(EVENTS), 10, 2, 2, 3)),
        "audio": rng.random((len(EVENTS), 10, 5)).astype(np.float16),
    }


@pytest.fixture
def ave(tmp_path: Path) -> Path:
    order = {split: np.array(rows) for split, rows in ORDER.items()}
    write_ave(tmp_path, features(), labels(), order, ROWS)
    return tmp_path


@pytest.mark.parametrize("inside", ["", "data"])
def test_what_is_written_is_read_back_from_either_folder(ave: Path, inside: str) -> None:
    data = read_ave(ave / inside)
    assert data.classes == CLASSES
    assert data.video_ids == tuple(event[1] for event in EVENTS)
    assert data.annotations[1] == Annotation("Dog", "vid-0000001", 2, 7)
    assert {split: rows.tolist() for split, rows in data.order.items()} == ORDER
    assert data.modalities == {"video": (10, 2, 2, 3), "audio": (10, 5)}
    np.testing.assert_array_equal(data.segment_labels(np.arange(8)), labels())


@pytest.mark.parametrize("rows", [[0, 1, 2, 7], [7, 0, 7, 3], [5], list(range(8)), [6, 5, 4]])
def test_rows_come_in_the_order_asked_for_as_float32(ave: Path, rows: list[int]) -> None:
    data = read_ave(ave)
    for name, values in features().items():
        read = data.features(name, np.array(rows))
        assert read.dtype == np.float32
        np.testing.assert_array_equal(read, values[rows].astype(np.float32))
    assert data.mask("audio", np.array(rows)).all()
    assert data.mask("audio", np.array(rows)).shape == (len(rows), 10)


def test_clip_labels_are_the_largest_foreground_argmax_over_time(ave: Path) -> None:
    wanted = []
    for row in labels():
        best = [max(range(3), key=lambda c, second=second: second[c]) for second in row]
        wanted.append(max(best))
    data = read_ave(ave)
    assert data.clip_labels(np.arange(8)).tolist() == wanted
    assert data.clip_labels(np.array([3, 1, 6])).tolist() == [2, 1, 0]  # background only reads as class 0
    assert data.clip_labels(np.array([3])).dtype == np.int64


def test_shared_rows_are_those_whose_video_is_in_two_splits(ave: Path) -> None:
    # video 0 is in train and test; video 2 is twice in train, which is no leak
    assert read_ave(ave).shared_rows().tolist() == [0, 4]


def test_annotations_may_have_the_header_of_later_copies(ave: Path) -> None:
    file = ave / "data/Annotations.txt"
    file.write_text("Category&VideoID&Quality&StartTime&EndTime\n" + file.read_text())
    assert read_ave(ave).annotations == tuple(ROWS)


@pytest.mark.parametrize("name", ["right_labels.h5", "right_label.h5"])
def test_labels_may_have_the_names_other_copies_use(ave: Path, name: str) -> None:
    (ave / "data/labels.h5").rename(ave / "data" / name)
    assert read_ave(ave).classes == CLASSES


def test_the_files_of_the_weak_and_the_matching_task_are_ignored(ave: Path) -> None:
    before = read_ave(ave)
    for name in ("labels_noisy", "mil_labels", "audio_feature_noisy", "visual_feature_noisy", "labels_closs"):
        h5(ave / f"data/{name}.h5", np.zeros((178, 29), np.float32))
    for split in ORDER:
        h5(ave / f"data/{split}_order_match.h5", np.array([7, 6]), "order")
        (ave / f"data/{split}Set.txt").write_text("Bell&vid&good&0&10\n")
    after = read_ave(ave)
    assert {s: rows.tolist() for s, rows in after.order.items()} == ORDER
    np.testing.assert_array_equal(after.labels, before.labels)
    assert after.modalities == before.modalities


def test_text_and_its_mask_are_read_where_there_are_any(tmp_path: Path) -> None:
    mask = np.arange(10) < np.arange(3, 11)[:, None]
    text = np.random.default_rng(1).random((8, 10, 4)) * mask[..., None]
    order = {split: np.array(rows) for split, rows in ORDER.items()}
    write_ave(tmp_path, features() | {"text": text}, labels(), order, ROWS, mask)
    data = read_ave(tmp_path)
    assert data.modalities["text"] == (10, 4)
    np.testing.assert_array_equal(data.mask("text", np.array([7, 2])), mask[[7, 2]])
    np.testing.assert_array_equal(data.features("text", np.array([7, 2])), text[[7, 2]].astype(np.float32))


def shorten(name: str, size: int) -> Callable[[Path], None]:
    return lambda data: (data / name).write_bytes((data / name).read_bytes()[:size])


def annotate(line: str) -> Callable[[Path], None]:
    return lambda data: append(data / "Annotations.txt", line)


def relabel(change: Callable[[np.ndarray], object]) -> Callable[[Path], None]:
    return lambda data: edit(data / "labels.h5", change)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: (d / "labels.h5").unlink(), "labels.h5: no such file"),
        (lambda d: (d / "audio_feature.h5").unlink(), "audio_feature.h5: no such file"),
        (lambda d: (d / "val_order.h5").unlink(), "val_order.h5: no such file"),
        (lambda d: (d / "Annotations.txt").unlink(), "Annotations.txt: no such file"),
        (shorten("visual_feature.h5", 5000), "visual_feature.h5: truncated"),
        (shorten("visual_feature.h5", 100), "visual_feature.h5: (truncated|not a readable)"),
        (shorten("audio_feature.h5", 0), "audio_feature.h5: not a readable HDF5"),
        (shorten("Annotations.txt", 30), "annotation 2: the line 'Dog'"),
        (annotate("Dog&v&good&4&3"), "annotation 9: an event from 4 to 3 in 'v'; expected seconds in 0..10"),
        (annotate("Dog&v&good&4&11"), "an event from 4 to 11"),
        (annotate("Dog&v&good&four&5"), "annotation 9: the line 'Dog&v&good&four&5'"),
        (annotate("&v&good&4&5"), "expected category&video id"),
        (shorten("Annotations.txt", 27), "1 annotations; expected 8"),
        (lambda d: h5(d / "labels.h5", labels(), "wrong"), "labels.h5: no array 'avadataset'.*wrong"),
        (
            lambda d: h5(d / "audio_feature.h5", features()["audio"][:7]),
            r"\[7, 10, 5\]; expected \[8, 10, \.\.\.",
        ),
        (lambda d: h5(d / "audio_feature.h5", np.zeros((8, 9, 5))), r"\[8, 9, 5\]"),
        (lambda d: h5(d / "audio_feature.h5", np.zeros((8, 10, 0))), r"\[8, 10, 0\]"),
        (lambda d: h5(d / "labels.h5", labels()[..., 1:]), r"labels.h5: .*3.* expected .*4"),
        (lambda d: h5(d / "labels.h5", labels()[0]), r"\[10, 4\]"),
        (relabel(lambda x: x[2, 0].fill(0)), "row 2 is not one-hot"),
        (relabel(lambda x: x[5, 3].fill(1)), "row 5 is not one-hot"),
        (relabel(lambda x: x[5, 3].fill(np.nan)), "row 5 is not one-hot"),
        (relabel(lambda x: np.copyto(x[1], labels()[0])), "row 1 is not labelled 'Dog'"),
        (relabel(lambda x: np.copyto(x[0], labels()[5])), "row 0 is not labelled 'Bell'"),
        (lambda d: h5(d / "test_order.h5", np.array([4, 8]), "order"), r"4 to 8; expected .*0..7"),
        (lambda d: h5(d / "test_order.h5", np.array([-1, 4]), "order"), "-1 to 4"),
        (lambda d: h5(d / "test_order.h5", np.array([4.0, 5.5]), "order"), "whole numbers"),
        (lambda d: h5(d / "test_order.h5", np.array([4, 4]), "order"), "twice"),
        (lambda d: h5(d / "test_order.h5", np.zeros(0, np.int64), "order"), r"\[0\]"),
    ],
)
def test_damage_is_refused_by_the_reader_and_is_a_problem_of_the_check(
    ave: Path, damage: Callable[[Path], None], message: str
) -> None:
    damage(ave / "data")
    with pytest.raises(InputError, match=message):
        read_ave(ave)
    problems = told(check_data("ave", ave), "problem")
    assert any(re.search(message, problem) for problem in problems)


def test_a_feature_that_is_not_finite_is_found_when_its_row_is_read(ave: Path) -> None:
    values = features()["audio"].astype(np.float64)
    values[4, 2, :3] = np.nan
    h5(ave / "data/audio_feature.h5", values)
    data = read_ave(ave)
    data.features("audio", np.array([0, 1, 2, 3, 5]))
    with pytest.raises(InputError, match=r"audio_feature.h5: 3 values .*'vid-0000000' \(row 4\)"):
        data.features("audio", np.array([5, 4]))


def test_unknown_modalities_and_rows_are_refused(ave: Path) -> None:
    data = read_ave(ave)
    with pytest.raises(InputError, match="unknown modality 'text'; expected one of video, audio"):
        data.features("text", np.array([0]))
    with pytest.raises(InputError, match="unknown modality 'text'"):
        data.mask("text", np.array([0]))
    with pytest.raises(InputError, match="expected 0 to 7"):
        data.features("audio", np.array([8]))


def test_a_folder_without_ave_says_which_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"labels\.h5: no such file"):
        read_ave(tmp_path)


@pytest.mark.slow
def test_an_array_file_damaged_anywhere_is_refused_or_read(tmp_path: Path) -> None:
    file = tmp_path / "a.h5"
    write_array(file, "avadataset", np.arange(60.0).reshape(3, 10, 2))
    whole = file.read_bytes()
    messages = []
    for place in range(0, len(whole), 6):
        change = (1, 0x80, 0xFF)[place % 3]
        file.write_bytes(whole[:place] + bytes([whole[place] ^ change]) + whole[place + 1 :])
        try:
            read_rows(file, "avadataset", np.array([0, 2]))
        except InputError as error:
            messages.append(str(error))
    assert len(messages) > 5
    assert all(message.startswith(f"{file}: ") for message in messages)


def test_values_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as handle:
        handle["avadataset"] = ["a", "b"]
    with pytest.raises(InputError, match=r"a.h5: values of type object; expected numbers"):
        read_array(tmp_path / "a.h5", "avadataset")


def test_values_beyond_single_precision_are_refused_when_read(ave: Path) -> None:
    h5(ave / "data/audio_feature.h5", np.full((8, 10, 5), 1e300))
    with pytest.raises(InputError, match=r"audio_feature.h5: 50 values are NaN or infinite"):
        read_ave(ave).features("audio", np.array([0]))
