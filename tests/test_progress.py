"""What people see while something runs: a bar with figures below it on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import struct
import sys
import termios
import textwrap

import pytest

from unicode_cmg.progress import Progress

FIGURES = ", ".join(
    f"{term} 1.234" for term in ("total", "reconstruction", "commitment", "club", "cpc", "cmcm")
)


def run(progress: Progress, steps: int) -> None:
    for _ in range(steps):
        progress.advance()
        progress.report(f"step {progress.done}", FIGURES)
    progress.close()


def test_the_bar_and_the_figures_are_both_readable_on_eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    monkeypatch.setenv("COLUMNS", "80")
    with os.fdopen(slave, "w") as terminal, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", terminal)
        run(Progress(None, total=10, unit="step", done=4), 6)
    shown = b""
    with contextlib.suppress(OSError):  # how Linux says that the other end is closed
        while part := os.read(master, 1 << 16):
            shown += part
    os.close(master)
    rows = [row.strip() for row in re.split(r"[\r\n]|\x1b\[A", shown.decode())]
    assert all(len(row) < 80 for row in rows)
    assert b"10/10" in shown
    assert max(row.count("█") for row in rows) > 30
    assert set(rows) >= set(textwrap.wrap(FIGURES, 79))


@pytest.mark.parametrize(("seconds", "left"), [(8, "72 s"), (60, "9 min"), (6000, "15.0 h")])
def test_plain_lines_say_how_much_time_is_left(
    seconds: float, left: str, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = Progress(None, total=110, unit="step", done=10)
    progress._started -= seconds
    progress.advance(10)
    progress.report("step 20/110", "total 3")
    progress.advance(90)
    progress.report("step 110/110", every=1e9)
    assert capsys.readouterr().err == f"step 20/110, about {left} left: total 3\nstep 110/110\n"


def test_plain_lines_come_no_more_often_than_asked(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(None, total=3, unit="clip")
    for _ in range(3):
        progress.advance()
        progress.report(f"encoded {progress.done}/3 clips", every=100.0)
    assert capsys.readouterr().err == "encoded 3/3 clips\n"
