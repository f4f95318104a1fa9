"""Codes that modalities choose together, and codewords that keep their distance."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from unicode_cmg.codebook import CodebookConfig, SharedCodebook, build_quantizer
from unicode_cmg.codebook.joint import Joint
from unicode_cmg.errors import InputError

NAMES = ("audio", "video", "text")


def make(codes: int = 6, dim: int = 3, **options: Any) -> SharedCodebook:
    torch.manual_seed(0)
    codebook = SharedCodebook(codes, dim, NAMES, **options).double()
    codebook.embedding.normal_()
    codebook.ema_weight.copy_(codebook.embedding)
    return codebook


def features(clips: int = 4, steps: int = 5, dim: int = 3, seed: int = 1) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(seed)
    return {m: torch.randn(clips, steps, dim, generator=g, dtype=torch.float64) for m in NAMES}


def masks_of(clips: int = 4, steps: int = 5) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(2)
    masks = {m: torch.rand(clips, steps, generator=g) < 0.7 for m in NAMES}
    masks["text"][0] = False
    return masks


def test_the_common_code_has_the_least_sum_of_squared_distances() -> None:
    codebook, z, masks = make(), features(), masks_of()
    joint = Joint.of(z, masks, (), codebook.quantize)
    for clip in range(4):
        for step in range(5):
            there = [z[m][clip, step] for m in NAMES if masks[m][clip, step]]
            if not there:
                continue
            costs = [sum(((x - e) ** 2).sum() for x in there) for e in codebook.embedding]
            best = int(torch.stack(costs).argmin())
            assert all(int(joint.assigned[m][clip, step]) == best for m in NAMES)


def test_a_word_joins_the_step_at_which_the_others_are_nearest_to_it() -> None:
    codebook, z, masks = make(), features(), masks_of()
    joint = Joint.of(z, masks, ("text",), codebook.quantize)
    means = {}
    for clip in range(4):
        for step in range(5):
            there = [z[m][clip, step] for m in ("audio", "video") if masks[m][clip, step]]
            if there:
                means[clip, step] = torch.stack(there).mean(0)
    joined: dict[tuple[int, int], list[Tensor]] = {}
    for clip in range(4):
        for word in range(5):
            places = [s for s in range(5) if (clip, s) in means]
            if not masks["text"][clip, word] or not places:
                continue
            near = min(places, key=lambda s: float((z["text"][clip, word] - means[clip, s]).square().sum()))
            joined.setdefault((clip, near), []).append(z["text"][clip, word])
            assert joint.assigned["text"][clip, word] == joint.indices["text"][clip, near]
    assert joined
    for clip in range(4):
        for step in range(5):
            words = joined.get((clip, step), [])
            assert bool(joint.masks["text"][clip, step]) == bool(words)
            if words:
                torch.testing.assert_close(joint.features["text"][clip, step], torch.stack(words).mean(0))


def test_an_update_is_one_with_the_common_choices() -> None:
    z, masks = features(), masks_of()
    joint, own = make(assignment="joint"), make()
    chosen = Joint.of(z, masks, (), own.quantize).indices
    each = {m: joint.quantize(x).indices for m, x in z.items()}
    joint.update(z, each, masks, generator=torch.Generator().manual_seed(0))
    own.update(z, chosen, masks, generator=torch.Generator().manual_seed(0))
    for key, value in joint.state_dict().items():
        assert torch.equal(value, own.state_dict()[key]), key


def test_what_stands_in_absent_steps_changes_no_common_choice() -> None:
    codebook, z, masks = make(), features(), masks_of()
    dirty = {m: torch.where(masks[m].unsqueeze(-1), x, torch.nan) for m, x in z.items()}
    for free in ((), ("text",)):
        clean, other = (Joint.of(x, masks, free, codebook.quantize) for x in (z, dirty))
        for m in NAMES:
            assert torch.equal(clean.assigned[m][masks[m]], other.assigned[m][masks[m]])
            assert torch.equal(clean.features[m], other.features[m])


@pytest.mark.parametrize("assignment", ["own", "joint"])
def test_two_copies_of_a_codeword_become_one_only_if_modalities_choose_together(assignment: str) -> None:
    torch.manual_seed(0)
    codebook = SharedCodebook(2, 2, ("a", "b"), assignment=assignment, revive_after=None).double()
    codebook.embedding.copy_(torch.tensor([[1.0, 0.1], [1.0, -0.1]]))
    codebook.ema_weight.copy_(codebook.embedding)
    z = {"a": torch.tensor([[[1.0, 0.2]]]).double(), "b": torch.tensor([[[1.0, -0.2]]]).double()}
    z = {m: x.requires_grad_() for m, x in z.items()}
    for _ in range(200):
        quantized = {m: codebook.quantize(x) for m, x in z.items()}
        targets = codebook.targets(z, quantized)
        loss = sum((x - targets[m]).square().sum() for m, x in z.items())
        for x, g in zip(z.values(), torch.autograd.grad(loss, list(z.values())), strict=True):
            x.data -= 0.02 * g
        codebook.update({m: x.detach() for m, x in z.items()}, {m: q.indices for m, q in quantized.items()})
    same = int(codebook.quantize(z["a"]).indices) == int(codebook.quantize(z["b"]).indices)
    assert same == (assignment == "joint")


def clusters(codebook: SharedCodebook, centers: Tensor, seed: int, clips: int = 16) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(seed)
    which = torch.randint(len(centers), (clips, 5), generator=g)
    return {
        m: centers[which] + 0.02 * torch.randn(clips, 5, codebook.dim, generator=g, dtype=torch.float64)
        for m in codebook.modalities
    }


def learn(codebook: SharedCodebook, centers: Tensor, updates: int, seed: int = 0) -> None:
    for k in range(updates):
        z = clusters(codebook, centers, seed + k)
        indices = {m: codebook.quantize(x).indices for m, x in z.items()}
        codebook.update(z, indices, generator=torch.Generator().manual_seed(k))


def centers_of(count: int) -> Tensor:
    return torch.nn.functional.one_hot(torch.arange(count), 8).double()


@pytest.mark.parametrize("init", ["uniform", "data"])
def test_as_many_codes_are_in_use_as_there_are_clusters(init: str) -> None:
    codebook = make(codes=40, dim=8, init=init, assignment="joint", separation=0.5, revive_after=20)
    learn(codebook, centers_of(5), 80)
    assert codebook.in_use is not None
    assert int(codebook.in_use.sum()) == 5
    z = centers_of(5).unsqueeze(0)
    found = codebook.quantize(z)
    assert len(set(found.indices.flatten().tolist())) == 5
    torch.testing.assert_close(found.codes, z, atol=0.05, rtol=0)
    used = codebook.embedding[codebook.in_use]
    assert all(any(torch.equal(row, other) for other in used) for row in codebook.embedding)
    learn(codebook, centers_of(7), 80, seed=500)  # two new things to say
    assert int(codebook.in_use.sum()) == 7


def test_an_unused_code_is_never_chosen_and_a_saved_codebook_knows_which_are_in_use() -> None:
    codebook = make(codes=40, dim=8, init="data", assignment="joint", separation=0.5)
    learn(codebook, centers_of(5), 10)
    again = make(codes=40, dim=8, init="data", assignment="joint", separation=0.5)
    again.load_state_dict(copy.deepcopy(codebook.state_dict()))
    z = torch.randn(50, 4, 8, dtype=torch.float64)
    assert again.in_use is not None
    assert again.in_use[again.quantize(z).indices].all()
    assert torch.equal(again.quantize(z).indices, codebook.quantize(z).indices)


def test_without_separation_a_codebook_has_no_further_state() -> None:
    assert "in_use" not in make().state_dict()
    assert make().in_use is None


@pytest.mark.parametrize(
    "change",
    [
        {"quantizer": "rvq", "codebooks": 2, "assignment": "joint"},
        {"rule": "released", "assignment": "joint"},
        {"own_weight": 1, "separation": 0.5},
    ],
)
def test_joint_choices_are_refused_where_modalities_do_not_share_codes(change: dict[str, Any]) -> None:
    config = CodebookConfig.model_validate(change)
    with pytest.raises(InputError, match="codebook"):
        build_quantizer(config, num_codes=8, dim=4, modalities=NAMES, rule="corrected")


def test_the_corrected_rule_chooses_jointly_unless_told_otherwise() -> None:
    def assignment(**change: Any) -> str:
        config = CodebookConfig.model_validate(change)
        built = build_quantizer(config, num_codes=8, dim=4, modalities=NAMES, rule="corrected")
        assert isinstance(built, SharedCodebook)
        return built.assignment

    assert assignment() == "joint"
    assert assignment(assignment="own") == assignment(own_weight=1) == assignment(rule="released") == "own"
