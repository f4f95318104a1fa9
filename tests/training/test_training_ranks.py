"""Several ranks with parts of a batch compute what one computes with the whole: losses, gradients, states."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from rank_cases import Case, largest_difference, resumed, start, work
from torch import Tensor

from unicode_cmg.training.process import accelerated

CASES = (
    Case("dcid", "revivals", "slots", resumed=2),
    Case("dcid released", "plain", "gram"),
    Case("dcid paper", "scalars", "structure of steps"),
    Case("hdcid", "joint", "structure of clips"),
    Case("hdcid released", "plain"),
    Case("fcid", "residual", "slots"),
    Case("fcid released", "plain"),
)
RANKS = ((2, 0), (2, 1), (3, 0), (3, 1), (3, 2))


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each case on 1, 2 and 3 ranks, in three processes that start once."""
    folder = tmp_path_factory.mktemp("ranks")
    assert start(work, 3, CASES, (1, 2, 3), folder) == [0, 0, 0]
    return folder


def load(folder: Path, name: object, world: int, rank: int) -> Any:
    return torch.load(folder / f"{name}.{world}.{rank}.pt")


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_losses_gradients_and_states_after_five_steps_are_those_of_one_rank(
    case: Case, computed: Path
) -> None:
    number = CASES.index(case)
    one, _ = load(computed, number, 1, 0)
    assert {name.split(":")[0] for name in one} > {"even", "uneven", "rest of one", "end"}
    assert sum("gradient of" in name for name in one) > 100
    for world, rank in RANKS:
        worst, name = largest_difference(one, load(computed, number, world, rank)[0])
        assert worst < 1e-9, f"rank {rank} of {world}: {name}"


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["corrected", "released"])
def test_a_codebook_alone_moves_alike_on_any_number_of_ranks(rule: str, computed: Path) -> None:
    one = load(computed, "codebooks", 1, 0)
    mine: dict[str, Tensor] = {name: value for name, value in one.items() if name.startswith(rule)}
    assert mine
    for world, rank in RANKS:
        other = load(computed, "codebooks", world, rank)
        assert largest_difference(mine, {name: other[name] for name in mine})[0] < 1e-12


@pytest.mark.slow
def test_one_rank_goes_on_from_the_state_of_three_as_if_it_had_been_alone(computed: Path) -> None:
    one, _ = load(computed, 0, 1, 0)
    _, kept = load(computed, 0, 3, 0)
    with accelerated("no") as accelerator:
        later = resumed(CASES[0], accelerator, kept)
    assert len(later) > 500
    worst, name = largest_difference({name: one[name] for name in later}, later)
    assert worst < 1e-9, name
    assert not math.isnan(worst)
