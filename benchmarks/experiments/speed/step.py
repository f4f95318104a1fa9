"""Time of one pretraining step of each method, and of DCID with each regularizer, at the papers' sizes.

usage: python -m benchmarks.experiments.speed.step [--clips 8] [--rounds 5] [--rows "dcid,dcid + gram"]

The features are random and have the shapes of the published features (10 x 128, 10 x 7 x 7 x 512, 10 x
768). A step contains all losses, critics, optimizers and codebook updates; both code layers of H-DCID take
part; regularizers have their default settings. Rows take turns in one process. The table shows medians over
the rounds, and ratios to the first row in the same round. The cost of losses that compare clips with each
other grows with the number of clips: `--clips 80` is the batch size of the papers.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Annotated

import torch
import typer
from accelerate import Accelerator

from benchmarks.markdown import markdown_table
from unicode_cmg.batch import FeatureBatch
from unicode_cmg.config import load_yaml
from unicode_cmg.console import run_command
from unicode_cmg.methods import method_class
from unicode_cmg.regularizers import Regularizers
from unicode_cmg.regularizers.registry import OURS
from unicode_cmg.training import PretrainConfig
from unicode_cmg.training.process import accelerated
from unicode_cmg.training.trainer import Trainer

CONFIGS = Path(__file__).parents[3] / "unicode_cmg" / "configs"
ROWS = ("dcid", "hdcid", "fcid", *(f"dcid + {name}" for name in OURS))
_JOINED = 1000  # an epoch in which every code layer takes part


def step(
    clips: Annotated[int, typer.Option(min=2, help="Number of clips in a step.")] = 8,
    rounds: Annotated[int, typer.Option(min=1, help="Number of timed steps of each row.")] = 5,
    rows: Annotated[
        str, typer.Option(help="Methods, with regularizers after a +; separated by commas.")
    ] = ",".join(ROWS),
) -> None:
    """Time one pretraining step of each method at the papers' sizes, and print a table."""
    with accelerated("no") as accelerator:
        generator = torch.Generator().manual_seed(0)
        shapes = {"audio": (128,), "video": (7, 7, 512), "text": (768,)}
        batch = FeatureBatch.of(
            {m: torch.randn(clips, 10, *shape, generator=generator) for m, shape in shapes.items()}
        ).to(accelerator.device)
        trainers = {row.strip(): _trainer(row.strip(), batch, accelerator) for row in rows.split(",")}
        seconds: dict[str, list[float]] = {row: [] for row in trainers}
        for round_ in range(rounds + 1):  # the first round warms up
            for row, trainer in trainers.items():
                started = time.perf_counter()
                trainer.step(batch, step=round_ + 1, epoch=_JOINED, lr=1e-4, statistics=False)
                if accelerator.device.type == "cuda":
                    torch.cuda.synchronize()
                if round_:
                    seconds[row].append(time.perf_counter() - started)
    first = next(iter(trainers))
    print(
        f"{clips} clips, {rounds} rounds, {torch.get_num_threads()} threads, {batch.features['audio'].device}"
    )
    cells = []
    for row, trainer in trainers.items():
        ratios = [own / base for own, base in zip(seconds[row], seconds[first], strict=True)]
        size = sum(p.numel() for m in (trainer.method, trainer.regularizers) for p in m.parameters()) / 1e6
        median = statistics.median(seconds[row])
        cells.append((row, f"{size:.1f} M", f"{median:.2f}", f"{statistics.median(ratios):.2f}"))
    print(markdown_table(("row", "parameters", "seconds a step", f"times {first}"), cells), end="")


def _trainer(row: str, batch: FeatureBatch, accelerator: Accelerator) -> Trainer:
    """The trainer of a row such as `dcid` or `dcid + gram`."""
    name, *extra = (part.strip() for part in row.split("+"))
    path = CONFIGS / f"{name}.yaml"
    values = {**load_yaml(path), "regularizers": [{"name": regularizer} for regularizer in extra]}
    config = PretrainConfig.parse(values, where=path)
    torch.manual_seed(0)
    method = method_class(name)(config.method.settings).to(accelerator.device)
    clip = FeatureBatch.of({m: x[:1] for m, x in batch.features.items()})
    with torch.no_grad():
        example = method.eval().view(clip, method.represent(clip))
    regularizers = Regularizers.build(config.regularizers, example, seed=0).to(accelerator.device)
    return Trainer(method.train(), config, accelerator, regularizers.train())


if __name__ == "__main__":
    run_command(step)
