"""Shapes in signatures, for those who check them.

jaxtyping would take a third of the time that `import toc` takes. Annotations are not evaluated here, so it is
left out unless a type checker reads this, or something has loaded it already: then shapes are checked
while the tests run.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or "jaxtyping" in sys.modules:
    from jaxtyping import Bool, Float, Int64, Shaped
else:

    class Shaped:
        """`Shaped[array, "axes"]` is `array`."""

        def __class_getitem__(cls, item: tuple[Any, str]) -> Any:
            return item[0]

    Bool = Float = Int64 = Shaped

__all__ = ["Bool", "Float", "Int64", "Shaped"]
