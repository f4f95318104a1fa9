"""What `pretrain` says of a run, and its exit code under `--strict`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from toy_world import Outcome, Toy


def test_the_verdict_ends_the_output_and_strict_makes_it_the_exit_code(
    command: Callable[..., Outcome], toy: Toy, tmp_path: Path
) -> None:
    bad = ("--set", "optimizer.warmup_steps=100", "--to", tmp_path / "run")
    lenient = command("pretrain", toy.config, *bad)
    assert lenient.code == 0
    assert lenient.out.splitlines()[-1].startswith(
        "verdict: untrained: all 3 steps of the run are inside its"
    )
    strict = command("pretrain", toy.config, *bad, "--strict")
    assert strict.code == 3
    assert strict.err.splitlines()[-1].startswith("--strict: the verdict is bad; the model is saved")
    assert (tmp_path / "run/model/model.safetensors").exists()


def test_json_holds_the_verdict_and_strict_leaves_a_good_run_alone(
    command: Callable[..., Outcome], toy: Toy, tmp_path: Path
) -> None:
    shutil.copytree(toy.run, tmp_path / "run")
    found = command("pretrain", toy.config, "--to", tmp_path / "run", "--json", "--strict")
    verdict = json.loads(found.out)["verdict"]
    assert verdict == json.loads((tmp_path / "run/verdict.json").read_text())
    assert found.code == (0 if verdict["healthy"] else 3)
    assert {"verdict", "healthy", "findings", "passed", "step", "steps"} <= set(verdict)


def test_the_report_shows_the_verdict(command: Callable[..., Outcome], toy: Toy, tmp_path: Path) -> None:
    run = shutil.copytree(toy.run, tmp_path / "run")
    finding = {"kind": "unused-codes", "bad": True, "what": "5 of 6 codes are unused", "fix": "<fewer>"}
    (run / "verdict.json").write_text(json.dumps({"step": 3, "steps": 3, "findings": [finding]}))
    assert command("report", run).code == 0
    page = (run / "report.html").read_text()
    assert "collapsed: 5 of 6 codes are unused; try &lt;fewer&gt;" in page
    results = json.loads((run / "results.json").read_text())
    assert results["verdict"]["verdict"].startswith("collapsed: 5 of 6 codes")


def test_a_damaged_verdict_is_one_line(command: Callable[..., Outcome], toy: Toy, tmp_path: Path) -> None:
    run = shutil.copytree(toy.run, tmp_path / "run")
    (run / "verdict.json").write_text('{"step": "many"}')
    assert "verdict.json" in command("report", run).error


def test_a_run_without_a_verdict_has_a_report(
    command: Callable[..., Outcome], toy: Toy, tmp_path: Path
) -> None:
    run = shutil.copytree(toy.run, tmp_path / "run")
    (run / "verdict.json").unlink()
    assert command("report", run).code == 0
    assert json.loads((run / "results.json").read_text())["verdict"] is None
