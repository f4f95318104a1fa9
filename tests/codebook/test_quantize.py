"""Looking up codes: nearest, differentiable where promised, and precise."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from unicode_cmg.codebook import ReleasedSharedCodebook, SharedCodebook, quantizer
from unicode_cmg.errors import InputError

both_rules = pytest.mark.parametrize("kind", [SharedCodebook, ReleasedSharedCodebook])


def test_indices_and_distances_are_those_of_a_slow_search() -> None:
    codebook = SharedCodebook(9, 5, ["a"]).double()
    z = torch.randn(2, 3, 5).double()
    q = codebook.quantize(z, distances=True)
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
    assert torch.autograd.gradcheck(
        lambda x: codebook.quantize(x, distances=True).lookups[0].squared_distances, (z,)
    )


def test_a_feature_on_its_codeword_has_distance_zero_and_never_less() -> None:
    codebook = SharedCodebook(64, 32, ["a"])
    codebook.embedding.mul_(1e4)
    q = codebook.quantize(codebook.embedding.unsqueeze(0), distances=True)
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
        q = codebook.quantize(z, distances=True)
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


def test_the_same_codes_come_out_in_blocks_and_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    codebook, z = SharedCodebook(9, 5, ["a"]).double(), torch.randn(4, 3, 5).double()
    whole = codebook.quantize(z, distances=True)
    monkeypatch.setattr(quantizer, "_BLOCK", 20)  # two rows at a time
    blocks = codebook.quantize(z)
    assert torch.equal(whole.indices, blocks.indices)
    assert torch.equal(whole.codes, blocks.codes)
    with pytest.raises(InputError, match="distances=True"):
        _ = blocks.lookups[0].squared_distances


def test_modalities_quantized_together_are_as_each_alone() -> None:
    codebook = SharedCodebook(9, 5, ["a", "b"]).double()
    z = {m: torch.randn(4, t, 5).double().requires_grad_() for m, t in (("a", 3), ("b", 1))}
    together = codebook.quantize_each(z, distances=True)
    for m, x in z.items():
        alone, one = codebook.quantize(x, distances=True), together[m]
        assert torch.equal(one.indices, alone.indices)
        torch.testing.assert_close(one.codes, alone.codes)
        torch.testing.assert_close(one.lookups[0].distances, alone.lookups[0].distances)
        pull = torch.randn_like(x)
        (gradient,) = torch.autograd.grad((one.codes * pull).sum(), x, retain_graph=True)
        torch.testing.assert_close(gradient, pull)


def test_memory_of_quantization_does_not_grow_with_the_codebook() -> None:
    codebook, z = SharedCodebook(1 << 14, 4, ["a"]), torch.randn(400, 5, 4)
    with torch.profiler.profile(profile_memory=True) as profile:
        codebook.quantize(z)
    largest = max(event.cpu_memory_usage for event in profile.events() if event.name == "aten::addmm")
    assert 0 < largest <= 4 * quantizer._BLOCK
