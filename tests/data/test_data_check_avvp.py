from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny_sets
from tiny_sets import append, edit, h5, one, told

from unicode_cmg.data.categories import avvp_classes
from unicode_cmg.data.check import check_data
from unicode_cmg.data.layouts import (
    write_clip,
)

COMBINED = "data/AVVP_eval_audio_checked_combined.csv"


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (
            lambda d: [f.unlink() for f in (d / "data").glob("*visual*")],
            "AVVP_eval_visual_checked_combined.csv: no such file, and no other form",
        ),
        (
            lambda d: (d / "feature/video/zip/CCCCCCCCCCC.zip").unlink(),
            "AVVP/feature/video/zip: 1 of 2 clips have no zip: CCCCCCCCCCC",
        ),
        (
            lambda d: (d / "feature/video").rename(d / "feature/visual"),
            "AVVP/feature/video/zip: no such folder; expected 2 zips",
        ),
    ],
)
def test_missing_tables_and_zips_of_avvp_are_one_problem_each(
    tmp_path: Path, spoil: Callable[[Path], object], problem: str
) -> None:
    spoil(tiny_sets.avvp(tmp_path))
    one(told(check_data("avvp", tmp_path), "problem"), problem)


def test_leaks_and_oddities_of_avvp_are_notes(tmp_path: Path) -> None:
    folder = tiny_sets.avvp(tmp_path)
    for line in (
        "AAAAAAAAAAA_30_40\t0\t1\tDog",  # a second time, not next to the first
        "BBB_5_15\t4\t4\tDog",
        "CCCCCCCCCC`_0_10\t0\t1\tDog",
        "Speech\t0\t10\tSpeech",
    ):
        append(folder / COMBINED, line)
    for name in ("BBB_5_15", "CCCCCCCCCC`", "Speech"):
        write_clip(folder / f"feature/audio/zip/{name}.zip", np.ones((10, 5)))
    append(folder / "data/AVVP_val_pd.csv", "BBBBBBBBBBB_90_99\tDog")
    append(folder / "data/AVVP_val_pd.csv", "AAAAAAAAAAA_30_40\tDog")
    report = check_data("avvp", tmp_path)
    assert report.usable
    notes = told(report, "note")
    one(notes, COMBINED, "events that begin and end at the same second, and have no effect: 1")
    one(notes, COMBINED, "clips listed twice, each time with some of their events: 1 (AAAAAAAAAAA_30_40)")
    one(notes, COMBINED, "malformed names", "3 (BBB_5_15, CCCCCCCCCC`_0_10, Speech)")
    one(notes, COMBINED, "names that are a class: 1 (Speech)")
    one(notes, COMBINED, "clips in no split: 3 (")
    one(notes, COMBINED, "differs from the joined consecutive rows of AVVP_eval_audio_checked.csv")
    one(notes, "videos in val and in test: 1 (BBBBBBBBBBB)")
    one(notes, "AVVP_val_pd.csv: clips listed twice: 1 (AAAAAAAAAAA_30_40)")
    one(notes, "clips in the audio and in the visual table: 2;")
    one(notes, "3 classes, which are not those of AVVP")


def test_errors_in_a_table_that_nobody_reads_prevent_nothing(tmp_path: Path) -> None:
    folder = tiny_sets.avvp(tmp_path)
    append(folder / "data/AVVP_eval_audio.csv", "X\t0\t3\tWhale")
    (folder / "data/AVVP_eval_visual_checked.csv").write_text("")
    report = check_data("avvp", tmp_path)
    assert report.usable
    one(told(report, "note"), "AVVP_eval_audio.csv: X: unknown class 'Whale'")
    one(told(report, "note"), "AVVP_eval_visual_checked.csv: the file is empty")
    for form in ("_checked_combined", "_checked"):
        (folder / f"data/AVVP_eval_audio{form}.csv").unlink()
    one(told(check_data("avvp", tmp_path), "problem"), "AVVP_eval_audio.csv: X: unknown class 'Whale'")


def test_published_classes_of_avvp_are_known_in_both_orders_and_counts_are_compared(tmp_path: Path) -> None:
    folder = tiny_sets.avvp(tmp_path)
    for file in (folder / "data").glob("*.csv"):
        file.write_text(file.read_text().replace("Bell", "Cat"))
    for order, name in (("cmg", "CMG"), ("official", "the data set itself")):
        names = avvp_classes(order)
        (folder / "data/AVVP_Categories.txt").write_text("\n".join(names))
        report = check_data("avvp", tmp_path)
        one(told(report, "ok"), f"25 classes, in the order of {name}")
        one(told(report, "note"), "AVVP_train.csv: 1 train (published 10000)")
        one(told(report, "note"), COMBINED, "3 lines (published 1846), 3 clips (published 1844)")
        one(told(report, "note"), COMBINED, "classes without an event: 22 (")
    (folder / "data/AVVP_Categories.txt").write_text("\n".join(sorted(avvp_classes())))
    one(told(check_data("avvp", tmp_path), "note"), "in an order of their own")
    (folder / "data/AVVP_Categories.txt").unlink()
    one(told(check_data("avvp", tmp_path), "ok"), "not there; the 25 published classes are used")


