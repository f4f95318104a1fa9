"""What matched slots attend to: pictures like figure 2 of the SGA paper, of runs with `slot_alignment`."""

from __future__ import annotations

from unicode_cmg.inspect.slots.figure import draw_slots
from unicode_cmg.inspect.slots.matching import matched_slots
from unicode_cmg.inspect.slots.outputs import write_slots
from unicode_cmg.inspect.slots.record import MatchedSlots

__all__ = ["MatchedSlots", "draw_slots", "matched_slots", "write_slots"]
