"""The entry point as a process: start-up time, signals, closed pipes."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from places import ROOT

import cli
from unicode_cmg import load_pretrained

ENTRY = (sys.executable, "-c", "import cli; cli.main()")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def test_help_needs_less_than_a_second_of_the_processor_and_no_torch() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    code = "import sys, cli\ntry: sys.exit(cli.run(['--help']))\nfinally: assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0


@pytest.mark.slow
def test_a_shell_gets_completions_quickly_and_without_torch() -> None:
    def completed(*words: str) -> list[str]:
        asked = {"COMP_WORDS": " ".join(("unicode-cmg", *words)), "COMP_CWORD": str(len(words))}
        code = "import sys, cli\ntry: cli.main()\nfinally: assert not {'torch', 'numpy'} & {*sys.modules}"
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**ENVIRONMENT, **asked, "_UNICODE_CMG_COMPLETE": "complete_bash"},
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.split()

    assert completed("ev") == ["evaluate"]
    assert completed("evaluate", "runs/mine", "--protocol", "p") == ["paper", "paper-f1"]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_saves_and_continues(
    toy, command, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    run = tmp_path / "run"
    arguments = ["pretrain", str(toy.config), "--to", str(run), "--set", "training.log_every=1"]
    process = subprocess.Popen(
        [*ENTRY, *arguments, "--set", "training.epochs=100000"],
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    metrics = run / "metrics.jsonl"
    while not (metrics.is_file() and metrics.stat().st_size):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    last = err.splitlines()[-1]
    assert last.startswith("interrupted after step ")
    assert "Traceback" not in err
    step = int(last.split()[3].rstrip(";"))
    assert load_pretrained(run).modalities == ("audio", "video")
    epochs = step // 3 + 1
    assert command(*arguments, "--set", f"training.epochs={epochs}").out.startswith(f"{3 * epochs} steps")


@pytest.mark.slow
def test_sigterm_while_data_is_written_leaves_nothing_behind(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*ENTRY, "data", "digits", "--to", str(tmp_path / "digits")],
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    # the imports that come before are over: some libraries swallow an interrupt of their import
    while not list(tmp_path.glob("*/pretrain/*")):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.terminate()
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (143, "interrupted\n")
    assert list(tmp_path.iterdir()) == []


def test_a_closed_pipe_is_no_fault() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*ENTRY, "--help"], env=ENVIRONMENT, stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_our_own_fault_is_not_called_the_users(toy, monkeypatch: pytest.MonkeyPatch) -> None:
    def fault(run: Path, *, features: Path | None) -> Path:
        raise ZeroDivisionError

    monkeypatch.setattr("benchmarks.report.build_report", fault)
    with pytest.raises(ZeroDivisionError):
        cli.run(["report", str(toy.run)])
