"""One part of a feature store: its description, and its arrays, mapped when they are first read."""

from __future__ import annotations

import csv
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Int64
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from unicode_cmg.config import Config
from unicode_cmg.errors import InputError
from unicode_cmg.files import check_regular, inside, read_json, read_text, reading

INDEX, DESCRIPTION, IDS, CLIPS = "features.json", "part.json", "ids.txt", "clips.csv"
NAME = "[A-Za-z0-9_-]+"  # of a modality: it names files
DTYPES = ("float16", "float32", "float64")
_OPEN_MAPS = 192  # a map keeps a file open, and a process may have 1024 of them


class PartModality(Config):
    """What a part has of a modality."""

    shape: tuple[PositiveInt, ...] = Field(min_length=2, description="[T, ...] of one clip.")
    dtype: Literal["float16", "float32", "float64"]
    clips: PositiveInt = Field(description="Clips that have it.")


class _Description(Config):
    clips: PositiveInt
    modalities: dict[Annotated[str, Field(pattern=f"^{NAME}$")], PartModality] = Field(min_length=1)
    sha256: dict[str, str] = Field({}, description="File name -> sha256 of its bytes when it was written.")


class Arrays(NamedTuple):
    """A modality of a part, mapped.

    Attributes:
        values: `[m, T, ...]` of the clips that have it.
        mask: `[n, T]`; None if every step of every clip is valid.
        places: `[n]` rows in `values`, -1 for a clip that lacks the modality; None if no clip does.
    """

    values: NDArray[np.floating[Any]]
    mask: Bool[np.ndarray, "clips time"] | None
    places: Int64[np.ndarray, " clips"] | None


@dataclass(frozen=True, eq=False)
class Part:
    """A folder `part-00007` of a store.

    Attributes:
        path: The folder.
        ids: Its clips.
        modalities: Those of which it has features.
        sha256: File name -> hash of the file when it was written.
    """

    path: Path
    ids: tuple[str, ...]
    modalities: Mapping[str, PartModality]
    sha256: Mapping[str, str]

    @classmethod
    def open(cls, path: Path) -> Part:
        """Read the description, the ids and the headers of the arrays; no array stays open.

        Raises:
            InputError: A file is missing, empty or truncated, or an array is not the described one.
        """
        found = _Description.parse(read_json(path / DESCRIPTION), where=path / DESCRIPTION)
        for file in path.iterdir():
            inside(path.parent, file)  # a link could lead to any file of the user
        ids = tuple(read_text(path / IDS).splitlines())
        if len(ids) != found.clips:
            expected = f"{found.clips}, one a line"
            raise InputError(f"{len(ids)} clip ids", where=path / IDS, expected=expected)
        part = cls(path, ids, found.modalities, found.sha256)
        for name, entry in found.modalities.items():
            if entry.clips > found.clips:
                what = f"{entry.clips} of {found.clips} clips have '{name}'"
                raise InputError(what, where=path / DESCRIPTION)
            _mapped(path / f"{name}.npy", (entry.clips, *entry.shape), entry.dtype)
            mask = path / f"{name}.mask.npy"
            if mask.exists():
                _mapped(mask, (found.clips, entry.shape[0]), "bool")
            elif entry.clips < found.clips:
                expected = f"the mask of '{name}', which {found.clips - entry.clips} clips lack"
                raise InputError("no such file", where=mask, expected=expected)
        return part

    def arrays(self, modality: str) -> Arrays:
        """Map the files of a modality.

        Raises:
            InputError: A file is damaged, or is not what the description says.
        """
        entry, clips = self.modalities[modality], len(self.ids)
        values = _mapped(self.path / f"{modality}.npy", (entry.clips, *entry.shape), entry.dtype)
        file = self.path / f"{modality}.mask.npy"
        if not file.exists():
            return Arrays(values, None, None)
        mask = _mapped(file, (clips, entry.shape[0]), "bool")
        has = mask.any(axis=1)
        if has.sum() != entry.clips:
            what = f"{has.sum()} clips have a valid step, but {modality}.npy holds {entry.clips} clips"
            raise InputError(what, where=file, fix="write the store again")
        return Arrays(values, mask, None if has.all() else np.where(has, np.cumsum(has) - 1, -1))

    def valid(self, modality: str) -> Bool[np.ndarray, "clips time"]:
        """The mask of a modality, also where there is no file of it."""
        if modality not in self.modalities:
            return np.broadcast_to(False, (len(self.ids), 1))
        mask = self.arrays(modality).mask
        steps = self.modalities[modality].shape[0]
        return np.broadcast_to(True, (len(self.ids), steps)) if mask is None else mask

    @cached_property
    def columns(self) -> dict[str, tuple[str, ...]]:
        """What `clips.csv` says of each clip, without the ids; nothing if there is no such file.

        Raises:
            InputError: The file is damaged or does not fit the ids.
        """
        file = self.path / CLIPS
        if not file.is_file():
            return {}
        try:
            with reading(file), file.open(encoding="utf-8", newline="") as lines:
                header, *rows = csv.reader(lines, strict=True)
        except (csv.Error, UnicodeDecodeError, ValueError) as error:
            raise InputError(f"not a table ({error})", where=file) from None
        if not header or header[0] != "id" or len(set(header)) != len(header):
            raise InputError("the header line", where=file, expected="'id' and different names")
        if any(len(row) != len(header) for row in rows) or tuple(row[0] for row in rows) != self.ids:
            expected = f"{len(self.ids)} rows of {len(header)} values, with the ids of {IDS} in their order"
            raise InputError("the rows do not fit the clips", where=file, expected=expected)
        return {name: tuple(row[at] for row in rows) for at, name in enumerate(header) if at}


