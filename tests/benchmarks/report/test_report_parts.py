"""The parts the page is made of: curves, tables, kinds of codes, pictures."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from made_run import CLASSES, code_usage, evaluation

from benchmarks.evaluation.code_usage import CodeUsage
from benchmarks.evaluation.results import TaskResult
from benchmarks.report.codes import telling_codes
from benchmarks.report.curves import Curve, curves_of, smooth, thin
from benchmarks.report.gallery import digit_cards
from benchmarks.report.meaning import class_shares, code_order
from benchmarks.report.svg import series_slot
from benchmarks.report.transfer import transfer_tables, transfer_text
from unicode_cmg.data.digits.images import scan_of
from unicode_cmg.data.digits.sources import prompt_vectors, recordings, scans, windows
from unicode_cmg.data.layouts.ave import Annotation, write_ave
from unicode_cmg.inspect.codes.sharing import sharing_of

_FINITE = st.floats(-100, 100, width=32)


def test_curves_are_grouped_by_quantity_and_layer() -> None:
    lines = [
        {"step": 1, "loss": {"cpc": 2.0, "club/audio": 1.0}, "codebook": {"layer0/perplexity/audio": 3.0}},
        {"step": 2, "loss": {"cpc": None, "club/audio": 0.5}},
        {"step": 2, "loss": {"club/audio": 0.4}},
        {"step": 2, "validation": {"cpc": 9.0}},
    ]
    curves = curves_of(lines, "loss")
    assert list(curves) == ["cpc", "club"]
    assert (curves["cpc"][0].x.tolist(), curves["cpc"][0].name) == ([1.0], "")
    assert (curves["club"][0].y.tolist(), curves["club"][0].name) == ([1.0, 0.4], "audio")
    assert [curve.name for curve in curves_of(lines, "codebook")["layer0/perplexity"]] == ["audio"]


@given(arrays(np.float64, st.integers(1, 60), elements=_FINITE), st.floats(0, 0.5))
def test_smoothing_is_the_mean_of_a_window(values: np.ndarray, share: float) -> None:
    radius = int(len(values) * share)
    slow = [values[max(i - radius, 0) : i + radius + 1].mean() for i in range(len(values))]
    np.testing.assert_allclose(smooth(values, share), slow, atol=1e-9)


@given(st.integers(1, 200), st.integers(1, 50))
def test_thinning_keeps_the_mean_and_the_order(length: int, points: int) -> None:
    steps = np.arange(length, dtype=float)
    thinned = thin(Curve("", steps, steps**2), points)
    assert len(thinned.x) == min(length, points)
    assert (np.diff(thinned.x) > 0).all()
    if length % points == 0:
        assert thinned.y.mean() == pytest.approx((steps**2).mean())


def test_modalities_keep_their_colours() -> None:
    assert [series_slot(m, ["text", "depth", "audio"]) for m in ("audio", "video", "text", "depth")] == [
        0,
        1,
        2,
        3,
    ]
    assert series_slot("touch", ["touch", "smell"]) != series_slot("smell", ["touch", "smell"])


def test_codes_are_shared_in_between_single_or_unused() -> None:
    sharing = sharing_of(
        {
            "audio": np.array([10, 96, 90, 0, 0, 4]),
            "video": np.array([10, 2, 10, 0, 178, 0]),
            "text": np.array([10, 2, 0, 0, 0, 188]),
        }
    )
    assert sharing.kinds == ["shared", "single", "between", "unused", "single", "single"]
    np.testing.assert_allclose(sharing.parts[0], [1 / 3, 1 / 3, 1 / 3])


def test_a_modality_with_more_steps_does_not_own_more_codes() -> None:
    few, many = np.array([5, 5]), np.array([500, 500])
    assert sharing_of({"text": few, "video": many}).kinds == ["shared", "shared"]


def test_transfer_tables_compare_with_the_evaluation_without_toc() -> None:
    rng = np.random.default_rng(0)
    results = [
        TaskResult.from_json(evaluation(rng, **options)) for options in ({"shuffled": True}, {"kept": 16}, {})
    ]
    (table,) = transfer_tables(results)
    plain, refined, control = table.cells["video", "audio"]
    assert (plain.label, refined.label, control.label) == (
        "all dimensions",
        "TOC, 16 of 32",
        "codes shuffled",
    )
    assert refined.gain == pytest.approx(refined.mean - plain.mean)
    assert (plain.gain, control.gain) == (None, None)
    assert len(table.cells["audio", "audio"]) == 2
    text = transfer_text([table])
    row = next(line for line in text.splitlines() if line.startswith("video -> audio"))
    assert [part.strip() for part in row.split("   ") if part.strip()] == [
        "video -> audio",
        *map(str, (plain, refined, control)),
    ]


def test_shares_of_a_class_sum_to_one() -> None:
    table = np.array([[3, 0, 0], [1, 0, 2]])
    np.testing.assert_array_equal(class_shares(table), [[0.75, 0, 0], [0.25, 0, 1]])


def test_codes_stand_in_the_order_of_their_classes() -> None:
    audio = np.array([[0.0, 0.9], [0.6, 0.0], [0.0, 0.0], [0.4, 0.1]])
    video = np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    order, stands_for = code_order({"audio": audio, "video": video})
    assert order.tolist() == [1, 3, 0]
    assert stands_for.tolist() == [0, 0, 1]


def test_the_telling_code_of_a_class_is_common_to_the_modalities() -> None:
    usage = CodeUsage.from_json(code_usage(np.random.default_rng(1)))
    for number, code in telling_codes(usage, ["video", "audio"]):
        assert code % (len(CLASSES) + 1) == number
        assert usage.counts["video"][code] > 0
        assert usage.counts["audio"][code] > 0


def test_a_scan_is_recovered_from_its_windows() -> None:
    scan = scans().pixels[17]
    np.testing.assert_allclose(scan_of(windows(scan)), scan, atol=1e-6)


def test_cards_show_what_got_the_code(tmp_path: Path) -> None:
    clips, steps = 30, 10
    digits = np.arange(clips) % 10
    labels = np.zeros((clips, steps, 11), dtype=np.float32)
    labels[np.arange(clips), :, digits] = 1
    seen = np.stack([np.flatnonzero(scans().classes == digit)[0] for digit in digits])
    heard = np.stack([np.flatnonzero(recordings().classes == digit)[0] for digit in digits])
    features = {
        "video": np.repeat(windows(scans().pixels[seen])[:, None], steps, axis=1),
        "audio": np.repeat(recordings().vectors[heard][:, None], steps, axis=1),
        "text": np.stack(
            [prompt_vectors(f"the digit {CLASSES[digit]} is read aloud here") for digit in digits]
        ),
    }
    order = {"train": np.arange(10), "val": np.arange(10, 20), "test": np.arange(20, 30)}
    notes = [Annotation(CLASSES[digit], f"clip-{i}", 0, steps) for i, digit in enumerate(digits)]
    write_ave(tmp_path / "AVE", features, labels, order, notes)
    usage = CodeUsage.from_json(code_usage(np.random.default_rng(1)) | {"examples": _examples()})
    cards = digit_cards(usage, tmp_path)
    assert len(cards) == 10
    for card, digit in zip(cards, CLASSES, strict=True):
        assert digit in card.note
        video, audio, text = card.strips
        assert [strip.modality for strip in card.strips] == ["video", "audio", "text"]
        assert text.pictures[0].alt == digit
        assert video.pictures[0].alt.startswith(digit)
        for picture in (*video.pictures, *audio.pictures):
            assert picture.uri is not None
            assert base64.b64decode(picture.uri.split(",")[1]).startswith(b"\x89PNG")


def _examples() -> dict[str, dict[int, list[tuple[int, int]]]]:
    """Every code of class k was seen in clip 20 + k, where the third word is the digit."""
    columns = len(CLASSES) + 1
    codes = {code: [(20 + code % columns, 2)] for code in range(62) if code % columns < 10}
    return {"video": codes, "audio": codes, "text": codes}
