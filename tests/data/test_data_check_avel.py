from __future__ import annotations

from pathlib import Path

import numpy as np
from tiny_sets import append, one, told

from unicode_cmg.data.categories import category_table
from unicode_cmg.data.check import check_data
from unicode_cmg.data.layouts.vggsound_avel import AVELClip, write_vggsound_avel


def avel_lines(share: float) -> list[str]:
    lines = []
    for i, row in enumerate(category_table("vggsound_avel")):
        category = f'"{row["category"]}"'
        for split in ("train", "val", "test"):
            lines += [
                f"{category},{i:03d}{split[:2]}{k:06d},{split}" for k in range(int(int(row[split]) * share))
            ]
    return lines


def test_a_full_pretraining_list_has_the_published_counts_and_an_early_upload_is_noticed(
    tmp_path: Path,
) -> None:
    (tmp_path / "AVE").mkdir()
    (tmp_path / "AVE/Annotations.txt").write_text("Bell&000tr000000&good&0&10\n")
    (tmp_path / "vggsound40k").mkdir()
    file = tmp_path / "vggsound40k/vggsound-avel40k.csv"
    file.write_text("\n".join(["category,video_id,split", *avel_lines(1)]))
    findings = check_data("vggsound-avel", tmp_path)
    one(told(findings, "ok"), "40801 clips, 24515 train, 8115 test, 8171 val, as published")
    notes = told(findings, "note")
    one(notes, "videos that are also in AVE: 1 (000tr000000)")
    one(notes, "vggsoundCategories2Prompts.csv: not there")
    assert len(notes) == 2
    file.write_text("\n".join(["category,video_id,split", *avel_lines(0.5)]))
    notes = told(check_data("vggsound-avel", tmp_path), "note")
    one(notes, "clips (published 40801)")
    one(notes, "as many rows as early uploads of this file had")


def test_pretraining_lists_prompts_and_zips_are_looked_at(tmp_path: Path) -> None:
    clips = [AVELClip("a", f"aaaaaaaaaa{i}", "train") for i in range(3)]
    features = {
        "audio": {clip.video_id: np.ones((9, 128)) for clip in clips},
        "video": {clip.video_id: np.ones((10, 7, 7, 512)) for clip in clips[:2]},
    }
    write_vggsound_avel(tmp_path, ("a", "b"), clips, features, {"a": "one two", "b": "three"})
    findings = check_data("vggsound-avel", tmp_path)
    notes, problems = told(findings, "note"), told(findings, "problem")
    one(notes, "2 classes, which are not the 141 published ones")
    one(notes, "classes without a clip: 1 (b)")
    one(notes, "3 of 3 read as a sample are not 10 steps long")
    one(told(findings, "ok"), "2 sentences of 1 to 2 words")
    (problem,) = problems
    assert problem.startswith("vggsound40k/feature/video/zip: 1 of 3 clips have no zip: aaaaaaaaaa2;")
    table = tmp_path / "vggsound40k/data/vggsound-avel40k.csv"
    append(table, "c,aaaaaaaaaa0,test")
    append(table, "a,short,dev")
    append(tmp_path / "vggsound40k/data/vggsoundCategories2Prompts.csv", "a,again")
    findings = check_data("vggsound-avel", tmp_path)
    one(told(findings, "problem"), "the class 'c' of 'aaaaaaaaaa0'", "the split 'dev' of 'short'")
    one(told(findings, "problem"), "two sentences for one class")
    one(told(findings, "note"), "clips listed twice: 1 (aaaaaaaaaa0)")
    one(told(findings, "note"), "names that are not 11 characters long: 1 (short)")
