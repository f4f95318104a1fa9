"""The codebooks of a file or folder: listed, chosen by name or key, and read one at a time."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from toc.arrays import CodebookError, as_codebook
from toc.codebooks.checkpoint import NUMPY, open_checkpoint
from toc.codebooks.conventions import FoundCodebook, by_key, looks_like_codes, recognise
from toc.codebooks.evidence import Tensors

_SHOWN = 8
_OPTION = " (--codebook NAME)"
_NOTHING = (
    "holds no codebook that is recognised; quantizers by finite scalars (FSQ) or without look-up (LFQ) have"
    " none; elsewhere any matrix [codes, dimensions] can be chosen by its key" + _OPTION
)
_MOST = 64  # matrices of one array that may all be codebooks
_GUESSED = "holds no codebook that is recognised, but by their names these may be some:"


@dataclass(frozen=True, eq=False)
class NamedCodebook:
    """A codebook and its name.

    Attributes:
        name: Its name in the file, see `FoundCodebook`.
        vectors: `[H, D]` floats; bfloat16 is converted to float32, other types are as in the file.
    """

    name: str
    vectors: Float[np.ndarray, "codes dim"]


@dataclass(frozen=True, eq=False)
class FoundCodebooks:
    """The codebooks of a file or folder.

    Attributes:
        path: The file or folder.
        kind: Its kind, such as `safetensors file`.
        codebooks: The recognised codebooks.
        candidates: If there are none, the tensors that may be codebooks, named by their keys.
        tensors: All tensors by their keys.
    """

    path: Path
    kind: str
    codebooks: tuple[FoundCodebook, ...]
    candidates: tuple[FoundCodebook, ...]
    tensors: Tensors

    def load(self, name: str | None = None) -> NamedCodebook:
        """Read one codebook.

        Args:
            name: Its name, or the key of any matrix in the file, `KEY.0` for the first matrix of a tensor
                with three axes. The end of a key is enough if no other key ends so. None if there is only
                one codebook.

        Raises:
            CodebookError: There is no such codebook; no name is given although there are several or none; or
                the tensor is not a codebook.
        """
        found = self._only() if name is None else self._named(name)
        try:
            return NamedCodebook(found.name, as_codebook(found.codes.read()))
        except CodebookError as error:
            if str(self.path) in str(error):
                raise
            raise CodebookError(f"{self.path} ({found.name}): {error}") from None

    def to_json(self) -> dict[str, Any]:
        """Plain values, as `unicode-cmg toc --list --json` prints them."""
        return {
            "path": str(self.path),
            "kind": self.kind,
            "codebooks": [found.to_json() for found in self.codebooks],
            "candidates": [found.to_json() for found in self.candidates],
        }

    def table(self) -> str:
        """The list as text, a line for each codebook."""
        where = f"{self.path} ({self.kind})"
        listed = self.codebooks or self.candidates
        if not listed:
            features = self._features()
            return f"{where} {_NOTHING}" if features is None else f"{where} {features}"
        rows = [("name", "codes x dims", "dtype", "stored as", "key")]
        rows += [(f.name, " x ".join(map(str, f.codes.shape)), f.codes.dtype, f.kind, f.key) for f in listed]
        refused = [f"{f.name} cannot be refined: {f.codes.refused}" for f in listed if f.codes.refused]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(x.ljust(w) for x, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([where if self.codebooks else f"{where} {_GUESSED}", *lines, *refused])

    def _only(self) -> FoundCodebook:
        if len(self.codebooks) == 1:
            return self.codebooks[0]
        if self.codebooks:
            raise CodebookError(
                f"{self.path}: holds {_some(self.codebooks)}; choose one by its name{_OPTION}"
            )
        if (features := self._features()) is not None:
            raise CodebookError(f"{self.path}: {features}")
        real = [key for key, stored in self.tensors.items() if stored.floating and len(stored.shape) > 1]
        if len(real) == 1 or len(self.tensors) == 1:  # nothing else can be meant
            return self._named(next(iter(real or self.tensors)))
        if self.candidates:
            raise CodebookError(
                f"{self.path}: {_GUESSED} {_some(self.candidates)}; choose one by its key{_OPTION}"
            )
        if not self.tensors:
            raise CodebookError(f"{self.path}: a {self.kind} without any tensor or array in it")
        raise CodebookError(f"{self.path}: {_NOTHING}")

    def _features(self) -> str | None:
        """What to say of an array of features, where a codebook was expected."""
        for key, stored in self.tensors.items() if self.kind in NUMPY else ():
            if stored.floating and _like_features(stored.shape):
                return (
                    f"holds features, not codebooks: '{key}' of shape {list(stored.shape)} looks like clips,"
                    " steps and channels; expected codebooks [codes, dimensions], such as those of a model"
                )
        return None

    def _named(self, name: str) -> FoundCodebook:
        listed = (*self.codebooks, *self.candidates)
        found = next((found for found in listed if found.name == name), None) or self._keyed(name)
        if found is not None:
            return found
        near = difflib.get_close_matches(name, [*(f.name for f in listed), *self.tensors], n=1)
        mend = (
            f"did you mean '{near[0]}'?" if near else f"it holds {_some(listed) or 'none that is recognised'}"
        )
        raise CodebookError(f"{self.path}: has no codebook '{name}'; {mend}")

    def _keyed(self, name: str) -> FoundCodebook | None:
        """The codebook of a tensor, or the one whose number follows the key of a tensor with three axes."""
        key = self._complete(name)
        if key is not None:
            parts = self._parts(key)
            if len(parts) == 1:
                return parts[0]
            raise CodebookError(
                f"{self.path} ({key}): a tensor of shape {list(self.tensors[key].shape)} is {len(parts)}"
                f" codebooks; choose one, such as {key}.0{_OPTION}"
            )
        owner, _, number = name.rpartition(".")
        key = self._complete(owner)
        if key is None or not number.isdecimal() or len(self.tensors[key].shape) != 3:
            return None
        return dict(enumerate(self._parts(key))).get(int(number))

    def _parts(self, key: str) -> list[FoundCodebook]:
        """The codebooks of a tensor, as listed if they are listed."""
        stored = self.tensors[key]
        keys = {key, *(f"{key}.{at}" for at in range(stored.shape[0] if len(stored.shape) == 3 else 0))}
        listed = [found for found in (*self.codebooks, *self.candidates) if found.key in keys]
        return listed or by_key(key, self.tensors)

    def _complete(self, name: str) -> str | None:
        """The key that equals `name` or, if there is only one such key, ends with it."""
        if name in self.tensors:
            return name
        ending = [key for key in self.tensors if name and key.endswith(f".{name}")]
        return ending[0] if len(ending) == 1 else None


def find_codebooks(path: str | Path) -> FoundCodebooks:
    """List the codebooks of a file or folder; their values are not read yet.

    Args:
        path: A native checkpoint, a run, a folder in the layout of Hugging Face, a `.safetensors` file, a
            file of `torch.save` (`.pt`, `.pth`, `.bin`, `.ckpt`), or a NumPy file (`.npy`, `.npz`).

    Raises:
        CodebookError: There is no such file, it is damaged or of another kind, it holds pickled objects, or
            it can only be opened with torch, which is not installed.
    """
    kind, found, declared = open_checkpoint(Path(path))
    tensors = Tensors(found)
    if declared is not None:
        codebooks = [FoundCodebook(name, key, "unicode-cmg", tensors[key]) for name, key in declared.items()]
    else:
        codebooks = recognise(tensors)
        if kind in NUMPY and not codebooks:  # arrays that the user has chosen, not all tensors of a model
            real = [
                key
                for key, s in tensors.items()
                if s.floating and len(s.shape) in (2, 3) and not _like_features(s.shape)
            ]
            codebooks = [each for key in real for each in by_key(key, tensors)]
    guesses = [] if codebooks else [key for key, stored in tensors.items() if looks_like_codes(key, stored)]
    candidates = tuple(each for key in guesses for each in by_key(key, tensors))
    return FoundCodebooks(Path(path), kind, tuple(codebooks), candidates, tensors)


def load_codebook(path: str | Path, name: str | None = None) -> NamedCodebook:
    """Read one codebook.

    Args:
        path: See `find_codebooks`.
        name: Which one, if there are several, see `FoundCodebooks.load`.

    Raises:
        CodebookError: There is no codebook, or no such name, or several and no name; the message lists them.
    """
    return find_codebooks(path).load(name)


def _like_features(shape: tuple[int, ...]) -> bool:
    return len(shape) in (3, 5) and shape[0] > _MOST


def _some(found: tuple[FoundCodebook, ...]) -> str:
    names = [f.name for f in found]
    if len(names) <= _SHOWN:
        return ", ".join(names)
    return f"{len(names)} codebooks ({', '.join(names[:3])}, ... {names[-1]})"
