"""Recipes of published data sets: from media as they are downloaded to what tasks read."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from tiny_media import loudness, word_lengths, write_sound, write_video

from unicode_cmg.data import FeatureStore
from unicode_cmg.data.layouts.ave import read_ave
from unicode_cmg.data.layouts.avvp import read_avvp
from unicode_cmg.data.layouts.from_store import write_published
from unicode_cmg.data.layouts.retrieval import read_retrieval
from unicode_cmg.data.layouts.ucf_vgg import read_ucf_vgg
from unicode_cmg.data.layouts.vggsound_avel import read_vggsound_avel
from unicode_cmg.errors import InputError
from unicode_cmg.extract import plan
from unicode_cmg.extract.encoders import Encoder, FunctionEncoder, available_encoders
from unicode_cmg.extract.settings import ExtractSettings, recipes

pytest.importorskip("av")
pytest.importorskip("soundfile")
Image = pytest.importorskip("PIL.Image")


def grid_of(frames: Any, grid: Any) -> Any:
    """`[T, 7, 7, 512]` with the brightness of each step, as VGG-19 has its maps."""
    result = np.zeros((grid.steps, 7, 7, 512), np.float32)
    for image, step in zip(frames.images, grid.step_of(frames.seconds), strict=True):
        result[step] = image.mean() / 255
    return result


FUNCTIONS = {
    "audio": lambda sound, grid: np.repeat(loudness(sound, grid), 128, axis=1),
    "video": grid_of,
    "image": grid_of,
    "text": lambda text, grid: np.repeat(word_lengths(text, grid), 768, axis=1),
}


@pytest.fixture(autouse=True)
def small_encoders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Functions with the shapes of VGGish, VGG-19 and BERT in their place."""

    def load(spec: Any, kind: Any, **_: Any) -> Encoder:
        return FunctionEncoder(FUNCTIONS[kind], kind=kind)

    monkeypatch.setattr(plan, "load_encoder", load)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("one") / "one.mp4", seconds=10)


def extract(name: str, root: Path) -> FeatureStore:
    done = ExtractSettings.load(Path(name)).extract(root, root.parent / "store")
    assert done.broken == ()
    return FeatureStore.open(root.parent / "store")


def lines(path: Path, text: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(text) + "\n", encoding="utf-8")


def place(video: Path, *targets: Path) -> None:
    for target in targets:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(video, target)


SECOND_3 = np.arange(10) == 3


@pytest.mark.parametrize("header", [[], ["Category&VideoID&Quality&StartTime&EndTime"]])
def test_ave_gives_a_store_and_the_published_arrays(tmp_path: Path, video: Path, header: list[str]) -> None:
    root = tmp_path / "AVE_Dataset"
    train, val, test = (
        ["Dog&aaaaaaaaaaa&good&2&5", "Cat&bbbbbbbbbbb&good&0&10"],
        ["Dog&ccccccccccc&good&3&4"],
        [],
    )
    test.append("Cat&aaaaaaaaaaa&good&6&9")  # a video with two events
    for name, rows in (("train", train), ("val", val), ("test", test)):
        lines(root / f"{name}Set.txt", header + rows)
    lines(root / "Annotations.txt", [*header, *test, *train, *val])
    place(video, *(root / "AVE" / f"{letter * 11}.mp4" for letter in "abc"))
    store = extract("ave", root)
    assert store.modalities == {"audio": (10, 128), "video": (10, 7, 7, 512)}
    assert store.ids[0] == "aaaaaaaaaaa@2-5"
    assert store.columns["split"] == ("train", "train", "val", "test")
    assert store.columns["label"] == ("Dog", "Cat", "Dog", "Cat")
    write_published(store, root, "ave")
    data = read_ave(root)
    assert {split: rows.tolist() for split, rows in data.order.items()} == {
        "train": [1, 2],
        "val": [3],
        "test": [0],
    }
    assert np.flatnonzero(data.labels[1, :, :-1].any(-1)).tolist() == [2, 3, 4]
    assert (data.features("audio", np.arange(4))[..., 0] > 0.4).tolist() == [SECOND_3.tolist()] * 4
    assert (data.features("video", np.arange(4))[:, :, 0, 0, 0] > 0.8).tolist() == [SECOND_3.tolist()] * 4


