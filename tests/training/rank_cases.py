"""Steps of the trainer on one rank and on several, for `test_training_ranks`; in processes of their own.

`python tests/training/rank_cases.py` compares every method with every quantizer and every regularizer.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from unicode_cmg.batch import FeatureBatch
from unicode_cmg.codebook import ReleasedSharedCodebook as Released
from unicode_cmg.codebook import SharedCodebook
from unicode_cmg.config import NamedConfig
from unicode_cmg.methods import method_class
from unicode_cmg.ranks import Share, rank_and_world
from unicode_cmg.regularizers import Regularizers
from unicode_cmg.training import PretrainConfig
from unicode_cmg.training.process import accelerated
from unicode_cmg.training.trainer import Trainer

MODALITIES = {"audio": 5, "video": 4, "text": 3}
STEPS = 3
SIZES = {
    "dim": 8,  # with 4 whole clips die behind a ReLU, and CLUB is 0 but for rounding, where it is cut off
    "num_codes": 6,
    "heads": 2,
    "feedforward": 6,
    "critic_hidden": 4,
    "transformer_layers": 1,
    "dropout": 0.3,
}
BATCHES: dict[str, tuple[int, float, float]] = {
    "even": (6, 0.0, 0.0),
    "masks": (6, 0.3, 0.0),
    "missing modalities": (6, 0.2, 0.4),
    "uneven": (5, 0.1, 0.1),
    "rest of one": (1, 0.0, 0.0),
}
"""Kind of batch -> its clips, the share of steps that are padding, and the share of modalities left out."""

METHODS: dict[str, dict[str, Any]] = {
    "dcid": {"name": "dcid", "input_dropout": 0.2},
    "dcid released": {"name": "dcid", "fidelity": "released"},
    "dcid paper": {"name": "dcid", "fidelity": "paper", "club_form": "scale_free"},
    "hdcid": {"name": "hdcid", "warm_start_epochs": 0, "standardize_deeper": True},
    "hdcid released": {"name": "hdcid", "fidelity": "released", "warm_start_epochs": 0},
    "fcid": {"name": "fcid", "fine": ["audio", "video"], "coarse": ["text"]},
    "fcid released": {
        "name": "fcid",
        "fidelity": "released",
        "revive_noise": [-0.001, 0.001],  # as released all copies of a code are equal, and rounding picks one
        "fine": ["audio", "video"],
        "coarse": ["text"],
    },
}
QUANTIZERS: dict[str, dict[str, Any]] = {
    "revivals": {"init": "data", "revive_after": 1},
    "joint": {"init": "data", "assignment": "joint", "separation": 0.3},
    "residual": {"quantizer": "rvq", "codebooks": 2, "init": "data", "revive_after": 1},
    "residual uniform": {"quantizer": "rvq", "codebooks": 2, "revive_after": 1},
    "scalars": {"quantizer": "fsq", "levels": [3, 3]},
    "plain": {"revive_after": 1},
}
REGULARIZERS: dict[str, list[dict[str, Any]]] = {
    "none": [],
    "gram": [{"name": "gram", "anchor": "each"}],
    "structure of clips": [{"name": "structure"}],
    "structure of steps": [{"name": "structure", "representation": "general", "units": "steps"}],
    "slots": [{"name": "slot_alignment", "slots": 3, "retrieval": 1.0, "queries": "all"}],
}


@dataclass(frozen=True)
class Case:
    """A method, a quantizer, a regularizer, and five batches, one of each kind.

    Attributes:
        resumed: Steps after which one rank goes on from the state of several; None: it does not.
    """

    method: str
    quantizer: str
    regularizer: str = "none"
    resumed: int | None = None

    @property
    def name(self) -> str:
        return ", ".join((self.method, self.quantizer, self.regularizer))


def config_of(case: Case) -> PretrainConfig:
    settings = {**SIZES, **METHODS[case.method], "codebook": QUANTIZERS[case.quantizer]}
    settings["modalities"] = {m: {"dim": dim} for m, dim in MODALITIES.items()}
    if settings["name"] == "fcid":
        settings.pop("transformer_layers")
    values = {
        "method": settings,
        "data": {"store": "none"},
        "regularizers": REGULARIZERS[case.regularizer],
        "optimizer": {"lr": 1e-3},
        "critics": {"steps": 2},
        "training": {"batch_size": 6},
    }
    return PretrainConfig.parse(values, where="test")


def batch_of(kind: str) -> FeatureBatch:
    clips, padding, missing = BATCHES[kind]
    generator = torch.Generator().manual_seed(list(BATCHES).index(kind))
    features, masks = {}, {}
    for m, dim in MODALITIES.items():
        features[m] = torch.randn(clips, STEPS, dim, generator=generator, dtype=torch.float64)
        real = torch.rand(clips, STEPS, generator=generator) >= padding
        masks[m] = real & (torch.rand(clips, 1, generator=generator) >= missing)
    return FeatureBatch(features, masks)


def share_of(batch: FeatureBatch) -> FeatureBatch:
    """This rank's rows, a row without a clip at the end where there are too few."""
    rank, ranks = rank_and_world()
    share = Share(len(batch), ranks, rank)
    rows = (torch.arange(share.rows) + share.first).clamp(max=len(batch) - 1)
    clips = (torch.arange(share.rows) < share.count).unsqueeze(1)
    return FeatureBatch(
        {m: x[rows] for m, x in batch.features.items()},
        {m: mask[rows] & clips for m, mask in batch.masks.items()},
    )


