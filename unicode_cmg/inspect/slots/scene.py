"""How a clip with its slots is laid out, whether it is drawn as a page or as a figure.

Lengths are in pixels of the images behind the tokens; a pixel is drawn several times larger.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import UInt8

from unicode_cmg.data.store import FeatureStore
from unicode_cmg.inspect.frames import frames_of, mosaic
from unicode_cmg.inspect.slots.slots_json import JointSlot, MatchedSlots, SlotClip, SlotToken, TeacherTokens

COLOURS = 6
"""Joint slots that get a colour: those that most teachers found, and of these the most similar."""
LINE = 89
"""Width of a line of images: ten of 8 pixels with gaps of one between them."""
_GAP, _BAR = 1, 2
_FULL = 4.0  # times the even share: from here on a colour is as strong as it gets


@dataclass(frozen=True)
class Claim:
    """A slot that a token is among the top tokens of.

    Attributes:
        colour: Place of the joint slot among those shown.
        weight: The token's share in the teacher's slot.
        strength: 0 where that is the share of a slot that attends to all tokens alike, or less, and 1 from
            four times as much.
        slot: The teacher's slot.
    """

    colour: int
    weight: float
    strength: float
    slot: int


@dataclass(frozen=True)
class Part:
    """A coloured rectangle; `claim` is None where no shown slot claims the token."""

    x: float
    y: float
    width: float
    height: float
    name: str
    claim: Claim | None


@dataclass(frozen=True, eq=False)
class Images:
    """Tokens of a teacher that are steps, or places in a grid.

    Attributes:
        teacher: Its name.
        pixels: The images of all steps.
        height: Of everything, in pixels; bars below the images count.
        outlines: Left, top, width and height of the image of each step that is not padding.
        parts: What is coloured; a token that several slots claim is divided among them.
    """

    teacher: str
    pixels: UInt8[np.ndarray, "height width 4"]
    height: int
    outlines: tuple[tuple[int, int, int, int], ...]
    parts: tuple[Part, ...]

    @property
    def width(self) -> int:
        """Of everything, in pixels."""
        return int(self.pixels.shape[1])


@dataclass(frozen=True)
class Word:
    """A token that is written; `place` tells which one it is."""

    text: str
    place: str
    claims: tuple[Claim, ...]


@dataclass(frozen=True)
class Sentence:
    """Tokens of a teacher that are words, or numbers where a module has made its own."""

    teacher: str
    words: tuple[Word, ...]


@dataclass(frozen=True)
class Scene:
    """A clip, the joint slots that are coloured in it, and the tokens of each teacher."""

    clip: SlotClip
    slots: tuple[JointSlot, ...]
    teachers: tuple[Images | Sentence, ...]


def scenes(
    found: MatchedSlots, store: FeatureStore, *, clips: int | None = None, colours: int = COLOURS
) -> list[Scene]:
    """The first `clips` clips, or all of them.

    Args:
        found: What the slots attend to.
        store: The features they were found in.
        clips: How many clips.
        colours: Joint slots that get a colour in a clip.
    """
    rows = {clip: row for row, clip in reversed(list(enumerate(store.ids)))}
    laid_out = []
    for clip in found.clips[:clips]:
        shown = clip.slots[:colours]
        drawn: list[Images | Sentence] = []
        for name, tokens in found.teachers.items():
            claims = _claims(shown, name, clip.teachers[name].tokens)
            if tokens.steps is None or (tokens.rows is None and tokens.column in clip.words):
                drawn.append(_sentence(name, clip.words.get(tokens.column), claims))
            else:
                drawn.append(_images(name, tokens, claims, store, rows[clip.clip]))
        laid_out.append(Scene(clip, shown, tuple(drawn)))
    return laid_out


_Claims = dict[int, tuple[SlotToken, list[Claim]]]
"""Number of a token -> itself and its claims."""


def _claims(slots: Sequence[JointSlot], teacher: str, tokens: int) -> _Claims:
    """The claims of a teacher's slots; of several for one joint slot the best one counts."""
    found: _Claims = {}
    for colour, slot in enumerate(slots):
        for match in slot.teachers.get(teacher, ())[:1]:
            for token in match.tokens:
                strength = (token.weight * tokens - 1) / (_FULL - 1)
                claim = Claim(colour, token.weight, min(max(strength, 0.0), 1.0), match.slot)
                found.setdefault(token.token, (token, []))[1].append(claim)
    return found


def _sentence(teacher: str, words: Sequence[str | None] | None, claims: _Claims) -> Sentence:
    """The words; without them the numbers of the tokens that are claimed."""
    if words is None:
        numbers = (Word(str(n), f"token {n}", tuple(claimed)) for n, (_, claimed) in sorted(claims.items()))
        return Sentence(teacher, tuple(numbers))
    by_step = {token.step: tuple(claimed) for token, claimed in claims.values()}
    listed = (
        Word(word or "·", f"word {step}", by_step.get(step, ()))
        for step, word in enumerate(words)
        if word is not None
    )
    return Sentence(teacher, tuple(listed))


def _images(
    teacher: str,
    tokens: TeacherTokens,
    claims: _Claims,
    store: FeatureStore,
    row: int,
) -> Images:
    frames = frames_of(store, tokens.column, row)
    steps, height, width = frames.pixels.shape[:3]
    below = 0 if tokens.rows is not None else _BAR
    a_line = max(1, (LINE + _GAP) // (width + _GAP))
    lines, columns = np.divmod(np.arange(steps), a_line)
    places = np.stack([columns * (width + _GAP), lines * (height + below + _GAP)], axis=1)
    shown = np.flatnonzero(frames.pixels[..., 3].any(axis=(1, 2))).tolist()
    parts: list[Part] = []
    if tokens.rows is None:
        by_step = {token.step: claimed for token, claimed in claims.values()}
        for step in shown:
            x, y = places[step].tolist()
            bar = Part(float(x), float(y + height), float(width), float(below), f"step {step}", None)
            parts += _divided(bar, by_step.get(step, []))
    else:
        for token, claimed in claims.values():
            name = f"step {token.step}, row {token.row}, column {token.col}"
            cell = frames.cell * np.array([token.col, token.row], dtype=np.int64)
            x, y = (places[token.step or 0] + cell + frames.border).tolist()
            parts += _divided(Part(x, y, float(frames.cell), float(frames.cell), name, None), claimed)
    pixels = mosaic(frames.pixels, places)
    outlines = tuple((*places[step].tolist(), width, height) for step in shown)
    return Images(teacher, pixels, len(pixels) + below, outlines, tuple(parts))


def _divided(whole: Part, claims: Sequence[Claim]) -> Iterator[Part]:
    """A stripe for each claim, or the whole if there is none."""
    if not claims:
        yield whole
    for place, claim in enumerate(claims):
        width = whole.width / len(claims)
        yield replace(whole, x=whole.x + place * width, width=width, claim=claim)
