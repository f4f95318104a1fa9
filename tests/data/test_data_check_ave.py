from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny_sets
from tiny_sets import edit, h5, one, told

from unicode_cmg.data.categories import category_table
from unicode_cmg.data.check import check_data
from unicode_cmg.data.layouts.ave import Annotation, write_ave


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda d: edit(d / "labels.h5", lambda x: x.__setitem__((3, 2, 0), 7)), "row 3 is not one-hot"),
        (lambda d: h5(d / "labels.h5", np.zeros((5, 10, 3))), "[5, 10, 3]; expected [6, 10, 3]"),
        (lambda d: h5(d / "val_order.h5", np.array([2, 3]), "rows"), "val_order.h5: no array 'order'"),
        (lambda d: h5(d / "audio_feature.h5", np.zeros((6, 10))), "audio_feature.h5: the array is [6, 10]"),
        (
            lambda d: h5(d / "audio_feature.h5", np.zeros((6, 10, 5), np.int64)),
            "audio_feature.h5: values of type int64",
        ),
        (
            lambda d: edit(d / "visual_feature.h5", lambda x: x[[1, 4]].fill(0) or x[4].fill(np.inf)),
            "NaN or infinite values in 1 of 6 rows read: row 4",
        ),
        (
            lambda d: h5(d / "text_feature.h5", np.zeros((5, 10, 4))),
            "text_feature.h5: the array is [5, 10, 4]",
        ),
    ],
)
def test_arrays_that_cannot_be_used_are_one_problem_each(
    tmp_path: Path, spoil: Callable[[Path], object], problem: str
) -> None:
    spoil(tiny_sets.ave(tmp_path))
    one(told(check_data("ave", tmp_path), "problem"), problem)


def test_all_bad_rows_of_a_file_are_one_problem(tmp_path: Path) -> None:
    folder = tiny_sets.ave(tmp_path)
    edit(folder / "labels.h5", lambda x: x[:5, 0].fill(0))
    line = one(told(check_data("ave", tmp_path), "problem"), "labels.h5")
    assert line.endswith(
        "row 0 is not one-hot in each second; row 1 is not one-hot in each second; row 2 is not"
        " one-hot in each second; and 2 more"
    )


def test_leaks_and_oddities_of_ave_are_notes(tmp_path: Path) -> None:
    folder = tiny_sets.ave(tmp_path)
    lines = (folder / "Annotations.txt").read_text().replace("vid-0000004", "vid-0000000")
    (folder / "Annotations.txt").write_text(
        "Category&VideoID&Quality&StartTime&EndTime\n" + lines.replace("&2&7", "&2&6")
    )
    h5(folder / "test_order.h5", np.array([4, 3]), "order")
    h5(folder / "mil_labels.h5", np.zeros(3))
    report = check_data("ave", tmp_path)
    assert report.usable
    notes = told(report, "note")
    one(notes, "videos with clips in train and in test: 1 (vid-0000000)")
    one(notes, "rows in val and in test: 1 (3)")
    one(notes, "rows in no split: 1")
    one(notes, "test_order.h5: classes without a clip: 1 (Bell)")
    one(notes, "labels.h5: clips whose labelled seconds differ from the annotated ones: 1 (row 1)")
    one(notes, "2 classes, which are not those of AVE")
    one(told(report, "ok"), "with the header line of later copies")
    one(told(report, "ok"), "not read: mil_labels.h5")


@pytest.mark.slow
def test_full_size_ave_has_the_published_counts(tmp_path: Path) -> None:
    classes = tuple(row["category"] for row in category_table("ave"))
    order: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    rows = []
    for row in category_table("ave"):  # classes first appear in this order
        for split, members in order.items():
            for _ in range(int(row[split])):
                members.append(len(rows))
                rows.append(Annotation(row["category"], f"v{len(rows):010d}", 0, 10))
    rows[26] = rows[26]._replace(end=0)
    # as many videos as published have clips in two splits, and the rest of the repeats stay in train
    for split, count in (("val", 10), ("test", 8)):
        for k in range(count):
            row = order[split][k * 20]
            rows[row] = rows[row]._replace(video_id=rows[order["train"][k + 50 * (split == "test")]].video_id)
    for k in range(28):
        row = order["train"][200 + k]
        rows[row] = rows[row]._replace(video_id=rows[order["train"][300 + k]].video_id)
    features = {"video": np.zeros((4143, 10, 1)), "audio": np.zeros((4143, 10, 128), np.float16)}
    labels = tiny_sets.one_hot(rows, classes)
    write_ave(tmp_path, features, labels, {s: np.array(r) for s, r in order.items()}, rows)
    report = check_data("ave", tmp_path)
    assert report.usable
    fine, notes = told(report, "ok"), told(report, "note")
    one(fine, "28 classes, in the published order")
    one(fine, "4143 clips, 4097 videos, as many as published")
    one(fine, "train_order.h5: 3339 train, as many as published")
    one(notes, "videos with clips in train and in val: 10 (", "and 7 more), as published")
    one(notes, "videos with clips in train and in test: 8 (", "), as published")
    one(notes, "clips without any event, read as the first class: 1 (published 1)")
    one(notes, "visual_feature.h5: features of another extractor: [1] a step, published [7, 7, 512] (VGG19)")
    assert not any("audio_feature.h5" in note for note in notes)
    h5(tmp_path / "data/val_order.h5", np.array(order["val"][:-1]), "order")
    assert one(told(check_data("ave", tmp_path), "note"), "401").endswith("401 val (published 402)")
