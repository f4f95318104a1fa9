"""Pretraining on several processes: one voice, one result, and one line when a process is lost."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import cli
from unicode_cmg import console
from unicode_cmg.data import FeatureStore
from unicode_cmg.errors import InputError, RankLost
from unicode_cmg.training.process import accelerated
from unicode_cmg.training.trainer import Trainer

sys.path.append(str(Path(__file__).parents[1] / "training"))
from rank_cases import start


def config_in(folder: Path) -> Path:
    """Nine clips in batches of four, so that the last one is a single clip."""
    random = np.random.default_rng(0)
    sizes = {"audio": 5, "video": 4}
    features = {m: random.standard_normal((9, 3, size), np.float32) for m, size in sizes.items()}
    FeatureStore.write(folder / "store", features, [f"clip{k}" for k in range(9)])
    sizes_of_networks = {"dim": 8, "num_codes": 6, "heads": 2, "feedforward": 8, "critic_hidden": 4}
    method = {"name": "dcid", **sizes_of_networks, "modalities": {m: {"dim": n} for m, n in sizes.items()}}
    values = {
        "method": method,
        "data": {"store": str(folder / "store")},
        "training": {"epochs": 2, "batch_size": 4, "log_every": 1},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(values))
    return folder / "config.yaml"


def as_rank(rank: int, folder: Path, port: int) -> None:
    """The command in this process as one of two ranks, of which the second is killed; outputs go to files."""
    places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": port}
    os.environ |= {**{name: str(value) for name, value in places.items()}, "MASTER_ADDR": "127.0.0.1"}
    os.environ["OMP_NUM_THREADS"] = "1"
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(folder / f"{name}{rank}", os.O_CREAT | os.O_WRONLY), number)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", closefd=False)
    if rank == 1:
        whole = Trainer.step

        def step(self: Trainer, *arguments: Any, **options: Any) -> Any:
            if options["step"] == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            return whole(self, *arguments, **options)

        Trainer.step = step  # type: ignore[method-assign]
    arguments = ["pretrain", str(folder / "config.yaml"), "--to", str(folder / "run"), "--json"]
    code = console.run(cli.app, "unicode-cmg", arguments)
    sys.stdout.flush()
    os._exit(code)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@pytest.mark.slow
def test_a_process_that_is_killed_ends_the_others_with_one_line(tmp_path: Path) -> None:
    config_in(tmp_path)
    assert start(as_rank, 2, tmp_path, free_port()) == [1, -signal.SIGKILL]
    (line,) = (x for x in (tmp_path / "err0").read_text().splitlines() if x.startswith("error"))
    assert "another process of the job has ended" in line
    assert "Traceback" not in (tmp_path / "err0").read_text()
    assert (tmp_path / "out0").read_text() == ""


@pytest.mark.slow
def test_torchrun_trains_on_two_processes_as_one_process_does_and_prints_one_result(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launch, "-m", "cli", "pretrain", str(config), "--to", str(tmp_path / "run"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"] == 6
    assert done.stderr.count("step 6/6") == 1
    alone = tmp_path / "alone"
    assert cli.run(["pretrain", str(config), "--to", str(alone)]) == 0
    logs = [(run / "metrics.jsonl").read_text().splitlines() for run in (tmp_path / "run", alone)]
    assert len(logs[0]) == len(logs[1]) == 6
    for two, one in zip(*(map(json.loads, log) for log in logs), strict=True):
        for group in ("loss", "gradient_norm", "codebook"):
            assert two[group] == pytest.approx(one[group], rel=2e-3, abs=2e-3, nan_ok=True)


def test_one_process_of_several_that_accelerate_was_asked_for_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    with accelerated("no"):
        pass  # one process was asked for
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    with pytest.raises(InputError, match=r"asked for several processes and has started one.*torchrun"):
        accelerated("no").__enter__()


def test_tasks_of_srun_that_do_not_know_each_other_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "4")
    with pytest.raises(InputError, match=r"several tasks that know nothing of each other.*torchrun"):
        accelerated("no").__enter__()


@pytest.mark.parametrize(("rank", "heard"), [("0", True), ("1", False)])
@pytest.mark.parametrize("error", [InputError("wrong"), RankLost("gone"), KeyboardInterrupt()])
def test_of_two_processes_the_first_complains(
    rank: str,
    heard: bool,
    error: BaseException,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def command() -> None:
        raise error

    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", rank)
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert console.run(console.app_of(command), "test", []) in (1, 2, 130)
    finally:
        signal.signal(signal.SIGTERM, before)
    console.finish({"a": 1}, "done", as_json=False)
    captured = capsys.readouterr()
    assert bool(captured.err) == heard
    assert bool(captured.out) == heard
