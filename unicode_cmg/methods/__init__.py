"""Methods to pretrain a unified codebook, by their names in `unicode_cmg.registry`."""

from unicode_cmg.registry import available_methods, method_class

__all__ = ["available_methods", "method_class"]
