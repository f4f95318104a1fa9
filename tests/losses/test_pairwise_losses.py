"""InfoNCE, commitment and reconstruction against loops."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from unicode_cmg.errors import InputError
from unicode_cmg.losses import commitment_loss, info_nce, reconstruction_loss

NAMES = ("a", "b", "c")


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slow_info_nce(query: Tensor, key: Tensor, temperature: float, clips: list[int]) -> float:
    loss = 0.0
    for i in clips:
        logits = {j: torch.cosine_similarity(query[i], key[j], dim=0).item() / temperature for j in clips}
        loss += math.log(sum(math.exp(x) for x in logits.values())) - logits[i]
    return loss / len(clips)


@given(st.integers(1, 5), st.floats(0.05, 2), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_info_nce_is_the_cross_entropy_over_cosines(batch: int, temperature: float, seed: int) -> None:
    query, key = normal(batch, 3, seed=seed), normal(batch, 3, seed=seed + 100)
    everyone = list(range(batch))
    forward = slow_info_nce(query, key, temperature, everyone)
    backward = slow_info_nce(key, query, temperature, everyone)
    assert info_nce(query, key, temperature).item() == pytest.approx(forward, rel=1e-9, abs=1e-12)
    both = info_nce(query, key, temperature, symmetric=True).item()
    assert both == pytest.approx((forward + backward) / 2, rel=1e-9, abs=1e-12)
    mask = torch.rand(batch, generator=torch.Generator().manual_seed(seed)) < 0.6
    some = [i for i in everyone if mask[i]]
    expected = slow_info_nce(query, key, temperature, some) if some else 0.0
    ours = info_nce(query, key, temperature, mask=mask).item()
    assert ours == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_info_nce_gradients() -> None:
    mask = torch.tensor([True, True, False, True])
    query, key = normal(4, 3).requires_grad_(), normal(4, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda q, k: info_nce(q, k, symmetric=True, mask=mask), (query, key))


def test_info_nce_refuses_a_temperature_of_zero() -> None:
    with pytest.raises(InputError, match="temperature is 0"):
        info_nce(normal(2, 3), normal(2, 3), 0.0)


def test_info_nce_is_computed_in_float32_under_autocast() -> None:
    query, key = normal(4, 8).float(), normal(4, 8, seed=1).float()
    with torch.autocast("cpu", torch.bfloat16):
        loss = info_nce(query, key)
    assert loss == info_nce(query, key)


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("masked", [False, True])
def test_commitment_shares_the_cross_weight_equally(number: int, masked: bool) -> None:
    names = NAMES[:number]
    z = {m: normal(3, 4, 2, seed=i) for i, m in enumerate(names)}
    e = {m: normal(3, 4, 2, seed=10 + i) for i, m in enumerate(names)}
    masks = {m: normal(3, 4, seed=20 + i) < 0.5 for i, m in enumerate(names)}
    losses = commitment_loss(z, e, own_weight=0.5, cross_weight=0.25, masks=masks if masked else None)
    for m in names:
        expected = 0.0
        for n in names:
            weight = 0.5 if m == n else 0.25 / (number - 1)
            steps = [
                (b, t)
                for b in range(3)
                for t in range(4)
                if not masked or (masks[m][b, t] and masks[n][b, t])
            ]
            squared = sum(((z[m][s] - e[n][s]) ** 2).sum().item() for s in steps)
            expected += weight * squared / (2 * len(steps)) if steps else 0.0
        assert losses[m].item() == pytest.approx(expected, rel=1e-10)


def test_commitment_by_hand_with_the_weights_of_the_paper() -> None:
    z = {"a": torch.zeros(1, 1, 1), "b": torch.zeros(1, 1, 1)}
    e = {"a": torch.full((1, 1, 1), 2.0), "b": torch.full((1, 1, 1), 4.0)}
    losses = commitment_loss(z, e)
    assert losses["a"].item() == 0.25 * 4 + 0.125 * 16
    assert losses["b"].item() == 0.25 * 16 + 0.125 * 4


def test_commitment_moves_features_and_not_codewords() -> None:
    z = {m: normal(2, 3, 2, seed=i).requires_grad_() for i, m in enumerate("ab")}
    e = {m: normal(2, 3, 2, seed=9 + i).requires_grad_() for i, m in enumerate("ab")}
    mask = {"a": torch.tensor([[True, False, True], [True, True, False]])}

    def total(*values: Tensor) -> Tensor:
        return torch.stack(
            list(commitment_loss(dict(zip("ab", values, strict=True)), e, masks=mask).values())
        ).sum()

    assert torch.autograd.gradcheck(total, tuple(z.values()))
    total(*z.values()).backward()
    assert all(x.grad is None for x in e.values())


def test_commitment_across_modalities_needs_them_aligned() -> None:
    z = {"a": normal(2, 3, 2), "b": normal(2, 4, 2)}
    with pytest.raises(InputError, match="aligned modalities"):
        commitment_loss(z, z)
    assert commitment_loss(z, z, cross_weight=0.0)["b"].item() == 0


@pytest.mark.parametrize("extra", [(), (3,), (2, 2, 3)])
def test_reconstruction_is_the_mean_over_valid_elements(extra: tuple[int, ...]) -> None:
    prediction, target = normal(2, 3, *extra), normal(2, 3, *extra, seed=1)
    mask = torch.tensor([[True, True, False], [True, False, False]])
    kept = [(prediction[b, t] - target[b, t]) ** 2 for b in range(2) for t in range(3) if mask[b, t]]
    expected = torch.stack(kept).mean()
    target[~mask] = torch.nan
    torch.testing.assert_close(reconstruction_loss(prediction, target, mask), expected)
    everything = torch.ones(2, 3, dtype=torch.bool)
    target = torch.nan_to_num(target)
    torch.testing.assert_close(
        reconstruction_loss(prediction, target), reconstruction_loss(prediction, target, everything)
    )


def test_padding_gets_no_gradient_whatever_it_holds() -> None:
    prediction = normal(2, 3, 4).requires_grad_()
    target = torch.full((2, 3, 4), torch.nan).double()
    target[0, 0] = 1
    mask = torch.zeros(2, 3, dtype=torch.bool)
    mask[0, 0] = True
    reconstruction_loss(prediction, target, mask).backward()
    assert prediction.grad is not None
    assert prediction.grad[~mask].eq(0).all()
    assert prediction.grad[0, 0].ne(0).all()


def test_reconstruction_gradients_and_precision() -> None:
    prediction, target = normal(2, 2, 3).requires_grad_(), normal(2, 2, 3, seed=1).requires_grad_()
    mask = torch.tensor([[True, False], [True, True]])
    assert torch.autograd.gradcheck(lambda p, t: reconstruction_loss(p, t, mask), (prediction, target))
    assert reconstruction_loss(normal(1, 1, 2).bfloat16(), normal(1, 1, 2).bfloat16()).dtype == torch.float32
    assert reconstruction_loss(normal(1, 1, 2), normal(1, 1, 2), torch.zeros(1, 1, dtype=torch.bool)) == 0
