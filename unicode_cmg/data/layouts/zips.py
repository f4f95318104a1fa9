"""One zip a clip with a pickled array inside: how most of the features are published."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32
from numpy.typing import NDArray

from unicode_cmg.data.layouts._checks import check_finite
from unicode_cmg.data.layouts._pickles import unpickle_array
from unicode_cmg.errors import InputError

_MAX_BYTES = 1 << 30  # a clip of 10x7x7x512 in float64 is 2 MB; a file that unpacks to far more is no clip
_FIXED_TIME = (1980, 1, 1, 0, 0, 0)  # equal clips make equal files


class PaddedClips(NamedTuple):
    """Clips of different lengths: `values [clips, T, ...]`, zeros where `mask [clips, T]` is False."""

    values: Float32[np.ndarray, "clips time ..."]
    mask: Bool[np.ndarray, "clips time"]


def read_clip(path: Path) -> Float32[np.ndarray, "time ..."]:
    """Features `[T, ...]` of one clip; of several `.pkl` members the last one counts, as published.

    Raises:
        InputError: The file is missing, truncated, no zip, holds no pickled array of numbers or anything else
            besides one, or a value is not finite.
    """
    with np.errstate(over="ignore"):
        values = read_stored(path).astype(np.float32)
    if values.ndim < 2 or 0 in values.shape:
        raise InputError(f"the array is {list(values.shape)}", where=path, expected="[time, ...]")
    check_finite(values[None], where=path, clip=lambda _: path.stem)
    return values


def read_stored(path: Path) -> NDArray[Any]:
    """The array of a zip as it is, of any shape and dtype; errors as `read_clip`."""
    return unpickle_array(_last_pickle(path), path)


def _last_pickle(path: Path) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if ".pkl" in info.filename]
            if not members:
                raise InputError("no .pkl member in this zip", where=path)
            if members[-1].file_size > _MAX_BYTES:
                raise InputError(
                    f"{members[-1].file_size} bytes unpacked", where=path, expected="one clip's features"
                )
            return archive.read(members[-1])
    except FileNotFoundError:
        raise InputError("no such file", where=path, fix="check the data root, or drop the clip") from None
    except InputError:
        raise
    except Exception as error:  # a damaged zip can fail in any way, down to the names in its directory
        raise InputError(f"not a readable zip ({error})", where=path, fix="download it again") from error


def read_clips(paths: Sequence[Path], steps: int) -> Float32[np.ndarray, "clips steps ..."]:
    """Several clips, each cut to its first `steps` rows or padded with copies of its last one.

    Raises:
        InputError: As `read_clip`; or there is no clip, or its dimensions differ from the first one's.
    """
    clips = _read_alike(paths)
    return np.stack([values[np.minimum(np.arange(steps), len(values) - 1)] for values in clips])


def read_padded(paths: Sequence[Path], steps: int | None = None) -> PaddedClips:
    """Several clips, each cut to its first `steps` rows or padded with zeros; errors as `read_clips`.

    Args:
        paths: Their zips.
        steps: T of the result; the length of the longest clip by default.
    """
    clips = _read_alike(paths)
    steps = steps or max(map(len, clips))
    values = np.zeros((len(clips), steps, *clips[0].shape[1:]), np.float32)
    for row, clip in zip(values, clips, strict=True):
        row[: len(clip)] = clip[:steps]
    return PaddedClips(values, np.arange(steps) < np.array([len(clip) for clip in clips])[:, None])


def _read_alike(paths: Sequence[Path]) -> list[NDArray[np.float32]]:
    """Clips of any length but equal dimensions."""
    if not paths:
        raise InputError("no clip to read", where="features", expected="at least one row")
    clips: list[NDArray[np.float32]] = []
    for path in paths:
        values = read_clip(path)
        if clips and values.shape[1:] != clips[0].shape[1:]:
            raise InputError(
                f"features of {list(values.shape[1:])} a step",
                where=path,
                expected=f"{list(clips[0].shape[1:])}",
            )
        clips.append(values)
    return clips


def write_clip(path: Path, values: NDArray[Any]) -> None:
    """Write features `[T, ...]` as `<stem>.pkl` in a zip, pickled so that NumPy 1 and NumPy 2 can load it."""
    content = pickle.dumps(np.ascontiguousarray(values), protocol=3)
    content = content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray", 1)
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo(f"{path.stem}.pkl", _FIXED_TIME)
        archive.writestr(info, content, zipfile.ZIP_DEFLATED, compresslevel=1)