def test_missing_clips_of_ave_are_one_line(tmp_path: Path) -> None:
    lines(tmp_path / "Annotations.txt", ["Dog&a&good&2&5", "Cat&b&good&0&10"])
    FeatureStore.write(tmp_path / "store", {"audio": np.zeros((1, 10, 128), np.float32)}, ["a"])
    with pytest.raises(InputError, match="audio of 1 of 2 clips is missing, such as 'b'"):
        write_published(tmp_path / "store", tmp_path, "ave")
    assert not (tmp_path / "audio_feature.h5").exists()


def test_avvp_gives_the_published_zips(tmp_path: Path, video: Path) -> None:
    root = tmp_path / "AVVP"
    names = {"train": "-aaaaaaaaaa_30_40", "val_pd": "bbbbbbbbbbb_0_10", "test_pd": "ccccccccccc_5_15"}
    for split, name in names.items():
        lines(root / "data" / f"AVVP_{split}.csv", ["filename\tevent_labels", f"{name}\tSpeech,Dog"])
        place(video, root / "video" / f"{name}.mp4")
    for kind in ("audio", "visual"):
        rows = [f"{name}\t1\t3\tDog" for name in names.values()]
        lines(root / "data" / f"AVVP_eval_{kind}.csv", ["filename\tonset\toffset\tevent_labels", *rows])
    store = extract("avvp", root)
    assert store.ids == ("-aaaaaaaaaa", "bbbbbbbbbbb", "ccccccccccc")
    assert store.dtypes == {"audio": "float16", "video": "float16"}
    assert store.columns["split"] == ("train", "val", "test")
    assert write_published(store, root, "avvp") == {"feature/audio/zip": 3, "feature/video/zip": 3}
    data = read_avvp(root)
    assert data.features("video", np.arange(3)).shape == (3, 10, 7, 7, 512)
    assert (data.features("audio", np.arange(3))[..., 0] > 0.4).tolist() == [SECOND_3.tolist()] * 3


def test_vggsound_gives_a_store_with_prompts_and_the_published_zips(tmp_path: Path, video: Path) -> None:
    root = tmp_path / "vggsound40k"
    rows = ["category,video_id,split", "playing cello,aaaaaaaaaaa,train", "dog barking,-b_bbbbbbbb,val"]
    lines(root / "data" / "vggsound-avel40k.csv", rows)
    prompts = [
        "label,prompt",
        "dog barking,a dog is barking",
        '"playing cello","a person, playing the cello"',
    ]
    lines(root / "data" / "vggsoundCategories2Prompts.csv", prompts)
    place(video, root / "video" / "aaaaaaaaaaa_000030.mp4", root / "video" / "-b_bbbbbbbb_000007.mp4")
    lines(root / "data" / "VggsoundAVEL40kCategories.txt", ["dog barking", "playing cello"])
    store = extract("vggsound-avel", root)
    assert store.modalities == {"audio": (10, 128), "video": (10, 7, 7, 512), "text": (5, 768)}
    assert store.valid_steps("text").tolist() == [5, 4]
    assert (store.ids, store.columns["split"]) == (("aaaaaaaaaaa", "-b_bbbbbbbb"), ("train", "val"))
    write_published(store, root, "vggsound-avel")
    data = read_vggsound_avel(tmp_path)
    assert data.features("audio", data.rows("40k")).shape == (2, 10, 128)


