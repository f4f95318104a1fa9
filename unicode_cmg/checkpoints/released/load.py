"""Models from checkpoints of the released code, and such checkpoints from models."""

from __future__ import annotations

from collections.abc import Collection
from itertools import accumulate
from pathlib import Path

import torch

from unicode_cmg.checkpoints.released import LAYOUTS
from unicode_cmg.checkpoints.released.file import ReleasedFile, read_released
from unicode_cmg.checkpoints.tensors import check_same, set_dtype
from unicode_cmg.errors import InputError
from unicode_cmg.model import Model, ReleasedOrigin
from unicode_cmg.registry import model_class

_SEED = 0
"""Seed of the parameters that a file does not hold."""


def load_published(
    path: Path | str, *, map_location: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> Model:
    """Load a checkpoint of the released DCID, H-DCID or FCID code, in evaluation mode.

    The method is recognised by the names of the tensors, every size is read off their shapes. Nothing in the
    file is executed: objects beside the tensors are left out. The global random state is left alone. The
    encoder's module must be there, whole or as a bare state dict, with or without the `module.` of
    DataParallel; parts of the model whose modules the file lacks (H-DCID's and FCID's files hold no decoders)
    get reproducible fresh parameters, and `origin.fresh` names them. Without the text's LSTM, text features
    are read as its output.

    Args:
        path: The .pt file.
        map_location: Device to put the model on.
        dtype: Floating type of the parameters; None is float32, although released files hold float64.

    Raises:
        InputError: The file is missing or damaged; or a tensor is missing, left over or of a wrong shape.
    """
    model = model_of(read_released(Path(path)), dtype=dtype or torch.float32)
    return model.to(device=map_location).eval()


def model_of(file: ReleasedFile, *, dtype: torch.dtype | None) -> Model:
    """The model of a released checkpoint, in training mode.

    Args:
        file: Its content.
        dtype: Floating type; None keeps that of each tensor.

    Raises:
        InputError: A tensor is missing, left over or of another shape.
    """
    values, state = file.layout.from_released(file.tensors, where=file.path)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(_SEED)  # torch.manual_seed would reach the GPUs too
        model = model_class(file.layout.method, where=file.path).from_values(values, where=file.path)
    _check_complete(file, model)
    set_dtype(model, dtype, state)
    model.load_state_dict(state, strict=False)
    unused = {key: tensor for key, tensor in file.tensors.items() if file.layout.our_name(key) is None}
    fresh = _fresh(model.state_dict(), state)
    origin = ReleasedOrigin(modules=file.modules, fresh=fresh, counters=dict(file.counters))
    model.origin = origin.with_unused(unused, dtype)
    return model


def file_of(model: Model, path: Path, *, where: object, steps: int = 0) -> ReleasedFile:
    """The released checkpoint of a model, to be written to `path`.

    A model that was read from a released file gives the modules that file had, with their tensors without
    effect; any other model gives all modules of the released training state.

    Args:
        model: The method.
        path: The file to write.
        where: The model, for error messages.
        steps: What to note as `total_step` where the model does not know it.

    Raises:
        InputError: The released layout cannot express the model.
    """
    layout = LAYOUTS.get(model.name)
    if layout is None:
        raise InputError(f"there is no released layout for the method '{model.name}'", where=where)
    origin = model.origin
    tensors = layout.to_released(
        model.config,
        model.state_dict(),
        modules=layout.modules if origin is None else origin.modules,
        unused=None if origin is None else origin.unused,
        where=where,
    )
    counters = dict.fromkeys(layout.counters, 0) | {"total_step": steps}
    known = counters | dict({} if origin is None else origin.counters)
    return ReleasedFile(path, layout, tensors, {name: known[name] for name in layout.counters})


def _check_complete(file: ReleasedFile, model: Model) -> None:
    """Refuse a file whose modules differ from those of the model in a key or a shape."""
    title = f"a released {file.layout.title}"
    whole = file.layout.to_released(
        model.config, model.state_dict(), modules=file.modules, unused=file.tensors, where=file.path
    )
    right = f"every tensor of each module, as {title} has them"
    check_same(file.tensors, whole, title, by="the other tensors", where=file.path, right=right)


def _fresh(own: Collection[str], given: Collection[str]) -> tuple[str, ...]:
    """The shortest beginnings of our keys of which no tensor is given."""
    occupied = {start for key in given for start in _starts(key)}
    fresh = [key for key in own if key not in given]
    return tuple(
        dict.fromkeys(next(start for start in _starts(key) if start not in occupied) for key in fresh)
    )


def _starts(key: str) -> list[str]:
    """`a`, `a.b` and `a.b.c` of `a.b.c`."""
    return list(accumulate(key.split("."), "{}.{}".format))
