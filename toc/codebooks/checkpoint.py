"""Files and folders that hold tensors, and the codebooks that a native checkpoint declares."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from toc.arrays import CodebookError
from toc.codebooks.files import Stored, read_npy, read_npz, read_safetensors
from toc.codebooks.folders import CONFIG, WEIGHTS, model_folders, weights_file
from toc.codebooks.kinds import NPY, NPZ, PICKLE, SAFETENSORS, SCRIPT, TORCH, file_kind
from toc.codebooks.torch_files import read_torch
from toc.records import check_regular, read_json

NUMPY = (NPY, NPZ)
_READERS: dict[str, Callable[[Path], dict[str, Stored]]] = {
    SAFETENSORS: read_safetensors,
    NPY: read_npy,
    NPZ: read_npz,
    **dict.fromkeys((TORCH, SCRIPT, PICKLE), read_torch),
}


class Checkpoint(NamedTuple):
    """What a file or folder holds.

    Attributes:
        kind: Its kind, in words.
        tensors: Key -> tensor, not read yet.
        declared: Name -> key of each codebook, if the checkpoint itself declares them.
    """

    kind: str
    tensors: Mapping[str, Stored]
    declared: Mapping[str, str] | None = None


def open_checkpoint(path: Path) -> Checkpoint:
    """See `toc.find_codebooks`.

    Raises:
        CodebookError: It cannot be opened.
    """
    if path.is_dir():
        return _open_first(model_folders(path))
    if not path.exists():
        raise CodebookError(f"{path}: no such file or folder; {_download(path)}")
    if path.name == WEIGHTS and _codebooks_of(path.parent) is not None:
        return _open_folder(path.parent)
    if path.name.endswith(".index.json"):
        return Checkpoint("sharded checkpoint", _sharded(path))
    check_regular(path)
    kind = file_kind(path)
    return Checkpoint(kind, _READERS[kind](path))


def _open_first(folders: Sequence[Path]) -> Checkpoint:
    """The first folder that is not damaged, with a line on stderr for each that is passed over.

    Raises:
        CodebookError: All are damaged; the message is about the first.
    """
    damage: list[CodebookError] = []
    for folder in folders:
        try:
            return _open_folder(folder)
        except CodebookError as error:
            damage.append(error)
            if len(folders) > 1:
                print(f"{folder.name} is passed over: {error}", file=sys.stderr, flush=True)
    raise damage[0]


def _download(path: Path) -> str:
    """What to do about a path that does not exist, which may be the name of a model of the Hub."""
    name = str(path)
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name) and not path.suffix and not path.parent.exists():
        command = f"hf download {name} --local-dir {path.name}"
        return f"for a model of the Hugging Face Hub, download it first: {command}"
    return "check the path"


def _open_folder(folder: Path) -> Checkpoint:
    declared = _codebooks_of(folder)
    if declared is None:
        file = weights_file(folder)
        return Checkpoint("model folder", _sharded(file) if file.suffix == ".json" else _tensors(file))
    file = folder / WEIGHTS
    if not file.is_file():
        raise CodebookError(f"{folder}: has {CONFIG} but no weights; expected {WEIGHTS}")
    tensors = read_safetensors(file)
    _check_sums(folder)
    missing = [key for key in declared.values() if key not in tensors]
    if missing:
        raise CodebookError(f"{file}: has no tensor '{missing[0]}', which {CONFIG} names")
    return Checkpoint("unicode-cmg checkpoint", tensors, declared)


def _check_sums(folder: Path) -> None:
    """Compare the files of a native checkpoint with the SHA-256 that it lists, if it does.

    Raises:
        CodebookError: One is not the file that was written.
    """
    listed = folder / "SHA256SUMS"
    if not listed.is_file():
        return
    try:
        for line in listed.read_text(encoding="utf-8").splitlines():
            digest, _, name = line.partition("  ")
            if name in (CONFIG, WEIGHTS):
                with (folder / name).open("rb") as file:
                    if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                        raise CodebookError(
                            f"{folder / name}: not the file that was written (its SHA-256 is another than in"
                            f" {listed.name}); it may have been truncated or edited; copy the folder again"
                        )
    except (OSError, UnicodeDecodeError) as error:
        raise CodebookError(f"{listed}: cannot be read ({error})") from None


def _tensors(file: Path) -> dict[str, Stored]:
    return _READERS[file_kind(file)](file)


def _codebooks_of(folder: Path) -> dict[str, str] | None:
    """Name -> key of each codebook in `config.json`; None if the folder is no native checkpoint."""
    file = folder / CONFIG
    if not file.is_file():
        return None
    config = read_json(file)
    if not isinstance(config, dict) or not isinstance(config.get("codebooks"), dict):
        return None
    return {str(name): str(key) for name, key in config["codebooks"].items()}


def _sharded(index: Path) -> dict[str, Stored]:
    """The tensors of all the files that an index names."""
    try:
        places = {str(key): str(name) for key, name in read_json(index)["weight_map"].items()}
    except (KeyError, TypeError, AttributeError):
        raise CodebookError(
            f'{index}: has no "weight_map"; expected the index of a sharded checkpoint'
        ) from None
    tensors: dict[str, Stored] = {}
    for name in dict.fromkeys(places.values()):
        file = index.parent / name
        if Path(name).name != name or not file.is_file():
            raise CodebookError(f"{index}: names '{name}', and there is no such file beside it")
        inside = _tensors(file)
        for key in (key for key, place in places.items() if place == name):
            if key not in inside:
                raise CodebookError(f"{file}: has no tensor '{key}', which {index.name} puts there")
            tensors[key] = inside[key]
    return tensors
