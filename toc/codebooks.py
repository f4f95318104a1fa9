"""Read a codebook from a checkpoint, a run, or a NumPy file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from toc.errors import CodebookError
from toc.scores import as_codebook


@dataclass(frozen=True, eq=False)
class NamedCodebook:
    """A codebook and where it was found.

    Attributes:
        name: Its name in the file: the layer of a model, the key of an `.npz`, the stem of an `.npy`.
        vectors: `[H, D]` floats.
    """

    name: str
    vectors: Float[np.ndarray, "codes dim"]


def load_codebook(path: str | Path, name: str | None = None) -> NamedCodebook:
    """Read one codebook.

    Args:
        path: A native checkpoint (a folder with `config.json` and `model.safetensors`), a run (a folder with
            a `model` folder), an `.npy` file with one array, or an `.npz` file.
        name: Which one, where there are several: a layer of the checkpoint, or a key of the `.npz`.

    Raises:
        CodebookError: There is no codebook, or no such name, or several and no name; the message lists them.
    """
    path = Path(path)
    if path.is_dir():
        found = _from_checkpoint(path if (path / "config.json").exists() else path / "model")
    elif not path.exists():
        raise CodebookError(f"{path}: no such file or folder; check the path")
    elif path.suffix in (".npy", ".npz"):
        found = _from_numpy(path)
    elif path.suffix in (".pt", ".pth", ".bin"):
        raise CodebookError(
            f"{path}: a pickled checkpoint, and pickles are never trusted; expected a native checkpoint,"
            " .npy or .npz; 'unicode-cmg convert' makes the former of a released checkpoint"
        )
    else:
        raise CodebookError(f"{path}: not a codebook; expected a checkpoint or run folder, .npy or .npz")
    return _pick(found, name, path)


def _pick(found: dict[str, Any], name: str | None, path: Path) -> NamedCodebook:
    names = ", ".join(found) or "nothing"
    if name is None:
        if len(found) != 1:
            raise CodebookError(
                f"{path}: holds {names}; name one of them"
                if found
                else f"{path}: holds no codebook to refine; a model that quantizes by finite scalars has none"
            )
        name = next(iter(found))
    if name not in found:
        raise CodebookError(f"{path}: has no codebook '{name}'; it holds {names}")
    try:
        return NamedCodebook(name, as_codebook(found[name]))
    except CodebookError as error:
        raise CodebookError(f"{path} ({name}): {error}") from None


def _from_checkpoint(folder: Path) -> dict[str, Any]:
    from safetensors import SafetensorError, safe_open

    config, weights = folder / "config.json", folder / "model.safetensors"
    for file in (config, weights):
        if not file.is_file():
            raise CodebookError(
                f"{file}: no such file; expected a checkpoint folder with config.json and model.safetensors"
            )
    try:
        keys = json.loads(config.read_text(encoding="utf-8"))["codebooks"]
        keys = {str(layer): str(key) for layer, key in keys.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise CodebookError(
            f'{config}: has no "codebooks"; expected the config.json of a native checkpoint'
        ) from None
    try:
        with safe_open(weights, framework="np") as tensors:
            present = set(tensors.keys())
            missing = [key for key in keys.values() if key not in present]
            if missing:
                raise CodebookError(f"{weights}: has no tensor '{missing[0]}', which {config.name} names")
            return {layer: tensors.get_tensor(key) for layer, key in keys.items()}
    except SafetensorError as error:
        raise CodebookError(
            f"{weights}: not a safetensors file ({error}); it may have been truncated"
        ) from None
    except TypeError as error:  # NumPy has no bfloat16
        raise CodebookError(
            f"{weights}: a dtype NumPy cannot read ({error}); save the codebook as float32"
        ) from None


def _from_numpy(path: Path) -> dict[str, Any]:
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {path.stem: loaded}
        with loaded:
            return {key: loaded[key] for key in loaded.files}
    except (OSError, ValueError, EOFError) as error:
        raise CodebookError(f"{path}: cannot be read as a NumPy file ({error})") from None
