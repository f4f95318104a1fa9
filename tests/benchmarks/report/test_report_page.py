"""The page and `results.json` of runs that are finished, under way, damaged, or no runs at all."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_run import evaluation, make_run
from page_reader import Page

from benchmarks.report import build_report
from benchmarks.report.headline import transfer_in_words
from benchmarks.report.run_files import read_run
from unicode_cmg.errors import InputError
from unicode_cmg.results import DirectionResult


def test_the_page_needs_no_network(full_run: Path, page: Page) -> None:
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert all(value.startswith("data:") for value in page.values("src"))
    links = set(page.values("href") + page.values("xlink:href")) - {"results.json"}
    assert all(link.startswith(("#", "data:")) for link in links)
    text = (full_run / "report.html").read_text(encoding="utf-8")
    assert "@import" not in text
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", text))


def test_the_first_lines_say_what_the_data_are_what_came_out_and_how(full_run: Path, page: Page) -> None:
    mean = read_run(full_run).evaluations["ave"].direction("video", "audio").mean
    top = page.text[: page.text.index("Cross-modal transfer")]
    for words in (
        "Unified codebook of the embedded digits: run",
        f"A classifier trained on pictures recognises {mean:.1f} % of the sounds (chance 10.0 %).",
        "written digits as video, spoken digits as audio",
        "200 steps in 2 min 24 s, 27 November 2026.",
        "Made by unicode-cmg quickstart --to runs/quickstart --seed 0",
    ):
        assert words in top
    assert "Embedded digits in the layout of AVE: which event is in the clip?" in page.text


@pytest.mark.parametrize(
    ("changes", "chance", "sentence"),
    [
        ({}, 10.0, "A classifier trained on pictures recognises 12.0 % of the sounds (chance 10.0 %)."),
        ({"interval": (9.5, 15.0)}, 10.0, "No transfer beyond chance is shown. A classifier trained on"),
        ({"std": 1.5}, 10.0, "No transfer beyond chance is shown. A classifier trained on"),
        ({"metric": "f1"}, None, "pictures reaches 12.0 % F1 on sounds (always the same answer 8.0 %)."),
        ({"source": "depth"}, 10.0, "A classifier trained on depth features recognises"),
    ],
)
def test_the_conclusion_claims_only_what_is_beyond_chance(
    changes: dict[str, Any], chance: float | None, sentence: str
) -> None:
    row = DirectionResult(
        mean=12.0, std=0.5, per_seed=(12.0,), constant=8.0, source="video", target="audio", kind="transfer",
        epochs_selected=(1,),
    )  # fmt: skip
    assert sentence in transfer_in_words(row.model_copy(update=changes), chance)


def test_ids_are_unique_and_links_lead_to_them(page: Page) -> None:
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    links = page.values("href") + page.values("xlink:href")
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)


def test_figures_take_the_colours_of_the_page(full_run: Path) -> None:
    text = (full_run / "report.html").read_text(encoding="utf-8")
    assert "#0102" not in text
    assert set(re.findall(r"var\((--[\w-]+)\)", text)) <= set(re.findall(r"(--[\w-]+):", text))


def test_every_figure_can_be_read_aloud(page: Page) -> None:
    assert len(
        [tag for tag, name, value in page.attributes if (tag, name) == ("svg", "aria-label") and value]
    ) == (page.tags.count("svg"))
    assert page.tags.count("svg") > 10


def test_the_page_shows_every_direction_of_every_evaluation(full_run: Path, page: Page) -> None:
    for name in ("ave", "ave-toc", "ave-shuffled"):
        for row in json.loads((full_run / "evaluation" / f"{name}.json").read_text())["directions"]:
            if name != "ave-shuffled" or row["source"] != row["target"]:
                assert f"{row['mean']:.1f} ± {row['std']:.1f}" in page.text


def test_the_page_says_whether_codes_are_of_seconds_and_features_disentangled(page: Page) -> None:
    text = page.text[page.text.index("Does a code belong to its second") :]
    for number in ("87.5 %", "25.0 %", "31.2 %", "50.0 %"):  # background, same code there, own, another
        assert number in text[: text.index("disentangled?")]
    for number in ("81.8 %", "40.0 %", "7.2 %"):
        assert number in text[text.index("disentangled?") :]


def test_the_page_counts_the_codes(full_run: Path, page: Page) -> None:
    codes = json.loads((full_run / "codes" / "codes.json").read_text())["codes"]
    unused = sum(not any(code["counts"].values()) for code in codes)
    assert unused >= 2
    assert f"{unused} are unused" in page.text


def test_results_hold_the_evaluations_as_they_are(full_run: Path) -> None:
    results = json.loads((full_run / "results.json").read_text())
    for name in ("ave", "ave-toc", "ave-shuffled"):
        assert results["evaluations"][name] == json.loads(
            (full_run / "evaluation" / f"{name}.json").read_text()
        )
    assert results["toc"]["kept"] == 16
    summary = json.loads((full_run / "codes" / "codes.json").read_text())
    del summary["codes"]
    assert results["codes"] == summary | {"format_version": 1, "merged": None}
    assert results["training"]["step"] == 1200
    assert results["stages"][1] == {"name": "pretraining", "seconds": 141.2}
    assert results["versions"]["numpy"] == np.__version__


@pytest.mark.slow
def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=10)
    pages = [(build_report(run).read_bytes(), (run / "results.json").read_bytes()) for _ in range(2)]
    assert pages[0] == pages[1]


@pytest.mark.slow
def test_a_run_under_way_has_a_report(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=50, finished=False)
    page = Page(build_report(run).read_text(encoding="utf-8"))
    assert "This run has not been evaluated yet" in page.text
    assert "TOC has not been run on this model yet" in page.text
    assert "Reconstruction reconstruction" in page.text  # in words, and as the log calls it
    assert "Unified codebook of the features in data/pretrain: run" in page.text
    assert "Transfer between modalities has not been evaluated yet." in page.text
    assert (
        f"To make the same run again: unicode-cmg pretrain {run / 'config.yaml'} --to {run}-again"
        in page.text
    )
    results = json.loads((run / "results.json").read_text())
    assert (results["toc"], results["codes"], results["evaluations"]) == (None, None, {})


@pytest.mark.slow
def test_codes_of_clips_without_labels_have_their_part_of_the_page(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=0)
    file = run / "codes" / "codes.json"
    codes = json.loads(file.read_text()) | {"labels": None}
    for code in codes["codes"]:
        code["by_class"] = None
    file.write_text(json.dumps(codes))
    page = Page(build_report(run).read_text(encoding="utf-8"))
    assert f"Of {codes['num_codes']} codes, {codes['kinds']['shared']} are shared" in page.text
    assert "have not been compared with classes" in page.text
    assert "audio and video" in page.text


def test_a_run_without_a_step_has_a_report(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=0, finished=False)
    assert "No step has been logged yet" in Page(build_report(run).read_text(encoding="utf-8")).text


@pytest.mark.slow
def test_a_selection_of_an_older_codebook_is_said_so(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=10)
    weights = run / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\x00\x00\x80\x3f")
    assert "made for another codebook" in Page(build_report(run).read_text(encoding="utf-8")).text


def test_a_line_cut_off_at_the_end_of_the_log_is_left_out(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=50, finished=False)
    with (run / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 60, "loss": {"to')
    build_report(run)
    assert json.loads((run / "results.json").read_text())["training"]["step"] == 50


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("metrics.jsonl", '{"step": 1\n{"step": 2}\n', "line 1"),
        ("evaluation/ave.json", '{"task": "ave"', "not valid JSON"),
        ("evaluation/ave.json", '{"task": "ave"}', "'protocol' is missing"),
        ("codes/codes.json", "[]", "expected keys and values"),
        ("quickstart.json", "[]", "expected keys and values"),
        ("quickstart.json", '{"day": "yesterday"}', "'day' is 'yesterday'"),
        ("quickstart.json", '{"stages": [{"name": "data"}]}', "'stages.0.seconds' is missing"),
        ("config.yaml", "a: [", "not valid YAML"),
    ],
)
def test_a_damaged_run_is_refused_and_its_report_kept(
    tmp_path: Path, file: str, text: str, says: str
) -> None:
    run = make_run(tmp_path / "run", steps=10)
    (run / "report.html").write_text("an earlier page")
    (run / file).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=re.escape(says)) as caught:
        build_report(run)
    assert Path(file).name in str(caught.value)
    assert (run / "report.html").read_text() == "an earlier page"


@pytest.mark.slow
def test_names_from_files_are_escaped(tmp_path: Path) -> None:
    result = evaluation(np.random.default_rng(0)) | {"task": "<script>alert(1)</script>"}
    run = make_run(tmp_path / "a <b>run", steps=10, finished=False, results={"other": result})
    page = Page(build_report(run).read_text(encoding="utf-8"))
    assert "script" not in page.tags
    assert "<script>alert(1)</script> · held-out" in page.text
