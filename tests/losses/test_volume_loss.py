"""The GRAM loss against loops, by hand, and where volumes vanish."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from unicode_cmg.errors import InputError
from unicode_cmg.losses import gram_loss, span_volumes

NAMES = ("audio", "video", "text", "depth")


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def clips(modalities: int, batch: int, width: int = 6, seed: int = 0) -> dict[str, Tensor]:
    return {m: normal(batch, width, seed=10 * seed + i) for i, m in enumerate(NAMES[:modalities])}


def slow_volume(vectors: list[Tensor]) -> float:
    """Base times height, vector by vector: Gram-Schmidt."""
    volume, base = 1.0, []
    for x in vectors:
        rest = x / x.norm()
        for b in base:
            rest = rest - (rest @ b) * b
        volume *= rest.norm().item()
        base.append(rest / rest.norm())
    return volume


def slow_loss(vectors: dict[str, Tensor], anchor: str, temperature: float, kept: list[int]) -> float:
    others = [x for m, x in vectors.items() if m != anchor]
    score = {
        (i, j): -slow_volume([vectors[anchor][i], *(x[j] for x in others)]) / temperature
        for i in kept
        for j in kept
    }
    loss = 0.0
    for i in kept:
        for pairs in ([(i, j) for j in kept], [(j, i) for j in kept]):
            loss += math.log(sum(math.exp(score[pair]) for pair in pairs)) - score[i, i]
    return loss / 2 / len(kept)


@given(st.integers(2, 4), st.integers(1, 4), st.integers(0, 99))
def test_volumes_are_base_times_height(modalities: int, batch: int, seed: int) -> None:
    first, *others = clips(modalities, batch, seed=seed).values()
    volumes = span_volumes(first, torch.stack(others))
    assert volumes.shape == (batch, batch)
    for i in range(batch):
        for j in range(batch):
            expected = slow_volume([first[i], *(x[j] for x in others)])
            assert volumes[i, j].item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow
@given(st.integers(2, 4), st.integers(1, 5), st.floats(0.05, 2), st.integers(0, 99))
def test_the_loss_is_the_contrast_of_volumes_in_both_directions(
    modalities: int, batch: int, temperature: float, seed: int
) -> None:
    vectors = clips(modalities, batch, seed=seed)
    anchor = NAMES[seed % modalities]
    ours = gram_loss(vectors, anchor, temperature=temperature)
    expected = slow_loss(vectors, anchor, temperature, list(range(batch)))
    assert ours.item() == pytest.approx(expected, rel=1e-6, abs=1e-9)
    mask = torch.rand(batch, generator=torch.Generator().manual_seed(seed)) < 0.6
    kept = [i for i in range(batch) if mask[i]]
    ours = gram_loss(vectors, anchor, temperature=temperature, mask=mask)
    expected = slow_loss(vectors, anchor, temperature, kept) if kept else 0.0
    assert ours.item() == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("modalities", [2, 3, 4])
def test_orthogonal_vectors_span_one_and_equal_or_opposite_ones_nothing(modalities: int) -> None:
    axes = 7 * torch.eye(5).double()[:modalities].unsqueeze(1)
    torch.testing.assert_close(span_volumes(axes[0], axes[1:]), torch.ones(1, 1).double())
    axes[-1] = -2 * axes[0]
    assert span_volumes(axes[0], axes[1:]).item() == pytest.approx(1e-3)


def test_two_vectors_span_the_sine_of_their_angle_and_three_the_edge_of_a_wedge() -> None:
    angle = torch.tensor(0.3).double()
    east, there = (
        torch.tensor([[1.0, 0, 0]]).double(),
        torch.stack([angle.cos(), angle.sin(), angle * 0])[None],
    )
    up = torch.tensor([[0.0, 0, 1]]).double()
    torch.testing.assert_close(span_volumes(east, there[None]), angle.sin()[None, None])
    torch.testing.assert_close(span_volumes(up, torch.stack([east, there])), angle.sin()[None, None])


@given(st.integers(2, 4), st.integers(0, 99))
def test_turning_and_scaling_changes_nothing(modalities: int, seed: int) -> None:
    vectors = clips(modalities, 4, seed=seed)
    turn = torch.linalg.qr(normal(6, 6, seed=seed)).Q
    other = {m: (x @ turn) * (i + 0.5) for i, (m, x) in enumerate(vectors.items())}
    torch.testing.assert_close(gram_loss(other, "video"), gram_loss(vectors, "video"))


def test_of_two_modalities_either_can_be_the_anchor() -> None:
    vectors = clips(2, 5)
    torch.testing.assert_close(gram_loss(vectors, "audio"), gram_loss(vectors, "video"))
    more = clips(3, 5)
    assert not torch.isclose(gram_loss(more, "audio"), gram_loss(more, "text"))


@pytest.mark.parametrize("modalities", [2, 3, 4])
@pytest.mark.parametrize("mask", [None, torch.tensor([True, False, True])])
def test_gradients(modalities: int, mask: Tensor | None) -> None:
    vectors = tuple(x.requires_grad_() for x in clips(modalities, 3).values())

    def loss(*x: Tensor) -> Tensor:
        return gram_loss(dict(zip(NAMES, x, strict=False)), "video", temperature=0.5, mask=mask)

    assert torch.autograd.gradcheck(loss, vectors)


@pytest.mark.parametrize("distance", [0.0, 1e-8, 1e-4, 1e-2])
@pytest.mark.parametrize("modalities", [2, 3, 4])
def test_gradients_stay_small_while_vectors_meet(modalities: int, distance: float) -> None:
    common = normal(8, 16).float()
    vectors = {
        m: common + distance * normal(8, 16, seed=i).float() for i, m in enumerate(NAMES[:modalities], 1)
    }
    leaves = {m: x.requires_grad_() for m, x in vectors.items()}
    gram_loss(leaves, "audio", temperature=1.0).backward()
    # a unit vector moved by d changes a volume by no more than d
    assert all(
        x.grad is not None and (x.grad.norm(dim=-1) * x.norm(dim=-1)).max() < 1 for x in leaves.values()
    )


@pytest.mark.parametrize("modalities", [2, 3, 4])
def test_descent_makes_the_volume_of_a_clip_smaller_than_of_any_mixture(modalities: int) -> None:
    vectors = {m: x.requires_grad_() for m, x in clips(modalities, 6, width=8).items()}
    optimizer = torch.optim.Adam(vectors.values(), lr=0.1)
    for _ in range(60):
        optimizer.zero_grad()
        gram_loss(vectors, "audio").backward()
        optimizer.step()
    others = torch.stack([x for m, x in vectors.items() if m != "audio"])
    volumes = span_volumes(vectors["audio"], others).detach()
    mixed = volumes[~torch.eye(6, dtype=torch.bool)]
    assert volumes.diagonal().max() < 0.5 * mixed.min()


def test_a_clip_that_lacks_a_modality_has_no_influence() -> None:
    vectors, mask = clips(3, 4), torch.tensor([True, False, True, True])
    expected = gram_loss({m: x[mask] for m, x in vectors.items()}, "text")
    vectors["text"][1] = torch.nan
    leaves = {m: x.requires_grad_() for m, x in vectors.items()}
    loss = gram_loss(leaves, "text", mask=mask)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    for x in leaves.values():
        assert x.grad is not None
        assert x.grad[1].eq(0).all()
        assert x.grad[mask].ne(0).all()


def test_one_clip_has_nothing_to_be_compared_with() -> None:
    assert gram_loss(clips(3, 1), "audio") == 0
    assert gram_loss(clips(3, 2), "audio", mask=torch.zeros(2, dtype=torch.bool)) == 0


def test_it_is_computed_in_float32_under_autocast() -> None:
    vectors = {m: x.float() for m, x in clips(3, 4).items()}
    with torch.autocast("cpu", torch.bfloat16):
        loss = gram_loss(vectors, "audio")
    assert loss == gram_loss(vectors, "audio")
    assert gram_loss({m: x.bfloat16() for m, x in vectors.items()}, "audio").dtype == torch.float32


@pytest.mark.parametrize(
    ("modalities", "width", "anchor", "temperature", "message"),
    [
        (3, 6, "smell", 0.07, "unknown anchor 'smell'; expected one of audio, video, text"),
        (3, 6, "audio", 0.0, "temperature is 0.0.*positive"),
        (1, 6, "audio", 0.07, "1 modalities with vectors of width 6.*at least 2"),
        (4, 3, "audio", 0.07, "4 modalities with vectors of width 3.*no more than the width"),
    ],
)
def test_what_cannot_be_compared_is_named(
    modalities: int, width: int, anchor: str, temperature: float, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        gram_loss(clips(modalities, 3, width), anchor, temperature=temperature)
