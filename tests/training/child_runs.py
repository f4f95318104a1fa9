"""Runs of the tiny method in processes of their own, forked from a server that has torch loaded already."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch
from safetensors.torch import save_file
from tiny_method import Tiny, TinyConfig, tiny_config

from unicode_cmg.batch import FeatureBatch
from unicode_cmg.data.store import FeatureStore
from unicode_cmg.training import Interrupted, PretrainConfig, fit
from unicode_cmg.training.process import accelerated
from unicode_cmg.training.trainer import Trainer

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["unicode_cmg.training.fit", "unicode_cmg.data", "torch._dynamo"])


def child_config(store: Path, *, ballast: int = 1, epochs: int = 1000) -> PretrainConfig:
    method = {"name": "tiny", "ballast": ballast}
    return tiny_config(store, method=method, training__epochs=epochs, training__checkpoint_every=5)


def start(config: PretrainConfig, run: Path) -> BaseProcess:
    process = _CONTEXT.Process(target=_train, args=(config, run))
    process.start()
    return process


def _train(config: PretrainConfig, run: Path) -> None:
    try:
        fit(config, run, resume="auto", progress=False)
    except Interrupted as stop:
        sys.exit(128 + stop.signal)


def start_rank(config: PretrainConfig, folder: Path, rank: int, port: int) -> BaseProcess:
    """One of two processes that take a step on halves of a batch, then train together."""
    environment = {
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "ACCELERATE_USE_CPU": "true",
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
    }
    process = _CONTEXT.Process(target=_step_and_train, args=(config, folder, rank, environment))
    process.start()
    return process


def _step_and_train(config: PretrainConfig, folder: Path, rank: int, environment: Mapping[str, str]) -> None:
    os.environ.update(environment)
    method, halves = step_case(config)
    with accelerated("no") as accelerator:
        Trainer(method, config, accelerator).step(halves[rank], step=1, epoch=0, lr=0.01, statistics=False)
        moved = {name: p.detach() for name, p in method.named_parameters()}
        save_file(
            {**moved, **{f"gradient of {n}": p.grad for n, p in method.named_parameters()}},
            folder / f"{rank}",
        )
        fit(config, folder / "run", progress=False)


def step_case(config: PretrainConfig) -> tuple[Tiny, list[FeatureBatch]]:
    """A method that does not depend on chance, and the two halves of a batch."""
    torch.manual_seed(0)
    store = FeatureStore.open(config.data.store)
    return Tiny(TinyConfig(dropout=0.0)).train(), [store.batch(range(4)), store.batch(range(4, 8))]


def wait_until(condition: Callable[[], object], process: BaseProcess) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert process.exitcode is None, "the run ended by itself"
        assert time.monotonic() < end, "the run does not get there"
        time.sleep(0.001)
