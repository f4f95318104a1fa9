"""Files of the released code: read without running anything they hold, recognised as a method's, written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from unicode_cmg.checkpoints.released import LAYOUTS, ReleasedLayout
from unicode_cmg.errors import InputError
from unicode_cmg.files import atomic_file, reading
from unicode_cmg.siblings import import_siblings

if TYPE_CHECKING:
    from toc.codebooks.torch_tensors import FileTensor

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
        dropped: Entries that were not read, such as the states of optimizers.
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

    Nothing of the file is run: objects other than tensors, numbers, text and containers are left out. The
    modules may be one level deeper, under a key such as `model`.

    Raises:
        InputError: It cannot be read, or no released method is recognised in it.
    """
    content = _read(path)
    if not isinstance(content, dict):
        raise _not_released(path)
    inside = [value for value in content.values() if isinstance(value, dict)]
    found = ((_modules(values, path), values) for values in (content, *inside))
    fitting = next(((m, v, layout) for m, v in found if (layout := _recognise(m)) is not None), None)
    if fitting is None:
        raise _not_released(path)
    modules, values, layout = fitting
    unknown = next((module for module in modules if module not in layout.modules), None)
    if unknown is not None:
        raise InputError(
            f"unknown module '{unknown}'",
            where=path,
            expected=f"those of a released {layout.title}: {', '.join(layout.modules)}",
        )
    counters = {name: _whole(values.get(name, content.get(name))) for name in layout.counters}
    counted = {name: value for name, value in counters.items() if value is not None}
    read = {f"{module}{_ENTRY}" for module in modules} | counted.keys()
    state = _is_state(values)
    others = [str(key) for key, value in content.items() if value is not values and str(key) not in read]
    others += [str(key) for key in values if values is not content and not state and str(key) not in read]
    dropped = () if state and values is content else tuple(dict.fromkeys(others))
    tensors = {f"{module}/{key}": t for module, held in modules.items() for key, t in held.items()}
    return ReleasedFile(path, layout, tensors, counted, dropped)


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


def _modules(values: Mapping[Any, Any], path: Path) -> dict[str, dict[str, Tensor]]:
    """Name of a module -> its tensors; the state dict of an encoder alone is the module `Encoder`."""
    if _is_state(values):
        return {"Encoder": _module(values, f"Encoder{_ENTRY}", path)}
    return {
        str(entry).removesuffix(_ENTRY): _module(state, str(entry), path)
        for entry, state in values.items()
        if str(entry).endswith(_ENTRY) and isinstance(state, dict)
    }


def _is_state(values: Mapping[Any, Any]) -> bool:
    from toc.codebooks.torch_tensors import FileTensor

    return bool(values) and all(isinstance(value, FileTensor) for value in values.values())


def _recognise(modules: Mapping[str, Mapping[str, Tensor]]) -> ReleasedLayout | None:
    keys = [f"{module}/{key}" for module, state in modules.items() for key in state]
    fitting = [
        layout
        for layout in LAYOUTS.values()
        if all(any(key.startswith(mark) for key in keys) for mark in layout.marks)
    ]
    return max(fitting, key=lambda layout: len(layout.marks), default=None)


def _module(state: Mapping[Any, Any], entry: str, path: Path) -> dict[str, Tensor]:
    """The tensors of one module, less the prefix that DataParallel gives to all of them."""
    from toc.codebooks.torch_tensors import FileTensor

    parallel = bool(state) and all(str(key).startswith(_PARALLEL) for key in state)
    tensors = {}
    for key, value in state.items():
        if not isinstance(value, FileTensor) or value.odd or not value.stored().floating:
            kind = (
                f"{value.odd} torch.{value.kind}".strip() if isinstance(value, FileTensor) else _named(value)
            )
            raise InputError(
                f"'{key}' of '{entry}' is {kind}", where=path, expected="a dense tensor of floating point"
            )
        tensors[str(key).removeprefix(_PARALLEL) if parallel else str(key)] = _tensor(value, path)
    return tensors


def _tensor(value: FileTensor, path: Path) -> Tensor:
    """A tensor with the very bits of the file."""
    from toc import CodebookError

    try:
        bits = value.bits()
    except CodebookError as error:
        raise InputError(str(error).removeprefix(f"{path}: "), where=path) from None
    if value.kind == "bfloat16":
        return torch.from_numpy(bits.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(bits)


def _named(value: object) -> str:
    return str(getattr(value, "kind", None) or type(value).__name__)


def _whole(value: object) -> int | None:
    """A counter, which may be a whole number of floating point; None for anything else."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value == value // 1:
        return int(value)
    return None


def _not_released(path: Path) -> InputError:
    titles = ", ".join(layout.title for layout in LAYOUTS.values())
    return InputError(
        "no released method is recognised in this file",
        where=path,
        expected=f"a checkpoint of the released {titles}, or the state dict of its encoder",
    )


def _read(path: Path) -> Any:
    """What a file of `torch.save` holds, by `toc.codebooks.torch_files.load_content`.

    Raises:
        InputError: The file is missing, empty, truncated or of another kind.
    """
    import_siblings("toc")
    from toc import CodebookError
    from toc.codebooks.kinds import NPY, NPZ, SAFETENSORS, file_kind
    from toc.codebooks.torch_files import load_content

    with reading(path):
        if path.is_dir():
            raise IsADirectoryError
        path.stat()
        try:
            kind = file_kind(path)
            if kind in (SAFETENSORS, NPY, NPZ):
                raise InputError(f"this is a {kind}", where=path, expected="a .pt file of released code")
            return load_content(path)
        except CodebookError as error:
            raise InputError(str(error).removeprefix(f"{path}: "), where=path) from None


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
