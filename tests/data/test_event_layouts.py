from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_sets import append, clip, h5, split_rows, told

from unicode_cmg.data.categories import avvp_classes
from unicode_cmg.data.check import check_data
from unicode_cmg.data.layouts import read_ave_avvp, read_avvp
from unicode_cmg.data.layouts.avvp import Event, EventRow, event_labels, write_avvp
from unicode_cmg.errors import InputError

# three clips in the published forms; the second file name is malformed, as some published ones are
NAMES = ["AAAAAAAAAAA_30_40", "BBB_5_15", "CCCCCCCCCC`_0_10"]
AUDIO = [
    EventRow(NAMES[0], (Event("Dog", 0, 4), Event("Speech", 2, 10))),
    EventRow(NAMES[1], (Event("Car", 3, 3),)),
    EventRow(NAMES[2], (Event("Dog", 1, 2), Event("Dog", 5, 6))),
]
VIDEO = [EventRow(NAMES[0], (Event("Dog", 5, 10),)), EventRow(NAMES[2], (Event("Car", 0, 10),))]


@pytest.fixture
def avvp(tmp_path: Path) -> Path:
    features = {
        "audio": {name: clip(10 * i, 9 + i, 3) for i, name in enumerate(NAMES)},
        "video": {name: clip(10 * i, 10, 4) for i, name in enumerate(NAMES)},
    }
    splits = {
        "train": {"DDDDDDDDDDD_0_10": ["Car"]},
        "val": {NAMES[0]: ["Dog", "Speech"]},
        "test": {NAMES[2]: ["Dog"]},
    }
    write_avvp(
        tmp_path / "AVVP", features, ["Speech", "Dog", "Car"], {"audio": AUDIO, "video": VIDEO}, splits
    )
    return tmp_path / "AVVP"


def test_labels_are_the_union_of_events_and_background_elsewhere() -> None:
    labels = event_labels(
        (Event("a", 0, 2), Event("b", 1, 4), Event("a", 9, 10), Event("b", 6, 6)), ("a", "b")
    )
    wanted = [[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 0], *[[0, 0, 1]] * 5, [1, 0, 0]]
    assert labels.tolist() == wanted


def test_avvp_events_labels_and_splits_are_read_back(avvp: Path) -> None:
    data = read_avvp(avvp)
    assert data.classes == ("Speech", "Dog", "Car")
    assert data.rows == {"audio": tuple(AUDIO), "video": tuple(VIDEO)}
    for modality in ("audio", "video"):
        for row, labels in zip(data.rows[modality], data.labels[modality], strict=True):
            np.testing.assert_array_equal(labels, event_labels(row.events, data.classes))
    assert split_rows(data, "audio", "val").tolist() == [0]
    assert split_rows(data, "audio", "test").tolist() == [2]
    assert split_rows(data, "video", "test").tolist() == [1]
    assert split_rows(data, "video", "train").tolist() == []


def test_avvp_features_are_found_by_eleven_characters_and_made_ten_long(avvp: Path) -> None:
    names = {file.name for file in (avvp / "feature/audio/zip").iterdir()}
    assert names == {"AAAAAAAAAAA.zip", "BBB_5_15.zip", "CCCCCCCCCC`.zip"}
    audio = read_avvp(avvp).features("audio", np.array([2, 0, 1]))
    assert audio[:, :, 0].tolist() == [
        [20 + t for t in range(10)],
        [*range(9), 8],
        [10 + t for t in range(10)],
    ]


@pytest.mark.parametrize("gone", [["_checked_combined"], ["_checked_combined", "_checked"]])
def test_the_tables_of_one_event_a_row_join_to_the_combined_one(avvp: Path, gone: list[str]) -> None:
    combined = read_avvp(avvp)
    for form in gone:
        for word in ("audio", "visual"):
            (avvp / f"data/AVVP_eval_{word}{form}.csv").unlink()
    assert read_avvp(avvp).rows == combined.rows


def test_only_consecutive_rows_of_a_clip_are_joined(avvp: Path) -> None:
    rows = [
        "filename\tonset\toffset\tevent_labels",
        "A\t0\t1\tDog",
        "A\t2\t3\tDog",
        "B\t0\t1\tCar",
        "A\t4\t5\tCar",
    ]
    (avvp / "data/AVVP_eval_audio_checked_combined.csv").write_text("\n".join(rows))
    read = read_avvp(avvp).rows["audio"]
    assert [(row.filename, len(row.events)) for row in read] == [("A", 2), ("B", 1), ("A", 1)]


