"""Looking up codes: nearest, differentiable where promised, and precise."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from unicode_cmg.codebook import ReleasedSharedCodebook, SharedCodebook
from unicode_cmg.errors import InputError

both_rules = pytest.mark.parametrize("kind", [SharedCodebook, ReleasedSharedCodebook])


def test_indices_and_distances_are_those_of_a_slow_search() -> None:
    codebook = SharedCodebook(9, 5, ["a"]).double()
    z = torch.randn(2, 3, 5).double()
    q = codebook.quantize(z)
    for b in range(2):
        for t in range(3):
            squared = [float(((z[b, t] - e) ** 2).sum()) for e in codebook.embedding]
            torch.testing.assert_close(q.lookups[0].squared_distances[b, t], torch.tensor(squared).double())
            best = squared.index(min(squared))
            assert q.indices[b, t] == best
            assert torch.equal(q.codewords[b, t], codebook.embedding[best])
    torch.testing.assert_close(q.codes, q.codewords)


def test_codes_pass_their_gradient_straight_to_the_features() -> None:
    codebook = SharedCodebook(9, 5, ["a"])
    z = torch.randn(2, 3, 5, requires_grad=True)
    weight = torch.randn(2, 3, 5)
    q = codebook.quantize(z)
    (q.codes * weight).sum().backward()
    assert z.grad is not None
    torch.testing.assert_close(z.grad, weight)
    assert not q.codewords.requires_grad


def test_distances_carry_the_right_gradient() -> None:
    codebook = SharedCodebook(4, 3, ["a"]).double()
    z = torch.randn(2, 2, 3).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: codebook.quantize(x).lookups[0].squared_distances, (z,))


def test_a_feature_on_its_codeword_has_distance_zero_and_never_less() -> None:
    codebook = SharedCodebook(64, 32, ["a"])
    codebook.embedding.mul_(1e4)
    q = codebook.quantize(codebook.embedding.unsqueeze(0))
    assert q.indices.flatten().tolist() == list(range(64))
    assert q.lookups[0].squared_distances.min() >= 0


def test_quantize_changes_nothing() -> None:
    codebook = SharedCodebook(9, 5, ["a"], revive_after=1)
    before = {k: v.clone() for k, v in codebook.state_dict().items()}
    for _ in range(3):
        codebook.quantize(torch.randn(2, 3, 5))
    assert all(torch.equal(v, before[k]) for k, v in codebook.state_dict().items())


@both_rules
def test_state_stays_in_float32_under_half_precision(kind: type[SharedCodebook]) -> None:
    codebook = kind(9, 5, ["a"]).bfloat16()
    exact = kind(9, 5, ["a"])
    exact.load_state_dict(codebook.state_dict())
    z = torch.randn(2, 3, 5).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        q = codebook.quantize(z)
        codebook.update({"a": z}, {"a": q.indices}, generator=torch.Generator().manual_seed(0))
    assert (q.codes.dtype, q.lookups[0].squared_distances.dtype) == (torch.bfloat16, torch.float32)
    exact.update(
        {"a": z.float()}, {"a": exact.quantize(z.float()).indices}, generator=torch.Generator().manual_seed(0)
    )
    for name, value in exact.state_dict().items():
        assert codebook.get_buffer(name).dtype == value.dtype
        assert torch.equal(codebook.get_buffer(name), value)


def test_moving_to_float64_moves_the_state() -> None:
    codebook = SharedCodebook(9, 5, ["a"]).double()
    assert codebook.ema_count.dtype == torch.float64
    assert codebook.quantize(torch.randn(1, 2, 5)).codewords.dtype == torch.float64


@both_rules
def test_a_step_never_waits_for_the_device(kind: type[SharedCodebook]) -> None:
    """Fake tensors hold no values, so that reading one on the host fails."""
    with FakeTensorMode():
        codebook = kind(9, 5, ["a", "b"])
        features = {m: torch.randn(2, 3, 5, requires_grad=True) for m in ("a", "b")}
        masks = {m: torch.ones(2, 3, dtype=torch.bool) for m in ("a", "b")}
        quantized = {m: codebook.quantize(z) for m, z in features.items()}
        codebook.update(features, {m: q.indices for m, q in quantized.items()}, masks)
        with pytest.raises(DataDependentOutputException):
            codebook.ema_count.sum().item()


def test_features_of_another_width_are_refused() -> None:
    with pytest.raises(InputError, match="width 4; expected width 5"):
        SharedCodebook(9, 5, ["a"]).quantize(torch.randn(1, 2, 4))
