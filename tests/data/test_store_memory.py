from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).with_name("measure_memory.py")
MEGABYTES = 60  # of anonymous memory that a store that is 180 MB larger may take more


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
    # 1000 clips fill the buffers of all threads in every stage; what these take is no growth
    small, large = (measured(tmp_path / str(clips), clips, 64 / clips) for clips in (1000, 2400))
    assert large["stored"] - small["stored"] > 2.5 * MEGABYTES
    growth = {stage: most - small["anonymous"][stage] for stage, most in large["anonymous"].items()}
    assert set(growth) == {"start", "write", "train", "encode", "check", "export", "import"}
    assert max(growth.values()) < MEGABYTES, growth
