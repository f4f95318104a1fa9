from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_sets
from tiny_sets import Runs, append, edit, h5, one, pack, told, write_vggsound_avel

from unicode_cmg.data.categories import category_table, expected
from unicode_cmg.data.check import available_checks, check_data
from unicode_cmg.data.check.features import sample
from unicode_cmg.data.layouts import (
    read_ave,
    read_ave_avvp,
    read_avvp,
    read_retrieval,
    read_ucf_vgg,
    write_caption_words,
    write_clip,
    write_retrieval,
)
from unicode_cmg.data.layouts.vggsound_avel import AVELClip
from unicode_cmg.errors import InputError

READERS: dict[str, Callable[[Path], Any]] = {
    "ave": lambda root: read_ave(root / "AVE"),
    "avvp": lambda root: read_avvp(root / "AVVP"),
    "ave-avvp": read_ave_avvp,
    "ucf-vgg": read_ucf_vgg,
}
WRITERS = {
    "ave": tiny_sets.ave,
    "avvp": tiny_sets.avvp,
    "ave-avvp": tiny_sets.ave_avvp,
    "ucf-vgg": tiny_sets.ucf_vgg,
}


@pytest.mark.slow
@pytest.mark.parametrize("task", ["ave", "avvp", "ave-avvp", "ucf-vgg", "clotho", "flickr-sound"])
def test_the_digits_have_no_problem(digits_root: Path, task: str) -> None:
    report = check_data(task, digits_root)
    assert told(report, "problem") == []
    assert report.usable
    assert any("another extractor" in line for line in told(report, "note"))


@pytest.mark.parametrize("task", available_checks())
def test_an_empty_folder_is_told_what_is_missing_and_the_reader_refuses_it_too(
    tmp_path: Path, task: str
) -> None:
    report = check_data(task, tmp_path)
    assert not report.usable
    assert any("no such file" in line for line in told(report, "problem"))
    reader = READERS.get(task)
    if reader is not None:
        with pytest.raises(InputError):
            reader(tmp_path)


@pytest.mark.parametrize("task", WRITERS)
def test_a_tiny_set_is_fine(tmp_path: Path, task: str) -> None:
    WRITERS[task](tmp_path)
    report = check_data(task, tmp_path)
    assert told(report, "problem") == []
    READERS[task](tmp_path)


def test_a_task_or_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown task 'avep'; expected one of ave, avvp"):
        check_data("avep", tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        check_data("ave", tmp_path / "nowhere")


def test_the_check_goes_on_after_a_problem(tmp_path: Path) -> None:
    folder = tiny_sets.ave(tmp_path)
    (folder / "labels.h5").unlink()
    (folder / "val_order.h5").write_bytes(b"")
    append(folder / "Annotations.txt", "Dog&x&good&7&3")
    edit(folder / "audio_feature.h5", lambda x: x[2].fill(np.nan))
    problems = told(check_data("ave", tmp_path), "problem")
    one(problems, "labels.h5: no such file")
    one(problems, "val_order.h5: not a readable HDF5 file")
    one(problems, "Annotations.txt: annotation 7: an event from 7 to 3")
    one(problems, "visual_feature.h5: the array is [6, 10, 2, 2, 3]; expected [7, 10, ...]")
    one(problems, "audio_feature.h5")


def test_a_report_is_json_and_text(tmp_path: Path) -> None:
    tiny_sets.ave(tmp_path)
    (tmp_path / "AVE/data/test_order.h5").unlink()
    report = check_data("ave", tmp_path)
    values = report.to_json()
    assert (values["task"], values["usable"], values["counts"]["problem"]) == ("ave", False, 1)
    assert values["entries"][-1] == {
        "level": "note",
        "where": "AVE/data/audio_feature.h5",
        "what": values["entries"][-1]["what"],
    }
    text = report.text().splitlines()
    assert text[0] == f"ave in {tmp_path}"
    assert "problem  AVE/data/test_order.h5: no such file; check the data root" in text
    assert text[-1] == f"1 problem, {values['counts']['note']} notes: this data cannot be used as it is"


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda p: p.write_bytes(p.read_bytes()[:100]), "BBBBBBBBBBB.zip: not a readable zip"),
        (
            lambda p: pack(p, ("a.pkl", pickle.dumps(Runs()))),
            "BBBBBBBBBBB.zip: not a plain array of numbers (it names posix.mkdir)",
        ),
        (lambda p: write_clip(p, np.ones(10)), "BBBBBBBBBBB.zip: the array is [10]; expected [time, ...]"),
        (lambda p: write_clip(p, np.full((10, 5), np.nan)), "50 values are NaN or infinite"),
        (lambda p: write_clip(p, np.ones((10, 7))), "a step is [5] in most clips, but not in 1 of 3: "),
    ],
)
def test_zips_that_cannot_be_used_are_problems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Path], object], problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tiny_sets.avvp(tmp_path)
    spoil(folder / "feature/audio/zip/BBBBBBBBBBB.zip")
    line = one(told(check_data("avvp", tmp_path), "problem"), "AVVP/feature/audio/zip: ", problem)
    assert "BBBBBBBBBBB.zip" in line
    assert not (tmp_path / "made-by-a-pickle").exists()


