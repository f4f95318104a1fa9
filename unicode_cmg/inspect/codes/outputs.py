"""What `unicode-cmg codes` leaves in its folder."""

from __future__ import annotations

import csv
import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

from unicode_cmg.data.store import FeatureStore
from unicode_cmg.errors import InputError
from unicode_cmg.files import atomic_file
from unicode_cmg.inspect.codes.codes import interpret_codes
from unicode_cmg.inspect.codes.picture import draw_codes
from unicode_cmg.inspect.codes.record import COLOURS, CodeEntry, InterpretedCodes
from unicode_cmg.model import Model

JSON_NAME, CSV_NAME, PICTURE_NAME = "codes.json", "codes.csv", "codes.png"


def write_codes(model: Model, store: FeatureStore, to: str | Path, **options: Any) -> InterpretedCodes:
    """Find out what the codes of a model stand for, and write `codes.json`, `codes.csv` and `codes.png`.

    docs/guide/codes.md describes the columns. Earlier files are replaced once all three new
    ones are complete, and not at all otherwise.

    Args:
        model: A trained method.
        store: Features with at least one modality of the model.
        to: The folder to write.
        options: Of `interpret_codes`.

    Raises:
        InputError: As `interpret_codes`; or the folder cannot be written.
    """
    to = Path(to)
    if to.exists() and not to.is_dir():
        raise InputError("this is a file", where=to, expected="a folder to write")
    codes = interpret_codes(model, store, **options)
    with ExitStack() as files:
        text, table, picture = (
            files.enter_context(atomic_file(to / name)) for name in (JSON_NAME, CSV_NAME, PICTURE_NAME)
        )
        text.write_text(
            json.dumps(codes.to_json(), indent=1, ensure_ascii=False, allow_nan=False) + "\n", "utf-8"
        )
        with table.open("w", encoding="utf-8", newline="") as stream:
            write_table(codes, stream)
        draw_codes(codes, picture)
    return codes


def write_table(codes: InterpretedCodes, stream: TextIO) -> None:
    """One line a code, as CSV."""
    names = list(codes.modalities)
    worded = [m for m in names if any(code.words.get(m) for code in codes.codes)]
    columns = [_columns(code, names, worded) for code in codes.codes]
    writer = csv.DictWriter(stream, list(columns[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(columns)


def _columns(code: CodeEntry, names: list[str], worded: list[str]) -> dict[str, Any]:
    nearest = {f"nearest_{m}": _listed(f"{step.clip}@{step.step}" for step in code.nearest[m]) for m in names}
    words = {f"words_{m}": _listed(f"{w.word}:{w.steps}" for w in code.words[m]) for m in worded}
    near_words = {
        f"nearest_words_{m}": _listed(step.word for step in code.nearest[m] if step.word) for m in worded
    }
    return {
        "code": code.code,
        "kind": code.kind,
        "colour": COLOURS[code.kind],
        **{f"count_{m}": code.counts[m] for m in names},
        **{f"share_{m}": code.shares[m] for m in names},
        **nearest,
        **words,
        **near_words,
        "similar": _listed(f"{other.code}:{other.cosine:.3f}" for other in code.similar),
    }


def _listed(parts: Any) -> str:
    return "; ".join(parts)
