"""What `unicode-cmg slots --to` writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unicode_cmg.data.store import FeatureStore
from unicode_cmg.errors import InputError
from unicode_cmg.files import atomic_file, write_text
from unicode_cmg.inspect.slots.figure import draw_slots
from unicode_cmg.inspect.slots.matching import matched_slots
from unicode_cmg.inspect.slots.page import render_page
from unicode_cmg.inspect.slots.record import MatchedSlots
from unicode_cmg.inspect.slots.scene import scenes

_PAGE, _FIGURES = ".html", (".png", ".pdf", ".svg")


def write_slots(path: str | Path, store: FeatureStore, to: str | Path, **options: Any) -> MatchedSlots:
    """Find the matched slots of a run, and write all clips as a page or the first of them as a figure.

    Args:
        path: The folder of a run with `slot_alignment`, or one of its checkpoints.
        store: Features of the kind the run was trained on.
        to: `.html`; or `.png`, `.pdf` or `.svg`.
        options: Of `matched_slots`.

    Raises:
        InputError: As `matched_slots`; or the ending of `to` is another one, or it cannot be written.
    """
    to = Path(to)
    kind = to.suffix.lower()
    if kind not in (_PAGE, *_FIGURES):
        raise InputError(
            f"'{kind}' is no picture" if kind else "the name has no ending",
            where=to,
            expected=", ".join((_PAGE, *_FIGURES)),
        )
    found = matched_slots(path, store, **options)
    if kind == _PAGE:
        write_text(to, render_page(found, scenes(found, store)))
    else:
        with atomic_file(to) as scratch:
            draw_slots(found, store, scratch)
    return found
