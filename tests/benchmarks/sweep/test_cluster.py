"""Runs of a sweep as jobs of a cluster: results, failures, and holes that the same command fills."""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from benchmarks.sweep import runs
from benchmarks.sweep.cluster import Cluster
from unicode_cmg.errors import InputError


@pytest.mark.slow
def test_jobs_give_their_results_and_one_that_fails_is_named_when_the_others_are_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = Cluster("local", tmp_path / "jobs", {"timeout_min": "5", "partition": "gpu"}, poll=0.1)
    jobs: dict[int, Callable[[], Any]] = {
        3: partial(operator.truediv, 1, 0),
        5: partial(operator.add, 1, 2),
        8: partial(operator.mul, 4, 5),
    }
    found: dict[int, Any] = {}
    with pytest.raises(InputError, match=r"1 of 3 jobs have failed.*runs what is missing") as caught:
        found.update(cluster.run(jobs, at_a_time=2))
    assert found == {5: 3, 8: 20}
    assert "ZeroDivisionError" in Path(str(caught.value.where)).read_text()
    assert "has failed" in capsys.readouterr().err


def test_only_what_was_not_measured_becomes_a_job(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    measured = {"first", "third"}
    monkeypatch.setattr(runs, "_is_measured", lambda name: name in measured)
    sent: dict[int, Any] = {}

    def run(self: Cluster, jobs: dict[int, Any], *, at_a_time: int) -> Any:
        sent.update(jobs)
        return ((number, job()) for number, job in jobs.items())

    monkeypatch.setattr(Cluster, "run", run)
    jobs: list[Any] = [partial(str.upper, name) for name in ("first", "second", "third")]
    found = dict(runs._sent(jobs, 4, Cluster("local", tmp_path)))
    assert found == {0: "FIRST", 1: "SECOND", 2: "THIRD"}
    assert list(sent) == [1]


def test_without_submitit_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(InputError, match=r"unicode-cmg\[slurm\]"):
        next(iter(Cluster("local", tmp_path).run({0: str}, at_a_time=1)))


def test_slurm_without_slurm_is_refused_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="slurm cluster"):
        next(iter(Cluster("slurm", tmp_path).run({0: str}, at_a_time=1)))
