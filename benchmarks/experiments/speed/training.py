"""Rows of pretraining: a step of each method, of each regularizer, and how a step grows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from benchmarks.experiments.speed.measuring import Row, Work, compared
from benchmarks.experiments.speed.transcription import PlainStep
from unicode_cmg.batch import FeatureBatch
from unicode_cmg.config import load_yaml
from unicode_cmg.methods import method_class
from unicode_cmg.methods.base import Method
from unicode_cmg.regularizers import Regularizers
from unicode_cmg.regularizers.registry import OURS
from unicode_cmg.training import PretrainConfig
from unicode_cmg.training.process import accelerated
from unicode_cmg.training.trainer import Trainer

CONFIGS = Path(__file__).parents[3] / "unicode_cmg" / "configs"
SHAPES = {"audio": (128,), "video": (7, 7, 512), "text": (768,)}
REACH = {"dcid": 2.5, "fcid": 2.5, "hdcid": 4.0}
PLAIN = "plain float32 transcription"
_JOINED = 1000  # an epoch in which every code layer takes part


def random_batch(clips: int, steps: int = 10, modalities: tuple[str, ...] = tuple(SHAPES)) -> FeatureBatch:
    """Features of the published shapes."""
    generator = torch.Generator().manual_seed(0)
    return FeatureBatch.of(
        {m: torch.randn(clips, steps, *SHAPES[m], generator=generator) for m in modalities}
    )


@contextmanager
def trained(
    row: str, batch: FeatureBatch, *, precision: str = "no", **method: Any
) -> Iterator[tuple[Trainer, Work]]:
    """The trainer of a row such as `dcid` or `dcid + gram` at the published sizes, and a step of it.

    A step has all losses, critics, optimizers and codebook updates; both code layers of H-DCID take part.

    Args:
        row: A method, with a regularizer after a plus.
        batch: What it trains on.
        precision: As for `accelerated`.
        method: Other settings of the method.
    """
    name, *extra = (part.strip() for part in row.split("+"))
    path = CONFIGS / f"{name}.yaml"
    values = {**load_yaml(path), "regularizers": [{"name": regularizer} for regularizer in extra]}
    given = values["method"]["modalities"]
    modalities = {m: given[m] for m in batch.features if m in given}
    values["method"] = {**values["method"], "modalities": modalities, **method}
    config = PretrainConfig.parse(values, where=path)
    with accelerated(precision) as accelerator:
        torch.manual_seed(0)
        batch = batch.to(accelerator.device)
        trainer = _trainer(name, config, batch, accelerator)
        taken = 0

        def step() -> None:
            nonlocal taken
            taken += 1
            trainer.step(batch, step=taken, epoch=_JOINED, lr=1e-4, statistics=False)

        yield trainer, step


def _trainer(name: str, config: PretrainConfig, batch: FeatureBatch, accelerator: Accelerator) -> Trainer:
    method = method_class(name)(config.method.settings).to(accelerator.device)
    clip = FeatureBatch.of({m: x[:1] for m, x in batch.features.items()})
    with torch.no_grad():
        example = method.eval().view(clip, method.represent(clip))
    regularizers = Regularizers.build(config.regularizers, example, seed=0).to(accelerator.device)
    return Trainer(method.train(), config, accelerator, regularizers.train())


def step_rows(rounds: int, *, clips: int) -> Iterator[Row]:
    """A step of each method against a plain transcription of it, and H-DCID against DCID."""
    batch = random_batch(clips)
    for name, reach in REACH.items():
        with trained(name, batch) as (_, step):
            plain = PlainStep(name, batch.features)
            title = f"step of {name}, {clips} clips"
            yield from compared(title, step, {PLAIN: plain.step}, rounds, reach=f">= {reach}")
    with trained("dcid", batch) as (_, dcid), trained("hdcid", batch) as (_, hdcid):
        title = f"step of hdcid, {clips} clips"
        yield from compared(title, hdcid, {"step of dcid": dcid}, rounds, reach=">= 0.77")


def regularizer_rows(rounds: int, *, clips: int) -> Iterator[Row]:
    """DCID with each regularizer in its default settings against DCID without.

    Losses that compare clips with each other grow with the number of clips.
    """
    batch = random_batch(clips)
    for regularizer in OURS:
        with trained("dcid", batch) as (_, bare), trained(f"dcid + {regularizer}", batch) as (_, step):
            title = f"step of dcid + {regularizer}, {clips} clips"
            yield from compared(title, step, {"step of dcid": bare}, rounds, guarded=False)


def growth_rows(rounds: int, *, clips: int) -> Iterator[Row]:
    """A step of DCID with twice as much of something against one with once as much."""
    once = random_batch(clips)
    two = {m: once.features[m] for m in ("audio", "text")}
    more: dict[str, tuple[FeatureBatch, dict[str, Any], FeatureBatch, dict[str, Any]]] = {
        "twice the clips": (random_batch(2 * clips), {}, once, {}),
        "twice the steps": (random_batch(clips, 20), {}, once, {}),
        "a third modality (video)": (once, {}, FeatureBatch.of(two), {}),
        "ten times the codes": (once, {"num_codes": 4000}, once, {}),
    }
    for title, (large, settings, small, others) in more.items():
        with trained("dcid", large, **settings) as (_, grown), trained("dcid", small, **others) as (_, base):
            name = f"step of dcid, {clips} clips, {title}"
            yield from compared(name, grown, {"without": base}, rounds, guarded=False)


def memory_rows(*, clips: int) -> Iterator[Row]:
    """What a step of DCID keeps: for backward, and of its parameters throughout."""
    batch = random_batch(clips)
    for precision in ("no", "bf16"):
        with trained("dcid", batch, precision=precision) as (trainer, _):
            parameters = list(trainer.method.parameters())
            kept = _kept_for_backward(trainer.method, batch.to(parameters[0].device), precision)
        name = f"step of dcid, {clips} clips, training.precision {precision}"
        yield Row(f"{name}, kept for backward", "GB", (kept / 1e9,))
    state = 4 * sum(p.numel() * p.element_size() for p in parameters)
    yield Row("step of dcid, parameters, their gradients and averages of Adam", "GB", (state / 1e9,))


def _kept_for_backward(method: Method[Any], batch: FeatureBatch, precision: str) -> int:
    """Bytes that the losses of a batch keep beside the parameters."""
    own = {p.untyped_storage().data_ptr() for p in method.parameters()}
    kept: dict[int, int] = {}

    def keep(x: Tensor) -> Tensor:
        kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    device = next(method.parameters()).device.type
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x),
        torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"),
    ):
        r = method.represent(batch)
        losses = method.training_losses(batch, generator=torch.Generator(), representation=r)
    del losses  # until here nothing that is kept was freed, and no address used again
    return sum(size for place, size in kept.items() if place not in own)


def gpu_rows(rounds: int, *, clips: int) -> Iterator[Row]:
    """A step on a GPU in bfloat16: its share of the card's matrix rate, and its waits for the host."""
    name, floor = f"step of dcid on a GPU, bf16, {clips} clips", "share of the card's bf16 matrix rate"
    if not torch.cuda.is_available():
        yield Row(name, floor, (), ">= 0.35")
        yield Row(name, "waits for the host in a step", (), "0")
        yield Row("encoding on a GPU, all modalities", "clips/s", (), ">= 10,000")
        return
    from torch.utils.flop_counter import FlopCounterMode

    from benchmarks.experiments.speed.measuring import in_turns

    with trained("dcid", random_batch(clips), precision="bf16") as (trainer, step):
        step()
        with FlopCounterMode(display=False) as counter:
            step()
        a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
        seconds = in_turns({"step": step, "product": partial(torch.mm, a, a)}, rounds)
        rates = (
            counter.get_total_flops() / own / (2 * 8192**3 / product)
            for own, product in zip(seconds["step"], seconds["product"], strict=True)
        )
        yield Row(name, floor, tuple(rates), ">= 0.35", min(seconds["step"]))
        yield Row(name, "waits for the host in a step", (float(_waits(step)),), "0")
        method, batch = trainer.method.eval(), random_batch(512).to("cuda")

        def encode() -> None:
            with torch.no_grad(), torch.autocast("cuda", torch.bfloat16):
                for m, x in batch.features.items():
                    method.encode_batch(m, x, batch.masks[m])

        rates = (512 / seconds for seconds in in_turns({"": encode}, rounds)[""])
        yield Row("encoding on a GPU, all modalities", "clips/s", tuple(rates), ">= 10,000")


def _waits(step: Work) -> int:
    """How often a step waits for the GPU."""
    import warnings

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            step()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(warning.message) for warning in seen)
