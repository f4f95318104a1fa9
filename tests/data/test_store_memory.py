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
    # 1000 clips fill the buffers of all threads in every stage; what these take is no growth. Where the
    # allocator puts the buffers of encoding changes a peak by 100 MB by chance; what grows with the store
    # grows each time.
    growth: dict[str, float] = {}
    for attempt in range(3):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        small, large = (measured(folder / str(clips), clips, 64 / clips) for clips in (1000, 2400))
        assert large["stored"] - small["stored"] > 2.5 * MEGABYTES
        growth = {stage: most - small["anonymous"][stage] for stage, most in large["anonymous"].items()}
        assert set(growth) == {"start", "write", "train", "encode", "check", "export", "import"}
        if max(growth.values()) < MEGABYTES:
            return
    raise AssertionError(growth)