def test_ucf101_gives_the_published_zips(tmp_path: Path, video: Path) -> None:
    root = tmp_path / "UCF101"
    lines(root / "data" / "ucf2vggsound.csv", ["category,video_id", "Archery,v_Archery_g01_c01"])
    lines(root / "data" / "vggsound2ucf.csv", ["category,video_id,split", "archery,aaaaaaaaaaa,train"])
    lines(root / "data" / "UCF101sameVGGSound.txt", ["Archery"])
    lines(root / "data" / "VGGSoundsameUCF101.txt", ["archery"])
    place(video, root / "UCF-101" / "Archery" / "v_Archery_g01_c01.avi")
    assert write_published(extract("ucf101", root), root, "ucf101") == {"feature/video/zip": 1}
    assert (root / "feature/video/zip/v_Archery_g01_c01.zip").is_file()
    assert read_ucf_vgg(tmp_path).video.features(np.arange(1)).shape == (1, 10, 7, 7, 512)


def test_clotho_gives_sounds_and_captions(tmp_path: Path) -> None:
    root = tmp_path / "clotho2.1"
    root.mkdir()
    (root / "evaluation").mkdir()
    for name, seconds in (("rain, on a roof.wav", 5), ("dog.wav", 3)):
        write_sound(root / "evaluation" / name, np.random.default_rng(0).normal(size=8000 * seconds) / 9)
    with (root / "clotho_captions_evaluation.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file_name", *(f"caption_{n}" for n in range(1, 6))])
        for name in ("rain, on a roof.wav", "dog.wav"):
            writer.writerow([name, *("word " * n for n in range(1, 6))])
    store = extract("clotho", root)
    assert store.ids[:6] == ("rain, on a roof", *(f"rain, on a roof#{n}" for n in range(1, 5)), "dog")
    assert store.columns["group"][4:6] == ("rain, on a roof", "dog")
    assert store.valid_steps("audio").tolist() == [5, 0, 0, 0, 0, 3, 0, 0, 0, 0]
    assert write_published(store, root, "clotho") == {"feature/zip": 2, "text_feature.h5": 10}
    data = read_retrieval("clotho", tmp_path)
    assert data.features("audio", np.arange(2)).mask.sum(axis=1).tolist() == [5, 3]
    assert data.features("text", np.arange(10)).mask.sum(axis=1).tolist() == [1, 2, 3, 4, 5] * 2


def test_mscoco_gives_images_and_captions(tmp_path: Path) -> None:
    root = tmp_path / "MSCOCO"
    (root / "val2017").mkdir(parents=True)
    for number in (139, 7):
        Image.new("RGB", (8, 6), "white").save(root / "val2017" / f"{number:012d}.jpg")
    rows = [(139, "a room"), (139, "a room with a chair"), (7, "a white cat sleeps")]
    found = [{"image_id": number, "id": at, "caption": caption} for at, (number, caption) in enumerate(rows)]
    (root / "val_part_1.json").write_text(json.dumps({"annotations": found}))
    store = extract("mscoco", root)
    assert store.ids == ("000000000139", "000000000139#1", "000000000007")
    write_published(store, root, "mscoco")
    data = read_retrieval("coco", tmp_path)
    assert data.features("video", np.arange(2)).values.shape == (2, 1, 7, 7, 512)
    with h5py.File(root / "text_feature.h5") as file:
        assert file["avadataset"].shape == (3, 5, 768)
    assert data.features("text", np.arange(3)).mask.sum(axis=1).tolist() == [2, 5, 4]


def test_a_store_without_the_modalities_of_a_layout_is_refused(tmp_path: Path) -> None:
    FeatureStore.write(tmp_path / "store", {"text": np.zeros((1, 3, 2), np.float32)}, ["a"])
    with pytest.raises(InputError, match="it has text; expected modalities named audio or video"):
        write_published(tmp_path / "store", tmp_path / "to", "avvp")
    with pytest.raises(InputError, match="--layout"):
        write_published(tmp_path / "store", tmp_path / "to", "llp")


def test_the_encoders_of_every_recipe_exist() -> None:
    for name in recipes():
        for settings in ExtractSettings.load(Path(name)).modalities.values():
            spec = settings.encoder
            assert (spec if isinstance(spec, str) else spec["name"]) in available_encoders()
    assert len(recipes()) == 6
