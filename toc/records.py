"""Records of this package on disk: one JSON file in a folder, written whole or not at all."""

from __future__ import annotations

import json
import os
import secrets
import stat
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from numpy.typing import ArrayLike

from toc.arrays import CodebookError, as_codebook, codebook_sha256

_FORMAT_VERSION = 1
_LONGEST = 128 << 20  # bytes

RecordT = TypeVar("RecordT", bound="CodebookRecord")


@dataclass(frozen=True, eq=False, kw_only=True)
class CodebookRecord(ABC):
    """What was found for one codebook, as a JSON file keeps it.

    Attributes:
        file_name: Name of the file in a folder.
        layer: Name of the codebook in its model.
        codebook_sha256: Fingerprint of the codebook, see `codebook_sha256`.
        versions: Versions of the libraries that computed it.
    """

    file_name: ClassVar[str]
    _what: ClassVar[str]
    _again: ClassVar[str]

    layer: str
    codebook_sha256: str
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    @abstractmethod
    def _shape(self) -> tuple[int, int]:
        """H and D of the codebook."""

    def check(self, codebook: ArrayLike) -> None:
        """Refuse any codebook except the one for which the record was made.

        Raises:
            CodebookError: Its shape or its values differ.
        """
        codes = as_codebook(codebook)
        if codes.shape != self._shape or codebook_sha256(codes) != self.codebook_sha256:
            raise CodebookError(
                f"this {self._what} was made for another codebook ({self.layer} of shape {list(self._shape)},"
                f" sha256 {self.codebook_sha256[:12]}…) than the one of shape {list(codes.shape)};"
                f" {self._again} on that one"
            )

    def save(self, folder: str | Path) -> Path:
        """Write the file into a folder atomically and return its path; an earlier file survives a failure.

        Raises:
            CodebookError: The folder cannot be written.
        """
        path = Path(folder) / self.file_name
        scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        text = json.dumps(self.to_json(), indent=2, allow_nan=False) + "\n"
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

    @classmethod
    def load(cls: type[RecordT], path: str | Path) -> RecordT:
        """Read such a file, or the one in a folder.

        Raises:
            CodebookError: The file is missing, truncated, or no record of this kind.
        """
        path = Path(path)
        path = path / cls.file_name if path.is_dir() else path
        values = read_json(path)
        try:
            return cls.from_json(values)
        except CodebookError as error:
            raise CodebookError(f"{path}: {error}") from None

    def to_json(self) -> dict[str, Any]:
        """Plain values, as the file holds them."""
        return {
            "format_version": _FORMAT_VERSION,
            "layer": self.layer,
            "codebook_sha256": self.codebook_sha256,
            **self._values(),
            "versions": dict(self.versions),
        }

    @classmethod
    def from_json(cls: type[RecordT], values: Any) -> RecordT:
        """The inverse of `to_json`.

        Raises:
            CodebookError: Keys are missing, or values contradict each other.
        """
        version = values.get("format_version") if isinstance(values, dict) else None
        if version != _FORMAT_VERSION:
            raise CodebookError(
                f"not a {cls._what} of format {_FORMAT_VERSION} (format_version is {version!r})"
            )
        try:
            record = cls(
                **cls._fields(values),
                layer=str(values["layer"]),
                codebook_sha256=str(values["codebook_sha256"]),
                versions=dict(values["versions"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise CodebookError(f"not a {cls._what} ({type(error).__name__}: {error})") from None
        if (wrong := record._contradiction()) is not None:
            raise CodebookError(f"not a {cls._what}: {wrong}")
        return record

    @abstractmethod
    def _values(self) -> dict[str, Any]:
        """Plain values of what this kind of record adds."""

    @classmethod
    @abstractmethod
    def _fields(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """The inverse of `_values`, as arguments; KeyError, TypeError or ValueError if it cannot be."""

    @abstractmethod
    def _contradiction(self) -> str | None:
        """What in the record contradicts the rest of it, or None."""


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
