"""Runs of the tiny method in processes of their own, forked from a server that has torch loaded already."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path

from tiny_method import tiny_config

from unicode_cmg.training import Interrupted, PretrainConfig, fit

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["unicode_cmg.training.fit", "unicode_cmg.data", "torch._dynamo"])


def child_config(store: Path, *, ballast: int = 1, epochs: int = 1000) -> PretrainConfig:
    method = {"name": "tiny", "ballast": ballast}
    return tiny_config(store, method=method, training__epochs=epochs, training__checkpoint_every=5)


def start(config: PretrainConfig, run: Path, **environment: str) -> BaseProcess:
    process = _CONTEXT.Process(target=_train, args=(config, run, environment))
    process.start()
    return process


def _train(config: PretrainConfig, run: Path, environment: Mapping[str, str]) -> None:
    os.environ.update(environment)
    try:
        fit(config, run, resume="auto", progress=False)
    except Interrupted as stop:
        sys.exit(128 + stop.signal)


def wait_until(condition: Callable[[], object], process: BaseProcess) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert process.exitcode is None, "the run ended by itself"
        assert time.monotonic() < end, "the run does not get there"
        time.sleep(0.001)