def test_ave_avvp_labels_orders_and_shared_videos_are_looked_at(tmp_path: Path) -> None:
    folder = tiny_sets.ave_avvp(tmp_path)
    edit(folder / "ave_avvp_labels.h5", lambda x: x.__setitem__((0, 0), [1, 0, 0]))
    h5(folder / "ave_avvp_order.h5", np.array([0, 1, 2, 3, 4]), "order")
    text = tmp_path / "AVE/data/Annotations.txt"
    text.write_text(text.read_text().replace("vid-0000001", NAME := "AAAAAAAAAAA"))
    report = check_data("ave-avvp", tmp_path)
    assert report.usable
    notes = told(report, "note")
    one(notes, "ave_avvp_labels.h5: rows that are not in the order have labels")
    one(notes, "ave_avvp_labels.h5: rows that differ from AVE's own labels: 1 (row 0)")
    one(notes, f"videos of the training in AVE and the test in AVVP: 1 ({NAME})")
    fine = told(report, "ok")
    one(fine, "ave_avvp_order.h5: 2 train, 2 val, 1 test")
    one(fine, "AVE_AVVP_eval_audio_checked.csv: separated by commas")
    one(fine, "AVE_AVVP_eval_audio_checked_combined.csv: separated by tabs")


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda d: h5(d / "ave_avvp_labels.h5", np.zeros((6, 10, 4))), "[6, 10, 4]; expected [6, 10, 3]"),
        (lambda d: edit(d / "ave_avvp_labels.h5", lambda x: x[1].fill(0)), "seconds without any label"),
        (
            lambda d: h5(d / "ave_avvp_order.h5", np.array([6]), "order"),
            "ave_avvp_order.h5: row numbers from 6",
        ),
        (lambda d: (d / "../../AVE/data/labels.h5").unlink(), "AVE/data/labels.h5: no such file"),
        (
            lambda d: (d / "../../AVVP/data/AVVP_val_pd.csv").unlink(),
            "AVVP/data/AVVP_val_pd.csv: no such file",
        ),
        (
            lambda d: (d / "../../AVVP/feature/audio/zip/BBBBBBBBBBB.zip").unlink(),
            "AVVP/feature/audio/zip: 1 of 3 clips have no zip",
        ),
    ],
)
def test_what_the_ave_avvp_reader_would_refuse_is_a_problem(
    tmp_path: Path, spoil: Callable[[Path], object], problem: str
) -> None:
    spoil(tiny_sets.ave_avvp(tmp_path))
    one(told(check_data("ave-avvp", tmp_path), "problem"), problem)


def test_an_event_that_ends_before_it_begins_is_a_note(tmp_path: Path) -> None:
    folder = tiny_sets.avvp(tmp_path)
    append(folder / COMBINED, "AAAAAAAAAAA_70_80\t9\t0\tDog")
    report = check_data("avvp", tmp_path)
    assert report.usable
    one(told(report, "note"), "events that end before they begin, and have no effect: 1", "from 9 to 0")


def published_table(path: Path) -> None:
    """A table of 1846 clips with the published numbers of labels, two clips listed twice, and odd rows."""
    names = [f"{k:011d}_0_10" for k in range(1844)]
    rows = [(name, "0", "9", "Speech") for name in names]  # a second of background each
    rows[:12] = [(name, "0,9,4", "10,0,4", "Speech,Dog,Car") for name in names[:12]]
    rows += [(name, "0.0", "10", "Speech") for name in names[:2]]
    more = 22691 - 18460
    for at in range(20, 20 + more // 9):
        rows[at] = (names[at], "0,0", "9,9", "Speech,Dog")
    rows[20 + more // 9] = (names[20 + more // 9], "0,0", f"9,{more % 9}", "Speech,Dog")
    lines = ["filename\tonset\toffset\tevent_labels", *("\t".join(row) for row in rows)]
    path.write_text("\n".join(lines) + "\n")


def test_published_numbers_of_lines_seconds_and_labels_are_compared(tmp_path: Path) -> None:
    folder = tiny_sets.avvp(tmp_path)
    (folder / "data/AVVP_Categories.txt").write_text("\n".join(avvp_classes()) + "\n")
    published_table(folder / COMBINED)
    report = check_data("avvp", tmp_path)
    one(told(report, "ok"), COMBINED, "1846 lines, 1844 clips, as many as published")
    one(told(report, "ok"), COMBINED, "18460 seconds, 1832 seconds of background, 22691 labels, as many as")
    append(folder / COMBINED, "AAAAAAAAAAA_70_80\t0\t1\tDog")
    one(told(check_data("avvp", tmp_path), "note"), COMBINED, "18470 seconds (published 18460)")
