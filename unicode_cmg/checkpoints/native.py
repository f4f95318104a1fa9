"""Save and load a model: `config.json` says how to build it, `model.safetensors` holds its tensors."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from unicode_cmg.checkpoints.folders import CONFIG_FILE, MODEL_FILES, UNUSED_FILE, WEIGHTS_FILE, model_folder
from unicode_cmg.checkpoints.released.load import load_published
from unicode_cmg.checkpoints.sums import SUMS_FILE, check_sums, write_sums
from unicode_cmg.checkpoints.tensors import load_exactly, read_tensors, set_dtype, write_tensors
from unicode_cmg.config import Config, flat
from unicode_cmg.errors import InputError
from unicode_cmg.files import atomic_directory, disk_errors, read_json
from unicode_cmg.model import Model, ReleasedOrigin
from unicode_cmg.registry import model_class
from unicode_cmg.version import VERSION

FORMAT_VERSION = 1
_SMALL = 1 << 24  # values of a model that needs no care


class Description(Config):
    """The content of `config.json`."""

    format_version: int = Field(description="version of this layout")
    library_version: str = Field(description="unicode-cmg that wrote it")
    method: str = Field(description="name of the method")
    config: dict[str, Any] = Field(description="its complete configuration")
    codebooks: dict[str, str] = Field(description="code layer -> key of its codebook in the weights")
    extra: dict[str, Any] | None = Field(default=None, description="notes on the model's origin")


def save_pretrained(model: Model, folder: Path | str, *, extra: Mapping[str, Any] | None = None) -> Path:
    """Write a model folder atomically: a model that was there before stays whole until the new one is.

    Args:
        model: The model, on any device.
        folder: Where to write; its parents are created.
        extra: JSON values about the model's origin, kept in `config.json` under `extra`. Only `released` is
            read back, which a model that came from a released checkpoint writes itself.

    Returns:
        The folder.

    Raises:
        InputError: `folder` is a file, or the disk is full or not writable.

    >>> from tempfile import TemporaryDirectory
    >>> from unicode_cmg.registry import model_class
    >>> sizes = {"modalities": {"audio": {"dim": 6}, "video": {"dim": 4}}, "dim": 8, "num_codes": 16}
    >>> with TemporaryDirectory() as folder:
    ...     save_pretrained(model_class("dcid").from_values(sizes, where="sizes"), f"{folder}/model").name
    ...     load_pretrained(f"{folder}/model").code_layers()
    'model'
    {'layer0': 16}
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError("this is a file", where=folder, expected="a folder to write the model to")
    with atomic_directory(folder) as scratch:
        write_model(model, scratch, extra=extra)
        write_sums(scratch)
    return folder


def save_in_place(model: Model, folder: Path) -> None:
    """Write a model into an existing folder and leave its other files alone.

    While it is written there is no `config.json`, so that a folder with half a model is not taken for one.

    Raises:
        InputError: The disk is full or not writable.
    """
    with disk_errors(folder):
        for name in (CONFIG_FILE, SUMS_FILE):
            (folder / name).unlink(missing_ok=True)
        write_model(model, folder)
        write_sums(folder, (*MODEL_FILES, UNUSED_FILE))


def write_model(model: Model, folder: Path, *, extra: Mapping[str, Any] | None = None) -> None:
    """Write the files of a model into an existing folder, the description last."""
    notes = dict(extra or {})
    (folder / UNUSED_FILE).unlink(missing_ok=True)
    if model.origin is not None:
        notes["released"] = model.origin.model_dump(mode="json")
        write_tensors(folder / UNUSED_FILE, model.origin.unused)
    write_tensors(folder / WEIGHTS_FILE, model.state_dict())
    description = Description(
        format_version=FORMAT_VERSION,
        library_version=VERSION,
        method=model.name,
        config=model.config.model_dump(mode="json"),
        codebooks=model.codebook_keys(),
        extra=notes or None,
    )
    values = {key: value for key, value in description.model_dump().items() if value is not None}
    text = json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")


def best_device() -> str:
    """`"cuda"` where there is a GPU, else `"cpu"`: the device that encoding and evaluation put a model on."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def load_pretrained(
    path: Path | str, *, map_location: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> Model:
    """Load a model, in evaluation mode. Nothing is unpickled and the global random state is left alone.

    Args:
        path: A model folder, a run folder (its `model/`, else its newest complete checkpoint), one checkpoint
            of a run, or a released .pt file (see `load_published`).
        map_location: Device to put the model on.
        dtype: Floating type of the parameters; None is float32, whatever type the file holds.

    Raises:
        InputError: There is no model here, a file is truncated, the tensors do not fit the configuration,
            or the folder was written by a newer version.
    """
    path = Path(path)
    if path.is_file() and path.name not in MODEL_FILES:
        return load_published(path, map_location=map_location, dtype=dtype)
    model = load_folder(model_folder(path), dtype=dtype or torch.float32)
    return model.to(device=map_location).eval()


def load_folder(folder: Path, *, dtype: torch.dtype | None) -> Model:
    """The model of a model folder, in training mode.

    Args:
        folder: The folder itself, not that of a run.
        dtype: Floating type; None keeps that of each tensor.

    Raises:
        InputError: A file is missing, damaged or not the one that was written, or the tensors do not fit the
            configuration.
    """
    description = read_description(folder)
    where = folder / CONFIG_FILE
    tensors = read_tensors(folder / WEIGHTS_FILE)
    _check_size(description, tensors, where=where)
    with torch.random.fork_rng(devices=[]):
        model = model_class(description.method, where=where).from_values(description.config, where=where)
    set_dtype(model, dtype, tensors)
    load_exactly(model, tensors, where=folder / WEIGHTS_FILE)
    if description.extra is not None and "released" in description.extra:
        origin = ReleasedOrigin.parse(description.extra["released"], where=where)
        model.origin = origin.with_unused(read_tensors(folder / UNUSED_FILE), dtype)
    check_sums(folder, (*MODEL_FILES, UNUSED_FILE))  # last: other checks say more precisely what is wrong
    return model


def _check_size(description: Description, tensors: Mapping[str, Tensor], *, where: Path) -> None:
    """Refuse a configuration whose model is far larger than the stored tensors, before it fills the memory.

    Raises:
        InputError: It is, so that the two cannot be of the same model.
    """
    sizes = sorted(v for v in flat(description.config).values() if isinstance(v, int) and v > 0)[-2:]
    stored = sum(tensor.numel() for tensor in tensors.values())
    if math.prod(sizes) <= max(_SMALL, 16 * stored):
        return
    try:
        with torch.device("meta"):  # shapes without memory
            model = model_class(description.method, where=where).from_values(description.config, where=where)
    except (RuntimeError, NotImplementedError):  # finite scalars compute with values
        return
    needed = sum(tensor.numel() for tensor in model.state_dict().values())
    if needed > max(_SMALL, 16 * stored):
        raise InputError(
            f"the model has {needed} values, and {stored} are stored",
            where=where,
            fix="its config.json may be of another model",
        )


def read_description(folder: Path) -> Description:
    """The `config.json` of a model folder.

    Raises:
        InputError: The file is missing or damaged, or of another format version.
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
    return Description.parse(values, where=where)
