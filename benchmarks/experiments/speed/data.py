"""Rows of reading and writing: the feature store beside a bare memory map, and imports."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.experiments.speed.measuring import Row, compared, now
from unicode_cmg.data import FeatureStore
from unicode_cmg.data.ahead import map_ahead

STEP = (10, 7, 7, 512)
BATCH = 80


def store_rows(rounds: int, *, clips: int) -> Iterator[Row]:
    """Batches of 80 clips of float16 video, in a random order, from the page cache; and writing them."""
    generator = np.random.default_rng(0)
    features = generator.standard_normal((clips, *STEP), dtype=np.float32).astype(np.float16)
    batches = np.split(generator.permutation(clips), clips // BATCH)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "store"
        rates = []
        for _ in range(rounds):
            started = now()
            FeatureStore.write(path, {"video": features}, range(clips))
            rates.append(features.nbytes / 1e6 / (now() - started))
        yield Row(f"writing {clips} clips of float16 video", "MB/s", tuple(rates), ">= 500")
        mapped = np.load(path / "part-00000" / "video.npy", mmap_mode="r").view(np.ndarray)
        store = FeatureStore.open(path)

        def bare() -> None:
            for rows in batches:
                mapped[rows]

        def ours() -> None:
            for rows in batches:
                store.batch(rows, dtype=None)

        def ahead() -> None:
            with closing(map_ahead(lambda rows: store.batch(rows, dtype=None), batches)) as read:
                for _ in read:
                    pass

        def converted() -> None:
            for rows in batches:
                store.batch(rows)

        floor = "a bare memory map"
        name = "reading batches of float16 video"
        yield from compared(name, ours, {floor: bare}, rounds)
        threads = f"{name}, by the threads of training, by the clock"
        yield from compared(
            threads, ahead, {floor: bare}, rounds, reach=">= 0.8", guarded=False, clock=time.perf_counter
        )
        yield from compared(f"{name} as float32", converted, {floor: bare}, rounds, guarded=False)


def import_rows(rounds: int) -> Iterator[Row]:
    """Processor time of an import and of the command's help, each in a process of its own."""
    toc = [sys.executable, "-c", "import toc, sys; assert 'torch' not in sys.modules"]
    command = [sys.executable, "-c", "import cli; cli.main()", "--help"]
    for name, line, reach in (("import toc", toc, "<= 0.3"), ("unicode-cmg --help", command, "<= 1")):
        yield Row(name, "s of processor", tuple(_processor_seconds(line) for _ in range(rounds)), reach)


def _processor_seconds(line: list[str]) -> float:
    script = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, capture_output=True);"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN); print(used.ru_utime + used.ru_stime)"
    )
    done = subprocess.run([sys.executable, "-c", script, *line], capture_output=True, text=True, check=True)
    return float(done.stdout)
