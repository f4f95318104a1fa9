"""The words behind the steps of a modality: `<modality>.tokens.jsonl`, one JSON list of strings a clip."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64

from unicode_cmg.errors import InputError


def tokens_file(store: Path, modality: str) -> Path:
    """Where a store keeps the words of a modality, if it has them."""
    return store / f"{modality}.tokens.jsonl"


def write_tokens(
    file: Path,
    tokens: Iterable[Sequence[str]],
    steps: Int64[np.ndarray, " clips"],
    ids: Sequence[str],
    where: str,
) -> str:
    """Write the words of each clip, one for each of its valid `steps`; the sha256 of the file.

    Raises:
        InputError: There are not as many clips as `ids`, or a clip has not as many words as valid steps.
    """
    done, digest = 0, hashlib.sha256()
    with file.open("wb") as stream:
        for done, words in enumerate(tokens, start=1):
            if done > len(ids):
                raise InputError("words for more clips than ids", where=where, expected=f"{len(ids)} clips")
            listed = words if isinstance(words, str) else list(words)
            _check(listed, int(steps[done - 1]), ids[done - 1], where)
            line = json.dumps(listed, ensure_ascii=False).encode() + b"\n"
            stream.write(line)
            digest.update(line)
    if done != len(ids):
        raise InputError(f"words for {done} clips", where=where, expected=f"{len(ids)}, as many as ids")
    return digest.hexdigest()


def read_tokens(
    file: Path, masks: Iterable[Bool[np.ndarray, " time"]], ids: Sequence[str]
) -> Iterator[tuple[str | None, ...]]:
    """The words of one clip after the other, None where a step is padding.

    Raises:
        InputError: The file is missing or damaged, or does not fit the clips and their valid steps.
    """
    try:
        with file.open(encoding="utf-8") as lines:
            for clip, mask in zip(ids, masks, strict=True):
                line = lines.readline()
                if not line:
                    raise InputError(
                        f"it ends before clip '{clip}'", where=file, expected=f"{len(ids)} lines"
                    )
                words = _parsed(line, clip, file)
                _check(words, int(mask.sum()), clip, str(file))
                remaining = iter(words)
                yield tuple(next(remaining) if valid else None for valid in mask)
            if lines.readline():
                raise InputError("more lines than clips", where=file, expected=f"{len(ids)} lines")
    except FileNotFoundError:
        raise InputError("no such file", where=file, expected="the words of this modality") from None
    except UnicodeDecodeError:
        raise InputError("not a text file", where=file, expected="UTF-8 text") from None


def _parsed(line: str, clip: str, file: Path) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        raise InputError(f"the line of clip '{clip}' is not valid JSON", where=file) from None


def _check(words: Any, steps: int, clip: str, where: str) -> None:
    if not isinstance(words, list) or not all(isinstance(word, str) and _is_text(word) for word in words):
        raise InputError(f"clip '{clip}' has no list of words", where=where, expected="strings")
    if len(words) != steps:
        raise InputError(
            f"{len(words)} words in clip '{clip}'", where=where, expected=f"{steps}, one for each valid step"
        )


def _is_text(word: str) -> bool:
    """Half a surrogate pair is a `str`, but nothing that can be written."""
    return not any("\ud800" <= character <= "\udfff" for character in word)
