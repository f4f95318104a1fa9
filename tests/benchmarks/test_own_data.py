"""The example of own data can be followed word for word, here with fewer clips and shorter trainings."""

from __future__ import annotations

import json
import re
import runpy
import shlex
from pathlib import Path

import pytest
from guide_pages import code_blocks
from places import ROOT

import cli
from benchmarks.tasks.labels import task

PAGE = (ROOT / "examples" / "own_data" / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_every_command_of_the_example_runs_in_its_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(task, "_STEPS", 25)
    make = runpy.run_path(str(ROOT / "examples" / "own_data" / "make_data.py"))
    for line in "".join(code_blocks(PAGE, "sh")).splitlines():
        program, *words = shlex.split(line, comments=True)
        if program == "python":
            make["write_raw"](Path(words[1]), clips=90)
            continue
        target = words[words.index(">") + 1] if ">" in words else None
        assert cli.run(words[: words.index(">")] if target else words) == 0, capsys.readouterr().err
        out = capsys.readouterr().out
        if target:
            Path(target).write_text(re.sub(r"^( +epochs:).*", r"\1 2", out, flags=re.MULTILINE))
    labels = json.loads(Path("runs/mine/evaluation/labels.json").read_text())
    assert len(labels["directions"]) == 16
    assert {row["metric"] for row in labels["directions"]} == {"f1_micro"}
    assert any("groups kept together" in note for note in labels["data"]["notes"])
    assert all(row["continuous"] for row in labels["directions"])
    report = Path("runs/mine/report.html").read_text()
    assert "before quantization" in report
    assert "task-labels" in report
