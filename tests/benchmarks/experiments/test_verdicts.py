"""The runs behind the thresholds of findings are valid, and their table says what was found."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

import pytest

from benchmarks.experiments import verdicts as experiment
from unicode_cmg.errors import InputError
from unicode_cmg.training import Finding, PretrainConfig, Verdict


@pytest.mark.parametrize("name", experiment.RUNS)
def test_every_run_has_a_valid_configuration(name: str) -> None:
    with as_file(files("benchmarks") / "quickstart.yaml") as path:
        config = PretrainConfig.load(path, list(experiment.RUNS[name].settings))
    assert config.method.name in ("dcid", "fcid", "hdcid")


def test_the_table_has_a_row_for_each_run_and_what_was_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    finding = Finding(kind="diverging", bad=True, what="it grew", fix="less")
    found = {"learning-rate-1": Verdict(step=1, steps=1, findings=(finding,))}
    monkeypatch.setattr(experiment, "write_digits", lambda to, recipe: None)
    monkeypatch.setattr(
        experiment, "verdict_of", lambda run, folder, digits: found.get(folder.name, "stopped: NaN")
    )
    experiment.verdicts(tmp_path, "learning rate 1,FCID")
    assert "| learning rate 1 | bad | collapsed | diverging |\n" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"--only: unknown run 'FCD'.*did you mean 'FCID'"):
        experiment.verdicts(tmp_path, "FCD")
