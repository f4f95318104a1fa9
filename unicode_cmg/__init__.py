"""Unified multimodal codebooks: pretraining, refinement without training, cross-modal evaluation.

>>> import unicode_cmg as uc
>>> "dcid" in uc.available_methods()
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks import evaluate
    from benchmarks.report import build_report as report
    from toc import merge_codes, optimize
    from unicode_cmg.checkpoints import load_pretrained, load_published, save_pretrained
    from unicode_cmg.data import FeatureStore
    from unicode_cmg.encoding import encode_store as encode
    from unicode_cmg.errors import InputError
    from unicode_cmg.extract import extract
    from unicode_cmg.methods.base import Method
    from unicode_cmg.model import Model
    from unicode_cmg.registry import available_methods
    from unicode_cmg.training.config import PretrainConfig
    from unicode_cmg.training.diagnosis.watch import Callback
    from unicode_cmg.training.fit import fit
    from unicode_cmg.version import VERSION as __version__

__all__ = [
    "Callback",
    "FeatureStore",
    "InputError",
    "Method",
    "Model",
    "PretrainConfig",
    "__version__",
    "available_methods",
    "encode",
    "evaluate",
    "extract",
    "fit",
    "load_pretrained",
    "load_published",
    "merge_codes",
    "optimize",
    "report",
    "save_pretrained",
]

# Torch takes seconds to import, and `unicode-cmg --help` must not wait for it.
_HOMES = {
    "__version__": "unicode_cmg.version:VERSION",
    "Callback": "unicode_cmg.training",
    "FeatureStore": "unicode_cmg.data",
    "InputError": "unicode_cmg.errors",
    "Method": "unicode_cmg.methods.base",
    "Model": "unicode_cmg.model",
    "PretrainConfig": "unicode_cmg.training",
    "available_methods": "unicode_cmg.registry",
    "encode": "unicode_cmg.encoding:encode_store",
    "evaluate": "benchmarks",
    "extract": "unicode_cmg.extract",
    "fit": "unicode_cmg.training",
    "load_pretrained": "unicode_cmg.checkpoints",
    "load_published": "unicode_cmg.checkpoints",
    "merge_codes": "toc",
    "optimize": "toc",
    "report": "benchmarks.report:build_report",
    "save_pretrained": "unicode_cmg.checkpoints",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module, _, attribute = _HOMES[name].partition(":")
    if not module.startswith(__name__):
        from unicode_cmg.siblings import import_siblings

        import_siblings("toc", "benchmarks")
    return getattr(import_module(module), attribute or name)


def __dir__() -> list[str]:
    return __all__
