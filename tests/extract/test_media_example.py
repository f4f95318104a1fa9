"""The example of own videos can be followed word for word, here with fewer events and shorter trainings."""

from __future__ import annotations

import json
import re
import runpy
import shlex
from pathlib import Path

import pytest
from places import ROOT

import cli
from benchmarks.tasks.labels import task
from unicode_cmg.data import FeatureStore

pytest.importorskip("av")
pytest.importorskip("PIL.Image")
PAGE = (ROOT / "examples" / "media" / "README.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
    return str(found)


@pytest.mark.slow
def test_every_command_of_the_example_runs_in_its_order(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    torchaudio_here: None,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(task, "_STEPS", 25)
    make = runpy.run_path(str(ROOT / "examples" / "media" / "make_clips.py"))
    for line in block("sh").splitlines():
        program, *words = shlex.split(line.replace("epochs=150", "epochs=2"), comments=True)
        if program == "python":
            make["write_clips"](Path(words[1]), events=4)
            continue
        target = words[words.index(">") + 1] if ">" in words else None
        assert cli.run(words[: words.index(">")] if target else words) == 0, capsys.readouterr().err
        out = capsys.readouterr().out
        if target:
            Path(target).write_text(out)
    assert Path("clips/clips.csv").read_text().splitlines()[0] == block("text").splitlines()[0]
    store = FeatureStore.open("store")
    assert {name: shape[0] for name, shape in store.modalities.items()} == {"audio": 2, "video": 2}
    assert all(present.all() for present in store.present.values())
    labels = json.loads(Path("runs/mine/evaluation/labels.json").read_text())
    assert len(labels["directions"]) == 4
    assert "task-labels" in Path("runs/mine/report.html").read_text()
