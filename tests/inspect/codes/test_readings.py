"""Planted codes, for which the right reading is known exactly."""

from __future__ import annotations

import numpy as np
import pytest

from unicode_cmg.inspect.codes.readings import NO_CODE, halves, read_background, read_own

CLASSES, CLIPS, STEPS = 4, 200, 6
IDS = [f"clip-{i}" for i in range(CLIPS)]
OF_CLIP = np.arange(CLIPS) % CLASSES
SECONDS = np.where(np.arange(STEPS) < 4, OF_CLIP[:, None], CLASSES)  # two seconds of background each


def read(codes: np.ndarray) -> tuple[float, float]:
    reading = read_background(codes, SECONDS, OF_CLIP, IDS, background=CLASSES)
    assert reading.seconds == (4 * CLIPS, 2 * CLIPS)
    assert reading.chance == 1 / CLASSES
    return reading.events, reading.background


def test_codes_of_clips_name_the_class_in_every_second() -> None:
    codes = np.repeat(OF_CLIP[:, None] + 10, STEPS, axis=1)
    assert read(codes) == (1.0, 1.0)


def test_codes_of_seconds_name_the_class_in_events_only() -> None:
    silence = np.where(SECONDS == CLASSES, 50, SECONDS)
    events, background = read(silence)  # a code of no event is read as one and the same class
    assert (events, background) == (1.0, pytest.approx(1 / CLASSES, abs=0.05))


def test_one_code_for_everything_is_at_chance() -> None:
    events, background = read(np.zeros((CLIPS, STEPS), np.int64))
    assert events == background
    assert events <= 1 / CLASSES


def test_codes_that_are_private_to_a_clip_tell_nothing_to_other_clips() -> None:
    events, background = read(np.repeat(np.arange(CLIPS)[:, None], STEPS, axis=1))
    assert max(events, background) <= 1 / CLASSES


def test_steps_without_a_code_do_not_count() -> None:
    codes = np.repeat(OF_CLIP[:, None], STEPS, axis=1)
    codes[:, 5] = NO_CODE
    reading = read_background(codes, SECONDS, OF_CLIP, IDS, background=CLASSES)
    assert (reading.background, reading.seconds) == (1.0, (4 * CLIPS, CLIPS))


def test_without_background_there_is_no_reading() -> None:
    codes = np.repeat(OF_CLIP[:, None], STEPS, axis=1)
    assert read_background(codes, codes, OF_CLIP, IDS, background=CLASSES) is None
    assert read_background(codes[:1], SECONDS[:1], OF_CLIP[:1], IDS[:1], background=CLASSES) is None


def test_clips_of_one_video_are_on_one_side_and_sides_are_even_whatever_the_order() -> None:
    side = halves([f"video-{i // 2}" for i in range(400)])
    assert (side[::2] == side[1::2]).all()
    assert 0.4 < side.mean() < 0.6
    for number in range(CLASSES):
        assert 0.3 < halves(IDS)[number == OF_CLIP].mean() < 0.7


@pytest.fixture
def present() -> np.ndarray:
    """In each clip class k in seconds 0 and 1, class k + 1 in 2 and 3, both in 4, none in 5."""
    found = np.zeros((CLIPS, STEPS, CLASSES), bool)
    rows = np.arange(CLIPS)
    for second in (0, 1, 4):
        found[rows, second, OF_CLIP] = True
    for second in (2, 3, 4):
        found[rows, second, (OF_CLIP + 1) % CLASSES] = True
    return found


def test_codes_of_seconds_name_their_own_class(present: np.ndarray) -> None:
    codes = np.where(present.sum(-1) == 1, present.argmax(-1), 30)
    found = read_own(codes, present, IDS)
    assert (found.own, found.other, found.seconds) == (1.0, 0.0, 4 * CLIPS)
    assert found.chance == 1 / CLASSES


def test_codes_of_clips_name_both_classes_alike(present: np.ndarray) -> None:
    found = read_own(np.repeat(OF_CLIP[:, None], STEPS, axis=1), present, IDS)
    assert (found.own, found.other) == (0.5, 0.5)


def test_clips_of_one_class_teach_and_are_not_asked(present: np.ndarray) -> None:
    present[: CLIPS // 2, 2:5] = False
    codes = np.where(present.sum(-1) == 1, present.argmax(-1), 30)
    assert read_own(codes, present, IDS).seconds == 4 * CLIPS // 2
    present[:, 2:5] = False
    assert read_own(codes, present, IDS) is None
