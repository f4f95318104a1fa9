"""Files and folders that hold tensors, and the codebooks that a native checkpoint declares."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from toc.arrays import CodebookError
from toc.codebooks.files import Stored, read_npy, read_npz, read_safetensors
from toc.codebooks.torch_files import read_torch

NUMPY = "NumPy file"
_READERS = {
    ".safetensors": ("safetensors file", read_safetensors),
    ".npy": (NUMPY, read_npy),
    ".npz": (NUMPY, read_npz),
    **dict.fromkeys((".pt", ".pth", ".bin", ".ckpt"), ("file of torch.save", read_torch)),
}
_CONFIG, _WEIGHTS = "config.json", "model.safetensors"
_CHECKPOINT = (_CONFIG, _WEIGHTS, "training_state.json", "training_state.safetensors")
_LAYOUT = (_WEIGHTS, "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")


class Checkpoint(NamedTuple):
    """What a file or folder holds.

    Attributes:
        kind: Its kind, in words.
        tensors: Key -> tensor, not read yet.
        declared: Name -> key of each codebook, if the checkpoint itself declares them.
    """

    kind: str
    tensors: Mapping[str, Stored]
    declared: Mapping[str, str] | None = None


def open_checkpoint(path: Path) -> Checkpoint:
    """See `toc.find_codebooks`.

    Raises:
        CodebookError: It cannot be opened.
    """
    if path.is_dir():
        return _open_folder(_model_folder(path))
    if not path.exists():
        raise CodebookError(f"{path}: no such file or folder; check the path")
    if path.name == _WEIGHTS and _codebooks_of(path.parent) is not None:
        return _open_folder(path.parent)
    if path.suffix not in _READERS:
        raise CodebookError(
            f"{path}: not a kind of file that holds codebooks; expected a folder with a checkpoint or"
            f" {', '.join(_READERS)}"
        )
    kind, read = _READERS[path.suffix]
    return Checkpoint(kind, read(path))


def _model_folder(path: Path) -> Path:
    """The folder itself, the model of a run, or the newest complete checkpoint of a run."""
    for folder in (path, path / "model", *_step_folders(path)):
        if (folder / _CONFIG).is_file():
            return folder
    raise CodebookError(
        f"{path}: holds no checkpoint (no {_CONFIG}); expected a model or run folder, or name the file with"
        " the weights"
    )


def _step_folders(run: Path) -> list[Path]:
    """Complete checkpoints of a run, the one with the most steps first; others are what a killed run left."""
    steps = {}
    for folder in run.glob("checkpoints/step-*"):
        match = re.fullmatch(r"step-(\d+)", folder.name)
        if match and all((folder / name).is_file() for name in _CHECKPOINT):
            steps[int(match[1])] = folder
    return [steps[step] for step in sorted(steps, reverse=True)]


def _open_folder(folder: Path) -> Checkpoint:
    declared = _codebooks_of(folder)
    files = (_WEIGHTS,) if declared is not None else _LAYOUT
    file = next((folder / name for name in files if (folder / name).is_file()), None)
    if file is None:
        raise CodebookError(f"{folder}: has {_CONFIG} but no weights; expected {' or '.join(files)}")
    tensors = _sharded(file) if file.suffix == ".json" else _READERS[file.suffix][1](file)
    if declared is None:
        return Checkpoint("model folder", tensors)
    missing = [key for key in declared.values() if key not in tensors]
    if missing:
        raise CodebookError(f"{file}: has no tensor '{missing[0]}', which {_CONFIG} names")
    return Checkpoint("unicode-cmg checkpoint", tensors, declared)


def _codebooks_of(folder: Path) -> dict[str, str] | None:
    """Name -> key of each codebook in `config.json`; None if the folder is no native checkpoint."""
    file = folder / _CONFIG
    if not file.is_file():
        return None
    config = _json(file)
    if not isinstance(config, dict) or not isinstance(config.get("codebooks"), dict):
        return None
    return {str(name): str(key) for name, key in config["codebooks"].items()}


def _sharded(index: Path) -> dict[str, Stored]:
    """The tensors of all the files that an index names."""
    try:
        places = {str(key): str(name) for key, name in _json(index)["weight_map"].items()}
    except (KeyError, TypeError, AttributeError):
        raise CodebookError(
            f'{index}: has no "weight_map"; expected the index of a sharded checkpoint'
        ) from None
    tensors: dict[str, Stored] = {}
    for name in dict.fromkeys(places.values()):
        file = index.parent / name
        if Path(name).name != name or file.suffix not in _READERS or not file.is_file():
            raise CodebookError(f"{index}: names '{name}', and there is no such file beside it")
        inside = _READERS[file.suffix][1](file)
        for key in (key for key, place in places.items() if place == name):
            if key not in inside:
                raise CodebookError(f"{file}: has no tensor '{key}', which {index.name} puts there")
            tensors[key] = inside[key]
    return tensors


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CodebookError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        raise CodebookError(f"{path}: not valid JSON; it may have been truncated") from None
