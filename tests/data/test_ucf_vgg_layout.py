from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_sets import clip

from unicode_cmg.data.layouts import read_ucf_vgg, write_clip
from unicode_cmg.data.layouts.ucf_vgg import UCFVGGClip, write_ucf_vgg
from unicode_cmg.errors import InputError

PAIRS = [("Bowling\tbowling", "bowling impact"), ("Skiing", "skiing"), ("Frisbee", "playing frisbee")]

CLASSES = (("Bowling", "bowling impact"), *PAIRS[1:])


@pytest.fixture
def ucf_vgg(tmp_path: Path) -> Path:
    video = {
        UCFVGGClip("v_Skiing_g07_c01", "Skiing", "g07"): clip(0, 14, 2),
        UCFVGGClip("v_Skiing_odd", "Skiing", ""): clip(100, 6, 2),
        UCFVGGClip("v_Frisbee_g25_c02", "Frisbee", "g25"): clip(200, 10, 2),
    }
    audio = {
        UCFVGGClip("-a_bcdefgh1", "bowling impact", "train"): clip(0, 10, 3),
        UCFVGGClip("-a_bcdefgh2", "skiing", "test"): clip(50, 10, 3),
    }
    write_ucf_vgg(tmp_path, PAIRS, video, audio)
    return tmp_path


def test_ucf_and_vgg_clips_carry_their_pair_their_group_and_their_split(ucf_vgg: Path) -> None:
    data = read_ucf_vgg(ucf_vgg)
    assert data.classes == CLASSES
    assert data.video.labels.tolist() == [1, 1, 2]
    assert data.audio.labels.tolist() == [0, 1]
    assert [c.part for c in data.video.clips] == ["g07", "", "g25"]
    assert [c.part for c in data.audio.clips] == ["train", "test"]
    assert data.populated() == (1,)


def test_ucf_video_is_cut_or_padded_to_ten(ucf_vgg: Path) -> None:
    video = read_ucf_vgg(ucf_vgg).video.features(np.array([0, 1]))
    assert video[:, :, 1].tolist() == [[*range(10)], [100, 101, 102, 103, 104, 105, 105, 105, 105, 105]]


def test_windows_line_ends_and_tables_beside_the_features_are_accepted(ucf_vgg: Path) -> None:
    for file in (ucf_vgg / "UCF101/data").iterdir():
        (ucf_vgg / "UCF101" / file.name).write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
        file.unlink()
    (ucf_vgg / "UCF101/data").rmdir()
    data = read_ucf_vgg(ucf_vgg)
    assert data.classes == CLASSES
    assert [c.video_id for c in data.audio.clips] == ["-a_bcdefgh1", "-a_bcdefgh2"]


def test_ucf_vgg_lists_that_do_not_fit_are_named(ucf_vgg: Path) -> None:
    write_clip(ucf_vgg / "UCF101/feature/video/zip/v_Skiing_odd.zip", clip(0, 3, 9))
    with pytest.raises(InputError, match=r"v_Skiing_odd.zip: features of \[9\]"):
        read_ucf_vgg(ucf_vgg).video.features(np.array([0, 1]))
    tables = ucf_vgg / "UCF101/data"
    (tables / "vggsound2ucf.csv").write_text("category,video_id,split\nwhistling,abc,train\n")
    with pytest.raises(InputError, match="the class 'whistling' of 'abc'"):
        read_ucf_vgg(ucf_vgg)
    (tables / "VGGSoundsameUCF101.txt").write_text("bowling impact\nskiing")
    with pytest.raises(InputError, match="2 classes; expected 3"):
        read_ucf_vgg(ucf_vgg)


def test_a_class_whose_line_has_a_second_word_is_matched_by_the_first(ucf_vgg: Path) -> None:
    file = ucf_vgg / "UCF101/data/ucf2vggsound.csv"
    file.write_text(file.read_text() + "Bowling,v_Bowling_g01_c01\n")
    data = read_ucf_vgg(ucf_vgg)
    assert data.video.labels.tolist() == [1, 1, 2, 0]
    assert data.populated() == (0, 1)


def test_a_subset_is_the_clips_of_the_first_pairs(ucf_vgg: Path) -> None:
    data = read_ucf_vgg(ucf_vgg, subset=2)
    assert data.classes == CLASSES[:2]
    assert [c.video_id for c in data.video.clips] == ["v_Skiing_g07_c01", "v_Skiing_odd"]
    assert data.audio.labels.tolist() == [0, 1]
    assert data.video.features(np.array([1]))[0, 0, 0] == 100
    for count in (0, 4):
        with pytest.raises(InputError, match="expected 1 to 3"):
            read_ucf_vgg(ucf_vgg, subset=count)