def test_clips_of_another_length_and_spare_zips_are_told(tmp_path: Path) -> None:
    folder = tiny_sets.avvp(tmp_path) / "feature/audio/zip"
    write_clip(folder / "BBBBBBBBBBB.zip", np.ones((7, 5)))
    write_clip(folder / "spare.zip", np.ones((7, 5)))
    report = check_data("avvp", tmp_path)
    assert report.usable
    one(
        told(report, "note"),
        "feature/audio/zip",
        "1 of 3 clips read are not 10 steps long",
        "BBBBBBBBBBB",
    )
    one(told(report, "ok"), "feature/audio/zip: 3 of 3 clips; files without a row in the list: 1")
    one(told(report, "ok"), "feature/audio/zip: 7 to 10 steps of [5]")
    one(told(report, "ok"), "eval_audio_checked_combined.csv: 30 seconds, 17 seconds of background")


def test_only_all_reads_every_clip(tmp_path: Path) -> None:
    items = [f"item {i:02d}" for i in range(40)]
    write_retrieval(
        "flickr-sound",
        tmp_path,
        {m: {item: np.ones((2, 3)) for item in items} for m in ("audio", "video")},
        [(item, None) for item in items],
    )
    folder = tmp_path / "FlickrSoundNet/Data/feature/audio/zip"
    sampled = check_data("flickr-sound", tmp_path)
    one(told(sampled, "ok"), "audio/zip: 2 steps of [3] (32 of 40 read; --all reads them all)")
    unread = sorted(set(range(40)) - set(sample(40)))
    assert len(unread) == 8
    (folder / f"item {unread[0]:02d}.zip").write_bytes(b"PK")
    assert check_data("flickr-sound", tmp_path).usable
    line = one(told(check_data("flickr-sound", tmp_path, every=True), "problem"), "audio/zip")
    assert f"1 of 40 clips read cannot be used: item {unread[0]:02d}.zip: not a readable zip" in line


def test_captions_and_their_words_are_looked_at(tmp_path: Path) -> None:
    pairs = [
        ("000000000001", "a dog"),
        ("000000000002", "a dog"),
        ("000000000001", "a dog"),
        ("000000000001", "x"),
    ]
    clips = {item: np.ones((1, 7, 7, 512)) for item in ("000000000001", "000000000002")}
    write_retrieval("coco", tmp_path, {"video": clips}, pairs)
    report = check_data("coco", tmp_path)
    one(
        told(report, "problem"),
        "MSCOCO/text_feature.h5: no word vectors of the captions",
        "write_caption_words",
    )
    one(told(report, "ok"), "2 items")
    one(told(report, "ok"), "4 captions, 1 to 3 for each item")
    one(told(report, "note"), "entries that occur more than once: 1 (000000000001 a dog)")
    one(told(report, "note"), "captions of several items, each correct for its own item only: 1 (a dog)")
    write_caption_words(read_retrieval("coco", tmp_path), [np.ones((k + 1, 3)) for k in range(4)])
    report = check_data("coco", tmp_path)
    assert report.usable
    one(told(report, "ok"), "text_feature.h5: 1 to 4 words in a caption")
    h5(tmp_path / "MSCOCO/text_mask.h5", np.zeros((4, 4)))
    one(told(check_data("coco", tmp_path), "problem"), "text_mask.h5: caption 0 has no valid word")


def test_clotho_is_compared_with_its_evaluation_list(tmp_path: Path) -> None:
    items = [f"{i}" for i in range(3)]
    captions = [(item, f"{item} {k}") for item in items for k in range(5)]
    write_retrieval("clotho", tmp_path, {"audio": {i: np.ones((15, 128)) for i in items}}, captions)
    report = check_data("clotho", tmp_path)
    one(told(report, "note"), "3 items (published 1045)")
    one(told(report, "ok"), "15 captions, 5 for each item")
    assert len(told(report, "note")) == 1
    (tmp_path / "clotho2.1/feature/zip/1.zip").unlink()
    one(told(check_data("clotho", tmp_path), "problem"), "1 of 3 clips have no zip: 1;")


