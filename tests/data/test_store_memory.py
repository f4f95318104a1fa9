from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).with_name("measure_memory.py")
MEGABYTES = 45  # of anonymous memory that a store several times as large may take more than a small one


def measured(folder: Path, clips: int, fraction: float) -> dict[str, Any]:
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(folder), str(clips), str(fraction)],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_store(tmp_path: Path) -> None:
    # 320 clips fill the buffers of every stage; what these take is no growth
    small, large = (measured(tmp_path / str(clips), clips, 64 / clips) for clips in (320, 2400))
    assert large["stored"] > 6 * MEGABYTES
    growth = {stage: most - small["anonymous"][stage] for stage, most in large["anonymous"].items()}
    assert set(growth) == {"start", "write", "train", "encode", "check", "export", "import"}
    assert max(growth.values()) < MEGABYTES, growth
