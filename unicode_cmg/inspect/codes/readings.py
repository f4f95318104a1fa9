"""What the code of a second tells: its class in an event, in background, and in a clip with several events.

A code is read by a table: it names the class that it has most often in event seconds of other clips. That is
the best any classifier of single codes can do, and it needs no training. The clips are halved; each half is
read by the table of the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int64
from numpy.typing import NDArray
from pydantic import Field

from unicode_cmg.config import Config

NO_CODE = -1


class Reading(Config):
    """Whether a second of background names the class of its clip, of which it holds nothing."""

    events: float = Field(description="Share of event seconds whose code names their class.")
    background: float = Field(description="Share of background seconds whose code names the clip's class.")
    chance: float = Field(
        description="Share of the background seconds whose clip has the class that most of them have."
    )
    seconds: tuple[int, int] = Field(description="Number of event and of background seconds.")


class OwnReading(Config):
    """In clips with several classes: seconds that contain exactly one of them."""

    own: float = Field(description="Share whose code names the class of the second.")
    other: float = Field(description="Share whose code names another class of the clip.")
    chance: float = Field(description="Share that has the most frequent class of these seconds.")
    seconds: int = Field(description="Number of such seconds.")


def halves(groups: Sequence[str]) -> Bool[np.ndarray, " clips"]:
    """About half of the clips, by a hash of the names of their groups, such as the ids of videos.

    The order of the clips would not do, as their classes may take turns.
    """
    return np.array([hashlib.sha256(group.encode()).digest()[0] < 128 for group in groups], dtype=bool)


def read_background(
    codes: Int64[np.ndarray, "clips time"],
    classes: Int64[np.ndarray, "clips time"],
    clip_classes: Int64[np.ndarray, " clips"],
    groups: Sequence[str],
    *,
    background: int,
) -> Reading | None:
    """How often codes name the class of their clip, in event seconds and in seconds of background.

    Args:
        codes: Of each second; `NO_CODE` where there is none.
        classes: Of each second; `background` where nothing of the class is.
        clip_classes: Class of each clip.
        groups: What each clip is a part of; clips of one group are never on both sides.
        background: Number of the class background, after all others.

    Returns:
        None if no background second, or no event second of one half, has a code.
    """
    event = (codes != NO_CODE) & (classes != background)
    quiet = (codes != NO_CODE) & (classes == background)
    own = np.broadcast_to(clip_classes[:, None], codes.shape)
    first = halves(groups)[:, None]
    if not quiet.any() or not (event & first).any() or not (event & ~first).any():
        return None
    right = np.zeros(codes.shape, bool)
    for part in (first, ~first):
        table = _names(codes[event & ~part], classes[event & ~part], int(codes.max()), background)
        right |= part & (table[codes] == own)
    return Reading(
        events=float(right[event].mean()),
        background=float(right[quiet].mean()),
        chance=usual_share(own[quiet]),
        seconds=(int(event.sum()), int(quiet.sum())),
    )


def read_own(
    codes: Int64[np.ndarray, "clips time"],
    present: Bool[np.ndarray, "clips time classes"],
    groups: Sequence[str],
) -> OwnReading | None:
    """How often the code of a second names the class of the second and not another class of the clip.

    Args:
        codes: Of each second; `NO_CODE` where there is none.
        present: Which classes are in each second.
        groups: As for `read_background`.

    Returns:
        None if no clip has seconds of several classes, or one half has no second of one class.
    """
    one: NDArray[np.bool_] = (codes != NO_CODE) & (present.sum(-1) == 1)
    classes = present.argmax(-1)
    in_clip = present.any(1)
    several = np.asarray(in_clip.sum(-1) > 1)
    asked = one & several[:, None]
    first = halves(groups)[:, None]
    if not asked.any() or not (one & first).any() or not (one & ~first).any():
        return None
    named = np.zeros(codes.shape, np.int64)
    for part in (first, ~first):
        table = _names(codes[one & ~part], classes[one & ~part], int(codes.max()), present.shape[-1])
        named = np.where(part, table[codes], named)
    own = named == classes
    somewhere = np.take_along_axis(in_clip, named, axis=1)
    return OwnReading(
        own=float(own[asked].mean()),
        other=float((somewhere & ~own)[asked].mean()),
        chance=usual_share(classes[asked]),
        seconds=int(asked.sum()),
    )


def usual_share(classes: Int64[np.ndarray, " steps"]) -> float:
    """Share of the most frequent class: what a constant answer can reach at most."""
    return float(np.unique(classes, return_counts=True)[1].max() / len(classes))


def _names(
    codes: Int64[np.ndarray, " seconds"], classes: Int64[np.ndarray, " seconds"], last: int, count: int
) -> Int64[np.ndarray, " codes"]:
    """The class that each code has most often; a code that does not occur gets the most frequent class."""
    counts = np.zeros((last + 1, count), np.int64)
    np.add.at(counts, (codes, classes), 1)
    most: NDArray[np.int64] = counts.argmax(1)
    most[~counts.any(1)] = counts.sum(0).argmax()
    return most
