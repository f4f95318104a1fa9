"""A run on disk: where it starts, its lock, its training state, and which checkpoints it keeps."""

from __future__ import annotations

import fcntl
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from torch import Tensor

from unicode_cmg._scratch import remove_folder, sweep_folder
from unicode_cmg.checkpoints.folders import (
    STATE_FILES,
    check_checkpoint,
    checkpoint_folders,
    newest_checkpoint,
    whole_checkpoint,
)
from unicode_cmg.checkpoints.tensors import check_finite, read_tensors, write_tensors
from unicode_cmg.config import Config, flat
from unicode_cmg.errors import InputError
from unicode_cmg.files import disk_errors, read_json

CONFIG, DATA, METRICS, MODEL, CHECKPOINTS, TENSORBOARD = (
    "config.yaml",
    "data.json",
    "metrics.jsonl",
    "model",
    "checkpoints",
    "tensorboard",
)

Resume = Literal["auto", "never"] | Path

_MAY_CHANGE = (
    "data.store",  # its fingerprint is compared instead: a store may move
    "data.val_store",
    "training.epochs",
    "training.log_every",
    "training.checkpoint_every",
    "training.keep_checkpoints",
    "training.tensorboard",
)


class TrainingState(Config):
    """What a resumed run needs besides the model and tensors to go on as if it had never stopped."""

    format_version: Literal[1] = Field(default=1, description="version of this layout")
    step: int = Field(ge=0, description="steps done")
    seconds: float = Field(ge=0, description="time trained so far")
    config: dict[str, Any] = Field(description="the run's configuration")
    data: str = Field(description="fingerprint of the training data")
    random: dict[str, Any] = Field(description="global random states of numpy and Python")
    window: dict[str, Any] = Field(description="names and length of the unfinished log window")
    scaler: dict[str, Any] | None = Field(description="the loss scaler of fp16")


TensorGroups = Mapping[str, Mapping[str, Tensor]]
"""Group -> name -> tensor of the training state: `random`, `window`, `regularizers`, `optimizer.main`."""


def write_state(folder: Path, state: TrainingState, groups: TensorGroups) -> None:
    """Write both files of the state into an existing folder, in place."""
    (folder / STATE_FILES[0]).write_text(state.model_dump_json() + "\n", encoding="utf-8")
    tensors = {f"{group}/{key}": value for group, named in groups.items() for key, value in named.items()}
    write_tensors(folder / STATE_FILES[1], tensors)


def read_state(folder: Path) -> tuple[TrainingState, TensorGroups]:
    """What `write_state` wrote; a group without tensors is empty.

    Raises:
        InputError: A file is missing, truncated, or was written by another version.
    """
    state = TrainingState.parse(read_json(folder / STATE_FILES[0]), where=folder / STATE_FILES[0])
    groups: defaultdict[str, dict[str, Tensor]] = defaultdict(dict)
    for key, value in read_tensors(folder / STATE_FILES[1]).items():
        group, _, name = key.partition("/")
        groups[group][name] = value
    for group, named in groups.items():
        if group != "window":  # with a loss scaler the norm of a gradient may have been infinite
            check_finite(named, where=folder / STATE_FILES[1])
    return state, groups


def find_start(run: Path, resume: Resume) -> Path | None:
    """The checkpoint a run starts from, or None for a fresh start.

    Raises:
        InputError: `run` holds a run and may not be continued, there is nothing to continue, or what there is
            is damaged.
    """
    if resume == "auto":
        return whole_checkpoint(run)
    # a run that failed before its first logged step left nothing worth keeping
    log = run / METRICS
    holds_run = newest_checkpoint(run) or (run / MODEL).exists() or (log.is_file() and log.stat().st_size)
    if resume == "never":
        if holds_run:
            raise InputError(
                "this folder already holds a run", where=run, fix="use --resume auto or another --to"
            )
        return None
    source = Path(resume)
    if (source / STATE_FILES[0]).is_file():
        check_checkpoint(source)
        start: Path | None = source
    else:
        start = whole_checkpoint(source)
    if start is None:
        raise InputError(
            "there is no complete checkpoint to resume from",
            where=source,
            expected="the folder of a run or one of its checkpoints",
        )
    if holds_run and start.resolve().parent != (run / CHECKPOINTS).resolve():
        raise InputError(
            f"this folder already holds another run than {source}",
            where=run,
            fix="use another --to for the new run",
        )
    return start


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """Make the folder and keep other processes from training in it; the lock ends with the process.

    A folder that is still empty at the end is removed.

    Raises:
        InputError: Another process is training here, or the folder cannot be made.
    """
    if run.exists() and not run.is_dir():
        raise InputError("this is a file", where=run, expected="a folder for the run")
    with disk_errors(run):
        new = not run.exists()
        run.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(run, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                "another process is training in this folder",
                where=run,
                fix="wait until it has ended, or use another --to",
            ) from None
        yield
    finally:
        if new:
            with suppress(OSError):
                run.rmdir()  # if nothing was written there
        os.close(descriptor)


def check_unchanged(before: Mapping[str, Any], now: Mapping[str, Any], *, where: object) -> None:
    """Make sure that a run is continued with the settings it was started with.

    Length, logging and checkpoint intervals may change, and so may the paths of stores.

    Raises:
        InputError: A setting differs; the first one is named.
    """
    old, new = flat(before), flat(now)
    for key in dict.fromkeys((*new, *old)):
        if key not in _MAY_CHANGE and old.get(key) != new.get(key):
            raise InputError(
                f"'{key}' is {_shown(new, key)}, but the run was started with {_shown(old, key)}",
                where=where,
                fix="resume with the same settings, or start a new run with another --to",
            )


def prepare(run: Path, *, step: int) -> None:
    """Clear away what is not part of the run up to `step`: scratch of killed writes, checkpoints after it."""
    for folder in (run, run / CHECKPOINTS):
        sweep_folder(folder)
    for done, folder in checkpoint_folders(run):
        if done > step:
            remove_folder(folder)


def prune(run: Path, keep: int) -> None:
    """Remove all but the newest `keep` checkpoints."""
    for _, folder in checkpoint_folders(run)[:-keep]:
        remove_folder(folder)


def _shown(values: Mapping[str, Any], key: str) -> str:
    return repr(values[key]) if key in values else "no such setting"
