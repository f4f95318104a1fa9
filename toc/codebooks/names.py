"""Short names of codebooks, from where they stand in a model."""

from __future__ import annotations

import re
from collections.abc import Sequence

_QUANTIZER = re.compile(r"(?<=\w)_(?:residual_)?(?:vector_)?(?:quantizer|quantize|vq)$")


def short_names(places: Sequence[tuple[str, ...]], heads: Sequence[str]) -> list[str]:
    """A name for each codebook of a file.

    A codebook is `layerN` if the model keeps it at place N of a list, and `layer0` if in none. Where there
    are several such lists, or several quantizers, the name begins with the words that tell them apart:
    `semantic.0`, `acoustic.0`; the groups of a grouped quantizer are `group0.0`, `group0.1`, ...

    Args:
        places: The words that lead to each codebook, such as `("quantizer", "layers", "3")`.
        heads: Which head of its layer each is, such as `head1`; empty where there is one.
    """
    owners, positions = zip(*map(_split, places), strict=True)
    common = set.intersection(*map(set, owners))
    names = []
    for owner, position, head in zip(owners, positions, heads, strict=True):
        label = ".".join(_QUANTIZER.sub("", word) for word in owner if word not in common)
        words = (label, position, head) if label else (position or "0", head)
        name = ".".join(filter(None, words))
        names.append(f"layer{name}" if name[0].isdigit() else name)
    whole = [".".join(filter(None, (*place, head))) for place, head in zip(places, heads, strict=True)]
    return names if len(set(names)) == len(names) else whole


def _split(place: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    """What holds the list that a codebook is in, and its place in the list; empty if it is in none."""
    words = list(place)
    position = words.pop() if words and words[-1].isdigit() else ""
    if position and words and not words[-1].isdigit():
        words.pop()  # the name of the list: layers, quantizers, ...
    for at in range(1, len(words)):
        if words[at - 1] == "rvqs" and words[at].isdigit():  # GroupedResidualVQ
            words[at] = f"group{words[at]}"
    return tuple(words), position
