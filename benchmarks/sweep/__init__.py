"""Pretrain and evaluate many variants of a configuration; which ones is a YAML file, not code."""

from __future__ import annotations

from benchmarks.sweep.plan import SweepConfig, load_sweep
from benchmarks.sweep.rows import Row
from benchmarks.sweep.runs import Outcome, run_rows

__all__ = ["Outcome", "Row", "SweepConfig", "load_sweep", "run_rows"]
