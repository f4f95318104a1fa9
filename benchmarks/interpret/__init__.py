"""What the codes of a model stand for: who uses them, and which clips and words lie near them."""

from __future__ import annotations

from benchmarks.interpret.codes import interpret_codes
from benchmarks.interpret.outputs import write_codes
from benchmarks.interpret.picture import draw_codes
from benchmarks.interpret.record import InterpretedCodes
from benchmarks.interpret.sharing import Sharing, sharing_of

__all__ = ["InterpretedCodes", "Sharing", "draw_codes", "interpret_codes", "sharing_of", "write_codes"]
