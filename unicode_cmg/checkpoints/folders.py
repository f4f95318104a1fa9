"""The files of models and checkpoints, and which folder a path stands for.

The newest checkpoint of a run is the complete one with the largest step. Steps are compared as numbers and
not as text, so that step 10000 comes after step 999. `toc` follows the same rule.
"""

from __future__ import annotations

import re
from pathlib import Path

from unicode_cmg.errors import InputError

MODEL_FILES = CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"
UNUSED_FILE = "released.safetensors"
"""Tensors of a released file that have no effect."""

STATE_FILES = ("training_state.json", "training_state.safetensors")

_STEP = re.compile(r"step-(\d+)")


def checkpoint_folder(run: Path, step: int) -> Path:
    """The folder of the checkpoint after `step` steps."""
    return run / "checkpoints" / f"step-{step:08d}"


def checkpoint_folders(run: Path) -> list[tuple[int, Path]]:
    """Step and folder of every complete checkpoint of a run, in the order of the steps.

    Scratch folders that a killed process left behind have other names and are not listed.
    """
    found = []
    for folder in (run / "checkpoints").glob("step-*"):
        match = _STEP.fullmatch(folder.name)
        if match and all((folder / name).is_file() for name in (*MODEL_FILES, *STATE_FILES)):
            found.append((int(match[1]), folder))
    return sorted(found)


def newest_checkpoint(run: Path) -> Path | None:
    """The complete checkpoint with the most steps, or None."""
    folders = checkpoint_folders(run)
    return folders[-1][1] if folders else None


def model_folder(path: Path) -> Path:
    """The folder with the model's files that `path` stands for.

    Raises:
        InputError: There is none.
    """
    if not path.exists():
        raise InputError("no such folder", where=path, fix="check the path")
    if not path.is_dir():
        raise InputError(
            "this is a file", where=path, expected=f"a folder with {CONFIG_FILE} and {WEIGHTS_FILE}"
        )
    for folder in (path, path / "model", newest_checkpoint(path)):
        if folder is not None and (folder / CONFIG_FILE).is_file():
            return folder
    raise InputError(
        f"there is no model here (no {CONFIG_FILE})",
        where=path,
        expected="a model folder or the folder of a run",
    )
