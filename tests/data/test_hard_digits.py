"""The hard recipe: what its clips contain, what its files say about them, and how hard it is."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from unicode_cmg.data import FeatureStore
from unicode_cmg.data.check import check_data
from unicode_cmg.data.digits import CLASSES, Digits, build_hard_digits, write_digits
from unicode_cmg.data.digits.clips import BACKGROUND, Pool, split_instances
from unicode_cmg.data.digits.hard_clips import (
    PAIR_PROMPTS,
    PAIRS,
    HardClips,
    choose_pairs,
    draw_hard_clips,
    pair_name,
)
from unicode_cmg.data.digits.sources import recordings, scans, windows
from unicode_cmg.data.digits.tasks import CAPTIONS, HARD_AVVP_COUNTS, draw_hard_avvp
from unicode_cmg.data.layouts import read_ave, read_avvp, read_retrieval


@pytest.fixture(scope="module")
def pools() -> dict[str, Pool]:
    return split_instances(np.random.default_rng(0))


@pytest.fixture(scope="module")
def pairs() -> list[tuple[int, int]]:
    return choose_pairs(np.random.default_rng(5))


@pytest.fixture(scope="module")
def clips(pools: dict[str, Pool], pairs: list[tuple[int, int]]) -> HardClips:
    return draw_hard_clips(np.random.default_rng(0), pools["test"], 480, pairs)


def digits_of(clips: HardClips, modality: str) -> np.ndarray:
    """`[clips, 10, 10]`, True where a digit is seen or heard in a second, from the instances shown."""
    shown = clips.scans if modality == "video" else clips.recordings
    classes = (scans() if modality == "video" else recordings()).classes
    found = np.zeros((len(clips), 10, 10), bool)
    for clip, event, second in zip(*np.nonzero(shown != BACKGROUND), strict=True):
        found[clip, second, classes[shown[clip, event, second]]] = True
    return found


def test_there_are_24_different_pairs_of_different_digits(pairs: list[tuple[int, int]]) -> None:
    assert len(set(pairs)) == 24
    assert set(pairs) < set(PAIRS)
    assert all(first < second for first, second in pairs)
    assert choose_pairs(np.random.default_rng(6)) != pairs


def test_both_digits_of_the_pair_are_seen_and_heard_for_one_to_three_seconds(
    clips: HardClips, pairs: list[tuple[int, int]]
) -> None:
    lengths, shifts = set(), set()
    seen, heard = digits_of(clips, "video"), digits_of(clips, "audio")
    for row in range(len(clips)):
        for digit in pairs[row % 24]:
            when, sound = np.flatnonzero(seen[row, :, digit]), np.flatnonzero(heard[row, :, digit])
            assert len(when) == len(sound) == when[-1] - when[0] + 1 == sound[-1] - sound[0] + 1
            lengths.add(len(when))
            shifts.add(sound[0] - when[0])
    assert lengths == {1, 2, 3}
    assert shifts == {-1, 0, 1}


def test_a_third_digit_distracts_one_sense_for_one_or_two_seconds(
    clips: HardClips, pairs: list[tuple[int, int]]
) -> None:
    seen, heard = digits_of(clips, "video").sum(1), digits_of(clips, "audio").sum(1)
    senses = []
    for row in range(len(clips)):
        others = [d for d in range(10) if d not in pairs[row % 24]]
        assert sorted((seen[row, others] + heard[row, others]).tolist())[:-1] == [0] * 7
        lengths = seen[row, others].sum(), heard[row, others].sum()
        assert sorted(lengths) in ([0, 1], [0, 2])
        senses.append(lengths[0] > 0)
    assert 0.4 < np.mean(senses) < 0.6


def test_every_second_holds_what_is_seen_and_heard_in_it(clips: HardClips) -> None:
    for row in range(60):
        for second in range(10):
            seen = [i for i in clips.scans[row, :, second] if i != BACKGROUND]
            heard = [i for i in clips.recordings[row, :, second] if i != BACKGROUND]
            if seen:
                ink = windows(scans().pixels[seen].max(0)).astype(np.float16)
                assert (clips.video[row, second] >= ink).all()
            if heard:
                mean = recordings().vectors[heard].mean(0)
                np.testing.assert_allclose(clips.audio[row, second], mean, rtol=1e-2, atol=1e-2)
            else:
                hiss = clips.audio[row, second].astype(float) - recordings().silence
                assert 0.15 < hiss.std() < 0.9


def test_background_is_where_neither_digit_of_the_pair_is_seen_or_heard(
    clips: HardClips, pairs: list[tuple[int, int]]
) -> None:
    either = digits_of(clips, "video") | digits_of(clips, "audio")
    alone = 0
    for row in range(len(clips)):
        event = either[row][:, list(pairs[row % 24])].any(1)
        np.testing.assert_array_equal(clips.labels[row].argmax(-1), np.where(event, row % 24, 24))
        alone += int((either[row].any(1) & ~event).sum())
    assert (clips.labels.sum(-1) == 1).all()
    assert alone > 100  # distractors in seconds of background


def test_a_prompt_names_the_digits_of_the_pair_in_either_order(
    clips: HardClips, pairs: list[tuple[int, int]]
) -> None:
    orders = set()
    for row, words in enumerate(clips.words()):
        named = tuple(CLASSES.index(word) for word in words if word in CLASSES)
        assert tuple(sorted(named)) == pairs[row % 24]
        assert len(words) == clips.text_mask[row].sum()
        orders.add(named[0] < named[1])
    assert orders == {True, False}
    assert {len(prompt.split()) for prompt in PAIR_PROMPTS} <= set(range(6, 11))


def test_words_of_captions_are_words_of_hard_prompts() -> None:
    known = {word for prompt in PAIR_PROMPTS for word in prompt.split()}
    assert {word for caption in CAPTIONS for word in caption.split()} <= known


def test_noise_of_silent_seconds_and_grain_differ_from_clip_to_clip(clips: HardClips) -> None:
    silent = (clips.recordings == BACKGROUND).all(1)
    levels = [clips.audio[i][silent[i]].astype(float)[:, 1].std() for i in range(100) if silent[i].sum() > 3]
    assert np.percentile(levels, 90) > 2 * np.percentile(levels, 10)


def test_equal_seeds_give_equal_hard_clips(pools: dict[str, Pool], pairs: list[tuple[int, int]]) -> None:
    first, again, other = (
        draw_hard_clips(np.random.default_rng(seed), pools["val"], 24, pairs) for seed in (7, 7, 8)
    )
    for name in ("video", "audio", "text", "labels"):
        assert getattr(first, name).tobytes() == getattr(again, name).tobytes()
    assert first.audio.tobytes() != other.audio.tobytes()


@pytest.fixture(scope="module")
def built() -> tuple[Digits[HardClips], list[tuple[int, int]]]:
    return build_hard_digits(0)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("hard") / "data"
    write_digits(to, recipe="hard")
    return to


@pytest.mark.slow
def test_no_instance_is_in_two_splits_and_the_splits_are_those_of_the_easy_digits(
    built: tuple[Digits[HardClips], list[tuple[int, int]]], built_digits: Digits
) -> None:
    digits, pairs = built
    events = draw_hard_avvp(np.random.default_rng([0, 1]), digits.pools, pairs)
    for kind in ("scans", "recordings"):
        shown = {split: set(getattr(c, kind).ravel()) - {BACKGROUND} for split, c in digits.clips.items()}
        assert sum(map(len, shown.values())) == len(set.union(*shown.values()))
        for split in ("train", "val", "test"):
            for pool in (digits.pools, built_digits.pools):
                allowed = set(np.concatenate(getattr(pool[split], kind)))
                assert shown[split] <= allowed
                assert set(getattr(events[split], kind).ravel()) - {BACKGROUND} <= allowed
        val = set(np.concatenate(getattr(digits.pools["val"], kind)))
        assert set(getattr(digits.pretrain_val, kind).ravel()) - {BACKGROUND} <= val


@pytest.mark.slow
def test_equal_seeds_write_equal_hard_files(root: Path, tmp_path: Path) -> None:
    write_digits(tmp_path / "again", recipe="hard")
    first = {f.relative_to(root): f for f in root.rglob("*") if f.is_file()}
    again = {f.relative_to(tmp_path / "again"): f for f in (tmp_path / "again").rglob("*") if f.is_file()}
    assert first.keys() == again.keys()
    assert [name for name in first if first[name].read_bytes() != again[name].read_bytes()] == []


@pytest.mark.slow
def test_stores_and_ave_hold_the_hard_clips(
    root: Path, built: tuple[Digits[HardClips], list[tuple[int, int]]]
) -> None:
    digits, pairs = built
    for folder, clips in (("pretrain", digits.clips["pretrain"]), ("pretrain-val", digits.pretrain_val)):
        batch = FeatureStore.open(root / folder).batch([0, 100, len(clips) - 1])
        for name in ("video", "audio", "text"):
            wanted = getattr(clips, name)[[0, 100, -1]].astype(np.float32)
            np.testing.assert_array_equal(batch.features[name].numpy(), wanted)
    ave = read_ave(root / "AVE")
    assert ave.classes == tuple(map(pair_name, pairs))
    for split in ("train", "val", "test"):
        clips, rows = digits.clips[split], ave.order[split]
        np.testing.assert_array_equal(ave.features("audio", rows), clips.audio.astype(np.float32))
        np.testing.assert_array_equal(ave.segment_labels(rows), clips.labels)
        np.testing.assert_array_equal(ave.mask("text", rows), clips.text_mask)
        assert ave.clip_labels(rows).tolist() == [row % 24 for row in range(len(clips))]


@pytest.mark.slow
def test_avvp_labels_name_every_digit_of_a_second_with_the_distractor(
    root: Path, built: tuple[Digits[HardClips], list[tuple[int, int]]]
) -> None:
    digits, pairs = built
    drawn = draw_hard_avvp(np.random.default_rng([0, 1]), digits.pools, pairs)
    data = read_avvp(root / "AVVP")
    assert {split: len(names) for split, names in data.splits.items()} == HARD_AVVP_COUNTS
    columns = [CLASSES.index(name) for name in data.classes]
    for modality in ("audio", "video"):
        truth = {split: digits_of(drawn[split], modality) for split in ("val", "test")}
        for row, labels in zip(data.rows[modality], data.labels[modality], strict=True):
            split, index = row.filename[2:7].rstrip("_"), int(row.filename[7:11])
            np.testing.assert_array_equal(labels[:, :-1] == 1, truth[split][index][:, columns])


@pytest.mark.slow
def test_the_files_pass_their_checks_and_hold_every_pair_once_for_retrieval(root: Path) -> None:
    for task in ("ave", "avvp", "clotho", "flickr-sound"):
        assert check_data(task, root).usable
    for name in ("clotho", "flickr-sound"):
        assert len(read_retrieval(name, root).items) == 45
    captions = read_retrieval("clotho", root)
    for caption, item in zip(captions.captions, captions.caption_items, strict=True):
        assert [w for w in caption.split() if w in CLASSES] == captions.items[item].split(" and ")
    assert sorted(f.name for f in root.iterdir() if f.is_dir()) == [
        "AVE",
        "AVVP",
        "FlickrSoundNet",
        "clotho2.1",
        "pretrain",
        "pretrain-val",
    ]


@pytest.mark.slow
def test_a_linear_classifier_of_the_mean_over_time_is_right_about_half_of_the_time(
    built: tuple[Digits[HardClips], list[tuple[int, int]]],
) -> None:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    digits, _ = built
    accuracy = {}
    for modality in ("video", "audio"):
        parts = []
        for split in ("train", "test"):
            clips = digits.clips[split]
            x = getattr(clips, modality).astype(np.float32).reshape(len(clips), 10, -1).mean(1)
            parts += [x, np.arange(len(clips)) % 24]
        x, y, x_test, y_test = parts
        model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.3).fit(x, y)
        accuracy[modality] = 100 * model.score(x_test, y_test)
    assert 50 < accuracy["video"] < 70
    assert 35 < accuracy["audio"] < 60


@pytest.mark.slow
def test_the_easy_clips_are_what_they_were_before_there_was_a_hard_recipe(built_digits: Digits) -> None:
    digest = hashlib.sha256()
    for clips in (*built_digits.clips.values(), built_digits.pretrain_val):
        for name in ("video", "audio", "text", "text_mask", "labels"):
            digest.update(np.ascontiguousarray(getattr(clips, name)))
    assert digest.hexdigest()[:16] == "785f6191c5615b31"
