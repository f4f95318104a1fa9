"""A store written, trained on, encoded, exported and imported again, and how much memory that takes.

Run as a program with a folder to use, a number of clips and the share of them to train on. It prints, as
JSON, megabytes of features, and the most anonymous memory in each stage.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from unicode_cmg.checkpoints import load_pretrained
from unicode_cmg.data import FeatureStore
from unicode_cmg.data.check.report import CheckReport
from unicode_cmg.data.check.store import check_store
from unicode_cmg.data.export import export_store
from unicode_cmg.data.importing import import_features
from unicode_cmg.encoding import encode_store
from unicode_cmg.training import PretrainConfig, fit

SHAPES = {"audio": (10, 128), "video": (10, 7, 7, 128)}
CLASSES = 4


def anonymous() -> int:
    """Anonymous memory of this process in bytes: what no file backs."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    raise OSError("no RssAnon")


def chunks(shape: tuple[int, ...], clips: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(0)
    for start in range(0, clips, 8):
        yield rng.standard_normal((min(8, clips - start), *shape), dtype=np.float32).astype(np.float16)


def run(folder: Path, clips: int, fraction: float, enter: Callable[[str], object]) -> None:
    """Everything that reads or writes a store."""
    columns = {
        "label": [f"class-{row % CLASSES}" for row in range(clips)],
        "split": [("train", "val", "test")[row // CLASSES % 3] for row in range(clips)],
    }
    features = {name: chunks(shape, clips) for name, shape in SHAPES.items()}
    enter("write")
    FeatureStore.write(folder / "store", features, range(clips), columns=columns, part_bytes=8 << 20)
    dims = {"audio": {"dim": 128}, "video": {"dim": 128, "grid": [7, 7]}}
    config = {
        "method": {
            "name": "dcid",
            "dim": 16,
            "num_codes": 16,
            "heads": 2,
            "feedforward": 16,
            "modalities": dims,
        },
        "data": {"store": str(folder / "store"), "fraction": fraction},
        "training": {"epochs": 1, "batch_size": 16, "log_every": 1000},
    }
    enter("train")
    result = fit(PretrainConfig.parse(config, where="memory"), folder / "run", progress=False)
    enter("encode")
    model = load_pretrained(result.model)
    store = FeatureStore.open(folder / "store")
    encode_store(model, store, folder / "codes.parquet", batch_size=16, progress=False)
    enter("check")
    check_store(CheckReport("store", folder / "store", every=True), folder / "store")
    enter("export")
    export_store(store, folder / "parquet")
    enter("import")
    import_features(folder / "parquet", folder / "again")


def main() -> None:
    folder, clips, fraction = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    most: dict[str, float] = {"start": anonymous() / 1e6}
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.002):
            stage = next(reversed(most))
            most[stage] = max(most[stage], anonymous() / 1e6)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        run(folder, clips, fraction, lambda stage: most.setdefault(stage, 0.0))
    finally:
        stop.set()
        watcher.join()
    stored = sum(file.stat().st_size for file in (folder / "store").rglob("*.npy"))
    print(json.dumps({"stored": stored / 1e6, "anonymous": most}))


if __name__ == "__main__":
    main()
