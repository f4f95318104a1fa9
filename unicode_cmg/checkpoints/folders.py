"""The files of models and checkpoints, and which folder a path stands for.

The newest checkpoint of a run is the complete one with the largest step; one whose files are not what was
written is passed over, with a line on stderr. Steps are compared as numbers and
not as text, so that step 10000 comes after step 999. `toc` follows the same rule.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from unicode_cmg.checkpoints.sums import SUMS_FILE, check_sums
from unicode_cmg.errors import InputError
from unicode_cmg.files import read_json, read_text

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
        if match and all((folder / name).is_file() for name in (*MODEL_FILES, *STATE_FILES, SUMS_FILE)):
            found.append((int(match[1]), folder))
    return sorted(found)


def newest_checkpoint(run: Path) -> Path | None:
    """The complete checkpoint with the most steps, or None."""
    folders = checkpoint_folders(run)
    return folders[-1][1] if folders else None


def whole_checkpoint(run: Path, *, model_only: bool = False) -> Path | None:
    """The newest complete checkpoint that is not damaged, or None if there is no checkpoint.

    Args:
        run: The folder of the run.
        model_only: Whether the training state beside the model does not matter.

    Raises:
        InputError: All are damaged; the message is about the newest.
    """
    damage: InputError | None = None
    for step, folder in reversed(checkpoint_folders(run)):
        try:
            check_checkpoint(folder, model_only=model_only)
        except InputError as error:
            print(f"checkpoint {step} is passed over: {error}", file=sys.stderr, flush=True)
            damage = damage or error
        else:
            return folder
    if damage is not None:
        raise damage
    return None


def check_checkpoint(folder: Path, *, model_only: bool = False) -> None:
    """Make sure that the files of a checkpoint are those that were written, and are all of the same step.

    Raises:
        InputError: They are not.
    """
    check_sums(folder, (*MODEL_FILES, UNUSED_FILE, *(() if model_only else STATE_FILES)))
    steps = {}
    if match := _STEP.fullmatch(folder.name):
        steps["the name of the folder"] = int(match[1])
    notes = {CONFIG_FILE: ("extra", "step"), **({} if model_only else {STATE_FILES[0]: ("step",)})}
    for name, keys in notes.items():
        value = read_json(folder / name)
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        steps[name] = value
    if len(set(map(repr, steps.values()))) > 1:
        found = ", ".join(f"{value!r} by {source}" for source, value in steps.items())
        raise InputError(f"the step is {found}", where=folder, expected="the same step everywhere")


def model_folder(path: Path) -> Path:
    """The folder with the model's files that `path` stands for.

    A folder `models--user--name` of the Hub's cache stands for the snapshot that its `refs/main` names.

    Raises:
        InputError: There is none.
    """
    if not path.exists():
        fix = "check the path"
        if re.fullmatch(r"[\w.-]+/[\w.-]+", str(path)) and not path.parent.exists():
            command = f"hf download {path} --local-dir {path.name}"
            fix = f"for a model of the Hugging Face Hub, download it first: {command}"
        raise InputError("no such folder", where=path, fix=fix)
    if not path.is_dir():
        raise InputError(
            "this is a file", where=path, expected=f"a folder with {CONFIG_FILE} and {WEIGHTS_FILE}"
        )
    reference = path / "refs" / "main"
    main = read_text(reference).strip() if (path / "snapshots").is_dir() and reference.is_file() else ""
    snapshot = path / "snapshots" / main if re.fullmatch(r"[0-9a-f]+", main) else path
    for folder in (path, path / "model", snapshot):
        if (folder / CONFIG_FILE).is_file():
            return folder
    checkpoint = whole_checkpoint(path, model_only=True)
    if checkpoint is not None:
        return checkpoint
    raise InputError(
        f"there is no model here (no {CONFIG_FILE})",
        where=path,
        expected="a model folder or the folder of a run",
    )
