"""Records of this package on disk: one JSON file in a folder, written whole or not at all."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from toc.arrays import CodebookError

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
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CodebookError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        raise CodebookError(f"{path}: not valid JSON; it may have been truncated") from None
    try:
        return parse(values)
    except CodebookError as error:
        raise CodebookError(f"{path}: {error}") from None


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
