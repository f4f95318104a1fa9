"""Unified multimodal codebooks: pretrain them and use them.

>>> from unicode_cmg import available_methods
>>> "dcid" in available_methods()
True
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unicode_cmg.checkpoints import load_pretrained, load_published, save_pretrained
    from unicode_cmg.errors import InputError
    from unicode_cmg.methods import available_methods
    from unicode_cmg.methods.base import Method

try:
    __version__ = version("unicode-cmg")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0.1.0"

__all__ = [
    "InputError",
    "Method",
    "__version__",
    "available_methods",
    "load_pretrained",
    "load_published",
    "save_pretrained",
]

_HOMES = {
    "InputError": "unicode_cmg.errors",
    "Method": "unicode_cmg.methods.base",
    "available_methods": "unicode_cmg.methods",
    "load_pretrained": "unicode_cmg.checkpoints",
    "load_published": "unicode_cmg.checkpoints",
    "save_pretrained": "unicode_cmg.checkpoints",
}


def __getattr__(name: str) -> Any:
    # Torch takes seconds to import, and `unicode-cmg --help` must not wait for it.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
