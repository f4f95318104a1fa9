"""What is inside a trained model: what its codes stand for, and what its matched slots attend to."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unicode_cmg.inspect.codes.codes_json import DescribedCodes
    from unicode_cmg.inspect.codes.describe import describe_codes, write_codes
    from unicode_cmg.inspect.codes.picture import draw_codes
    from unicode_cmg.inspect.slots.figure import draw_slots
    from unicode_cmg.inspect.slots.matching import matched_slots
    from unicode_cmg.inspect.slots.page import write_slots
    from unicode_cmg.inspect.slots.slots_json import MatchedSlots

__all__ = [
    "DescribedCodes",
    "MatchedSlots",
    "describe_codes",
    "draw_codes",
    "draw_slots",
    "matched_slots",
    "write_codes",
    "write_slots",
]

_HOMES = {
    "DescribedCodes": "codes.codes_json",
    "MatchedSlots": "slots.slots_json",
    "describe_codes": "codes.describe",
    "draw_codes": "codes.picture",
    "draw_slots": "slots.figure",
    "matched_slots": "slots.matching",
    "write_codes": "codes.describe",
    "write_slots": "slots.page",
}


def __getattr__(name: str) -> Any:
    # Matplotlib and jinja2 take a second to import, and who counts codes does not need them.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
