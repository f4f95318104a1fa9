"""The page on missing modalities can be followed word for word."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from guide_pages import code_blocks
from places import DOCS

PAGE = (DOCS / "guide" / "missing-modalities.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_page_on_missing_modalities_can_be_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in code_blocks(PAGE, "python"):
        exec(compile(block, "missing-modalities.md", "exec"), names)
    shown = capsys.readouterr()
    (line,) = code_blocks(PAGE, "text")
    assert line.strip() in shown.err.splitlines()
    assert shown.out.strip().splitlines()[-1] == "[True, False] torch.Size([2, 5, 1])"
    assert json.loads(Path("runs/parts/data.json").read_text())["pairs"]["audio-video"] == 0
