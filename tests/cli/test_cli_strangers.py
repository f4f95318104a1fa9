"""What a stranger's file or a second signal may not do."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from unicode_cmg.training.process import Stopped, StopRequest

EVIL = 'regularizers=[{name: slot_alignment, teachers: {audio: {module: "os:abort"}}}]'


def test_a_configuration_that_names_code_is_refused_before_anything_is_imported_or_written(
    command, toy, tmp_path: Path
) -> None:
    error = command("pretrain", toy.config, "--to", tmp_path / "run", "--set", EVIL).error
    assert "names code to import and run: os:abort" in error
    assert "--trust-code" in error
    assert not (tmp_path / "run").exists()


def test_loss_weights_that_do_not_fit_leave_no_run(command, toy, tmp_path: Path) -> None:
    error = command("pretrain", toy.config, "--to", tmp_path / "run", "--set", "loss_weights.nothing=1").error
    assert "the method has no loss term 'nothing'" in error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["evaluate", "gone", "--task", "ave", "--data", "gone"],
        ["encode", "gone", "gone"],
        ["codes", "gone", "gone"],
    ],
)
def test_a_result_that_cannot_be_written_is_found_before_the_work(
    command, tmp_path: Path, arguments: list[str]
) -> None:
    (tmp_path / "file").touch()
    assert "cannot write here" in command(*arguments, "--to", tmp_path / "file/below").error
    assert "File name too long" in command(*arguments, "--to", tmp_path / ("a" * 300)).error


def test_control_characters_of_a_path_do_not_reach_the_terminal(command, tmp_path: Path) -> None:
    error = command("report", tmp_path / "\x1b]0;owned\x07\u202e").error
    assert error.isprintable()
    assert r"\u001b]0;owned\u0007\u202e" in error


def test_a_second_signal_leaves_with_its_number() -> None:
    with StopRequest() as request:
        os.kill(os.getpid(), signal.SIGTERM)
        assert request.received == signal.SIGTERM
        with pytest.raises(Stopped) as stopped:
            os.kill(os.getpid(), signal.SIGTERM)
    assert stopped.value.signal == signal.SIGTERM
