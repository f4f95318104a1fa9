"""What docs/guide/toc.md shows about evaluation works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from places import DOCS

from benchmarks.sweep.config import SweepConfig

PAGE = (DOCS / "guide" / "toc.md").read_text(encoding="utf-8")
SECTION = PAGE.split("\n## In evaluation\n")[1].split("\n## ")[0]


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", SECTION, flags=re.DOTALL | re.MULTILINE)
    return str(found)


def test_the_sweep_file_is_valid_and_shows_every_way() -> None:
    sweep = SweepConfig.parse(yaml.safe_load(block("yaml")), where="docs/guide/toc.md")
    listed = set(re.findall(r"^\| `(\w+)` \|", SECTION, flags=re.MULTILINE))
    assert {way.way for way in sweep.refine.values()} == listed == {"toc", "random", "pca", "l1"}


def test_the_python_example_runs(
    tmp_path: Path,
    digits: Path,
    models: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for place, there in (("runs/mine", models / "one"), ("data/digits", digits)):
        (tmp_path / place).parent.mkdir()
        (tmp_path / place).symlink_to(there)
    monkeypatch.chdir(tmp_path)
    exec(compile(block("python"), "toc.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:-2] for line in lines[:4]] == [
        *(["all", "dimensions", "8"],) * 2,
        *(["TOC", "2"],) * 2,
    ]
    assert "PCA 4 video->audio" in "\n".join(lines)