def trainer_of(case: Case, accelerator: Any) -> Trainer:
    config = config_of(case)
    torch.manual_seed(0)
    method = method_class(config.method.name)(config.method.settings).double()
    example = share_of(batch_of("even"))
    one = FeatureBatch(
        {m: x[:1] for m, x in example.features.items()}, {m: x[:1] for m, x in example.masks.items()}
    )
    entries: Sequence[NamedConfig] = config.regularizers
    regularizers = (
        Regularizers.build(entries, method.view(one, method.represent(one)), seed=0).double()
        if entries
        else Regularizers()
    )
    return Trainer(method, config, accelerator, regularizers)


def taken(trainer: Trainer, steps: Iterator[int]) -> dict[str, Tensor]:
    """Losses and gradients of some steps, one for each kind of batch."""
    found = {}
    kinds = list(BATCHES)
    for step in steps:
        batch = batch_of(kinds[step])
        result = trainer.step(
            share_of(batch), clips=len(batch), step=step + 1, epoch=0, lr=1e-3, statistics=True
        )
        found |= {f"{kinds[step]}: {name}": value.detach() for name, value in result.values.items()}
        found |= {f"{kinds[step]}: chosen {layer}": counts for layer, counts in result.chosen.items()}
        statistics = result.statistics or {}
        found |= {f"{kinds[step]}: {name}": torch.tensor(value) for name, value in statistics.items()}
        for name, parameter in trainer.method.named_parameters():
            if parameter.grad is not None:
                found[f"{kinds[step]}: gradient of {name}"] = parameter.grad.clone()
    return found


def state_of(trainer: Trainer) -> dict[str, Tensor]:
    state = {f"end: {key}": value for key, value in trainer.method.state_dict().items()}
    state |= {f"end: {key}": value for key, value in trainer.regularizers.state_dict().items()}
    return {key: value.clone() for key, value in state.items()}


