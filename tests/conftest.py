"""What all tests share: one thread, for speed and reproducible sums, and hypothesis' profile."""

from __future__ import annotations

import os

# Before numpy and torch are imported; child processes inherit it.
for _library in ("OMP", "MKL", "OPENBLAS"):
    os.environ[f"{_library}_NUM_THREADS"] = "1"

import torch  # noqa: E402
from hypothesis import settings  # noqa: E402

torch.set_num_threads(1)
settings.register_profile("suite", derandomize=True, deadline=None)
settings.load_profile("suite")