def test_avvp_without_a_class_list_has_the_published_order(avvp: Path) -> None:
    (avvp / "data/AVVP_Categories.txt").unlink()
    data = read_avvp(avvp)
    assert len(data.classes) == 25
    assert (data.classes[0], data.classes[4], data.classes[24]) == ("Fire_alarm", "Speech", "Blender")


@pytest.mark.parametrize("order", ["cmg", "official"])
def test_events_are_labelled_by_name_in_either_published_order(avvp: Path, order: Any) -> None:
    (avvp / "data/AVVP_Categories.txt").write_text("\n".join(avvp_classes(order)) + "\n")
    data = read_avvp(avvp)
    assert data.classes == avvp_classes(order)
    assert data.classes.index("Speech") == {"cmg": 4, "official": 0}[order]
    for row, labels in zip(data.rows["audio"], data.labels["audio"], strict=True):
        for second in range(10):
            on = {e.label for e in row.events if e.onset <= second < e.offset}
            assert {data.classes[c] for c in np.flatnonzero(labels[second, :-1])} == on
            assert labels[second, -1] == (not on)


def test_names_that_are_malformed_are_kept_and_looked_up_by_their_first_characters(avvp: Path) -> None:
    # as published: an id that is too short, a stray back-quote, and a class where a name should be
    rows = ["filename\tonset\toffset\tevent_labels", "BBB_5_15\t0\t1\tDog", "CCCCCCCCCC`_0_10\t2\t3\tDog"]
    (avvp / "data/AVVP_eval_audio_checked_combined.csv").write_text(
        "\n".join([*rows, "Speech\t0\t9\tSpeech"])
    )
    data = read_avvp(avvp)
    assert [row.filename for row in data.rows["audio"]] == ["BBB_5_15", "CCCCCCCCCC`_0_10", "Speech"]
    assert data.features("audio", np.array([0, 1]))[:, 0, 0].tolist() == [10, 20]
    with pytest.raises(InputError, match=r"Speech\.zip: no such file"):
        data.features("audio", np.array([2]))


@pytest.mark.parametrize("end", ["\r\n", "\n"])
@pytest.mark.parametrize("begin", ["", "\ufeff"])
def test_tables_as_spreadsheets_save_them_are_read(avvp: Path, end: str, begin: str) -> None:
    whole = read_avvp(avvp).rows
    for file in (avvp / "data").iterdir():
        file.write_bytes((begin + file.read_text()).replace("\n", end).encode())
    assert read_avvp(avvp).rows == whole


@pytest.mark.parametrize("separator", [",", "\t"])
def test_single_events_may_be_separated_by_commas_or_tabs(avvp: Path, separator: str) -> None:
    wanted = read_avvp(avvp).rows["video"]
    file = avvp / "data/AVVP_eval_visual_checked.csv"
    (avvp / "data/AVVP_eval_visual_checked_combined.csv").unlink()
    file.write_text(file.read_text().replace("\t", separator))
    assert read_avvp(avvp).rows["video"] == wanted


def line(name: str, text: str) -> Callable[[Path], None]:
    return lambda folder: append(folder / "data" / name, text)


TABLE = "AVVP_eval_audio_checked_combined.csv"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (line(TABLE, "X\t0\t3\tWhale"), "X: unknown class 'Whale'; expected one of Speech, Dog, Car"),
        (line(TABLE, "X\t0\t11\tDog"), "an event from 0 to 11"),
        (line(TABLE, "X\t0.5\t3\tDog"), "an event from 0.5 to 3; expected whole seconds in 0..10"),
        (line(TABLE, "X\t-1\t3\tDog"), "an event from -1 to 3"),
        (line(TABLE, "X\tone\t3\tDog"), "an event from one to 3"),
        (line(TABLE, "X\t0,1\t3\tDog"), "lists of different length"),
        (line(TABLE, "X\t0"), "line 5: a row with too few columns"),
        (lambda d: (d / "data" / TABLE).write_text("filename\tonset\n"), "no column 'offset'"),
        (
            lambda d: (d / "data" / TABLE).write_text("filename\tonset\toffset\tevent_labels\n"),
            "no row after",
        ),
        (lambda d: (d / "data" / TABLE).write_text(""), "empty"),
        (lambda d: (d / "data/AVVP_val_pd.csv").unlink(), "AVVP_val_pd.csv: no such file"),
        (lambda d: [f.unlink() for f in (d / "data").glob("*visual*")], "AVVP_eval_visual.*: no such file"),
        (line("AVVP_Categories.txt", "Dog"), "'Dog' occurs twice"),
        (line(TABLE, '"' + "x" * 200_000), "AVVP_eval_audio_checked_combined.csv, line .*: not a table"),
    ],
)
def test_avvp_tables_that_make_no_sense_are_refused_and_are_a_problem_of_the_check(
    avvp: Path, damage: Callable[[Path], object], message: str
) -> None:
    damage(avvp)
    with pytest.raises(InputError, match=message):
        read_avvp(avvp)
    problems = told(check_data("avvp", avvp), "problem")
    assert any(re.search(message, problem) for problem in problems)


