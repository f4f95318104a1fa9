"""The page on one's own features can be followed word for word."""

from __future__ import annotations

from pathlib import Path

import pytest
from guide_pages import code_blocks
from places import DOCS

PAGE = (DOCS / "guide" / "own-features.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_own_features_go_from_arrays_to_codes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write, use = code_blocks(PAGE, "python")
    (config,) = code_blocks(PAGE, "yaml")
    Path("mine.yaml").write_text(config, encoding="utf-8")
    names: dict[str, object] = {}
    exec(compile(write, "own-features.md", "exec"), names)
    exec(compile(use, "own-features.md", "exec"), names)
    printed = capsys.readouterr().out.strip().splitlines()[-1]
    assert printed == "torch.Size([3, 6, 1])"
    assert Path("runs/mine/model/model.safetensors").is_file()
