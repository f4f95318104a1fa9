"""Which layers of the codes the heads see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from unicode_cmg.errors import InputError


def resolve_layers(wanted: Sequence[str] | None, known: Mapping[str, int]) -> tuple[str, ...]:
    """The wanted code layers, in the order of the model; all of them for None.

    Args:
        wanted: Names, such as `["layer1"]`.
        known: The model's `code_layers()`.

    Raises:
        InputError: A name is unknown, or there is none.
    """
    if wanted is None:
        return tuple(known)
    for name in wanted:
        if name not in known:
            raise InputError(f"the model has no code layer '{name}'", expected=f"one of {', '.join(known)}")
    if not wanted:
        raise InputError("no code layer to evaluate", expected=f"one or more of {', '.join(known)}")
    return tuple(layer for layer in known if layer in wanted)
