"""From raw media to a feature store: decoding, front ends and encoders.

The room has the name of its function, so `unicode_cmg.extract` of the front door can be either of them. Both
are called alike.
"""

from __future__ import annotations

import sys
from types import ModuleType

from unicode_cmg.extract.extracted import Extracted
from unicode_cmg.extract.run import extract

__all__ = ["Extracted", "extract"]


class _CallableRoom(ModuleType):
    __call__ = staticmethod(extract)


sys.modules[__name__].__class__ = _CallableRoom
