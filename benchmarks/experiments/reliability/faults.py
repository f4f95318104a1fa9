"""Writers that are killed at any moment, and disks that fill up: what was there before stays whole."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from unicode_cmg.checkpoints.native import load_pretrained, save_pretrained
from unicode_cmg.data.store import FeatureStore
from unicode_cmg.encoding import encode_store, read_codes
from unicode_cmg.errors import InputError
from unicode_cmg.files import read_json, write_json
from unicode_cmg.training import PretrainConfig, fit
from unicode_cmg.training.run_folder import find_start

Write = Callable[[Path, Path], object]
"""Writes one result; takes the folder of whole files and the folder to write in."""


def writers() -> dict[str, tuple[Write, Callable[[Path], object]]]:
    """What is written, by its name: a function that writes it, and one that reads it back."""
    return {
        "feature store": (_write_store, lambda to: FeatureStore.open(to / "store").batch(range(40))),
        "model": (
            lambda at, to: save_pretrained(load_pretrained(at / "model"), to / "model"),
            lambda to: load_pretrained(to / "model"),
        ),
        "table of codes": (
            lambda at, to: encode_store(
                load_pretrained(at / "model"), FeatureStore.open(at / "store"), to / "codes.parquet"
            ),
            lambda to: read_codes(to / "codes.parquet"),
        ),
        "record": (
            lambda at, to: write_json(to / "record.json", list(range(20_000))),
            lambda to: read_json(to / "record.json"),
        ),
        "training run": (_train, lambda to: find_start(to / "run", "auto")),
    }


def _write_store(at: Path, to: Path) -> None:
    features = {"audio": np.ones((40, 10, 600), np.float32)}
    FeatureStore.write(to / "store", features, [str(number) for number in range(40)])


def _train(at: Path, to: Path) -> None:
    values = {
        "method": read_json(at / "model/config.json")["config"] | {"name": "dcid"},
        "data": {"store": str(at / "store")},
        "critics": {"steps": 1},
        "training": {"epochs": 4, "batch_size": 4, "log_every": 1, "checkpoint_every": 1},
    }
    fit(PretrainConfig.parse(values, where="reliability"), to / "run", resume="auto", progress=False)


def try_kill(name: str, whole: Path, folder: Path, seed: int) -> str:
    """Kill a process that writes, over and over, at a random moment; then look, and write once more.

    Returns:
        "survived", or what was wrong.
    """
    write, read = writers()[name]
    folder.mkdir(parents=True)
    write(whole, folder)
    child = os.fork()
    if child == 0:
        try:
            if name == "training run":
                shutil.rmtree(folder / "run")
            while True:
                write(whole, folder)
                if name == "training run":
                    shutil.rmtree(folder / "run")
        finally:
            os._exit(1)
    time.sleep(float(np.random.default_rng(seed).uniform(0.02, 0.5)))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    try:
        if name != "training run":
            read(folder)
        write(whole, folder)
        read(folder)
    except Exception as error:  # whatever the kill has led to
        return f"{type(error).__name__}: {error}"
    left = [path.name for path in folder.rglob(".*")]
    return f"left {left}" if left else "survived"


def try_full_disk(name: str, whole: Path, folder: Path, limit: int) -> str:
    """Let no file grow beyond `limit` bytes, and write: the earlier version must stay, and nothing else.

    Returns:
        "survived", or what was wrong.
    """
    write, _ = writers()[name]
    folder.mkdir(parents=True)
    write(whole, folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    if name == "training run":
        shutil.rmtree(folder / "run")
        before = {}
    try:
        with _largest_file(limit):
            write(whole, folder)
    except InputError:
        pass
    except Exception as error:  # the very thing that is looked for
        return f"{type(error).__name__}: {error}"
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    if name != "training run":
        return "survived" if after == before else "something else is there now"
    hidden = [path.name for path in folder.rglob(".*")]
    return f"left {hidden}" if hidden else "survived"


@contextmanager
def _largest_file(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
