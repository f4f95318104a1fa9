"""What matched slots attend to: pictures like figure 2 of the SGA paper, of runs with `slot_alignment`."""

from __future__ import annotations

from benchmarks.slots.figure import draw_slots
from benchmarks.slots.matching import matched_slots
from benchmarks.slots.outputs import write_slots
from benchmarks.slots.record import MatchedSlots

__all__ = ["MatchedSlots", "draw_slots", "matched_slots", "write_slots"]
