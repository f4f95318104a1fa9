"""The page on codes can be followed word for word."""

from __future__ import annotations

import csv
import re
import shlex
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from guide_pages import code_blocks
from places import DOCS
from toy_models import dcid

import cli
from unicode_cmg import save_pretrained
from unicode_cmg.data import FeatureStore

PAGE = (DOCS / "guide" / "codes.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_page_on_codes_tells_what_the_commands_write(
    store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    save_pretrained(dcid(), "runs/digits/model")
    Path("runs/digits/config.yaml").touch()
    shutil.copytree(store.path, "data/digits/pretrain-val")
    (commands,) = code_blocks(PAGE, "sh")
    for line in commands.splitlines()[2:]:
        assert cli.run(shlex.split(line)[1:]) == 0, line
    for block in code_blocks(PAGE, "python"):
        exec(compile(block, "codes.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "clip-0 {'layer0': 9}" in printed
    assert "0 torch.Size([55, 1])" in printed
    described = re.findall(r"^\| (`.*?) \|", PAGE, flags=re.MULTILINE)
    columns = [name for cell in described for name in re.findall(r"`(\w+)`", cell)]
    with Path("runs/digits/codes/codes.csv").open(encoding="utf-8", newline="") as stream:
        for name in next(csv.reader(stream)):
            assert name in columns or re.sub("_(video|text)$", "_audio", name) in columns
    assert set(pq.read_schema("codes.parquet").names) <= set(columns)
