"""Two processes with half a batch each move the codebook as one process with the whole batch."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from unicode_cmg.codebook import ReleasedSharedCodebook, SharedCodebook

NAMES = ["a", "b"]
RULES = {"corrected": partial(SharedCodebook, init="data"), "released": ReleasedSharedCodebook}


def train(rank: int, world: int) -> dict[str, torch.Tensor]:
    """A few updates of each rule on this rank's part of the batches; the final state."""
    final = {}
    for name, kind in RULES.items():
        torch.manual_seed(0)
        codebook = kind(12, 3, NAMES, revive_after=1).double()
        generator = torch.Generator().manual_seed(0 if rank == 0 else 99)  # only rank 0's draws may count
        data = torch.Generator().manual_seed(1)
        for _ in range(4):
            whole = {m: torch.randn(4, 2, 3, generator=data).double() for m in NAMES}
            masks = {m: torch.rand(4, 2, generator=data) < 0.8 for m in NAMES}
            rows = slice(rank * 4 // world, (rank + 1) * 4 // world)
            features = {m: z[rows] for m, z in whole.items()}
            indices = {m: codebook.quantize(z).indices for m, z in features.items()}
            codebook.update(
                features, indices, {m: mask[rows] for m, mask in masks.items()}, generator=generator
            )
        final.update({f"{name}/{key}": value for key, value in codebook.state_dict().items()})
    return final


def worker(rank: int, world: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/store",
        rank=rank,
        world_size=world,
        timeout=timedelta(seconds=60),
    )
    torch.save(train(rank, world), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, torch.Tensor]]:
    folder: Path = tmp_path_factory.mktemp("ranks")
    mp.spawn(worker, args=(2, str(folder)), nprocs=2)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
def test_two_ranks_with_half_a_batch_equal_one_with_the_whole(
    rule: str, ranks: list[dict[str, torch.Tensor]]
) -> None:
    alone = {key: value for key, value in train(0, 1).items() if key.startswith(rule)}
    assert alone
    for key, expected in alone.items():
        torch.testing.assert_close(ranks[0][key], expected, rtol=1e-12, atol=1e-15)
        assert torch.equal(ranks[1][key], ranks[0][key]), key
