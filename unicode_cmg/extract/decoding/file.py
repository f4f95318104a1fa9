"""A file of media before it is decoded: where it is, and whether it may be opened."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias

from unicode_cmg.errors import InputError, SetupError
from unicode_cmg.extract.faults import MediaError, setup_error
from unicode_cmg.files import check_regular, inside

_PACKAGES = {
    "av": "av",
    "soundfile": "soundfile",
    "PIL.Image": "pillow",
    "pillow_heif": "pillow-heif",
    "cairosvg.surface": "cairosvg",
    "cairosvg.url": "cairosvg",
}


class Page(ABC):
    """Media that are not a file of their own, such as a value in a table."""

    name: str

    @abstractmethod
    def read(self) -> bytes:
        """The bytes of the file it would be."""


Location: TypeAlias = Path | Page | tuple[str, ...]
"""Where a clip has a modality: a file, bytes in a table, or sentences that are given themselves."""


def name_of(place: Location) -> str:
    """What lists and messages call it."""
    if isinstance(place, tuple):
        return "text"
    return place.name if isinstance(place, Page) else str(place)


def opened(place: Path | Page, root: Path) -> Any:
    """A file name or a stream for a decoder.

    Args:
        place: What to open.
        root: The folder that it may not leave.

    Raises:
        MediaError: There is no such file, it is empty, a folder, a pipe or a device, or lies elsewhere.
    """
    if isinstance(place, Page):
        data = place.read()
        if not data:
            raise MediaError("empty", "there are no bytes")
        return io.BytesIO(data)
    try:
        inside(root, place)
    except InputError:
        raise MediaError("outside", f"it leads out of the folder {root}") from None
    try:
        check_regular(place)
        if place.is_dir():
            raise MediaError("unreadable", "this is a folder")
        if place.stat().st_size == 0:
            raise MediaError("empty", "the file is empty")
        with place.open("rb"):
            pass
    except FileNotFoundError:
        raise MediaError("missing", "no such file") from None
    except MediaError:
        raise
    except InputError as error:
        raise MediaError("unreadable", error.what) from None
    except (OSError, ValueError) as error:
        told = MediaError("unreadable", f"it cannot be opened ({error})")
        raise setup_error(error, place) or told from None
    return str(place)


@contextmanager
def decoding(what: str, place: Path | Page) -> Iterator[None]:
    """Turn whatever a decoder raises into a `MediaError`; damaged files make them fail in many ways.

    Raises:
        SetupError: The machine is at fault, not the file.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        text = getattr(error, "strerror", None) or str(error)
        reason = " ".join(text.split()) or type(error).__name__
        told = MediaError("unreadable", f"not a readable {what} ({reason[:200]})")
        raise setup_error(error, name_of(place)) or told from None


def decoder(module: str) -> Any:
    """A library that decodes.

    Raises:
        SetupError: It is not installed.
    """
    try:
        return import_module(module)
    except (ImportError, OSError) as error:  # a library of the system may be missing
        package = _PACKAGES[module]
        wanted = package if package == "pillow-heif" else "'unicode-cmg[media]'"
        what = f"{package} is not installed ({error})"
        raise SetupError(what, where="extract", fix=f"pip install {wanted}") from None
