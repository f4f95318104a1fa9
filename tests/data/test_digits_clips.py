from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from places import ROOT

from unicode_cmg.data.digits import CLASSES, Digits, build_digits
from unicode_cmg.data.digits.clips import BACKGROUND, PROMPTS, DigitClips, draw_clips, split_instances
from unicode_cmg.data.digits.sources import prompt_vectors, recordings, scans, windows, word_vector
from unicode_cmg.data.digits.task_clips import MixedClips, draw_mixed_clips
from unicode_cmg.errors import InputError

HASHES = json.loads(Path(__file__).with_name("digits_reference_sha256.json").read_text())


def test_windows_are_the_four_pixels_of_each_position_level_by_level() -> None:
    pixels = scans().pixels[:3]
    for n in range(3):
        for y in range(7):
            for x in range(7):
                corners = [pixels[n, y, x], pixels[n, y, x + 1], pixels[n, y + 1, x], pixels[n, y + 1, x + 1]]
                wanted = [
                    min(max((p - level) * 4, 0), 1) for level in (0.0, 0.25, 0.5, 0.75) for p in corners
                ]
                np.testing.assert_allclose(windows(pixels)[n, y, x], wanted, atol=1e-6)


def test_a_window_of_one_half_is_half_way_up_the_thermometer() -> None:
    assert windows(np.full((8, 8), 0.5, np.float32))[0, 0].tolist() == [1] * 8 + [0] * 8


def test_a_recording_is_resampled_from_its_first_to_its_last_frame() -> None:
    archive = np.load(ROOT / "unicode_cmg/data/digits/fsdd_mfcc.npz", allow_pickle=False)
    frames = (archive["X"] - archive["X"].mean(0)) / archive["X"].std(0)
    start = 0
    for index in range(5):
        length = int(archive["lengths"][index])
        sequence = frames[start : start + length]
        vector = recordings().vectors[index].reshape(8, 13)
        for i in range(8):
            time = i * (length - 1) / 7
            for c in range(13):
                wanted = np.interp(time, range(length), sequence[:, c])
                assert vector[i, c] == pytest.approx(wanted, abs=1e-5)
        start += length


def test_a_prompt_is_the_vectors_of_its_words_then_zeros() -> None:
    vectors = prompt_vectors("we hear two")
    np.testing.assert_array_equal(vectors[2], word_vector("two"))
    assert not vectors[3:].any()
    assert not np.array_equal(word_vector("two"), word_vector("three"))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_the_reference_recipe_gives_the_arrays_the_released_code_was_measured_on(
    seed: int, reference_digits: Digits
) -> None:
    digits = build_digits("reference", seed) if seed else reference_digits
    hashes = {
        f"{split if split != 'pretrain' else 'pre'}_{name[0]}": hashlib.sha256(
            getattr(clips, name)
        ).hexdigest()
        for split, clips in digits.clips.items()
        for name in ("video", "audio", "text", "labels")
    }
    assert hashes == HASHES[str(seed)]
    assert digits.pretrain_val is digits.clips["val"]


@pytest.fixture(scope="module")
def default(built_digits: Digits) -> dict[str, DigitClips]:
    return built_digits.clips


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["built_digits", "reference_digits"])
def test_no_instance_is_in_two_splits(recipe: str, request: pytest.FixtureRequest) -> None:
    digits: Digits = request.getfixturevalue(recipe)
    for kind in ("scans", "recordings"):
        shown = {split: set(getattr(c, kind).ravel()) - {BACKGROUND} for split, c in digits.clips.items()}
        assert sum(map(len, shown.values())) == len(set.union(*shown.values()))
        assert set(getattr(digits.pretrain_val, kind).ravel()) - {BACKGROUND} <= set(
            np.concatenate(getattr(digits.pools["val"], kind))
        )
        for split, instances in shown.items():
            assert len(instances) > 0.9 * sum(map(len, getattr(digits.pools[split], kind)))


def test_the_splits_deal_out_every_instance() -> None:
    pools = split_instances(np.random.default_rng(0))
    for kind, total in (("scans", 1797), ("recordings", 3000)):
        dealt = np.concatenate([instances for pool in pools.values() for instances in getattr(pool, kind)])
        assert sorted(dealt) == list(range(total))


def test_every_second_shows_what_its_label_says(default: dict[str, DigitClips]) -> None:
    clips = default["train"]
    classes = clips.labels.argmax(-1)
    event = classes < 10
    for instances, source, features in (
        (clips.scans, scans().classes, clips.video),
        (clips.recordings, recordings().classes, clips.audio),
    ):
        assert ((instances != BACKGROUND) == event).all()
        assert (source[instances[event]] == classes[event]).all()
        everything = windows(scans().pixels) if features is clips.video else recordings().vectors
        assert (features[event] == everything[instances[event]].astype(np.float16)).all()
    assert (clips.labels.sum(-1) == 1).all()


