"""Model folders on the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

import unicode_cmg
from unicode_cmg.checkpoints.native import CONFIG_FILE, UNUSED_FILE, WEIGHTS_FILE, load_pretrained
from unicode_cmg.errors import InputError
from unicode_cmg.methods.base import Method


def load_shared(
    name: str | Path,
    *,
    expected: type[object],
    map_location: torch.device | str,
    dtype: torch.dtype | None,
    **download: Any,
) -> Method[Any]:
    """Load a model from a path or, where there is none, from the Hub.

    Args:
        name: What `load_pretrained` takes, or `user/name`.
        expected: Class that the model must be of.
        map_location: Device to put the model on.
        dtype: Floating type of the parameters; None is float32.
        download: Arguments of `snapshot_download`.

    Raises:
        InputError: There is no such model, it is damaged, or it is of another method.
    """
    path = Path(name)
    model = load_pretrained(
        path if path.exists() else _download(str(name), **download), map_location=map_location, dtype=dtype
    )
    if not isinstance(model, expected):
        raise InputError(
            f"a model of the method '{model.name}'",
            where=name,
            expected=f"one of '{getattr(expected, 'name', expected.__name__)}'",
            fix="load it with Method.from_pretrained, which takes any",
        )
    return model


def _download(name: str, **download: Any) -> Path:
    """The local copy of a model of the Hub."""
    if name.count("/") != 1:
        raise _nowhere(name)
    try:
        folder = snapshot_download(
            name,
            allow_patterns=[CONFIG_FILE, WEIGHTS_FILE, UNUSED_FILE],
            library_name="unicode-cmg",
            library_version=unicode_cmg.__version__,
            **download,
        )
    except HFValidationError:
        raise _nowhere(name) from None
    except RevisionNotFoundError:
        raise InputError(f"no revision '{download.get('revision')}' on the Hub", where=name) from None
    except RepositoryNotFoundError:
        raise InputError(
            "no such file or folder, and no model of this name on the Hub",
            where=name,
            fix="check the name; a private model needs a token",
        ) from None
    except LocalEntryNotFoundError:
        raise InputError(
            "no such file or folder, and the Hub cannot be asked for it",
            where=name,
            fix="check the path, or the connection to the Hub",
        ) from None
    except HfHubHTTPError as error:
        raise InputError(f"the Hub refused it ({str(error).splitlines()[0]})", where=name) from error
    return Path(folder)


def _nowhere(name: str) -> InputError:
    return InputError("no such file or folder", where=name, expected="a path, or 'user/name' on the Hub")
