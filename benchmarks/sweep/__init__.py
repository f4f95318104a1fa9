"""Pretrain and evaluate many variants of a configuration; a YAML file says which ones."""

from __future__ import annotations

from benchmarks.sweep.config import SweepConfig, load_sweep
from benchmarks.sweep.rows import Row
from benchmarks.sweep.runs import Outcome, run_sweep
from benchmarks.sweep.tables import outcome_frame

__all__ = ["Outcome", "Row", "SweepConfig", "load_sweep", "outcome_frame", "run_sweep"]
