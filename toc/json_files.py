"""Records of this package on disk: one JSON file in a folder, written whole or not at all."""

from __future__ import annotations

import json
import os
import secrets
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from toc.arrays import CodebookError

_LONGEST = 128 << 20  # bytes

RecordT = TypeVar("RecordT")


def write_record(path: Path, values: Mapping[str, Any]) -> Path:
    """Write a record atomically and return its path; an earlier file survives a failure.

    Raises:
        CodebookError: The file cannot be written.
    """
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    text = json.dumps(values, indent=2, allow_nan=False) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with scratch.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except OSError as error:
        raise CodebookError(f"{path}: cannot be written ({error.strerror})") from error
    finally:
        scratch.unlink(missing_ok=True)
    return path


def read_record(path: str | Path, file_name: str, parse: Callable[[Any], RecordT]) -> RecordT:
    """Read a record, or the one named `file_name` in a folder.

    Raises:
        CodebookError: The file is missing or truncated, or `parse` refuses its content.
    """
    path = Path(path)
    path = path / file_name if path.is_dir() else path
    values = read_json(path)
    try:
        return parse(values)
    except CodebookError as error:
        raise CodebookError(f"{path}: {error}") from None


def read_json(path: Path) -> Any:
    """The value of a JSON file whose numbers fit 64 bits.

    Raises:
        CodebookError: The file cannot be read, or is not JSON, enormous or too deeply nested.
    """
    try:
        check_regular(path)
        with path.open("rb") as file:
            content = file.read(_LONGEST + 1)
        if len(content) > _LONGEST:
            raise CodebookError(f"{path}: larger than {_LONGEST >> 20} MiB; expected a JSON file of a model")
        return parse_json(content)
    except OSError as error:
        raise CodebookError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, CodebookError):
            raise
        raise CodebookError(f"{path}: not valid JSON; it may have been truncated") from None


def parse_json(content: bytes) -> Any:
    """The value of a JSON text whose numbers fit 64 bits; ValueError or RecursionError for any other."""
    return json.loads(content, parse_int=_integer)


def check_regular(path: Path) -> None:
    """Refuse a pipe or a device, whose reading could wait for ever.

    Raises:
        CodebookError: It is one.
        OSError: There is no such file.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise CodebookError(f"{path}: this is a pipe or a device; expected a file")


def _integer(text: str) -> int:
    if len(text) > 20 or not -(2**63) <= (value := int(text)) < 2**64:
        raise ValueError("a number is too large")
    return value


def library_versions(*further: str) -> dict[str, str]:
    """Versions of NumPy, of this library and of further packages."""
    from importlib.metadata import PackageNotFoundError, version  # takes a tenth of the time of `import toc`

    found = {}
    for name in ("numpy", *further, "unicode-cmg"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a checkout that is not installed
            found[name] = "unknown"
    return found
