"""The parts the page is made of: curves, tables, kinds of codes, pictures."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from made_run import CLASSES, described_codes, evaluation

from benchmarks.evaluation.results import TaskResult
from benchmarks.report.codebook import code_order, digit_cards, telling_codes
from benchmarks.report.curves import Curve, charts_of, curves_of, smooth, thin
from benchmarks.report.svg import series_slot
from benchmarks.report.transfer import spread, transfer_tables, transfer_text
from unicode_cmg.data.digits.sources import scans, windows
from unicode_cmg.inspect import DescribedCodes
from unicode_cmg.inspect.frames import scan_of

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


def test_charts_are_named_in_words_and_keep_their_keys() -> None:
    log = {"info_nce/audio-video": 1.0, "distil/clip/audio": 2.0, "cpc/layer1": 3.0}
    usage = {"layer0/perplexity/audio": 3.0, "layer1/agreement/audio-video": 0.5}
    lines = [{"step": 1, "loss": log, "codebook": usage}]
    found = [
        (chart.title, chart.key, [name for name, _ in chart.legend])
        for group in ("loss", "codebook")
        for chart in charts_of(lines, group, ["audio", "video"])
    ]
    assert found == [
        ("Contrast of paired clips (InfoNCE)", "info_nce", ["audio and video"]),
        ("distil", "distil", ["clip, audio"]),
        ("Contrastive prediction (CPC)", "cpc", ["code layer 1"]),
        ("Perplexity, code layer 0", "layer0/perplexity", ["audio"]),
        ("Same code in two modalities, code layer 1", "layer1/agreement", ["audio and video"]),
    ]
    assert (
        charts_of([{"step": 1, "codebook": {"layer0/active": 3.0}}], "codebook", [])[0].title
        == "Active codes"
    )


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
    names = ("audio", "video", "text", "depth")
    assert [series_slot(name, ["text", "depth", "audio"]) for name in names] == [0, 1, 2, 3]
    assert series_slot("touch", ["touch", "smell"]) != series_slot("smell", ["touch", "smell"])


def test_transfer_tables_compare_with_the_evaluation_without_toc() -> None:
    rng = np.random.default_rng(0)
    made = evaluation(rng, shuffled=True), evaluation(rng, kept=16), evaluation(rng)
    results = [TaskResult.from_json(result) for result in made]
    (table,) = transfer_tables(results)
    plain, refined, control = table.cells["video", "audio"]
    labels = [score.label for score in (plain, refined, control)]
    assert labels == ["all dimensions", "TOC, 16 of 32", "codes shuffled"]
    assert refined.gain == pytest.approx(refined.row.mean - plain.row.mean)
    assert (plain.gain, control.gain) == (None, None)
    assert len(table.cells["audio", "audio"]) == 2
    text = transfer_text([table])
    row = next(line for line in text.splitlines() if line.startswith("video -> audio"))
    shown = [spread(score.row) for score in (plain, refined, control)]
    assert re.split("  +", row) == ["video -> audio", *shown]


def test_codes_stand_in_the_order_of_their_classes() -> None:
    audio = np.array([[0.0, 0.9], [0.6, 0.0], [0.0, 0.0], [0.4, 0.1]])
    video = np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    order, stands_for = code_order({"audio": audio, "video": video})
    assert order.tolist() == [1, 3, 0]
    assert stands_for.tolist() == [0, 0, 1]


def test_the_telling_code_of_a_class_is_common_to_the_modalities() -> None:
    codes = DescribedCodes.parse(described_codes(np.random.default_rng(1)), where="test")
    for number, row in telling_codes(codes, ["video", "audio"]):
        assert row % (len(CLASSES) + 1) == number
        assert codes.codes[row].counts["video"] > 0
        assert codes.codes[row].counts["audio"] > 0


def test_a_scan_is_recovered_from_its_windows() -> None:
    scan = scans().pixels[17]
    np.testing.assert_allclose(scan_of(windows(scan)), scan, atol=1e-6)


def test_cards_show_what_got_the_code(full_run: Path) -> None:
    codes = DescribedCodes.parse(json.loads((full_run / "codes" / "codes.json").read_text()), where="test")
    assert digit_cards(codes.model_copy(update={"features": "of other data"}), full_run / "data") == []
    cards = digit_cards(codes, full_run / "data")
    assert len(cards) == 10
    for card, digit in zip(cards, CLASSES, strict=True):
        assert card.stands_for == digit
        video, audio, text = card.examples.values()
        assert list(card.examples) == ["video", "audio", "text"]
        assert text == [(digit, None)]
        assert video[0][0].startswith(digit)
        for _, image in (*video, *audio):
            assert image is not None
            assert base64.b64decode(image.split(",")[1]).startswith(b"\x89PNG")
