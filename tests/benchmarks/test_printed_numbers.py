"""The papers' tables as data: read as printed, consistent where the papers are, beside our own numbers."""

from __future__ import annotations

from collections import defaultdict
from importlib.resources import files

import pytest
import yaml

from benchmarks import available_tasks
from benchmarks.printed_numbers import PrintedNumber, printed_beside, printed_numbers
from unicode_cmg import available_methods


def row(paper: str, table: str, name: str, tasks: str = "") -> list[float]:
    return [
        n.value
        for n in printed_numbers()
        if (n.paper, n.table, n.row) == (paper, table, name) and n.task.startswith(tasks)
    ]


def rows() -> dict[tuple[str, str, str, str], list[PrintedNumber]]:
    found = defaultdict(list)
    for number in printed_numbers():
        found[number.paper, number.table, number.about, number.row].append(number)
    return found


def test_all_tables_are_there() -> None:
    tables = defaultdict(set)
    for number in printed_numbers():
        tables[number.paper].add(number.table)
    assert tables == {"FCID": {"1", "2", "5", "6", "7", "9", "10", "11"}, "TOC": {"1", "2", "3", "4", "5"}}
    assert len(printed_numbers()) == 794


@pytest.mark.parametrize(
    ("paper", "table", "name", "values"),
    [
        ("FCID", "1", "SimMMDG", [49.5, 51.7, 39.3, 39.7, 52.9, 52.7, 64.5, 58.8, 51.14]),
        ("FCID", "1", "FCID+TOC", [55.9, 55.0, 43.6, 45.1, 57.4, 58.5, 69.6, 62.0, 55.89]),
        ("FCID", "2", "CMCM", [7.20, 14.87, 15.60, 7.11]),
        ("FCID", "5", "without L_recon", [53.3, 53.6, 42.5, 43.3, 56.1, 57.5, 66.8, 62.3, 54.43]),
        ("FCID", "6", "R", [55.6, 55.0, 43.4, 44.8, 56.2, 54.8, 69.8, 61.9, 55.19]),
        ("FCID", "7", "A and V", [54.34]),
        ("FCID", "9", "800", [52.2, 54.6, 41.6, 43.9, 53.1, 56.7, 69.6, 59.7, 53.93]),
        ("FCID", "10", "DCID+TOC", [1.10, 5.30, 8.80, 2.59, 9.00, 17.08, 3.60, 11.80, 17.80, 8.56]),
        ("FCID", "11", "TE", [51.7, 51.5, 40.6, 41.8, 52.5, 52.9, 63.5, 58.2, 51.59]),
        ("TOC", "1", "H-DCID+TOC", [49.0, 54.9, 76.0, 91.0, 54.4, 55.9, 70.7, 60.2, 64.01]),
        ("TOC", "2", "H-DCID, RVQ of 3", [41.8, 52.7, 65.3, 75.0, 53.5, 53.6, 69.3, 60.0, 58.90]),
        (
            *("TOC", "3", "H-DCID, full modal"),
            [41.9, 47.9, 66.7, 72.9, 44.8, 51.1, 69.3, 76.5, 40.2, 44.7, 65.2, 71.5, 57.73],
        ),
        ("TOC", "4", "H-DCID", [78.1, 87.0, 77.8, 86.9]),
        ("TOC", "5", "variance", [53.8, 54.7, 60.2, 67.3, 54.0, 55.3, 67.2, 61.9, 59.30]),
    ],
)
def test_rows_are_as_printed(paper: str, table: str, name: str, values: list[float]) -> None:
    assert row(paper, table, name) == values


def test_the_papers_averages_are_those_of_their_rows_but_for_one() -> None:
    """Of H-DCID the TOC paper prints 63.22, twice; the mean of its eight numbers is 63.2125."""
    wrong = []
    for (paper, table, _, name), numbers in rows().items():
        *values, last = numbers
        if last.task != "average" or (paper, table) in (("FCID", "2"), ("FCID", "7")):
            continue
        mean = sum(n.value for n in values) / len(values)
        if abs(mean - last.value) > 0.005 + 1e-9:
            wrong.append((paper, table, name, round(mean, 4), last.value))
    assert wrong == [
        ("TOC", "1", "H-DCID", 63.2125, 63.22),
        ("TOC", "2", "H-DCID, VQ", 63.2125, 63.22),
    ]


