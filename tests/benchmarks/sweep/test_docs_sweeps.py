"""The sweep files and the Python example in docs/guide work as they are written there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from guide_pages import code_blocks
from places import DOCS, ROOT

from benchmarks.sweep import SweepConfig, load_sweep


def section(page: str, title: str) -> str:
    text = (DOCS / "guide" / page).read_text(encoding="utf-8")
    return text.split(f"\n## {title}\n")[1].split("\n## ")[0]


REFINEMENTS = section("sweeps.md", "Refinements of the codebook")


def block(language: str, text: str = REFINEMENTS) -> str:
    (found,) = code_blocks(text, language)
    return str(found)


def test_the_sweep_file_with_a_plot_has_curves(tmp_path: Path) -> None:
    text = code_blocks(section("sweeps.md", "Many configurations and seeds"), "yaml")[0]
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    (tmp_path / "sweep.yaml").write_text(text, encoding="utf-8")
    plan, rows = load_sweep(tmp_path / "sweep.yaml")
    assert [row.name for row in rows] == ["none, 10 %", "none, 100 %", "gram, 10 %", "gram, 100 %"]
    assert plan.layout() is not None


def test_the_sweep_file_with_refinements_is_valid_and_shows_every_refiner() -> None:
    sweep = SweepConfig.parse(yaml.safe_load(block("yaml")), where="docs/guide/sweeps.md")
    listed = set(re.findall(r"^\| `(\w+)` \|", REFINEMENTS, flags=re.MULTILINE))
    assert (
        {refiner.refiner for refiner in sweep.refine.values()}
        == listed
        == {"toc", "merge", "random", "pca", "l1"}
    )


@pytest.mark.slow
def test_the_python_example_runs(
    tmp_path: Path,
    data: Path,
    models: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for place, there in (("runs/mine", models / "one"), ("data/digits", data)):
        (tmp_path / place).parent.mkdir()
        (tmp_path / place).symlink_to(there)
    monkeypatch.chdir(tmp_path)
    exec(compile(block("python"), "sweeps.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:-2] for line in lines[:4]] == [
        *(["all", "dimensions", "8"],) * 2,
        *(["TOC", "2"],) * 2,
    ]
    assert "PCA 4 video->audio" in "\n".join(lines)
