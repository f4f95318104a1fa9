"""What the codes of a model stand for: who uses them, and which clips and words lie near them."""

from __future__ import annotations

from unicode_cmg.inspect.codes.codes import interpret_codes
from unicode_cmg.inspect.codes.outputs import write_codes
from unicode_cmg.inspect.codes.picture import draw_codes
from unicode_cmg.inspect.codes.record import InterpretedCodes
from unicode_cmg.inspect.codes.sharing import Sharing, sharing_of

__all__ = ["InterpretedCodes", "Sharing", "draw_codes", "interpret_codes", "sharing_of", "write_codes"]