def test_tables_without_the_parts_have_the_averages_of_those_with_them() -> None:
    for name in ("CMCM", "DCID", "FCID", "CMCM+TOC", "DCID+TOC", "FCID+TOC"):
        short, long = row("FCID", "2", name), row("FCID", "10", name)
        assert short == [long[2], long[5], long[8], long[9]]
    for name in ("none", "A", "V", "AV", "TE", "A and V", "AV and TE", "all"):
        assert row("FCID", "7", name) == row("FCID", "11", name)[-1:]


def test_the_same_experiment_has_the_same_numbers_in_every_table() -> None:
    fcid = row("FCID", "1", "FCID")
    assert fcid == row("FCID", "6", "neither") == row("FCID", "9", "400") == row("FCID", "11", "all")
    assert row("FCID", "1", "FCID+TOC") == row("FCID", "5", "all losses") == row("FCID", "6", "S and R")
    dcid = row("TOC", "1", "DCID")
    assert dcid == row("TOC", "2", "DCID, VQ")[:9] == row("TOC", "5", "neither")
    assert row("TOC", "1", "DCID+TOC") == row("TOC", "5", "similarity and variance")
    # on AVVP the two papers print different measures, and everywhere else the same numbers
    other = row("FCID", "1", "DCID")
    assert [a == b for a, b in zip(dcid[:8], other, strict=False)] == [*[True] * 2, *[False] * 2, *[True] * 4]


def test_tasks_and_methods_have_the_names_of_this_library() -> None:
    assert {n.task for n in printed_numbers()} - set(available_tasks()) == {"average", "avs-s4"}
    methods = {n.method for n in printed_numbers()} - {None}
    assert methods == {"dcid", "hdcid", "fcid"}
    assert methods <= set(available_methods())
    assert {n.measure for n in printed_numbers()} == {
        *("accuracy", "precision", "f1", "R@1", "R@5", "R@10", "mIoU", "F-score", ""),
    }


def test_the_file_says_that_its_numbers_are_not_ours() -> None:
    text = (files("benchmarks.printed_numbers") / "tables.yaml").read_text()
    assert "are not ours" in text.split("papers:")[0]
    assert set(yaml.safe_load(text)["papers"]) == {n.paper for n in printed_numbers()}


@pytest.mark.parametrize(
    ("task", "direction", "measure", "method", "toc", "value"),
    [
        ("ave", "video->audio", "accuracy", "dcid", False, 54.1),
        ("ave", "video->audio", "accuracy", "dcid", True, 54.5),
        ("ave", "audio->audio", "accuracy", "hdcid", False, 65.0),
        ("avvp", "audio->video", "precision", "dcid", False, 71.0),
        ("avvp", "audio->video", "f1", "dcid", False, 40.8),
        ("avvp", "audio->video", "f1_micro", "fcid", True, 45.1),
        ("ave-avvp", "video->audio", "f1", "hdcid", True, 54.4),
        ("ucf-vgg", "audio->video", "accuracy", "fcid", False, 61.6),
        ("retrieval-clotho", "text->audio", "R@10", "fcid", False, 18.19),
        ("retrieval-clotho", "audio->text", "R@10", "fcid", False, 18.19),
        ("retrieval-clotho", "audio->text", "R@10", "hdcid", False, None),
        ("ave", "video->text", "accuracy", "dcid", False, None),
        ("avvp", "video->audio", "f1_micro", "hdcid", False, None),
    ],
)
def test_the_number_beside_ours_is_of_the_same_task_method_and_measure(
    task: str, direction: str, measure: str, method: str, toc: bool, value: float | None
) -> None:
    source, target = direction.split("->")
    number = printed_beside(task, (source, target), measure, method, toc=toc)
    assert (None if number is None else number.value) == value
