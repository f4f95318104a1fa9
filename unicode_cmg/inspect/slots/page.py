"""Clips and their slots as a page that needs no other file, or as a figure."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from unicode_cmg.data.store import FeatureStore
from unicode_cmg.errors import InputError
from unicode_cmg.files import atomic_file, check_writable, write_text
from unicode_cmg.inspect.frames import png_uri
from unicode_cmg.inspect.slots.figure import draw_slots
from unicode_cmg.inspect.slots.matching import matched_slots
from unicode_cmg.inspect.slots.scene import scenes
from unicode_cmg.inspect.slots.slots_json import MatchedSlots
from unicode_cmg.version import VERSION

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
    if to.is_dir():
        raise InputError("this is a folder", where=to, expected="a file to write")
    check_writable(to)
    found = matched_slots(path, store, **options)
    if kind == _PAGE:
        page, css = templates().get_template("slots.html.j2"), stylesheet("page.css", "slots.css")
        write_text(to, page.render(css=css, found=found, scenes=scenes(found, store), version=VERSION))
    else:
        with atomic_file(to) as scratch:
            draw_slots(found, store, scratch)
    return found


def templates(*packages: str) -> Environment:
    """The templates of some packages and of this one, whose `clips.html.j2` draws scenes."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(name) for name in (*packages, "unicode_cmg.inspect")]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.globals["uri"] = png_uri
    return environment


def stylesheet(*names: str) -> Markup:
    """Rules of `page.css`, for every page of this project, or of `slots.css`, for drawn clips."""
    folder = files("unicode_cmg.inspect") / "templates"
    return Markup("".join((folder / name).read_text(encoding="utf-8") for name in names))