class OpenArrays:
    """The arrays of the parts that were read last; those of others are closed."""

    def __init__(self) -> None:
        self._open: OrderedDict[tuple[int, str], Arrays] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, part: Part, modality: str) -> Arrays:
        """The arrays of a modality, mapped if they are not yet."""
        key = (id(part), modality)
        with self._lock:
            if key in self._open:
                self._open.move_to_end(key)
            else:
                self._open[key] = part.arrays(modality)
                if len(self._open) > _OPEN_MAPS:
                    self._open.popitem(last=False)
            return self._open[key]


def part_folders(store: Path) -> Iterator[tuple[int, Path]]:
    """Number and folder of each part, ascending."""
    named = ((re.fullmatch(r"part-(\d{5,})", entry.name), entry) for entry in store.iterdir())
    return iter(sorted((int(match[1]), entry) for match, entry in named if match))


def _mapped(path: Path, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """Map a .npy file. The map is private, so that nothing written into it reaches the file.

    Raises:
        InputError: The file is missing, empty, truncated or no .npy file, or is not of this shape and dtype.
    """
    try:
        check_regular(path)
        array = np.load(path, mmap_mode="c", allow_pickle=False)
    except FileNotFoundError:
        raise InputError("no such file", where=path, expected=f"an array {list(shape)} of {dtype}") from None
    except InputError:
        raise
    except Exception:  # its header is a literal of Python, whose parser can fail in many ways
        raise InputError(
            "not a readable .npy file", where=path, fix="it is empty or truncated; write the store again"
        ) from None
    if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype != np.dtype(dtype):
        several = not isinstance(array, np.ndarray)
        content = "several arrays" if several else f"{list(array.shape)} of {array.dtype}"
        raise InputError(f"the array is {content}", where=path, expected=f"{list(shape)} of {dtype}")
    return array.view(np.ndarray)


def common_shapes(parts: Sequence[Part]) -> dict[str, tuple[int, ...]]:
    """Modality -> the shape of a clip, with the largest T.

    Raises:
        InputError: Parts have steps of different shapes, or different types.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    dtypes: dict[str, str] = {}
    for part in parts:
        for name, entry in part.modalities.items():
            steps, *step = entry.shape
            known, dtype = shapes.setdefault(name, entry.shape), dtypes.setdefault(name, entry.dtype)
            if tuple(step) != known[1:] or entry.dtype != dtype:
                raise InputError(
                    f"steps of {step} {entry.dtype}",
                    where=part.path / f"{name}.npy",
                    expected=f"{list(known[1:])} {dtype}, as in the parts before",
                )
            shapes[name] = (max(steps, known[0]), *known[1:])
    return shapes


def repeated_id(parts: Sequence[Part]) -> InputError:
    """The error for an id that two clips have."""
    found: dict[str, Part] = {}
    for part in parts:
        for clip in part.ids:
            if clip in found:
                first = found[clip].path.name
                what = f"the clip id '{clip}' occurs twice" + (f", also in {first}" if len(parts) > 1 else "")
                return InputError(
                    what, where=part.path / "ids.txt", fix="write the store again with unique ids"
                )
            found[clip] = part
    raise AssertionError("an id occurs twice")
