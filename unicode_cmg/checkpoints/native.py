"""Save and load a method: `config.json` says how to build it, `model.safetensors` holds its tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import Field

import unicode_cmg
from unicode_cmg.checkpoints.folders import MODEL_FILES, newest_checkpoint
from unicode_cmg.checkpoints.tensors import load_exactly, read_tensors, write_tensors
from unicode_cmg.config import Config
from unicode_cmg.errors import InputError
from unicode_cmg.files import atomic_directory, read_json
from unicode_cmg.methods import build_method
from unicode_cmg.methods.base import Method

FORMAT_VERSION = 1
CONFIG_FILE, WEIGHTS_FILE = MODEL_FILES


class _Description(Config):
    """The content of `config.json`."""

    format_version: int = Field(description="version of this layout")
    library_version: str = Field(description="unicode-cmg that wrote it")
    method: str = Field(description="name of the method")
    config: dict[str, Any] = Field(description="its complete configuration")
    codebooks: dict[str, str] = Field(description="layer -> key of its codebook in the weights")
    extra: dict[str, Any] | None = Field(default=None, description="notes on the model's origin")


def save_pretrained(
    model: Method[Any], folder: Path | str, *, extra: Mapping[str, Any] | None = None
) -> Path:
    """Write a model folder atomically: a model that was there before stays whole until the new one is.

    Args:
        model: The method, on any device.
        folder: Where to write; its parents are created.
        extra: JSON values about the model's origin, kept in `config.json` under `extra` and not read back.

    Returns:
        The folder.

    Raises:
        InputError: `folder` is a file, or the disk is full or not writable.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError("this is a file", where=folder, expected="a folder to write the model to")
    with atomic_directory(folder) as scratch:
        write_model(model, scratch, extra=extra)
    return folder


def write_model(model: Method[Any], folder: Path, *, extra: Mapping[str, Any] | None = None) -> None:
    """Write the two files of a model into an existing folder, in place."""
    description = _Description(
        format_version=FORMAT_VERSION,
        library_version=unicode_cmg.__version__,
        method=model.name,
        config=model.config.model_dump(mode="json"),
        codebooks=model.codebook_keys(),
        extra=None if extra is None else dict(extra),
    )
    values = {key: value for key, value in description.model_dump().items() if value is not None}
    text = json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")
    write_tensors(folder / WEIGHTS_FILE, model.state_dict())


def load_pretrained(
    path: Path | str, *, map_location: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> Method[Any]:
    """Load a model, in evaluation mode. Nothing is unpickled and the global random state is left alone.

    Args:
        path: A model folder, a run folder (its `model/`, else its newest complete checkpoint), or one
            checkpoint of a run.
        map_location: Device to put the model on.
        dtype: Floating type to convert it to; None leaves it as the method builds itself (float32).

    Raises:
        InputError: There is no model here, a file is truncated, the tensors do not fit the configuration,
            or the folder was written by a newer version.
    """
    folder = model_folder(Path(path))
    model = build_described(folder)
    load_exactly(model, read_tensors(folder / WEIGHTS_FILE), where=folder / WEIGHTS_FILE)
    return model.to(device=map_location, dtype=dtype).eval()


def build_described(folder: Path) -> Method[Any]:
    """A method built from the `config.json` of a model folder, with fresh parameters.

    Raises:
        InputError: The file is missing or damaged, of another format version, or names an unknown method.
    """
    where = folder / CONFIG_FILE
    values = read_json(where)
    found = values.get("format_version", FORMAT_VERSION) if isinstance(values, dict) else FORMAT_VERSION
    if found != FORMAT_VERSION:
        newer = isinstance(found, int) and found > FORMAT_VERSION
        raise InputError(
            f"format version {found!r}" + (", written by a newer version of unicode-cmg" if newer else ""),
            where=where,
            expected=f"format version {FORMAT_VERSION}",
            fix="update unicode-cmg" if newer else None,
        )
    description = _Description.parse(values, where=where)
    with torch.random.fork_rng(devices=[]):
        return build_method(description.method, description.config, where)


def model_folder(path: Path) -> Path:
    """The folder with the model's files that `path` stands for.

    Raises:
        InputError: There is none.
    """
    if path.suffix in (".pt", ".pth", ".ckpt") and not path.is_dir():
        raise InputError(
            "released checkpoints are not in the native format",
            where=path,
            expected=f"a folder with {CONFIG_FILE} and {WEIGHTS_FILE}",
        )
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
