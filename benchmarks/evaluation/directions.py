"""Which modality a head is trained on, and which it is tested on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from unicode_cmg.errors import InputError, unknown


class Direction(NamedTuple):
    """From the modality that trains a head to the modality that tests it; equal ones give the ceiling."""

    source: str
    target: str

    def __str__(self) -> str:
        return f"{self.source}->{self.target}"


def resolve_directions(
    wanted: Sequence[str | tuple[str, str]] | None, model: Sequence[str], data: Sequence[str]
) -> tuple[Direction, ...]:
    """The directions to evaluate.

    Args:
        wanted: Such as `"video->audio"` or `("video", "audio")`; None for all between the common modalities,
            transfers first, then each modality with itself.
        model: Modalities of the model.
        data: Modalities of the data.

    Raises:
        InputError: A direction cannot be read, or names a modality that the model or the data lacks.
    """
    common = [m for m in model if m in data]
    if wanted is None:
        if len(common) < 2:
            raise InputError(
                f"the model has {', '.join(model)}, the data {', '.join(data)}",
                expected="at least two modalities in both, to transfer between",
            )
        pairs = [Direction(source, target) for source in common for target in common]
        return tuple(sorted(pairs, key=lambda pair: pair.source == pair.target))
    directions = tuple(dict.fromkeys(_parse(item) for item in wanted))
    if not directions:
        raise InputError("no direction to evaluate", expected="at least one, such as video->audio")
    for modality in (m for direction in directions for m in direction):
        for owner, known in (("model", model), ("data", data)):
            if modality not in known:
                raise unknown("modality", modality, common, where=f"the {owner}")
    return directions


def crossing(pairs: tuple[Direction, ...]) -> tuple[Direction, ...]:
    """The directions between two modalities, which are all there is to retrieve.

    Raises:
        InputError: There is none.
    """
    found = tuple(pair for pair in pairs if pair.source != pair.target)
    if not found:
        raise InputError(
            f"nothing to retrieve from {pairs[0]}", expected="two different modalities, such as audio->text"
        )
    return found


def _parse(item: str | tuple[str, str]) -> Direction:
    parts = [part.strip() for part in item.split("->")] if isinstance(item, str) else list(item)
    if len(parts) != 2 or not all(parts):
        raise InputError(
            f"cannot read the direction {item!r}", expected="source->target, such as video->audio"
        )
    return Direction(*parts)
