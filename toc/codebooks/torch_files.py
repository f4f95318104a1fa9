"""Files of `torch.save` and `torch.jit.save`, and pickles of tensors or arrays: no torch, and nothing is run.

A file of today is a zip, uncompressed: `NAME/data.pkl` is a pickle in which each storage is a persistent id,
and `NAME/data/0`, `NAME/data/1`, ... are the bytes of the storages. Before 2020 (and still with
`_use_new_zipfile_serialization=False`) it was five pickles in a row, the last one a list of storages, whose
lengths and bytes follow. `torch/serialization.py` writes both.
"""

from __future__ import annotations

import io
import math
import mmap
import re
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from toc.arrays import CodebookError
from toc.codebooks.files import Stored
from toc.codebooks.inert import Inert, Name, PickledArray, PickleError
from toc.codebooks.kinds import first_bytes
from toc.codebooks.pickles import Stream, read_pickle
from toc.codebooks.torch_tensors import FileTensor, Source, Storage, makers, plain_type, whole, width

_MAGIC = 0x1950A86A20F9469CFC6C
_DEEPEST = 48
_MOST_INFLATED = 100


def read_torch(path: Path) -> dict[str, Stored]:
    """The tensors and arrays of a file by their keys, joined with dots; their values are not read yet.

    They are looked for in nested dictionaries and lists, and in what a pickled module or any other object
    holds. If the whole file is one tensor, it is named after the file.

    Raises:
        CodebookError: The file is damaged or of another kind.
    """
    found = {}
    for keys, value in _walk(load_content(path), (), set()):
        if isinstance(value, FileTensor):
            found[".".join(keys) or path.stem] = value.stored()
        elif (array := stored_array(value)) is not None:
            found[".".join(keys) or path.stem] = array
    return found


def load_content(path: Path) -> Any:
    """What a file of torch or a pickle holds: containers, numbers, text, `FileTensor`s and `Inert` records.

    Nothing of the file is run or imported: see `toc.codebooks.pickles`.

    Raises:
        CodebookError: The file is damaged or of another kind.
    """
    try:
        if zipfile.is_zipfile(path):
            return _from_zip(path)
        if first_bytes(path).startswith(b"PK\x03\x04"):
            raise PickleError("the end of the zip is missing")
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return _from_pickles(content, len(content), Source(path))
    except PickleError as error:
        raise _cut(path, str(error)) from None
    except CodebookError:
        raise
    except OSError as error:
        raise CodebookError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (zipfile.BadZipFile, ValueError, EOFError, KeyError, NotImplementedError, RuntimeError) as error:
        raise _cut(path, str(error)) from None


def _cut(path: Path, why: str) -> CodebookError:
    return CodebookError(f"{path}: not a whole file of torch.save ({why[:200]}); it may have been truncated")


