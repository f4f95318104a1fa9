"""One pretraining step of each method at published sizes, in one process and in turns.

usage: python -m benchmarks.speed.step [--clips 8] [--rounds 5]

Random features of the published shapes (10 x 128, 10 x 7 x 7 x 512, 10 x 768), all losses, critics,
optimizers and codebook updates; H-DCID with both layers in. Medians over the rounds, and ratios to DCID in
the same round.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Annotated

import torch
import typer
from accelerate import Accelerator

from unicode_cmg.batch import FeatureBatch
from unicode_cmg.config import load_yaml
from unicode_cmg.methods import build_method
from unicode_cmg.training import PretrainConfig
from unicode_cmg.training.trainer import Trainer

CONFIGS = Path(__file__).parents[2] / "configs"
METHODS = ("dcid", "hdcid", "fcid")
_JOINED = 1000  # an epoch by which every layer takes part

app = typer.Typer(add_completion=False, rich_markup_mode=None, help=__doc__)


@app.command()
def step(
    clips: Annotated[int, typer.Option(min=2, help="Clips of a step.")] = 8,
    rounds: Annotated[int, typer.Option(min=1, help="Timed steps of each method.")] = 5,
) -> None:
    """Time the steps and print a table."""
    accelerator = Accelerator()
    generator = torch.Generator().manual_seed(0)
    shapes = {"audio": (128,), "video": (7, 7, 512), "text": (768,)}
    batch = FeatureBatch.of(
        {m: torch.randn(clips, 10, *shape, generator=generator) for m, shape in shapes.items()}
    ).to(accelerator.device)
    trainers = {name: _trainer(name, accelerator) for name in METHODS}
    seconds: dict[str, list[float]] = {name: [] for name in METHODS}
    for round_ in range(rounds + 1):  # the first round warms up
        for name, trainer in trainers.items():
            started = time.perf_counter()
            trainer.step(batch, step=round_ + 1, epoch=_JOINED, lr=1e-4, statistics=False)
            if accelerator.device.type == "cuda":
                torch.cuda.synchronize()
            if round_:
                seconds[name].append(time.perf_counter() - started)
    print(f"{clips} clips, {rounds} rounds, {torch.get_num_threads()} threads, {accelerator.device}")
    print("| method | parameters | seconds a step | times DCID |\n| --- | --- | --- | --- |")
    for name, trainer in trainers.items():
        ratios = [own / base for own, base in zip(seconds[name], seconds["dcid"], strict=True)]
        size = sum(p.numel() for p in trainer.method.parameters()) / 1e6
        median = statistics.median(seconds[name])
        print(f"| {name} | {size:.1f} M | {median:.2f} | {statistics.median(ratios):.2f} |")


def _trainer(name: str, accelerator: Accelerator) -> Trainer:
    path = CONFIGS / f"{name}.yaml"
    config = PretrainConfig.parse(load_yaml(path), where=path)
    torch.manual_seed(0)
    method = build_method(name, config.method_settings, path).to(accelerator.device).train()
    return Trainer(method, config, accelerator)


if __name__ == "__main__":
    app()
