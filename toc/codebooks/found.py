"""The codebooks of a file: listed, and read one at a time."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from toc.codebooks.stored import Stored, matrices
from toc.errors import CodebookError
from toc.scores import as_codebook

_SHOWN = 8
_OPTION = " (--codebook NAME)"
_NOTHING = (
    "holds no codebook that is recognised; quantizers by finite scalars (FSQ) or without look-up (LFQ) have"
    " none; elsewhere any matrix [codes, dimensions] can be chosen by its key" + _OPTION
)
_GUESSED = "holds no codebook that is recognised, but by their names these may be some:"


@dataclass(frozen=True, eq=False)
class NamedCodebook:
    """A codebook and where it was found.

    Attributes:
        name: Its name in the file, see `FoundCodebook`.
        vectors: `[H, D]` floats; bfloat16 has become float32, other types are as in the file.
    """

    name: str
    vectors: Float[np.ndarray, "codes dim"]


@dataclass(frozen=True, eq=False)
class FoundCodebook:
    """A codebook of a file, not read yet.

    Attributes:
        name: A short name such as `layer0`, the layer of a native checkpoint, or the key.
        key: Key of the tensor that holds it; `KEY.0`, `KEY.1`, ... where it holds several.
        kind: Whose way to store codebooks it is, such as `EnCodec`; `array` if it goes by its key.
        codes: Its shape `[H, D]`, its type, and how to read it.
    """

    name: str
    key: str
    kind: str
    codes: Stored

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "name": self.name,
            "shape": list(self.codes.shape),
            "dtype": self.codes.dtype,
            "kind": self.kind,
            "key": self.key,
        }


@dataclass(frozen=True, eq=False)
class FoundCodebooks:
    """The codebooks of a file or folder.

    Attributes:
        path: Where.
        kind: What it is, such as `safetensors file`.
        codebooks: Those that are recognised.
        candidates: Where none is, the tensors that may be one; they go by their keys.
        tensors: All tensors by their keys.
    """

    path: Path
    kind: str
    codebooks: tuple[FoundCodebook, ...]
    candidates: tuple[FoundCodebook, ...]
    tensors: Mapping[str, Stored]

    def load(self, name: str | None = None) -> NamedCodebook:
        """Read one codebook.

        Args:
            name: Its name, or the key of any matrix in the file, `KEY.0` for the first matrix of a tensor
                with three axes. The end of a key will do where no other ends so. None if there is only one.

        Raises:
            CodebookError: It is not there; there are several or none, and no name; or it is not a codebook.
        """
        found = self._only() if name is None else self._named(name)
        vectors = found.codes.read()
        try:
            return NamedCodebook(found.name, as_codebook(vectors))
        except CodebookError as error:
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
        """What there is, a line for each codebook."""
        where = f"{self.path} ({self.kind})"
        listed = self.codebooks or self.candidates
        if not listed:
            return f"{where} {_NOTHING}"
        rows = [("name", "codes x dims", "dtype", "stored as", "key")]
        rows += [(f.name, " x ".join(map(str, f.codes.shape)), f.codes.dtype, f.kind, f.key) for f in listed]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(x.ljust(w) for x, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([where if self.codebooks else f"{where} {_GUESSED}", *lines])

    def _only(self) -> FoundCodebook:
        if len(self.codebooks) == 1:
            return self.codebooks[0]
        if self.codebooks:
            raise CodebookError(
                f"{self.path}: holds {_some(self.codebooks)}; choose one by its name{_OPTION}"
            )
        real = [key for key, stored in self.tensors.items() if stored.floating and len(stored.shape) > 1]
        if len(real) == 1 or len(self.tensors) == 1:  # nothing else can be meant
            return self._named(next(iter(real or self.tensors)))
        if self.candidates:
            raise CodebookError(
                f"{self.path}: {_GUESSED} {_some(self.candidates)}; choose one by its key{_OPTION}"
            )
        raise CodebookError(f"{self.path}: {_NOTHING}")

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
        """The codebooks of a tensor, under the names they are listed by if they are."""
        stored = self.tensors[key]
        keys = {key, *(f"{key}.{at}" for at in range(stored.shape[0] if len(stored.shape) == 3 else 0))}
        listed = [found for found in (*self.codebooks, *self.candidates) if found.key in keys]
        return listed or by_key(key, stored)

    def _complete(self, name: str) -> str | None:
        """The whole key that is `name` or, if it is the only one, ends with it."""
        if name in self.tensors:
            return name
        ending = [key for key in self.tensors if name and key.endswith(f".{name}")]
        return ending[0] if len(ending) == 1 else None


def by_key(key: str, stored: Stored) -> list[FoundCodebook]:
    """A tensor under its key; the matrices of one with three axes as `KEY.0`, `KEY.1`, ..."""
    if len(stored.shape) != 3:
        return [FoundCodebook(key, key, "array", stored)]
    keys = [f"{key}.{at}" for at in range(stored.shape[0])]
    return [FoundCodebook(k, k, "array", matrix) for k, matrix in zip(keys, matrices(stored), strict=True)]


def _some(found: tuple[FoundCodebook, ...]) -> str:
    names = [f.name for f in found]
    if len(names) <= _SHOWN:
        return ", ".join(names)
    return f"{len(names)} codebooks ({', '.join(names[:3])}, ... {names[-1]})"
