"""Clips and their slots as a page that needs no other file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from unicode_cmg.data.store import FeatureStore
from unicode_cmg.errors import InputError
from unicode_cmg.files import atomic_file, write_text
from unicode_cmg.inspect.frames import png_uri
from unicode_cmg.inspect.slots.figure import draw_slots
from unicode_cmg.inspect.slots.matching import matched_slots
from unicode_cmg.inspect.slots.scene import Claim, Images, Part, Scene, Sentence, Word, scenes
from unicode_cmg.inspect.slots.slots_json import MatchedSlots
from unicode_cmg.version import VERSION

LOADER = PackageLoader("unicode_cmg.inspect")
"""Finds `clips.html.j2`, whose macro `clip` draws a scene."""
_SCALE = 9
_PAGE, _FIGURES = ".html", (".png", ".pdf", ".svg")


@dataclass(frozen=True)
class Key:
    """An entry of a clip's legend."""

    colour: int
    text: str


@dataclass(frozen=True)
class ClipView:
    """What the template draws of a scene."""

    name: str
    kept: str
    keys: tuple[Key, ...]
    teachers: tuple[Images | Sentence, ...]


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


def render_page(found: MatchedSlots, scenes: Sequence[Scene]) -> str:
    """The page as text.

    Args:
        found: The slots.
        scenes: Those clips laid out.
    """
    environment = Environment(
        loader=LOADER,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.globals |= HELPERS
    return environment.get_template("slots.html.j2").render(
        css=Markup(stylesheet("page.css", "slots.css")),
        found=found,
        clips=clip_views(scenes),
        version=VERSION,
    )


def clip_views(scenes: Sequence[Scene]) -> list[ClipView]:
    """What the macro `clip` takes."""
    return [_clip_view(scene) for scene in scenes]


def stylesheet(*names: str) -> str:
    """Rules of `page.css`, for every page of this project, or of `slots.css`, for drawn clips."""
    folder = files("unicode_cmg.inspect") / "templates"
    return "".join((folder / name).read_text(encoding="utf-8") for name in names)


def _clip_view(scene: Scene) -> ClipView:
    clip = scene.clip
    kept = [f"joint {clip.joint.slots}", *(f"{m} {n.slots}" for m, n in clip.teachers.items())]
    keys = tuple(
        Key(
            colour,
            f"slot {slot.slot}: "
            + ", ".join(f"{m} {matches[0].similarity:.2f}" for m, matches in slot.teachers.items()),
        )
        for colour, slot in enumerate(scene.slots)
    )
    return ClipView(clip.clip, ", ".join(kept), keys, scene.teachers)


def _told(part: Part | Word, name: str) -> str:
    """What a reader who points at a token is told."""
    claims: Sequence[Claim | None] = part.claims if isinstance(part, Word) else (part.claim,)
    said = [f"{100 * claim.weight:.1f} % of slot {claim.slot}" for claim in claims if claim is not None]
    return f"{name}: {', '.join(said)}" if said else name


def _described(teacher: Images | Sentence) -> str:
    """What a reader who cannot see the drawing is told."""
    if isinstance(teacher, Images):
        claimed = len({part.name for part in teacher.parts if part.claim is not None})
        return f"{teacher.teacher}: {claimed} tokens that slots are made of"
    return f"{teacher.teacher}: " + " ".join(word.text for word in teacher.words)


HELPERS = {"uri": png_uri, "told": _told, "described": _described, "scale": _SCALE}
"""What the macro calls."""
