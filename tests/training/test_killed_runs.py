"""Runs killed in the middle of a write, stopped by a signal, out of disk space; and runs of two ranks."""

from __future__ import annotations

import errno
import os
import resource
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from child_runs import child_config, start, start_rank, step_case, wait_until
from safetensors.torch import load_file
from tiny_method import tiny_config, write_tiny_store

from unicode_cmg import load_pretrained
from unicode_cmg.checkpoints import checkpoint_folders
from unicode_cmg.errors import InputError
from unicode_cmg.training import fit, loop
from unicode_cmg.training.randomness import step_generator


@pytest.mark.slow
def test_a_kill_in_the_middle_of_a_write_costs_no_earlier_checkpoint(tmp_path: Path) -> None:
    store, run = write_tiny_store(tmp_path / "store"), tmp_path / "run"
    process = start(child_config(store, ballast=8_000_000), run)

    def writing() -> bool:
        return bool(checkpoint_folders(run)) and any(run.glob("checkpoints/.step-*/model.safetensors"))

    try:
        wait_until(writing, process)
    finally:
        process.kill()
        process.join()
    assert process.exitcode == -signal.SIGKILL
    assert any(run.glob("checkpoints/.step-*")), "the write was over before the kill"
    steps = [step for step, _ in checkpoint_folders(run)]
    assert steps
    for _, folder in checkpoint_folders(run):
        load_pretrained(folder)
    longer = child_config(store, ballast=8_000_000, epochs=steps[-1] // 3 + 1)
    assert fit(longer, run, resume="auto", progress=False).steps == 3 * longer.training.epochs
    assert not any(run.glob("checkpoints/.step-*"))


def test_sigterm_saves_the_step_it_reached_and_ends_the_process(tmp_path: Path) -> None:
    store, run = write_tiny_store(tmp_path / "store"), tmp_path / "run"
    process = start(child_config(store), run)
    try:
        wait_until(lambda: checkpoint_folders(run), process)
        process.terminate()
        process.join(60)
    finally:
        process.kill()
    assert process.exitcode == 128 + signal.SIGTERM
    last = len((run / "metrics.jsonl").read_text().splitlines()) * 2  # a line every second step
    assert checkpoint_folders(run)[-1][0] in (last, last + 1)
    assert not (run / "model").exists()


def big(store: Path, **changes: Any) -> Any:
    return tiny_config(store, method={"name": "tiny", "ballast": 100_000}, **changes)


def refuse_large_files(monkeypatch: pytest.MonkeyPatch) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))


def report_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def write_state(folder: Path, *rest: Any) -> None:
        (folder / "training_state.json").write_text('{"step"')
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(loop, "write_state", write_state)


@pytest.mark.parametrize(
    ("fail", "message"),
    [(refuse_large_files, r"cannot write here \(File too large\)"), (report_a_full_disk, "the disk is full")],
)
def test_a_write_that_fails_costs_no_earlier_checkpoint_and_no_earlier_model(
    fail: Callable[[pytest.MonkeyPatch], None], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, run = write_tiny_store(tmp_path / "store"), tmp_path / "run"
    fit(big(store, training__epochs=1), run, progress=False)
    before = {path: path.read_bytes() for path in run.rglob("*.safetensors")}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        fail(monkeypatch)
        with pytest.raises(InputError, match=rf"step-00000006: {message}"):
            fit(big(store), run, resume="auto", progress=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {path: path.read_bytes() for path in run.rglob("*.safetensors")} == before
    assert [p.name for p in (run / "checkpoints").iterdir()] == ["step-00000003"]
    monkeypatch.undo()

    fit(big(store), run, resume="auto", progress=False)
    fit(big(store), tmp_path / "whole", progress=False)
    left, right = (load_file(folder / "model/model.safetensors") for folder in (run, tmp_path / "whole"))
    assert all(torch.equal(left[key], right[key]) for key in left)


@pytest.mark.slow
def test_two_ranks_average_their_gradients_share_each_batch_and_one_of_them_writes(tmp_path: Path) -> None:
    config = tiny_config(write_tiny_store(tmp_path / "store"), optimizer__clip_norm=0.01, critics__steps=1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ranks = [start_rank(config, tmp_path, rank, port) for rank in range(2)]
    try:
        for process in ranks:
            process.join(120)
    finally:
        for process in ranks:
            process.kill()
    assert [process.exitcode for process in ranks] == [0, 0]
    assert load_pretrained(tmp_path / "run").name == "tiny"
    assert len((tmp_path / "run/metrics.jsonl").read_text().splitlines()) == 3

    left, right = (load_file(tmp_path / f"{rank}") for rank in range(2))
    method, halves = step_case(config)
    critics = torch.optim.AdamW(method.critic_parameters(), lr=config.critics.lr, weight_decay=0.0)
    made = [method.represent(half) for half in halves]
    sum(sum(method.critic_losses(one).values()) for one in made).div(2).backward()
    critics.step()
    for parameter in method.critic_parameters():
        parameter.requires_grad_(False)
    for half, one in zip(halves, made, strict=True):
        terms = method.training_losses(half, generator=step_generator(0, 1), representation=one)
        (sum(terms.values()) / 2).backward()
    for module in method.trained_modules().values():
        torch.nn.utils.clip_grad_norm_(module.parameters(), 0.01)
    torch.optim.AdamW(method.trained_parameters(), lr=0.01, weight_decay=0.0).step()
    expected = {name: p.detach() for name, p in method.named_parameters()}
    expected |= {f"gradient of {name}": p.grad for name, p in method.named_parameters()}
    torch.testing.assert_close(left, right, rtol=0, atol=0)
    torch.testing.assert_close(left, expected, rtol=1e-4, atol=1e-6)
