"""The page and `results.json` of runs that are finished, under way, damaged, or no runs at all."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from made_run import evaluation, make_run
from page_reader import Page

from benchmarks.report import build_report
from unicode_cmg.errors import InputError


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = make_run(tmp_path_factory.mktemp("finished") / "run")
    build_report(run)
    return run


@pytest.fixture(scope="module")
def page(finished: Path) -> Page:
    return Page((finished / "report.html").read_text(encoding="utf-8"))


def test_the_page_needs_no_network(finished: Path, page: Page) -> None:
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert all(value.startswith("data:") for value in page.values("src"))
    assert all(value.startswith(("#", "data:")) for value in page.values("href") + page.values("xlink:href"))
    text = (finished / "report.html").read_text(encoding="utf-8")
    assert "@import" not in text
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", text))


def test_ids_are_unique_and_links_lead_to_them(page: Page) -> None:
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    links = page.values("href") + page.values("xlink:href")
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)


def test_figures_take_the_colours_of_the_page(finished: Path) -> None:
    text = (finished / "report.html").read_text(encoding="utf-8")
    assert "#0102" not in text
    assert set(re.findall(r"var\((--[\w-]+)\)", text)) <= set(re.findall(r"(--[\w-]+):", text))


def test_every_figure_can_be_read_aloud(page: Page) -> None:
    assert len(
        [tag for tag, name, value in page.attributes if (tag, name) == ("svg", "aria-label") and value]
    ) == (page.tags.count("svg"))
    assert page.tags.count("svg") > 10


def test_the_page_shows_every_direction_of_every_evaluation(finished: Path, page: Page) -> None:
    for name in ("ave", "ave-toc", "ave-shuffled"):
        for row in json.loads((finished / "evaluation" / f"{name}.json").read_text())["directions"]:
            if name != "ave-shuffled" or row["source"] != row["target"]:
                assert f"{row['mean']:.1f} ± {row['std']:.1f}" in page.text


def test_the_page_counts_the_codes(finished: Path, page: Page) -> None:
    counts = json.loads((finished / "evaluation" / "codes.json").read_text())["counts"]
    unused = int((np.sum(list(counts.values()), axis=0) == 0).sum())
    assert unused >= 2
    assert f"{unused} are unused" in page.text


def test_results_hold_the_evaluations_as_they_are(finished: Path) -> None:
    results = json.loads((finished / "results.json").read_text())
    for name in ("ave", "ave-toc", "ave-shuffled"):
        assert results["evaluations"][name] == json.loads(
            (finished / "evaluation" / f"{name}.json").read_text()
        )
    assert results["toc"]["kept"] == 16
    assert results["training"]["step"] == 1200
    assert results["stages"][1] == {"name": "pretraining", "seconds": 141.2}
    assert results["versions"]["numpy"] == np.__version__


def test_the_same_run_gives_the_same_bytes(finished: Path) -> None:
    before = (finished / "report.html").read_bytes(), (finished / "results.json").read_bytes()
    build_report(finished)
    assert ((finished / "report.html").read_bytes(), (finished / "results.json").read_bytes()) == before


def test_a_run_under_way_has_a_report(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=50, finished=False)
    page = Page(build_report(run).read_text(encoding="utf-8"))
    assert "This run has not been evaluated yet" in page.text
    assert "TOC has not been run on this model yet" in page.text
    assert "reconstruction" in page.text
    results = json.loads((run / "results.json").read_text())
    assert (results["toc"], results["codes"], results["evaluations"]) == (None, None, {})


def test_a_run_without_a_step_has_a_report(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=0, finished=False)
    assert "No step has been logged yet" in Page(build_report(run).read_text(encoding="utf-8")).text


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
        ("evaluation/codes.json", "[]", "expected keys and values"),
        ("quickstart.json", "[]", "expected an object"),
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


def test_names_from_files_are_escaped(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a <b>run", steps=10, finished=False)
    result = evaluation(np.random.default_rng(0)) | {"task": "<script>alert(1)</script>"}
    (run / "evaluation").mkdir()
    (run / "evaluation" / "other.json").write_text(json.dumps(result))
    page = Page(build_report(run).read_text(encoding="utf-8"))
    assert "script" not in page.tags
    assert "<script>alert(1)</script> · held-out" in page.text
