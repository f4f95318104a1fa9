"""The page on slots can be followed word for word, and describes every key of the record."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from guide_pages import code_blocks
from places import DOCS
from tiny_slot_run import slot_run, write_store

import cli
from unicode_cmg.inspect import matched_slots

PAGE = (DOCS / "guide" / "slots.md").read_text(encoding="utf-8")


def keys(value: Any) -> Iterator[str]:
    """All keys of a JSON value, but for names of modalities."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in ("audio", "video", "text"):
                yield key
            yield from keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys(inner)


@pytest.mark.slow
def test_the_page_on_slots_tells_what_the_command_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    store = write_store(Path("data/digits/pretrain-val"), ids="pretrain-val-{:05d}")
    run = slot_run(store, Path("runs/slots"))
    (commands,) = code_blocks(PAGE, "sh")
    lines = [line for line in commands.replace("\\\n", " ").splitlines() if "unicode-cmg slots" in line]
    assert len(lines) == 3
    for line in lines:
        assert cli.run(shlex.split(line)[1:]) == 0, line
    for block in code_blocks(PAGE, "python"):
        exec(compile(block, "slots.md", "exec"), {})
    assert matched_slots(run, store, clips=3).table() in capsys.readouterr().out
    assert {path.name for path in tmp_path.glob("slots.*")} == {"slots.html", "slots.png", "slots.pdf"}
    described = set(re.findall(r"`(\w+)`", PAGE))
    assert set(keys(matched_slots(run, store).to_json())) - {"format_version"} <= described