def test_a_clip_without_features_is_named_when_it_is_read(avvp: Path) -> None:
    (avvp / "feature/video/zip/CCCCCCCCCC`.zip").unlink()
    data = read_avvp(avvp)
    data.features("video", np.array([0]))
    with pytest.raises(InputError, match=r"CCCCCCCCCC`.zip: no such file"):
        data.features("video", np.array([0, 1]))


@pytest.mark.slow
def test_ave_avvp_has_both_sides_in_the_shared_classes(digits_root: Path) -> None:
    data = read_ave_avvp(digits_root)
    assert len(data.classes) == 8
    assert set(data.classes) < set(data.ave.classes) == set(read_avvp(digits_root / "AVVP").classes)
    assert (
        sorted(np.concatenate([data.split_order(s) for s in ("train", "val", "test")])) == data.order.tolist()
    )
    for row in range(len(data.ave.annotations)):
        category = data.ave.annotations[row].category
        assert (row in data.order) == (category in data.classes) == data.ave_labels[row].any()
        if category in data.classes:
            own = data.ave.segment_labels(np.array([row]))[0]
            column = data.classes.index(category)
            np.testing.assert_array_equal(
                data.ave_labels[row, :, column], own[:, data.ave.classes.index(category)]
            )
            np.testing.assert_array_equal(data.ave_labels[row, :, -1], own[:, -1])
    everything = read_avvp(digits_root / "AVVP")
    for modality in ("audio", "video"):
        events = {row.filename: row.events for row in everything.rows[modality]}
        for row in data.avvp.rows[modality]:
            assert row.events == tuple(e for e in events[row.filename] if e.label in data.classes)
        assert data.avvp.features(modality, np.array([0])).shape[1] == 10


def test_ave_avvp_labels_that_do_not_fit_ave_are_refused(digits_root: Path, tmp_path: Path) -> None:
    for name in ("AVE", "AVVP"):
        (tmp_path / name).symlink_to(digits_root / name)
    (tmp_path / "AVE_AVVP/data").mkdir(parents=True)
    for file in (digits_root / "AVE_AVVP/data").iterdir():
        (tmp_path / "AVE_AVVP/data" / file.name).write_bytes(file.read_bytes())
    h5(tmp_path / "AVE_AVVP/data/ave_avvp_labels.h5", np.zeros((2000, 10, 13), np.float32))
    with pytest.raises(InputError, match=r"ave_avvp_labels.h5.*13\]; expected \[2000, 10, 9\]"):
        read_ave_avvp(tmp_path)


def test_events_that_end_before_they_begin_and_whole_seconds_as_floating_point_are_read(avvp: Path) -> None:
    # as published: six events of zero length, and one from 9 to 0
    rows = ["filename\tonset\toffset\tevent_labels", "AAAAAAAAAAA_0_10\t0.0,9,4\t2.0,0,4\tSpeech,Dog,Car"]
    (avvp / "data/AVVP_eval_audio_checked_combined.csv").write_text("\n".join(rows))
    data = read_avvp(avvp)
    assert [(e.onset, e.offset) for e in data.rows["audio"][0].events] == [(0, 2), (9, 0), (4, 4)]
    labels = dict(zip(data.classes, data.labels["audio"][0].T, strict=False))
    assert labels["Speech"].tolist() == [1, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    assert not labels["Dog"].any()
    assert not labels["Car"].any()
    assert data.labels["audio"][0, :, -1].sum() == 8
