"""Damage, attacks, kills and full disks: each of a sample is survived; the command tries more."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from places import ROOT


@pytest.mark.slow
def test_damage_attacks_kills_and_full_disks_are_survived_in_little_memory() -> None:
    """The number of damages is that of the variable RELIABILITY_DAMAGES, if it is set."""
    damages = os.environ.get("RELIABILITY_DAMAGES", "400")
    command = ["-m", "benchmarks.experiments.reliability", "--damages", damages, "--kills", "1", "--json"]
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)
    assert [failure for row in found["rows"] for failure in row["failures"]] == []
    assert done.returncode == 0
    assert found["peak_mb"] <= 2048
    tried = {row["what"]: row["tried"] for row in found["rows"]}
    assert tried["attacks"] >= 49
    assert sum(count for what, count in tried.items() if what.startswith("damaged: ")) == int(damages)
    assert len([what for what in tried if what.startswith("killed: ")]) == 5
