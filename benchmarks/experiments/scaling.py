"""How a training step scales over ranks: measured on 1 and 2 processes, computed for more.

python -m benchmarks.experiments.scaling --config configs/digits/dcid.yaml

The step on noise is timed with one process and with two on this machine, on the CPU, with `--batch` clips for
each process. In the latter, everything that is sent is counted: the gradients, whose bytes do not depend on
the number of ranks, and the gathers and sums of the losses, whose bytes grow with the clips of the batch. The
table for more ranks is computed from these counts, the step time of one process (`--step-ms` and `--clips`
for those of another machine) and two assumed networks, as in a ring: an all-reduce of S bytes over N ranks
takes `2 S (N - 1) / (N bandwidth) + 2 log2(N) latency`, an all-gather half of it. Gradients overlap with
backward, taken as two thirds of the step, except for the last bucket.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import torch
import torch.distributed as dist
import typer

from unicode_cmg.batch import FeatureBatch
from unicode_cmg.console import run_command, show
from unicode_cmg.methods import method_class
from unicode_cmg.training import PretrainConfig
from unicode_cmg.training.process import accelerated
from unicode_cmg.training.trainer import Trainer

NETWORKS = {"within a node, 300 GB/s": (300e9, 10e-6), "between nodes, 100 Gbit/s": (12.5e9, 30e-6)}
"""Name -> bytes a second and rank, and seconds until a message has arrived; assumptions."""

_BUCKET = 25 * 2**20


def noise(config: PretrainConfig, clips: int, steps: int, rank: int) -> FeatureBatch:
    """Clips of noise for the method of a configuration."""
    generator = torch.Generator().manual_seed(rank)
    shapes = {m: (*(s.grid or ()), s.dim) for m, s in config.method.settings.modalities.items()}  # type: ignore[attr-defined]
    return FeatureBatch.of({m: torch.randn(clips, steps, *s, generator=generator) for m, s in shapes.items()})


@contextmanager
def counting() -> Iterator[dict[str, list[int]]]:
    """Bytes of each collective within the block: `gradients` and the others, `reduced` or `gathered`."""
    sent: dict[str, list[int]] = {"gradients": [], "reduced": [], "gathered": []}
    reduce, gather = dist.all_reduce, dist.all_gather

    def counted_reduce(tensor: Any, *arguments: Any, **options: Any) -> Any:
        sent["gradients" if options.get("async_op") else "reduced"].append(tensor.nbytes)
        return reduce(tensor, *arguments, **options)

    def counted_gather(parts: Any, tensor: Any, *arguments: Any, **options: Any) -> Any:
        sent["gathered"].append(sum(part.nbytes for part in parts))
        return gather(parts, tensor, *arguments, **options)

    dist.all_reduce, dist.all_gather = counted_reduce, counted_gather  # type: ignore[assignment]
    try:
        yield sent
    finally:
        dist.all_reduce, dist.all_gather = reduce, gather


def measure(rank: int, world: int, name: str, batch: int, time_steps: int, repeats: int, folder: str) -> None:
    """Time steps as one of several ranks, and write the median and what was sent in one step."""
    torch.set_num_threads(1)
    places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world}
    if world > 1:
        os.environ |= {name: str(value) for name, value in places.items()} | {"OMP_NUM_THREADS": "1"}
        dist.init_process_group("gloo", init_method=f"file://{folder}/group", rank=rank, world_size=world)
    config = PretrainConfig.load(name)
    with accelerated("no") as accelerator:
        torch.manual_seed(0)
        method = method_class(config.method.name)(config.method.settings)
        trainer = Trainer(method, config, accelerator)
        clips = noise(config, batch, time_steps, rank)
        seconds: list[float] = []
        for number in range(repeats + 2):
            started = time.perf_counter()
            with counting() as sent:
                trainer.step(clips, step=number + 1, epoch=0, lr=1e-4, statistics=False)
            seconds.append(time.perf_counter() - started)
        figures = {"ms": 1e3 * median(seconds[2:]), "sent": sent}
        (Path(folder) / f"{world}.{rank}.json").write_text(json.dumps(figures))
    if world > 1:
        dist.barrier()
        dist.destroy_process_group()


def measured(config: str, world: int, **options: Any) -> dict[str, Any]:
    """The figures of the first of so many processes."""
    with tempfile.TemporaryDirectory() as folder:
        context = multiprocessing.get_context("spawn")
        target: Callable[..., None] = measure
        processes = [
            context.Process(target=target, args=(rank, world, config, *options.values(), folder))
            for rank in range(world)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        figures: dict[str, Any] = json.loads((Path(folder) / f"{world}.0.json").read_text())
        return figures


def computed_ms(
    ranks: int, step_ms: float, sent: dict[str, list[int]], bandwidth: float, latency: float, more: float = 1
) -> float:
    """Milliseconds of a step on so many ranks, each with its own clips; see the module for the model.

    Args:
        ranks: N.
        step_ms: Of one process.
        sent: Bytes of each collective of a step on two ranks.
        bandwidth: Bytes a second and rank.
        latency: Seconds.
        more: Clips of each process, as a multiple of those that were counted.
    """
    share, hops = (ranks - 1) / ranks, math.log2(ranks)
    gradients = 2 * sum(sent["gradients"]) * share / bandwidth + 2 * hops * latency * len(sent["gradients"])
    last = 2 * min(_BUCKET, sum(sent["gradients"])) * share / bandwidth
    # the gradients of gathered clips are as large as the clips; sums do not grow with the ranks
    grows = [size * ranks / 2 * more for size in sent["gathered"]]
    losses = 3 * sum(grows) * share / bandwidth + 2 * sum(sent["reduced"]) * share / bandwidth
    losses += (2 * len(sent["reduced"]) + len(sent["gathered"])) * hops * latency
    return step_ms + 1e3 * (max(last, gradients - 2e-3 / 3 * step_ms) + losses)


def scaling(
    config: Annotated[str, typer.Option(help="Configuration: a YAML file, or dcid, hdcid or fcid.")] = "dcid",
    batch: Annotated[int, typer.Option(min=2, help="Clips of each process.")] = 8,
    time_steps: Annotated[int, typer.Option("--steps", min=1, help="Steps of a clip.")] = 10,
    repeats: Annotated[int, typer.Option(min=1, help="Training steps that are timed.")] = 5,
    step_ms: Annotated[
        float | None,
        typer.Option(help="Milliseconds of a step, for the computed rows.", show_default="as measured"),
    ] = None,
    clips: Annotated[
        int | None,
        typer.Option(help="Clips of each process, for the computed rows.", show_default="as measured"),
    ] = None,
) -> None:
    """Time a training step on 1 and 2 processes and compute what it takes on 8 and 64."""
    options = {"batch": batch, "time_steps": time_steps, "repeats": repeats}
    one, two = (measured(config, world, **options) for world in (1, 2))
    sent, alone = two["sent"], one["ms"] if step_ms is None else step_ms
    kinds = ", ".join(f"{name} {len(sizes)} x, {sum(sizes) / 2**20:.2f} MB" for name, sizes in sent.items())
    show(f"{config}, {batch} clips for each process; sent in a step on 2 ranks: {kinds}\n")
    show("| ranks | clips | ms a step | clips a second, against one rank | |")
    show("| --- | --- | --- | --- | --- |")
    show(f"| 1 | {batch} | {one['ms']:.1f} | 1.00 | measured |")
    gain = 2 * one["ms"] / two["ms"]
    show(f"| 2 | {2 * batch} | {two['ms']:.1f} | {gain:.2f} | measured, gloo, {os.cpu_count()} cores |")
    for name, (bandwidth, latency) in NETWORKS.items():
        for ranks in (8, 64):
            taken = computed_ms(ranks, alone, sent, bandwidth, latency, (clips or batch) / batch)
            gain = ranks * alone / taken
            show(f"| {ranks} | {ranks * (clips or batch)} | {taken:.1f} | {gain:.1f} | computed, {name} |")


if __name__ == "__main__":
    run_command(scaling)
