"""Cross-modal code matching against loops, and where naive forms break."""

from __future__ import annotations

import inspect
import math

import pytest
import torch
from torch import Tensor

from unicode_cmg.codebook import SharedCodebook
from unicode_cmg.errors import InputError
from unicode_cmg.losses import cmcm_loss

NAMES = ("a", "b", "c")


def distances(batch: int, time: int, codes: int = 5, seed: int = 0) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(seed)
    return {m: 9 * torch.rand(batch, time, codes, generator=g, dtype=torch.float64) for m in NAMES}


def some_masks(batch: int, time: int) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(1)
    masks = {m: torch.rand(batch, time, generator=g) < 0.6 for m in ("a", "b")}
    masks["a"][0] = True
    masks["b"][0] = True
    masks["b"][1] = False  # a clip with nothing in one modality
    return masks


def slow(squared: dict[str, Tensor], masks: dict[str, Tensor], form: str) -> float:
    posteriors: dict[str, dict[int, list[float]]] = {}
    for m, values in squared.items():
        posteriors[m] = {}
        for i, clip in enumerate(values):
            rows = [t for t in range(len(clip)) if m not in masks or masks[m][i, t]]
            if rows:
                steps = [(-clip[t].sqrt()).softmax(0) for t in rows]
                posteriors[m][i] = (sum(steps) / len(steps)).tolist()

    def cross(p: list[float], q: list[float]) -> float:
        offset = 1e-10 if form == "released" else 0
        return sum(x * math.log(y + offset) for x, y in zip(p, q, strict=True))

    loss, names = 0.0, list(squared)
    for at, first in enumerate(names):
        for second in names[at + 1 :]:
            p, q = posteriors[first], posteriors[second]
            clips = sorted(p.keys() & q.keys())
            if form == "released":
                s = {(i, j): cross(p[i], q[j]) + cross(q[i], p[j]) for i in clips for j in clips}
                lowest = min(s.values())
                e = {key: math.exp(value - lowest) for key, value in s.items()}
                terms = [-math.log(e[i, i] / (sum(e[i, j] for j in clips) + 1e-5)) for i in clips]
            else:
                s = {(i, j): cross(p[i], q[j]) + cross(q[j], p[i]) for i in clips for j in clips}
                terms = []
                for i in clips:
                    rows = math.log(sum(math.exp(s[i, j]) for j in clips)) - s[i, i]
                    columns = math.log(sum(math.exp(s[j, i]) for j in clips)) - s[i, i]
                    terms.append((rows + columns) / 2)
            loss += 0.5 * sum(terms) / len(terms)
    return loss


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("form", ["corrected", "released"])
@pytest.mark.parametrize("number", [2, 3])
def test_loss_is_that_of_the_loops(number: int, form: str, masked: bool) -> None:
    squared = dict(list(distances(4, 3).items())[:number])
    masks = some_masks(4, 3) if masked else {}
    ours = cmcm_loss(squared, masks or None, form=form)
    assert ours.item() == pytest.approx(slow(squared, masks, form), rel=1e-10)


def test_perfect_matches_cost_nothing_and_chance_costs_the_log_of_the_batch() -> None:
    far, near = 1e6, 0.0
    sure = torch.tensor([[[near, far, far]], [[far, near, far]]])
    assert cmcm_loss({"a": sure, "b": sure}).item() == pytest.approx(0, abs=1e-6)
    vague = torch.ones(2, 1, 3)
    assert cmcm_loss({"a": vague, "b": vague}).item() == pytest.approx(0.5 * math.log(2))


@pytest.mark.slow
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("form", ["corrected", "released"])
def test_gradients(form: str, masked: bool) -> None:
    squared = {m: x.requires_grad_() for m, x in distances(3, 2, 4).items()}
    masks = some_masks(3, 2) if masked else None

    def loss(*values: Tensor) -> Tensor:
        return cmcm_loss(dict(zip(NAMES, values, strict=True)), masks, form=form)

    assert torch.autograd.gradcheck(loss, tuple(squared.values()))


@pytest.mark.parametrize("form", ["corrected", "released"])
def test_masks_equal_dropping_padded_steps_and_clips(form: str) -> None:
    squared = distances(3, 2)
    long = {m: torch.cat([x, torch.ones(3, 2, 5)], 1) for m, x in squared.items()}
    long = {m: torch.cat([x, torch.ones(1, 4, 5)]) for m, x in long.items()}
    mask = torch.zeros(4, 4, dtype=torch.bool)
    mask[:3, :2] = True
    ours = cmcm_loss(long, dict.fromkeys(NAMES, mask), form=form)
    torch.testing.assert_close(ours, cmcm_loss(squared, form=form), rtol=1e-12, atol=0)


@pytest.mark.parametrize("form", ["corrected", "released"])
def test_a_feature_on_its_codeword_has_a_finite_gradient(form: str) -> None:
    codebook = SharedCodebook(6, 4, ["a", "b"])
    z = {
        "a": codebook.embedding[:4].clone().view(2, 2, 4).requires_grad_(),
        "b": torch.randn(2, 2, 4, requires_grad=True),
    }
    cmcm_loss(
        {m: codebook.quantize(x, distances=True).lookups[0].squared_distances for m, x in z.items()},
        form=form,
    ).backward()
    squared = torch.tensor([[[0.0, 1.0]], [[4.0, 0.0]]], requires_grad=True)
    cmcm_loss({"a": squared, "b": torch.ones(2, 1, 2)}, form=form).backward()
    for x in (*z.values(), squared):
        assert x.grad is not None
        assert bool(torch.isfinite(x.grad).all())


def test_distances_far_beyond_the_range_of_exp_stay_exact_in_float32() -> None:
    squared = {m: (x * 1e6).float().requires_grad_() for m, x in distances(4, 3).items()}
    loss = cmcm_loss(squared)
    exact = cmcm_loss({m: x.detach().double() for m, x in squared.items()})
    torch.testing.assert_close(loss.double(), exact, rtol=1e-5, atol=1e-6)
    loss.backward()
    assert all(x.grad is not None and bool(torch.isfinite(x.grad).all()) for x in squared.values())


def test_half_precision_and_autocast_are_computed_in_float32() -> None:
    squared = {m: x.bfloat16() for m, x in distances(4, 3).items()}
    with torch.autocast("cpu", torch.bfloat16):
        loss = cmcm_loss(squared)
    expected = cmcm_loss({m: x.float() for m, x in squared.items()})
    assert loss.dtype == torch.float32
    assert loss == expected


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
def test_no_valid_clip_is_no_loss() -> None:
    squared = {m: x.requires_grad_() for m, x in distances(3, 2).items()}
    for form in ("corrected", "released"):
        with torch.autograd.detect_anomaly(check_nan=True):
            loss = cmcm_loss(squared, {"a": torch.zeros(3, 2, dtype=torch.bool)}, form=form)
            loss.backward()
        assert squared["a"].grad is not None
        assert not squared["a"].grad.any()
        assert bool(torch.isfinite(squared["b"].grad).all())


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(InputError, match="modalities is 1; expected at least 2"):
        cmcm_loss({"a": torch.ones(2, 1, 3)})
    with pytest.raises(InputError, match="form is 'exact'"):
        inspect.unwrap(cmcm_loss)(distances(2, 2), form="exact")
