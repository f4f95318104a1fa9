"""The steps from `held-out` to `paper`, one change at a time."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_ave import tiny_model
from torch import nn
from untrained_method import Book

from benchmarks import available_protocols, available_tasks, evaluate
from benchmarks.evaluation.protocols import HeadProtocol
from benchmarks.experiments.leaks import leak_table, steps
from benchmarks.tasks import task_class


def cells(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if line]


@pytest.mark.parametrize(
    ("task", "paper"),
    [(task, paper) for task in available_tasks() for paper in available_protocols(task)[1:]],
)
def test_the_steps_begin_at_held_out_and_end_at_the_paper(task: str, paper: str) -> None:
    found = list(steps(task, paper))
    assert found[0].rule == task_class(task).protocols["held-out"]
    last = found[-1].rule
    wanted = task_class(task).protocols[paper]
    if last != wanted:  # retrieval without captions to leave out: the sort is all there is
        assert len(wanted.leaks) == 1
    assert len({step.change for step in found}) == len(found) > 1


def test_each_step_changes_one_thing() -> None:
    clean, scored, chosen, its_clips, paper = (step.rule for step in steps("avvp", "paper-f1"))
    assert all(isinstance(rule, HeadProtocol) for rule in (clean, scored, chosen, its_clips, paper))
    assert (scored.objective, scored.head) == (paper.objective, clean.head)  # type: ignore[attr-defined]
    assert (scored.train, scored.select, scored.report) == (clean.train, clean.select, clean.report)  # type: ignore[attr-defined]
    assert (chosen.select, chosen.select_on) == (chosen.report, "target")  # type: ignore[attr-defined]
    assert (chosen.train, chosen.report) == (clean.train, clean.report)  # type: ignore[attr-defined]
    assert (its_clips.report, its_clips.head) == (paper.report, clean.head)  # type: ignore[attr-defined]


@pytest.mark.slow
def test_the_table_has_the_numbers_of_the_protocols(ave: Path) -> None:
    rows = cells(leak_table("ave", "paper", [tiny_model()], ave))
    assert rows[0] == ["ave, paper", "measure", "V->A", "A->V", "V->V", "A->A"]
    assert [row[0] for row in rows[2:]] == [
        *("held-out", "epoch best on the reported clips (P3)", "its clips (P1)", "its epochs (P8): paper"),
    ]
    pairs = ["video->audio", "audio->video", "video->video", "audio->audio"]
    for row, protocol in ((rows[2], "held-out"), (rows[-1], "paper")):
        result = evaluate(tiny_model(), "ave", ave, protocol, directions=pairs)
        assert row[2:] == [f"{d.mean:.1f}" for d in result.directions]


@pytest.mark.slow
def test_choosing_the_epoch_on_the_reported_clips_never_costs(ucf_vgg: Path) -> None:
    """A model whose audio lies elsewhere, so that there is something to choose."""
    model = tiny_model()
    model.maps["audio"] = nn.Parameter(model.maps["audio"].roll(3, dims=1))
    rows = cells(leak_table("ucf-vgg", "paper", [model], ucf_vgg))
    before, after = ([float(cell) for cell in row[2:]] for row in rows[2:4])
    assert rows[3][0] == "epoch best on the reported clips (P3)"
    assert all(b >= a for a, b in zip(before, after, strict=True))
    assert max(b - a for a, b in zip(before, after, strict=True)) > 0


@pytest.mark.slow
def test_several_checkpoints_are_a_mean_and_a_deviation(retrieval: Path) -> None:
    other = tiny_model()
    other.books[0] = Book(other.books[0].embedding[[0, 4, 12, 20]])
    rows = cells(leak_table("retrieval-coco", "paper", [tiny_model(), other], retrieval))
    assert [row[0] for row in rows[2:]] == [
        *("held-out", "ties as the sort leaves them (P14)", "its captions (P13): paper"),
    ]
    assert all("±" in cell for row in rows[2:] for cell in row[2:])
