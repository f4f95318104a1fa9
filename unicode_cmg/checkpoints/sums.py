"""`SHA256SUMS`: the SHA-256 of each file of a model or checkpoint, in the form that `sha256sum -c` reads."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from pathlib import Path

from unicode_cmg.errors import InputError
from unicode_cmg.files import read_text, reading

SUMS_FILE = "SHA256SUMS"
_LINE = re.compile(r"([0-9a-f]{64}) [ *]([^/\\]+)")


def write_sums(folder: Path, names: Collection[str] | None = None) -> None:
    """List the files of a folder that is complete otherwise: all, or those of some names that exist."""
    known = names if names is not None else [path.name for path in folder.iterdir()]
    files = [folder / name for name in sorted(known) if (folder / name).is_file()]
    text = "".join(f"{_sha256(path)}  {path.name}\n" for path in files)
    (folder / SUMS_FILE).write_text(text, encoding="utf-8")


def check_sums(folder: Path, names: Collection[str]) -> None:
    """Compare files with the list in their folder; a folder without a list passes.

    Args:
        folder: The folder.
        names: Which files; those that neither exist nor are listed are passed over.

    Raises:
        InputError: A listed file is missing or is not what was written, a file is not listed, or the list
            itself is damaged.
    """
    listed = folder / SUMS_FILE
    if not listed.exists():
        return
    fix = "it may have been truncated or edited; copy the whole folder again"
    left = [name for name in names if (folder / name).exists()]
    for number, line in enumerate(read_text(listed).splitlines(), start=1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise InputError(
                f"line {number} cannot be read", where=listed, expected="sha256sum's form", fix=fix
            )
        if match[2] not in names:
            continue
        if match[2] in left:
            left.remove(match[2])
        with reading(folder / match[2]):
            if _sha256(folder / match[2]) != match[1]:
                raise InputError(
                    f"not the file that was written (its SHA-256 is another than in {SUMS_FILE})",
                    where=folder / match[2],
                    fix=fix,
                )
    if left:
        raise InputError(f"'{left[0]}' is not listed", where=listed, fix=fix)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