def test_events_last_four_to_ten_seconds_and_repeat_no_instance(default: dict[str, DigitClips]) -> None:
    clips = default["pretrain"]
    lengths = set()
    for row, (digit, start, end) in enumerate(clips.intervals()):
        lengths.add(end - start)
        assert digit == row % 10
        assert (clips.labels[row, start:end, digit] == 1).all()
        assert clips.labels[row, :, -1].sum() == 10 - (end - start)
        for instances in (clips.scans, clips.recordings):
            assert len(set(instances[row, start:end])) == end - start
    assert lengths == set(range(4, 11))


def test_prompts_have_six_to_ten_words_and_name_the_digit(default: dict[str, DigitClips]) -> None:
    clips = default["pretrain"]
    words = clips.text_mask.sum(1)
    lengths = [len(prompt.split()) for prompt in PROMPTS]
    assert (words.min(), words.max()) == (6, 10) == (min(lengths), max(lengths))
    assert (clips.text.any(-1) == clips.text_mask).all()
    for row in range(30):
        named = np.array([word_vector(CLASSES[row % 10])], np.float16)
        assert (clips.text[row] == named).all(-1).sum() == 1


def test_the_background_differs_from_clip_to_clip(default: dict[str, DigitClips]) -> None:
    clips = default["val"]
    quiet = clips.labels[..., -1] == 1
    levels = [
        clips.audio[i][quiet[i]].astype(float)[:, 1].std() for i in range(len(clips)) if quiet[i].sum() > 3
    ]
    assert np.percentile(levels, 90) > 2 * np.percentile(levels, 10)


def test_equal_seeds_give_equal_clips_and_other_seeds_others() -> None:
    first, again, other = (
        draw_clips(rng, split_instances(rng)["val"], 50) for rng in map(np.random.default_rng, (7, 7, 8))
    )
    assert first.video.tobytes() == again.video.tobytes()
    assert first.audio.tobytes() == again.audio.tobytes()
    assert first.audio.tobytes() != other.audio.tobytes()


@pytest.mark.parametrize(
    ("recipe", "seed", "message"), [("easy", 0, "recipe is 'easy'"), ("default", -1, "seed is -1")]
)
def test_unknown_recipes_and_seeds_are_refused(recipe: str, seed: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_digits(recipe, seed)


@pytest.fixture(scope="module")
def mixed() -> MixedClips:
    rng = np.random.default_rng(0)
    return draw_mixed_clips(rng, split_instances(rng)["test"], 300)


def test_mixed_seconds_hold_every_digit_seen_and_heard_in_them(mixed: MixedClips) -> None:
    for clip in range(60):
        for second in range(10):
            seen = [i for i in mixed.scans[clip, :, second] if i != BACKGROUND]
            heard = [i for i in mixed.recordings[clip, :, second] if i != BACKGROUND]
            if seen:
                brightest = scans().pixels[seen].max(0)
                np.testing.assert_allclose(mixed.video[clip, second], windows(brightest), atol=1e-3)
            if heard:
                mean = recordings().vectors[heard].mean(0)
                np.testing.assert_allclose(mixed.audio[clip, second], mean, rtol=1e-2, atol=1e-2)


def test_mixed_clips_overlap_differ_between_senses_and_miss_one_at_times(mixed: MixedClips) -> None:
    seen, heard = mixed.scans != BACKGROUND, mixed.recordings != BACKGROUND
    assert (seen.sum(1) > 1).any()
    assert (heard.sum(1) > 1).any()
    seen_only = seen.any(2) & ~heard.any(2)
    heard_only = heard.any(2) & ~seen.any(2)
    both = seen.any(2) & heard.any(2)
    assert seen_only.sum() > 30 < heard_only.sum()
    assert (seen[both] != heard[both]).any(1).mean() > 0.5
    assert (seen.any(2) | heard.any(2)).any(1).all()


def test_event_rows_say_when_each_digit_is_there(mixed: MixedClips) -> None:
    names = [f"clip{i}" for i in range(len(mixed))]
    for modality, instances in (("video", mixed.scans), ("audio", mixed.recordings)):
        rows = {row.filename: row for row in mixed.rows(modality, names)}
        for i, name in enumerate(names[:50]):
            wanted = {
                (CLASSES[d], second)
                for d, line in zip(mixed.digits[i], instances[i], strict=True)
                for second in range(10)
                if line[second] != BACKGROUND
            }
            events = rows[name].events if name in rows else ()
            assert {(e.label, s) for e in events for s in range(e.onset, e.offset)} == wanted