def avel_lines(share: float) -> list[str]:
    lines = []
    for i, row in enumerate(category_table("vggsound_avel")):
        category = f'"{row["category"]}"'
        for split in ("train", "val", "test"):
            lines += [
                f"{category},{i:03d}{split[:2]}{k:06d},{split}" for k in range(int(int(row[split]) * share))
            ]
    return lines


@pytest.mark.slow
def test_a_full_pretraining_list_has_the_published_counts_and_an_early_upload_is_noticed(
    tmp_path: Path,
) -> None:
    (tmp_path / "AVE").mkdir()
    (tmp_path / "AVE/Annotations.txt").write_text("Bell&000tr000000&good&0&10\n")
    (tmp_path / "vggsound40k").mkdir()
    file = tmp_path / "vggsound40k/vggsound-avel40k.csv"
    file.write_text("\n".join(["category,video_id,split", *avel_lines(1)]))
    report = check_data("vggsound-avel", tmp_path)
    one(told(report, "ok"), "40801 clips, 24515 train, 8115 test, 8171 val, as many as published")
    notes = told(report, "note")
    one(notes, "videos that are also in AVE: 1 (000tr000000)")
    one(notes, "vggsoundCategories2Prompts.csv: not there")
    assert len(notes) == 2
    file.write_text("\n".join(["category,video_id,split", *avel_lines(0.1)]))
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
    report = check_data("vggsound-avel", tmp_path)
    notes, problems = told(report, "note"), told(report, "problem")
    one(notes, "2 classes, which are not the 141 published ones")
    one(notes, "classes without a clip: 1 (b)")
    one(notes, "3 of 3 clips read are not 10 steps long")
    one(told(report, "ok"), "2 sentences of 1 to 2 words")
    (problem,) = problems
    assert problem.startswith("vggsound40k/feature/video/zip: 1 of 3 clips have no zip: aaaaaaaaaa2;")
    table = tmp_path / "vggsound40k/data/vggsound-avel40k.csv"
    append(table, "c,aaaaaaaaaa0,test")
    append(table, "a,short,dev")
    append(tmp_path / "vggsound40k/data/vggsoundCategories2Prompts.csv", "a,again")
    report = check_data("vggsound-avel", tmp_path)
    one(told(report, "problem"), "the class 'c' of 'aaaaaaaaaa0'", "the split 'dev' of 'short'")
    one(told(report, "problem"), "two sentences for one class")
    one(told(report, "note"), "clips listed twice: 1 (aaaaaaaaaa0)")
    one(told(report, "note"), "names that are not 11 characters long: 1 (short)")


def test_empty_zips_are_seen_although_only_a_sample_is_read(tmp_path: Path) -> None:
    items = [f"item {i:02d}" for i in range(40)]
    clips = {
        m: {item: np.random.default_rng(0).normal(size=(2, 3)) for item in items} for m in ("audio", "video")
    }
    write_retrieval("flickr-sound", tmp_path, clips, [(item, None) for item in items])
    unread = sorted(set(range(40)) - set(sample(40)))[0]
    (tmp_path / f"FlickrSoundNet/Data/feature/audio/zip/item {unread:02d}.zip").write_bytes(b"")
    problem = one(told(check_data("flickr-sound", tmp_path), "problem"), "audio/zip")
    assert f"1 of 40 zips are empty: item {unread:02d}.zip; download them again" in problem


def test_a_hop_of_half_a_second_and_features_of_8_bits_are_noticed(tmp_path: Path) -> None:
    folder = tiny_sets.avvp(tmp_path) / "feature/audio/zip"
    for name in ("AAAAAAAAAAA", "BBBBBBBBBBB", "CCCCCCCCCCC"):
        write_clip(
            folder / f"{name}.zip", np.random.default_rng(0).integers(0, 256, (20, 5)).astype(np.uint8)
        )
    notes = told(check_data("avvp", tmp_path), "note")
    one(notes, "audio/zip", "clips have twice the steps of their 10 seconds: is the hop 0.48 s?")
    one(notes, "audio/zip", "whole numbers in 0..255 only: features of 8 bits")


@pytest.mark.parametrize("test_list", [True, False])
def test_a_list_of_another_split_does_not_pass_as_the_published_one(test_list: bool, tmp_path: Path) -> None:
    names = [f"item {i}" for i in range(1045)]
    if test_list:
        known = expected("clotho")["names"]
        names[: len(known)] = known
    pairs = [(name, f"caption {k}") for name in names for k in range(5)]
    write_retrieval("clotho", tmp_path, {"audio": {names[0]: np.ones((2, 3))}}, pairs)
    notes = [note for note in told(check_data("clotho", tmp_path), "note") if "another split" in note]
    assert len(notes) == (not test_list)
    assert test_list or "6 of 6 items that the published test list has are absent (Santa Motor, " in notes[0]
