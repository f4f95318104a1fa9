"""Published weights in files: read without running anything in them, checked against a network by name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from unicode_cmg.checkpoints.tensors import read_tensors
from unicode_cmg.errors import InputError
from unicode_cmg.files import reading

Weights = dict[str, Tensor]
NetworkT = TypeVar("NetworkT", bound=nn.Module)


def weights_file(model: str | None, name: str, what: str) -> Path:
    """The file that `NAME:FILE` names.

    Args:
        model: What stands behind the colon.
        name: Name of the encoder.
        what: What the file should hold, for the error message.

    Raises:
        InputError: There is none.
    """
    if not model:
        raise InputError(f"'{name}' needs a file", expected=f"{name}:FILE", fix=f"FILE holds {what}")
    path = Path(model).expanduser()
    if not path.is_file():
        raise InputError("no such file", where=path, expected=what)
    return path


def read_weights(path: Path) -> Weights:
    """The tensors of a `.safetensors` file or of one that `torch.save` wrote, by name.

    Raises:
        InputError: It cannot be read, or holds anything but named tensors.
    """
    if path.suffix == ".safetensors":
        return read_tensors(path)
    with reading(path):
        try:
            found: Any = torch.load(path, map_location="cpu", weights_only=True)
        except OSError:
            raise
        except Exception as error:  # whatever a damaged pickle can lead to
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise InputError(f"no file of plain tensors ({reason})", where=path) from None
    if isinstance(found, dict) and isinstance(found.get("state_dict"), dict):
        found = found["state_dict"]
    if not isinstance(found, dict) or not all(isinstance(v, Tensor) for v in found.values()):
        raise InputError("it does not hold tensors by name alone", where=path, expected="a state dict")
    return {str(key): value for key, value in found.items()}


def fill(build: Callable[[], NetworkT], weights: Weights, *, where: Path) -> NetworkT:
    """A network with these weights in float32, ready to encode; names that it lacks are left out.

    Args:
        build: Builds it.
        weights: Tensors by name.
        where: Their file, for the error message.

    Raises:
        InputError: A tensor is missing or has another shape.
    """
    with torch.device("meta"):  # without drawing initial weights
        network = build()
    wanted = network.state_dict()
    missing = [key for key in wanted if key not in weights]
    if missing:
        raise InputError(
            f"it lacks {len(missing)} of {len(wanted)} tensors, such as '{missing[0]}'",
            where=where,
            expected=f"the published weights of {type(network).__name__}",
        )
    for key, value in wanted.items():
        if weights[key].shape != value.shape:
            raise InputError(
                f"'{key}' has shape {list(weights[key].shape)}", where=where, expected=f"{list(value.shape)}"
            )
    network.load_state_dict({key: weights[key].float() for key in wanted}, assign=True)
    return network.eval().requires_grad_(False)


def sha256(path: Path) -> str:
    """SHA-256 of a file.

    Raises:
        InputError: It cannot be read.
    """
    with reading(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
