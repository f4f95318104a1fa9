"""The sweep file in docs/guide/evaluation.md is valid as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

from places import ROOT

from benchmarks.sweep import load_sweep


def test_the_sweep_file_is_valid_and_has_curves(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "guide" / "evaluation.md").read_text(encoding="utf-8")
    section = page.split("\n## Many configurations and seeds\n")[1].split("\n## ")[0]
    (text,) = re.findall(r"^```yaml\n(.*?)^```", section, flags=re.DOTALL | re.MULTILINE)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    (tmp_path / "sweep.yaml").write_text(text, encoding="utf-8")
    plan, rows = load_sweep(tmp_path / "sweep.yaml")
    assert [row.name for row in rows] == ["none, 10 %", "none, 100 %", "gram, 10 %", "gram, 100 %"]
    assert plan.layout() is not None
