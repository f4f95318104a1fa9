"""The words of the steps of a modality: one line of JSON for each clip of a part."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from jaxtyping import Bool
from numpy import ndarray

from unicode_cmg.errors import InputError
from unicode_cmg.files import reading


def tokens_file(part: Path, modality: str) -> Path:
    """The file of the words of a modality: one JSON list of strings for each clip."""
    return part / f"{modality}.tokens.jsonl"


def words_line(words: Sequence[str], steps: int, clip: str, where: str) -> bytes:
    """The line of a clip.

    Raises:
        InputError: It is no list of strings, or has not one for each valid step.
    """
    listed = words if isinstance(words, str) else list(words)
    _check_words(listed, steps, clip, where)
    return json.dumps(listed, ensure_ascii=False).encode() + b"\n"


def read_tokens(
    file: Path, masks: Iterable[Bool[ndarray, " time"]], ids: Sequence[str]
) -> Iterator[tuple[str | None, ...]]:
    """The words of one clip after the other, None where a step is padding.

    Raises:
        InputError: The file is missing or damaged, or does not fit the clips and their valid steps.
    """
    try:
        with reading(file), file.open(encoding="utf-8") as lines:
            for clip, mask in zip(ids, masks, strict=True):
                line = lines.readline()
                if not line:
                    raise InputError(
                        f"it ends before clip '{clip}'", where=file, expected=f"{len(ids)} lines"
                    )
                try:
                    words = json.loads(line)
                except (ValueError, RecursionError):
                    raise InputError(f"the line of clip '{clip}' is not valid JSON", where=file) from None
                _check_words(words, int(mask.sum()), clip, str(file))
                remaining = iter(words)
                yield tuple(next(remaining) if valid else None for valid in mask)
            if lines.readline():
                raise InputError("more lines than clips", where=file, expected=f"{len(ids)} lines")
    except UnicodeDecodeError:
        raise InputError("not a text file", where=file, expected="UTF-8 text") from None


def _check_words(words: Any, steps: int, clip: str, where: str) -> None:
    # half of a surrogate pair is a `str`, but cannot be written
    if not isinstance(words, list) or not all(
        isinstance(word, str) and not any("\ud800" <= c <= "\udfff" for c in word) for word in words
    ):
        raise InputError(f"clip '{clip}' has no list of words", where=where, expected="strings")
    if len(words) != steps:
        raise InputError(
            f"{len(words)} words in clip '{clip}'", where=where, expected=f"{steps}, one for each valid step"
        )
