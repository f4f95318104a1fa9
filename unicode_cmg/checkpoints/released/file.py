"""Files of the released code: read without running anything they hold, recognised as a method's, written."""

from __future__ import annotations

import errno
import pickle
import re
import warnings
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unicode_cmg.checkpoints.released import LAYOUTS, ReleasedLayout
from unicode_cmg.errors import InputError
from unicode_cmg.files import atomic_file, reading

RELEASED_SUFFIXES = (".pt", ".pth", ".ckpt")
_ENTRY = "_parameters"
_PARALLEL = "module."


@dataclass(frozen=True)
class ReleasedFile:
    """The content of a released checkpoint.

    Attributes:
        path: The file.
        layout: Which released method it is.
        tensors: `<Module>/<key>` -> tensor.
        counters: `epoch` and `total_step`, as far as the file has them.
        dropped: Entries that were not read, the states of optimizers.
    """

    path: Path
    layout: ReleasedLayout
    tensors: Mapping[str, Tensor]
    counters: Mapping[str, int]
    dropped: tuple[str, ...] = ()

    @property
    def modules(self) -> tuple[str, ...]:
        """The modules of the file, in the order of the layout."""
        found = {key.split("/")[0] for key in self.tensors}
        return tuple(m for m in self.layout.modules if m in found)


def read_released(path: Path) -> ReleasedFile:
    """Read a released checkpoint; its tensors are not yet compared with what its method needs.

    Raises:
        InputError: It cannot be read, or no released method is recognised in it.
    """
    content = _read_pickled(path)
    if not isinstance(content, Mapping) or not content:
        raise _not_released(path)
    if all(isinstance(value, Tensor) for value in content.values()):
        content = {f"Encoder{_ENTRY}": content}  # the bare state dict of an encoder
    tensors: dict[str, Tensor] = {}
    rest: dict[str, Any] = {}
    dropped: list[str] = []
    for entry, value in ((str(entry), value) for entry, value in content.items()):
        if entry.endswith(_ENTRY) and isinstance(value, Mapping):
            module = entry.removesuffix(_ENTRY)
            tensors |= {f"{module}/{key}": tensor for key, tensor in _module(value, entry, path)}
        elif entry.startswith("optimizer"):
            dropped.append(entry)
        else:
            rest[entry] = value
    layout = _recognise(tensors)
    if layout is None:
        raise _not_released(path)
    for entry, value in rest.items():
        if entry not in layout.counters or not isinstance(value, int):
            raise InputError(
                f"unknown entry '{entry}' ({type(value).__name__})",
                where=path,
                expected=f"modules, optimizers, {' and '.join(layout.counters)} of a released {layout.title}",
            )
    unknown = next((k for k in tensors if k.split("/")[0] not in layout.modules), None)
    if unknown is not None:
        raise InputError(
            f"unknown module '{unknown.split('/')[0]}'",
            where=path,
            expected=f"those of a released {layout.title}: {', '.join(layout.modules)}",
        )
    return ReleasedFile(path, layout, tensors, rest, tuple(dropped))


def write_released(file: ReleasedFile) -> None:
    """Write a released checkpoint atomically: each module's state dict under `<Module>_parameters`.

    Raises:
        InputError: The disk is full or not writable.
    """
    content: dict[str, Any] = {f"{module}{_ENTRY}": {} for module in file.modules}
    for name, tensor in file.tensors.items():
        module, key = name.split("/")
        plain = tensor.detach().cpu()
        whole = plain.untyped_storage().nbytes() == plain.nbytes
        content[f"{module}{_ENTRY}"][key] = plain if whole else plain.clone()  # a view brings its storage
    _write_pickled(file.path, content | dict(file.counters))


def _recognise(tensors: Collection[str]) -> ReleasedLayout | None:
    fitting = [
        layout
        for layout in LAYOUTS.values()
        if all(any(key.startswith(mark) for key in tensors) for mark in layout.marks)
    ]
    return max(fitting, key=lambda layout: len(layout.marks), default=None)


def _module(state: Mapping[Any, Any], entry: str, path: Path) -> Iterator[tuple[str, Tensor]]:
    """The tensors of one module, less the prefix that DataParallel gives to all of them."""
    parallel = bool(state) and all(str(key).startswith(_PARALLEL) for key in state)
    for key, tensor in state.items():
        if not isinstance(tensor, Tensor) or tensor.layout != torch.strided or not tensor.is_floating_point():
            kind = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
            raise InputError(
                f"'{key}' of '{entry}' is {kind}", where=path, expected="a dense tensor of floating point"
            )
        yield (str(key).removeprefix(_PARALLEL) if parallel else str(key)), tensor


def _not_released(path: Path) -> InputError:
    titles = ", ".join(layout.title for layout in LAYOUTS.values())
    return InputError(
        "no released method is recognised in this file",
        where=path,
        expected=f"a checkpoint of the released {titles}, or the state dict of its encoder",
    )


def _read_pickled(path: Path) -> Any:
    """What `torch.save` wrote: tensors, numbers, strings and containers of them, on the CPU.

    Raises:
        InputError: The file is missing, empty, truncated, not a checkpoint, or holds other Python objects,
            which could run code when unpickled.
    """
    with reading(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about old formats; what cannot be read raises as well
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except MemoryError:
            raise
        except Exception as error:  # torch's readers raise whatever the damaged bytes lead them into
            if isinstance(error, OSError) and error.errno != errno.EINVAL:
                raise
            raise _refusal(path, error) from None


def _write_pickled(path: Path, value: Any) -> None:
    """Write `value` as `torch.save` does, atomically.

    Raises:
        InputError: The disk is full or not writable.
    """
    with atomic_file(path) as scratch, scratch.open("wb") as file:
        try:
            torch.save(value, file)
        except RuntimeError as error:
            # torch's zip writer stumbles over what the disk refused, and reports itself
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def _refusal(path: Path, error: Exception) -> InputError:
    named = re.search(r"GLOBAL ([\w.]+)", str(error))
    if isinstance(error, pickle.UnpicklingError) and named is not None:
        return InputError(
            f"the file holds a Python object ({named[1]}), which could run code; it was not unpickled",
            where=path,
            expected="tensors, numbers and strings only",
            fix="save the state dicts of the modules, not the modules",
        )
    seeks_before_start = isinstance(error, OSError)
    if seeks_before_start or "PytorchStreamReader" in str(error):
        return InputError(
            "not a whole checkpoint", where=path, fix="it may have been truncated; copy it again"
        )
    return InputError(
        "not a checkpoint written by torch.save", where=path, expected="a .pt file of released code"
    )
