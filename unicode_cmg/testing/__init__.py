"""Checks of what a method promises to training, encoding and checkpoints, for authors of methods."""

from __future__ import annotations

from unicode_cmg.testing.check import CHECKS, Check
from unicode_cmg.testing.report import CheckReport, MethodCheckError, check_method, method_checks

__all__ = ["CHECKS", "Check", "CheckReport", "MethodCheckError", "check_method", "method_checks"]
