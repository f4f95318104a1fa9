"""Adaptive slots find out how many concepts a sample has: planted ones, two or five of eight."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from jaxtyping import Bool, Float, Int64
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

from unicode_cmg.regularizers.slot_alignment import AlignerConfig, Alignment, SlotAligner, Tokens

CONCEPTS, TOKENS, CHANNELS = 8, 15, 16
COUNTS = torch.tensor([2, 5])


@dataclass(frozen=True)
class World:
    """What each concept looks like to the joint representation and to a teacher: orthogonal vectors."""

    joint: Float[Tensor, "concepts channels"]
    teacher: Float[Tensor, "concepts channels"]

    @classmethod
    def draw(cls, generator: torch.Generator) -> World:
        bases = [torch.linalg.qr(torch.randn(CHANNELS, CHANNELS, generator=generator)).Q for _ in range(2)]
        return cls(*(basis[:CONCEPTS] * CHANNELS**0.5 for basis in bases))

    def samples(
        self, count: int, generator: torch.Generator
    ) -> tuple[Tokens, dict[str, Tokens], Int64[Tensor, " n"], Bool[Tensor, "n concepts"]]:
        """Joint tokens, a teacher's, how many concepts each sample has (2, 5, 2, ...), and which."""
        number = COUNTS[torch.arange(count) % 2]
        order = torch.rand(count, CONCEPTS, generator=generator).argsort(1)
        concept = order.gather(1, torch.arange(TOKENS) % number.unsqueeze(1))
        present = torch.zeros(count, CONCEPTS, dtype=torch.bool).scatter(1, concept, True)
        joint, teacher = (
            Tokens(
                looks[concept] + 0.1 * torch.randn(count, TOKENS, CHANNELS, generator=generator),
                torch.ones(count, TOKENS, dtype=torch.bool),
            )
            for looks in (self.joint, self.teacher)
        )
        return joint, {"teacher": teacher}, number, present


def trained(world: World, *, steps: int, **settings: object) -> SlotAligner:
    torch.manual_seed(0)
    aligner = SlotAligner(
        AlignerConfig.parse({"slots": 8, "dim": 64, **settings}, where="test"),
        CHANNELS,
        {"teacher": CHANNELS},
    )
    factors = aligner.config.factors()
    optimizer = torch.optim.AdamW(aligner.parameters(), lr=5e-3, weight_decay=1e-2)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        joint, teachers, _, _ = world.samples(24, generator)
        alignment = aligner(joint, teachers, generator=generator)
        terms = aligner.losses(alignment, joint, teachers, generator=generator)
        optimizer.zero_grad()
        torch.stack([factors[name] * term for name, term in terms.items()]).sum().backward()
        optimizer.step()
    return aligner.eval()


def recovery(
    aligner: SlotAligner, alignment: Alignment, world: World, present: Bool[Tensor, "n concepts"]
) -> float:
    """Kept slots matched with concepts, none twice: an F-score in which a match counts by its cosine."""
    scores = []
    teacher = aligner.get_submodule("teachers.teacher")
    for decomposer, made, looks in (
        (aligner.joint, alignment.joint, world.joint),
        (teacher, alignment.teachers["teacher"], world.teacher),
    ):
        given = F.normalize(decomposer.decoder(made.slots), dim=2)
        concepts = F.normalize(F.layer_norm(looks, (CHANNELS,)), dim=1)
        for slots, keep, here in zip(given, made.keep > 0.5, present, strict=True):
            cosines = slots[keep] @ concepts[here].t()
            matched = cosines[linear_sum_assignment(-cosines)].sum()
            scores.append(float(2 * matched / (len(cosines) + here.sum())))
    return sum(scores) / len(scores)


@pytest.fixture(scope="module")
def world() -> World:
    return World.draw(torch.Generator().manual_seed(0))


@pytest.mark.slow
def test_two_and_five_concepts_get_about_as_many_slots_and_are_recovered_better_than_by_eight(
    world: World,
) -> None:
    recovered = {}
    for adaptive in (True, False):
        aligner = trained(world, steps=150, adaptive=adaptive)
        generator = torch.Generator().manual_seed(1)
        joint, teachers, number, present = world.samples(80, generator)
        with torch.no_grad():
            alignment = aligner(joint, teachers, generator=generator)
            recovered[adaptive] = recovery(aligner, alignment, world, present)
        if adaptive:
            for made in (alignment.joint, alignment.teachers["teacher"]):
                kept = made.keep.sum(1)
                two, five = (kept[number == count].mean().item() for count in (2, 5))
                assert 1.5 < two < 3.2
                assert 3.5 < five < 5.8
                assert five - two > 1.5
    assert recovered[True] > 0.7
    assert recovered[True] > recovered[False] + 0.15


@pytest.mark.slow
def test_slots_that_cost_more_than_they_give_are_dropped(world: World) -> None:
    aligner = trained(world, steps=60, keep=100, reconstruction=1, contrastive=0)
    generator = torch.Generator().manual_seed(1)
    joint, teachers, _, _ = world.samples(20, generator)
    with torch.no_grad():
        alignment = aligner(joint, teachers, generator=generator)
    assert alignment.joint.keep.sum(1).tolist() == [1] * 20
