"""The sections of the tasks: confusion matrices, classes, timelines, retrieval, and what they warn of."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from made_run import evaluation, event_evaluation, make_run, retrieval_evaluation, with_confusion
from page_reader import Page

from benchmarks.evaluation.results import TaskResult
from benchmarks.report import build_report
from benchmarks.report.classes import (
    axis_start,
    class_order,
    class_view,
    common_mistakes,
    confusion_maps,
    shares,
)
from benchmarks.report.run_files import read_run
from benchmarks.report.timelines import shown_classes, timeline_views
from benchmarks.report.transfer import transfer_tables

MODALITIES = ("audio", "video", "text")


def section(full_run: Path, task: str) -> str:
    text = (full_run / "report.html").read_text(encoding="utf-8")
    found = re.search(rf'<section id="{task}".*?</section>', text, flags=re.DOTALL)
    assert found is not None
    return found.group()


def test_every_task_with_results_has_a_section(page: Page) -> None:
    ids = [name for name in page.values("id") if name.startswith("task-")]
    assert ids == ["task-ave", "task-avvp", "task-retrieval-clotho"]
    assert {f"#{name}" for name in ids} <= set(page.values("href"))


def test_figures_of_tasks_are_named(page: Page) -> None:
    labels = page.values("aria-label")
    for title in ("Confusion matrix, video → audio", "Each class", "Clip video-clip_<1>, true: two 3 to 7"):
        assert any(label.startswith(title) for label in labels), title


def test_confusion_matrices_are_in_the_section_of_their_task(full_run: Path) -> None:
    text = section(full_run, "task-ave")
    assert text.count("Confusion matrix, ") == 9
    assert text.index("Confusion matrix, text → video") < text.index("Confusion matrix, audio → audio")
    assert "Confusion" not in section(full_run, "task-avvp")


def test_leaks_and_cautions_stand_where_they_belong(full_run: Path) -> None:
    avvp, ave = section(full_run, "task-avvp"), section(full_run, "task-ave")
    assert "P4: the same clips &lt;train&gt; and test." in avvp
    assert "P2: chosen by AVE." in avvp
    assert "Known leaks" not in ave
    assert "before the evaluation" not in ave


def test_joint_measures_have_their_intervals(full_run: Path) -> None:
    text = " ".join(Page(section(full_run, "task-avvp")).text.split())
    assert "heads of by audio video both" in text
    assert text.count("41.0 ± 1.5 38.2 to 44.8") == 12
    assert "over 77 clips" in text


def test_retrieval_has_a_table_of_its_own(full_run: Path, page: Page) -> None:
    text = Page(section(full_run, "task-retrieval-clotho")).text
    header = ("R@1 %", "R@5 %", "R@10 %", "median rank", "mean rank")
    assert [text.index(name) for name in header] == sorted(text.index(name) for name in header)
    assert text.count("12.5 10.2 to 15.8 blind 1.5") == 3
    assert text.count("31.0 blind 250.5") == 2
    assert [t.task for t in transfer_tables(read_run(full_run).evaluations.values())] == ["ave", "avvp"]


@pytest.mark.slow
def test_a_run_with_retrieval_only_has_a_page(tmp_path: Path) -> None:
    results = {"clotho": retrieval_evaluation(np.random.default_rng(0))}
    run = make_run(tmp_path / "run", steps=10, finished=False, results=results)
    text = Page(build_report(run).read_text(encoding="utf-8")).text
    assert "Retrieval only has been evaluated" in text
    assert "For 12.5 % of the sounds, one of the right texts is among the first 10 (1.5 % if all" in text


def test_intervals_stand_beside_the_deviation(page: Page) -> None:
    assert "71.2 ± 1.0 68.0 to 74.5" in page.text
    assert "90 % of resamples" in page.text


@pytest.mark.slow
@pytest.mark.parametrize("classes", [28, 60])
def test_a_page_of_many_classes_stays_small(classes: int) -> None:
    rng = np.random.default_rng(0)
    made = evaluation(rng) | {"classes": [f"Class {k}, of <many> & more" for k in range(classes)]}
    result = TaskResult.from_json(with_confusion(made, rng))
    maps = confusion_maps(result.directions[:2], result.classes, MODALITIES)
    assert [(m.title, m.crossing) for m in maps] == [("audio → video", True), ("audio → audio", False)]
    assert all(m.wide == (classes == 60) for m in maps)
    assert all(len(m.svg) < 100_000 for m in maps)
    assert all("Class 0, of &lt;many&gt; &amp; more" in m.svg for m in maps)


def test_shares_are_of_the_true_class() -> None:
    counts = np.array([[3, 1, 0], [0, 0, 0], [1, 0, 1]])
    np.testing.assert_array_equal(shares(counts), [[0.75, 0.25, 0], [0, 0, 0], [0.5, 0, 0.5]])
    by_code = np.array([[3, 0, 0], [1, 0, 2]])  # codes by classes: each class is shared out among the codes
    np.testing.assert_array_equal(shares(by_code.T).T, [[0.75, 0, 0], [0.25, 0, 1]])
    assert common_mistakes(counts, "abc") == "Most often taken for another: c for a (50 %), a for b (25 %)."
    assert common_mistakes(np.diag([2, 0, 1]), "abc") == "No clip is taken for another class."


def test_classes_are_in_the_order_of_their_transfer() -> None:
    scores: dict[tuple[str, str], tuple[float | None, ...]] = {
        ("video", "audio"): (10.0, 80.0, None, 50.0),
        ("audio", "video"): (30.0, 60.0, None, None),
        ("audio", "audio"): (100.0, 0.0, 90.0, 0.0),
    }
    assert class_order(scores, 4) == [1, 3, 0]
    assert class_order({("audio", "audio"): scores["audio", "audio"]}, 4) == [0, 2, 1, 3]


@pytest.mark.parametrize(
    ("percents", "start"),
    [([97.0, 100.0], 90), ([100.0], 90), ([83.0, 90.0], 80), ([69.0, 99.0], 0), ([], 0)],
)
def test_an_axis_of_values_near_the_top_starts_below_them(percents: list[float], start: int) -> None:
    assert axis_start(percents) == start


def test_the_page_says_where_an_axis_starts(full_run: Path) -> None:
    result = TaskResult.from_json(json.loads((full_run / "evaluation" / "ave.json").read_text()))
    view = class_view(result.directions, result.classes, MODALITIES)
    assert view is not None
    assert view.start > 0
    assert f"The axis starts at {view.start}, not at 0." in section(full_run, "task-ave")
    assert "The axis starts" not in section(full_run, "task-avvp")


def test_results_without_details_have_no_pictures() -> None:
    result = TaskResult.from_json(evaluation(np.random.default_rng(0)))
    assert class_view(result.directions, result.classes, MODALITIES) is None
    assert confusion_maps(result.directions, result.classes, MODALITIES) == []
    assert timeline_views(result.directions, result.classes, MODALITIES) == []


def test_a_timeline_shows_the_heads_of_every_modality() -> None:
    result = TaskResult.from_json(event_evaluation(np.random.default_rng(0)))
    audio, video = timeline_views(result.directions, result.classes, MODALITIES)
    assert (audio.target, video.target) == ("audio", "video")
    assert [name for name, _ in audio.legend] == ["true events", "heads of video", "heads of audio"]
    (picture,) = audio.clips
    assert (picture.clip, picture.left_out) == ("audio-clip_<1>", 0)
    assert "heads of video: two 3 to 5, eight 9 to 10; heads of audio: two 3 to 7, five 0 to 1" in picture.svg


def test_true_classes_come_before_those_that_are_said() -> None:
    result = TaskResult.from_json(event_evaluation(np.random.default_rng(0)))
    lanes = {row.source: row.details.timelines[0] for row in result.directions if row.target == "audio"}  # type: ignore[union-attr]
    assert shown_classes(lanes) == [5, 2, 8]