def run(case: Case, accelerator: Any) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What a case computes on this rank, and the state after `case.resumed` steps, for another run."""
    trainer, kept = trainer_of(case, accelerator), {}
    stop = len(BATCHES) if case.resumed is None else case.resumed
    found = taken(trainer, iter(range(stop)))
    if case.resumed is not None:
        kept = {
            "method": {key: x.clone() for key, x in trainer.method.state_dict().items()},
            "regularizers": {key: x.clone() for key, x in trainer.regularizers.state_dict().items()},
            "optimizers": {
                group: {key: x.clone() for key, x in state.items()}
                for group, state in trainer.optimizers.state().items()
            },
        }
        found |= taken(trainer, iter(range(stop, len(BATCHES))))
    return found | state_of(trainer), kept


def resumed(case: Case, accelerator: Any, kept: dict[str, Any]) -> dict[str, Tensor]:
    """The steps after `case.resumed` from the state of another number of ranks."""
    trainer = trainer_of(case, accelerator)
    trainer.method.load_state_dict(kept["method"])
    trainer.regularizers.load_state_dict(kept["regularizers"])
    trainer.optimizers.restore(kept["optimizers"], where="test")
    assert case.resumed is not None
    return taken(trainer, iter(range(case.resumed, len(BATCHES)))) | state_of(trainer)


def codebooks_alone() -> dict[str, Tensor]:
    """Codebooks updated outside of a trainer, with other draws on every rank but the first."""
    rank, _ = rank_and_world()
    final = {}
    for name, kind in {"corrected": partial(SharedCodebook, init="data"), "released": Released}.items():
        torch.manual_seed(0)
        codebook = kind(12, 3, ["audio", "video"], revive_after=1).double()
        generator, data = torch.Generator().manual_seed(rank), torch.Generator().manual_seed(1)
        for _ in range(4):
            whole = {
                m: torch.randn(6, 2, 3, generator=data, dtype=torch.float64) for m in codebook.modalities
            }
            masks = {m: torch.rand(6, 2, generator=data) < 0.8 for m in codebook.modalities}
            own = share_of(FeatureBatch(whole, masks))
            indices = {m: codebook.quantize(z).indices for m, z in own.features.items()}
            codebook.update(own.features, indices, own.masks, generator=generator)
        final |= {f"{name}/{key}": value for key, value in codebook.state_dict().items()}
    return final


@contextmanager
def group(rank: int, world: int, folder: Path) -> Iterator[None]:
    """The process as one of several ranks, over gloo; with one rank nothing happens."""
    if world == 1:
        yield
        return
    places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world}
    os.environ |= {name: str(value) for name, value in places.items()}
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/group{world}",
        rank=rank,
        world_size=world,
        timeout=timedelta(seconds=120),
    )
    try:
        yield
    finally:
        dist.destroy_process_group()
        for name in places:
            del os.environ[name]


def work(rank: int, cases: Sequence[Case], worlds: Sequence[int], folder: Path) -> None:
    """Run all cases as rank `rank` of each number of ranks that has it, and write what they compute."""
    torch.set_num_threads(1)
    for world in (world for world in worlds if rank < world):
        with group(rank, world, folder), accelerated("no") as accelerator:
            for number, case in enumerate(cases):
                torch.save(run(case, accelerator), folder / f"{number}.{world}.{rank}.pt")
            torch.save(codebooks_alone(), folder / f"codebooks.{world}.{rank}.pt")
            if world > 1:
                dist.barrier()  # a rank that left early would close connections that others still use


def start(target: Callable[..., None], ranks: int, *arguments: Any) -> list[int | None]:
    """Run a function in processes that are told their rank; their exit codes.

    The modules are imported once, in the process that the others are forks of.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["rank_cases"])
    processes = [context.Process(target=target, args=(rank, *arguments)) for rank in range(ranks)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
    return [process.exitcode for process in processes]


def largest_difference(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> tuple[float, str]:
    """The largest difference, relative to values above 1, and where it is."""
    assert one.keys() == other.keys()
    worst = (0.0, "")
    for name, expected in one.items():
        a, b = expected.double(), other[name].double()
        assert torch.equal(a.isnan(), b.isnan()), name
        gaps = ((a - b).abs() / a.abs().clamp(min=1)).nan_to_num()
        worst = max(worst, (float(gaps.max()) if gaps.numel() else 0.0, name))
    return worst


def main() -> None:
    """Every method with every quantizer and every regularizer, on 1, 2 and 3 ranks."""
    cases = [
        Case(*names)
        for names in product(METHODS, QUANTIZERS, REGULARIZERS)
        if "released" not in names[0] or names[1] in ("plain", "residual uniform", "scalars")
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(start(work, 3, cases, (1, 2, 3), folder))
        for number, case in enumerate(cases):
            one, _ = torch.load(folder / f"{number}.1.0.pt")
            worst = [
                largest_difference(one, torch.load(folder / f"{number}.{world}.{rank}.pt")[0])
                for world in (2, 3)
                for rank in range(world)
            ]
            print(f"{max(worst)[0]:.1e}  {case.name}  {max(worst)[1]}", flush=True)


if __name__ == "__main__":
    from rank_cases import main as imported  # so that the processes find the cases under their name

    imported()
