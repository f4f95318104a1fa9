"""Files of `torch.save`: tensors in nested dictionaries and lists. Only this module needs torch."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Shaped

from toc.arrays import CodebookError
from toc.codebooks.files import Stored

if TYPE_CHECKING:
    from torch import Tensor

_DEEPEST = 32


def read_torch(path: Path) -> dict[str, Stored]:
    """The tensors of a file of `torch.save` by their keys, joined with dots.

    Pickled objects other than tensors, numbers, strings and containers of them are never created. The values
    stay on the disk until they are read, unless the file is in torch's format from before 2020. If the whole
    file is one tensor, it is named after the file.

    Raises:
        CodebookError: torch is not installed; the file is damaged, of another kind, or holds other objects.
    """
    content = _load(path)
    tensors = dict(_walk(content, (), set()))
    return {".".join(keys) or path.stem: _stored(tensor, path) for keys, tensor in tensors.items()}


def _load(path: Path) -> Any:
    try:
        import torch
    except ImportError:
        raise CodebookError(
            f"{path}: a file of torch.save, and torch is not installed; install torch, or save the codebook"
            " as .npy or .safetensors"
        ) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about old formats; unreadable files raise errors anyway
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except MemoryError:
        raise
    except Exception as error:  # damaged bytes can raise any error in torch's readers
        raise _refusal(path, error) from None


def _refusal(path: Path, error: Exception) -> CodebookError:
    named = re.search(r"GLOBAL ([\w.]+)", str(error))
    if isinstance(error, pickle.UnpicklingError) and named is not None:
        return CodebookError(
            f"{path}: holds a Python object ({named[1]}), which could run code, so it was not unpickled;"
            " save the state dict alone"
        )
    if isinstance(error, OSError) and error.strerror is not None:
        return CodebookError(f"{path}: cannot be read ({error.strerror}); it may have been truncated")
    return CodebookError(f"{path}: not a whole file of torch.save; it may have been truncated")


def _walk(content: Any, keys: tuple[str, ...], seen: set[int]) -> Iterator[tuple[tuple[str, ...], Tensor]]:
    """Tensors and the keys that lead to them.

    Each container is visited once and none at great depth, because a file can be made to contain itself.
    """
    import torch

    if isinstance(content, torch.Tensor):
        yield keys, content
        return
    if not isinstance(content, (Mapping, list, tuple)) or id(content) in seen or len(keys) == _DEEPEST:
        return
    seen.add(id(content))
    items = content.items() if isinstance(content, Mapping) else enumerate(content)
    for key, value in items:
        yield from _walk(value, (*keys, str(key)), seen)


def _stored(tensor: Tensor, path: Path) -> Stored:
    import torch

    dense = tensor.layout == torch.strided and not tensor.is_quantized and tensor.numel() > 0
    memory = (tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype) if dense else None
    return Stored(
        tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."), partial(_values, tensor, path), memory
    )


def _values(tensor: Tensor, path: Path) -> Shaped[np.ndarray, ...]:
    import torch

    plain = tensor.detach()
    try:
        if plain.dtype == torch.bfloat16:
            plain = plain.float()
        return np.array(plain.numpy())
    except (TypeError, RuntimeError):
        raise CodebookError(
            f"{path}: the codebook is a {tensor.layout} tensor of {tensor.dtype}; expected a dense one of"
            " float64, float32, float16 or bfloat16"
        ) from None
