from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny_sets
from tiny_sets import append, one, told

from unicode_cmg.data.categories import category_table
from unicode_cmg.data.check import check_data
from unicode_cmg.data.layouts import (
    write_clip,
)


def test_published_pairs_have_published_counts_and_two_are_broken(tmp_path: Path) -> None:
    tables = tmp_path / "UCF101/data"
    tables.mkdir(parents=True)
    rows = category_table("ucf_vgg")
    ucf = [row["ucf_category"] for row in rows]
    ucf_lines = [name if name != "Bowling" else "Bowling\tbowling" for name in ucf]
    (tables / "UCF101sameVGGSound.txt").write_text("\n".join(ucf_lines))
    (tables / "VGGSoundsameUCF101.txt").write_text("\n".join(row["vggsound_category"] for row in rows))
    video = [
        f"{row['ucf_category']},v_{row['ucf_category']}_g{k % 25 + 1:02d}_c{k // 25:02d}"
        for row in rows
        for k in range(int(row["ucf_rows"]))
    ]
    audio = [
        f"{row['vggsound_category']},{i:03d}{split[:2]}{k:06d},{split}"
        for i, row in enumerate(rows)
        for split in ("train", "val", "test")
        for k in range(int(row[f"vgg_{split}"]))
    ]
    (tables / "ucf2vggsound.csv").write_bytes("\r\n".join(["category,video_id", *video]).encode())
    (tables / "vggsound2ucf.csv").write_bytes("\r\n".join(["category,video_id,split", *audio]).encode())
    part = [line for line in video if line.split(",")[0] in ucf[:8]]
    (tables / "ucf2vggsound_8.csv").write_bytes("\r\n".join(["category,video_id", *part]).encode())
    (tables / "ucf2vggsound_12.csv").write_text("\n".join(["category,video_id", *part[1:]]))
    report = check_data("ucf-vgg", tmp_path)
    fine, notes, problems = (told(report, level) for level in ("ok", "note", "problem"))
    one(fine, "16 pairs of classes, in the published order")
    one(fine, "ucf2vggsound.csv: 2003 video, as many as published")
    one(fine, "vggsound2ucf.csv: 4813 audio, as many as published")
    one(fine, "vggsound2ucf.csv: 2894 train, 964 val, 955 test")
    one(fine, "14 pairs have clips on both sides")
    one(fine, "ucf2vggsound_8.csv: the rows of the first 8 classes")
    one(notes, "ucf2vggsound_12.csv: not the rows of the first 12 classes")
    one(notes, "UCF101sameVGGSound.txt: line 11 is 'Bowling\\tbowling'")
    one(notes, "pair 10 is broken: 0 clips of 'Bowling', 206 of 'bowling impact'")
    one(notes, "pair 6 is broken: 126 clips of 'FrisbeeCatch', 0 of 'playing frisbee'")
    assert len(notes) == 4
    assert len(problems) == 2
    assert all("no such folder" in problem for problem in problems)


def test_oddities_of_ucf_and_vgg_are_notes(tmp_path: Path) -> None:
    tables = tiny_sets.ucf_vgg(tmp_path)
    append(tables / "ucf2vggsound.csv", "Skiing,v_Skiing_odd")
    append(tables / "ucf2vggsound.csv", "Skiing,v_Typing_g01_c01")
    append(tables / "vggsound2ucf.csv", "skiing,aaaaaaaaa00,validation")
    write_clip(tmp_path / "UCF101/feature/video/zip/v_Skiing_odd.zip", np.ones((10, 2, 2, 3)))
    report = check_data("ucf-vgg", tmp_path)
    assert report.usable
    notes = told(report, "note")
    one(notes, "2 pairs of classes, which are not the published ones")
    one(notes, "names other than v_<class>_g<group>_c<clip>: 2 (v_Skiing_odd, v_Typing_g01_c01)")
    one(notes, "ucf2vggsound.csv: clips listed twice: 1 (v_Typing_g01_c01)")
    one(notes, "vggsound2ucf.csv: clips listed twice: 1 (aaaaaaaaa00)")
    one(notes, "splits other than train, val and test: 1 (validation)")


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (
            lambda t: append(t / "ucf2vggsound.csv", "Rowing,v_Rowing_g01_c01"),
            "the class 'Rowing' of 'v_Rowing",
        ),
        (
            lambda t: append(t / "UCF101sameVGGSound.txt", "\nRowing"),
            "2 classes; expected 3, one for each",
        ),
        (lambda t: (t / "vggsound2ucf.csv").unlink(), "vggsound2ucf.csv: no such file"),
        (
            lambda t: (t / "vggsound2ucf.csv").write_text("category,video_id\na,b\n"),
            "vggsound2ucf.csv: no column 'split'",
        ),
    ],
)
def test_what_the_ucf_reader_would_refuse_is_a_problem(
    tmp_path: Path, spoil: Callable[[Path], object], problem: str
) -> None:
    spoil(tiny_sets.ucf_vgg(tmp_path))
    assert any(problem in line for line in told(check_data("ucf-vgg", tmp_path), "problem"))


def test_lists_without_a_common_pair_are_a_problem(tmp_path: Path) -> None:
    tables = tiny_sets.ucf_vgg(tmp_path)
    file = tables / "ucf2vggsound.csv"
    file.write_text("\n".join(line for line in file.read_text().splitlines() if "Typing" not in line))
    file = tables / "vggsound2ucf.csv"
    file.write_text("\n".join(line for line in file.read_text().splitlines() if "skiing" not in line))
    one(told(check_data("ucf-vgg", tmp_path), "problem"), "no pair has clips on both sides")