def _walk(content: Any, keys: tuple[str, ...], seen: set[int]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Tensors and arrays, and the keys that lead to them.

    Each container is visited once and none at great depth, because a file can be made to contain itself.
    """
    if isinstance(content, (FileTensor, PickledArray)):
        yield keys, content
        return
    if not isinstance(content, (dict, list, tuple, Inert)) or isinstance(content, Name):
        return
    if id(content) in seen or len(keys) == _DEEPEST:
        return
    seen.add(id(content))
    items: Iterable[tuple[Any, Any]]
    if isinstance(content, Inert):
        items = (*content.attributes().items(), *content.elements())
    else:
        items = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in items:
        text = key.kind if isinstance(key, Inert) else str(key)
        yield from _walk(value, (*keys, text.encode("utf-8", "backslashreplace").decode()), seen)


def _from_zip(path: Path) -> Any:
    source = Source(path)
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        members = {info.filename: info for info in archive.infolist()}
        top = next((n.removesuffix("data.pkl") for n in members if re.fullmatch(r"[^/]*/data\.pkl", n)), None)
        if top is None:
            raise PickleError("it has no data.pkl")
        if f"{top}byteorder" in members:
            source.order = ">" if archive.read(f"{top}byteorder") == b"big" else "<"
        known: dict[str, Storage] = {}

        def storage(identity: Any) -> Any:
            named = _identity(identity)
            if named is None or named[1] in known:
                return Inert("persistent object") if named is None else known[named[1]]
            kind, key = named
            info = members.get(f"{top}data/{key}")
            if info is None or info.compress_type != zipfile.ZIP_STORED:
                raise PickleError(f"the storage {key!r} is {'missing' if info is None else 'compressed'}")
            file.seek(info.header_offset)
            header = file.read(30)
            lengths = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
            begin = info.header_offset + 30 + lengths
            if len(header) < 30 or begin + info.file_size > path.stat().st_size:
                raise PickleError(f"it ends before the storage {key!r} does")
            known[key] = Storage(source, kind, begin, info.file_size)
            return known[key]

        program = members[f"{top}data.pkl"]  # torch.jit.save compresses it
        if program.file_size > _MOST_INFLATED * (program.compress_size + 1000):
            raise PickleError("its pickle unpacks to far more than it should")
        return read_pickle(io.BytesIO(archive.read(program)), makers(), storage)


def _from_pickles(stream: Stream, size: int, source: Source, depth: int = 0) -> Any:
    """A file of five pickles and the storages behind them; or one pickle, whose tensors are such files."""
    inside: dict[int, tuple[bytes, Any]] = {}

    def nested(inner: Any) -> Any:
        """`torch.storage._load_from_bytes`, how `pickle.dump` writes the storage of a tensor."""
        if depth > 2 or not isinstance(inner, (bytes, bytearray)):
            raise PickleError("it is nested too deeply")
        if id(inner) not in inside:
            content = bytes(inner)
            file = Source(source.path, content)
            inside[id(inner)] = content, _from_pickles(io.BytesIO(content), len(content), file, depth + 1)
        return inside[id(inner)][1]

    known_makers = {**makers(), "torch.storage._load_from_bytes": nested}
    first = read_pickle(stream, known_makers)
    if first != _MAGIC:
        return first
    read_pickle(stream)
    system = read_pickle(stream)
    if isinstance(system, dict) and system.get("little_endian") is False:
        source.order = ">"
    known: dict[str, Storage] = {}

    def storage(identity: Any) -> Any:
        named = _identity(identity)
        if named is None:  # ("module", class, file, source text): the class of a pickled module
            module = isinstance(identity, tuple) and len(identity) > 1 and isinstance(identity[1], Name)
            return identity[1] if module else Inert("persistent object")
        kind, key = named
        view = identity[5] if len(identity) > 5 else None
        made = known.setdefault(key, Storage(source, kind))
        return (made, view[1]) if isinstance(view, tuple) and len(view) > 1 else made

    result = read_pickle(stream, known_makers, storage)
    keys = read_pickle(stream)
    for key in keys if isinstance(keys, list) else []:
        count = int.from_bytes(stream.read(8), "little" if source.order == "<" else "big", signed=True)
        if str(key) not in known or count < 0:
            raise PickleError(f"the storage {key!r} belongs to no tensor")
        stored = known[str(key)]
        stored.begin, stored.nbytes = stream.tell(), count * width(stored.kind)
        if stored.begin + stored.nbytes > size:
            raise PickleError(f"it ends before the storage {key!r} does")
        stream.seek(stored.begin + stored.nbytes)
    return result


def _identity(identity: Any) -> tuple[str, str] | None:
    """Type and key of the storage of a persistent id `("storage", type, key, location, number of values)`."""
    if not isinstance(identity, tuple) or len(identity) < 5 or identity[0] != "storage":
        return None
    kind = identity[1].name if isinstance(identity[1], Name) else "unknown"
    return plain_type(kind), str(identity[2])


def stored_array(array: PickledArray) -> Stored | None:
    """An array of a pickle; None if it holds anything but numbers."""
    dtype, shape, content = array.dtype, array.shape, array.data
    plain = isinstance(shape, tuple) and len(whole(shape)) == len(shape) and isinstance(content, bytes)
    if dtype is None or not plain or math.prod(shape) * dtype.itemsize != len(content):
        return None
    order: Literal["F", "C"] = "F" if array.fortran else "C"
    kind = dtype.newbyteorder("=")
    return Stored(
        shape, dtype.name, lambda: np.frombuffer(content, dtype).reshape(shape, order=order).astype(kind)
    )
