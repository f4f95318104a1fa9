"""Named tensors in safetensors files: written without shared storage, read with errors a user can act on."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from unicode_cmg.errors import InputError
from unicode_cmg.files import reading, umask


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors of any device to `path`; tensors that share memory are written as copies.

    Raises:
        OSError: The disk refuses; `errno` is set.
    """
    seen: set[int] = set()
    plain = {}
    for key, tensor in tensors.items():
        value = tensor.detach().cpu().contiguous()
        storage = value.untyped_storage().data_ptr()
        plain[key] = value.clone() if storage in seen else value
        seen.add(storage)
    try:
        save_file(plain, path, metadata={"format": "pt"})
    except SafetensorError as error:
        # safetensors reports a failed write by its own class; the system's code is only in the text
        code = re.search(r"(?:os error|Os { code:) (\d+)", str(error))
        if code is None:
            raise
        raise OSError(int(code[1]), os.strerror(int(code[1])), str(path)) from error
    path.chmod(0o666 & ~umask())  # safetensors makes a file that only its owner can read


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read every tensor of a safetensors file to the CPU.

    Raises:
        InputError: The file is missing, empty, truncated or not a safetensors file.
    """
    try:
        with reading(path), safe_open(path, framework="pt", device="cpu") as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    except SafetensorError as error:
        with reading(path), path.open("rb") as opened:
            if opened.read(23) == b"version https://git-lfs":
                raise InputError(
                    "a Git LFS pointer, not the file itself", where=path, fix="fetch the file: git lfs pull"
                ) from None
        raise InputError(
            f"not a whole safetensors file ({error})",
            where=path,
            fix="it may have been truncated; copy it again",
        ) from None


def set_dtype(module: torch.nn.Module, dtype: torch.dtype | None, tensors: Mapping[str, Tensor]) -> None:
    """Give the floating parameters and buffers of `module` a type; with None those that `tensors` have.

    Those that `tensors` lack get the type of the first that it has.
    """
    if dtype is not None:
        module.to(dtype=dtype)
        return
    kinds = {key: tensor.dtype for key, tensor in tensors.items() if tensor.is_floating_point()}
    other = next(iter(kinds.values()), torch.get_default_dtype())
    for key, own in (*module.named_parameters(), *module.named_buffers()):
        if own.is_floating_point():
            own.data = own.data.to(kinds.get(key, other))


def load_exactly(module: torch.nn.Module, tensors: Mapping[str, Tensor], *, where: object) -> None:
    """Copy `tensors` into the parameters and buffers of `module`; keys and shapes must be the same.

    Raises:
        InputError: A key is missing or left over, a shape differs, or a value is not finite. The module is
            then unchanged.
    """
    fix = "its config.json may be of another model"
    check_same(tensors, module.state_dict(), "this model", by="its config.json", where=where, fix=fix)
    check_finite(tensors, where=where)
    module.load_state_dict(tensors)


def check_finite(tensors: Mapping[str, Tensor], *, where: object) -> None:
    """Refuse tensors with NaN or infinite values, which no training of ours saves.

    Raises:
        InputError: A value is not finite; the tensor is named.
    """
    for key, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise InputError(f"tensor '{key}' holds NaN or infinity", where=where, fix="the file is damaged")


def check_same(
    tensors: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    owner: str,
    *,
    by: str,
    where: object,
    right: str | None = None,
    fix: str | None = None,
) -> None:
    """Refuse tensors that differ in a key or a shape from those expected.

    Args:
        tensors: The tensors given.
        expected: Every tensor that must be there, with its shape.
        owner: What the tensors should belong to, as in "does not belong to this model".
        by: What tells the right shapes.
        where: The file they came from, for the error message.
        right: What is expected if a tensor is missing or left over.
        fix: What to do about that.

    Raises:
        InputError: A tensor is missing, left over or of another shape; the first is named.
    """
    missing = [key for key in expected if key not in tensors]
    surplus = [key for key in tensors if key not in expected]
    for kind, keys in (("is missing", missing), (f"does not belong to {owner}", surplus)):
        if keys:
            others = f" (and {len(keys) - 1} more)" if len(keys) > 1 else ""
            raise InputError(f"tensor '{keys[0]}' {kind}{others}", where=where, expected=right, fix=fix)
    for key, tensor in expected.items():
        if tensors[key].shape != tensor.shape:
            what = f"tensor '{key}' has shape {list(tensors[key].shape)}"
            raise InputError(what, where=where, expected=f"{list(tensor.shape)} by {by}")


def state_fingerprint(model: torch.nn.Module) -> str:
    """SHA-256 over names, types, shapes and bytes of all parameters and buffers, ordered by name."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name}:{value.dtype}:{tuple(value.shape)};".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
