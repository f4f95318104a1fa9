"""The page on one's own data can be followed word for word."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from guide_pages import code_blocks
from places import DOCS

import cli
from benchmarks.tasks.labels import task

PAGE = (DOCS / "guide/own-data.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_own_data_go_from_files_to_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(task, "_STEPS", 25)  # of the heads, whose scores are not looked at
    for script in code_blocks(PAGE, "python"):
        exec(compile(script, "own-data.md", "exec"), {})
    printed = []
    for line in "".join(code_blocks(PAGE, "sh")).replace("\\\n", " ").splitlines():
        command, *target = line.split(" > ")
        capfd.readouterr()
        assert cli.run(shlex.split(command)[1:]) == 0, line
        out = capfd.readouterr().out
        printed.append(out)
        for file in target:
            Path(file.strip()).write_text(out, encoding="utf-8")
    shown = code_blocks(PAGE, "text")
    assert printed[0] == shown[0]
    assert printed[1] == shown[1]
    assert Path("runs/mine/report.html").is_file()
    assert Path("extracted/part-00000/clips.csv").read_text() == "id,label\na,rain\nb,rain\nc,rain\n"
    assert cli.run(["data", "import", "parquet", "--to", "copy"]) == 0
