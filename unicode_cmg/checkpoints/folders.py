"""Where the checkpoints of a run lie, and which of them are complete."""

from __future__ import annotations

import re
from pathlib import Path

MODEL_FILES = ("config.json", "model.safetensors")
STATE_FILES = ("training_state.json", "training_state.safetensors")

_STEP = re.compile(r"step-(\d+)")


def checkpoint_folder(run: Path, step: int) -> Path:
    """The folder of the checkpoint after `step` steps."""
    return run / "checkpoints" / f"step-{step:08d}"


def checkpoint_folders(run: Path) -> list[tuple[int, Path]]:
    """Step and folder of every complete checkpoint of a run, oldest first.

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
