"""A disk that fills up: exit code 2, one line, and what was written before is whole."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from unicode_cmg import load_pretrained
from unicode_cmg.checkpoints import newest_checkpoint


@dataclass(frozen=True)
class Disk:
    """A folder on a disk that `fill` leaves without room."""

    folder: Path
    real: bool
    monkeypatch: pytest.MonkeyPatch

    def fill(self) -> None:
        """Use up what is free; where no disk could be mounted, let syncing fail as on a full one."""
        if self.real:
            with (self.folder / "filler").open("wb", buffering=0) as file:
                for size in (1 << 20, 1 << 12, 1):
                    with suppress(OSError):
                        while True:
                            file.write(bytes(size))
        else:

            def refuse(descriptor: int) -> None:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

            self.monkeypatch.setattr(os, "fsync", refuse)


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    try:
        real = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        real = False
    yield Disk(folder, real, monkeypatch)
    if real:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_pretraining_keeps_the_last_checkpoint(command, toy, disk: Disk) -> None:
    run = disk.folder / "run"
    assert command("pretrain", toy.config, "--to", run).code == 0
    before = newest_checkpoint(run)
    disk.fill()
    more = ("--set", "training.epochs=2", "--set", "training.checkpoint_every=1")
    assert "disk is full" in command("pretrain", toy.config, "--to", run, *more).error
    assert newest_checkpoint(run) == before
    assert load_pretrained(run).modalities == ("audio", "video")


@pytest.mark.slow
def test_toc_keeps_the_earlier_selection(command, toy, disk: Disk) -> None:
    folder = disk.folder / "toc"
    assert command("toc", toy.run, "--keep", "3", "--to", folder).code == 0
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    disk.fill()
    assert str(folder) in command("toc", toy.run, "--keep", "4", "--to", folder).error
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


@pytest.mark.slow
def test_evaluation_keeps_the_earlier_result(command, toy, disk: Disk) -> None:
    file = disk.folder / "ave.json"
    arguments = ("evaluate", toy.run, "--task", "ave", "--data", toy.ave, "--to", file, "--seeds")
    assert command(*arguments, "0").code == 0
    before = file.read_bytes()
    disk.fill()
    assert "disk is full" in command(*arguments, "1").error
    assert file.read_bytes() == before


@pytest.mark.slow
def test_report_keeps_the_earlier_page(command, toy, disk: Disk) -> None:
    run = disk.folder / "run"
    shutil.copytree(toy.run, run)
    assert command("report", run).code == 0
    before = (run / "report.html").read_bytes()
    disk.fill()
    assert "disk is full" in command("report", run).error
    assert (run / "report.html").read_bytes() == before


@pytest.mark.slow
def test_digits_leave_nothing_half_written(command, disk: Disk) -> None:
    disk.fill()
    assert "disk" in command("data", "digits", "--to", disk.folder / "digits").error
    assert not (disk.folder / "digits").exists()
