"""Files written by `torch.save`, read without running anything they hold; their failures in one line."""

from __future__ import annotations

import errno
import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import torch

from unicode_cmg.errors import InputError
from unicode_cmg.files import atomic_file


def read_pickled(path: Path) -> Any:
    """What `torch.save` wrote: tensors, numbers, strings and containers of them, on the CPU.

    Raises:
        InputError: The file is missing, empty, truncated, not a checkpoint, or holds other Python objects,
            which could run code when unpickled.
    """
    try:
        if path.is_file() and path.stat().st_size == 0:
            raise InputError("the file is empty", where=path, fix="it may have been truncated; copy it again")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about old formats; what cannot be read raises as well
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError("no such file", where=path, fix="check the path") from None
    except IsADirectoryError:
        raise InputError("this is a folder", where=path, expected="a file") from None
    except (InputError, MemoryError):
        raise
    except Exception as error:  # torch's readers raise whatever the damaged bytes lead them into
        raise _refusal(path, error) from None


def write_pickled(path: Path, value: Any) -> None:
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
    if isinstance(error, OSError) and error.errno != errno.EINVAL:
        return InputError(f"cannot be read ({error.strerror or error})", where=path)
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
