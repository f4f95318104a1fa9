"""The `corrected` rule: one joint update, masks, and state that only training moves."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from unicode_cmg.codebook import SharedCodebook
from unicode_cmg.errors import InputError

NAMES = ("audio", "video", "text")


def random_batch(
    modalities: tuple[str, ...], batch: int, time: int, dim: int, seed: int
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    g = torch.Generator().manual_seed(seed)
    features = {m: torch.randn(batch, time, dim, generator=g, dtype=torch.float64) for m in modalities}
    masks = {m: torch.rand(batch, time, generator=g) < 0.7 for m in modalities}
    return features, masks


def step(
    codebook: SharedCodebook,
    features: Mapping[str, Tensor],
    masks: Mapping[str, Tensor] | None = None,
    seed: int = 0,
) -> dict[str, Tensor]:
    indices = {m: codebook.quantize(z).indices[..., 0] for m, z in features.items()}
    codebook.update(features, indices, masks, generator=torch.Generator().manual_seed(seed))
    return indices


def slow_update(
    state: dict[str, Tensor],
    features: Mapping[str, Tensor],
    indices: Mapping[str, Tensor],
    masks: Mapping[str, Tensor] | None,
    own_weight: float,
    decay: float = 0.99,
    epsilon: float = 1e-5,
) -> dict[str, Tensor]:
    """The joint MM-EMA update, one choice at a time."""
    codes, dim = state["embedding"].shape
    counts, sums = torch.zeros(codes).double(), torch.zeros(codes, dim).double()
    for m, z in features.items():
        for b in range(z.shape[0]):
            for t in range(z.shape[1]):
                if masks is not None and not masks[m][b, t]:
                    continue
                others = [features[o][b, t] for o in features if o != m and (masks is None or masks[o][b, t])]
                target = z[b, t]
                if others:
                    target = own_weight * target + (1 - own_weight) * sum(others) / len(others)
                counts[indices[m][b, t]] += 1
                sums[indices[m][b, t]] += target
    result = {
        "ema_count": decay * state["ema_count"] + (1 - decay) * counts,
        "ema_weight": decay * state["ema_weight"] + (1 - decay) * sums,
        "embedding": state["embedding"].clone(),
    }
    total = result["ema_count"].sum()
    for h in range(codes):
        if counts[h] > 0:
            smoothed = (result["ema_count"][h] + epsilon) / (total + codes * epsilon) * total
            result["embedding"][h] = result["ema_weight"][h] / smoothed
    return result


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("own_weight", [0.0, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_update_is_the_joint_average_written_as_loops(number: int, own_weight: float, masked: bool) -> None:
    codebook = SharedCodebook(7, 4, NAMES[:number], own_weight=own_weight, revive_after=None).double()
    for seed in range(3):
        features, masks = random_batch(NAMES[:number], 3, 5, 4, seed)
        given_masks = masks if masked else None
        before = {k: v.clone() for k, v in codebook.state_dict().items()}
        indices = step(codebook, features, given_masks)
        for name, expected in slow_update(before, features, indices, given_masks, own_weight).items():
            torch.testing.assert_close(codebook.get_buffer(name), expected, rtol=1e-12, atol=1e-14)


def test_a_code_moves_half_way_between_its_chooser_and_the_companion() -> None:
    codebook = SharedCodebook(2, 1, ["a", "b"], decay=0.0, epsilon=1e-12, revive_after=None).double()
    codebook.embedding.copy_(torch.tensor([[0.0], [10.0]]))
    features = {"a": torch.tensor([[[1.0]]]).double(), "b": torch.tensor([[[9.0]]]).double()}
    indices = step(codebook, features)
    assert (indices["a"].item(), indices["b"].item()) == (0, 1)
    torch.testing.assert_close(codebook.embedding, torch.full((2, 1), 5.0).double())


@given(
    number=st.integers(1, 3),
    batch=st.integers(1, 3),
    time=st.integers(1, 4),
    own=st.floats(0, 1),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_every_valid_choice_pulls_with_a_total_weight_of_one(
    number: int, batch: int, time: int, own: float, seed: int
) -> None:
    codebook = SharedCodebook(5, 3, NAMES[:number], own_weight=own, revive_after=None).double()
    _, masks = random_batch(NAMES[:number], batch, time, 3, seed)
    constant = torch.tensor([1.0, -2.0, 3.0]).double()
    features = {m: constant.expand(batch, time, 3).clone() for m in NAMES[:number]}
    for m, mask in masks.items():
        features[m][~mask] = torch.nan
    count, weight = codebook.ema_count.clone(), codebook.ema_weight.clone()
    indices = {m: torch.full((batch, time), 2) for m in features}
    codebook.update(features, indices, masks)
    choices = sum(int(mask.sum()) for mask in masks.values())
    gained = codebook.ema_weight - 0.99 * weight
    torch.testing.assert_close(gained[2], 0.01 * choices * constant, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(codebook.ema_count - 0.99 * count, 0.01 * choices * torch.eye(5).double()[2])


def test_codes_do_not_move_in_eval_mode() -> None:
    codebook = SharedCodebook(6, 4, NAMES, revive_after=1, init="data").double()
    features, masks = random_batch(NAMES, 3, 5, 4, 0)
    codebook.eval()
    before = {k: v.clone() for k, v in codebook.state_dict().items()}
    for _ in range(4):
        step(codebook, features, masks)
    for name, value in codebook.state_dict().items():
        assert torch.equal(value, before[name]), name
    codebook.train()
    step(codebook, features, masks)
    assert not torch.equal(codebook.embedding, before["embedding"])


def test_masks_equal_dropping_the_padded_steps() -> None:
    features, _ = random_batch(NAMES, 3, 5, 4, 1)
    padded = {m: torch.cat([z, torch.full((3, 2, 4), torch.nan)], 1) for m, z in features.items()}
    mask = torch.tensor([True] * 5 + [False] * 2).expand(3, 7)
    short = SharedCodebook(6, 4, NAMES, revive_after=1).double()
    long = SharedCodebook(6, 4, NAMES, revive_after=1).double()
    long.load_state_dict(short.state_dict())
    for seed in range(4):
        indices = step(short, features, seed=seed)
        filled = {m: torch.cat([i, torch.full((3, 2), 5)], 1) for m, i in indices.items()}
        g = torch.Generator().manual_seed(seed)
        long.update(padded, filled, dict.fromkeys(NAMES, mask), generator=g)
    for name, value in short.state_dict().items():
        torch.testing.assert_close(long.get_buffer(name), value, rtol=1e-12, atol=0)


@pytest.mark.slow
def test_a_code_nobody_chose_keeps_its_place() -> None:
    codebook = SharedCodebook(3, 2, ["a"], decay=0.9, revive_after=None)
    codebook.embedding.copy_(torch.tensor([[0.0, 0.0], [50.0, 50.0], [-50.0, 50.0]]))
    codebook.ema_weight.copy_(codebook.embedding)
    for _ in range(300):
        codebook.update({"a": torch.ones(1, 1, 2)}, {"a": torch.zeros(1, 1, dtype=torch.int64)})
    assert codebook.embedding[1:].tolist() == [[50.0, 50.0], [-50.0, 50.0]]
    torch.testing.assert_close(codebook.embedding[0], torch.ones(2), rtol=1e-3, atol=0)
    codebook.update({"a": torch.full((1, 1, 2), 60.0)}, {"a": torch.ones(1, 1, dtype=torch.int64)})
    assert 50 < codebook.embedding[1, 0] <= 60  # a long rest made it light, not lost


def test_modalities_may_differ_in_length_only_when_they_do_not_pull_each_other() -> None:
    features = {"a": torch.randn(2, 3, 4), "b": torch.randn(2, 5, 4)}
    apart = SharedCodebook(6, 4, ["a", "b"], own_weight=1.0)
    step(apart, features)
    assert apart.ema_count.sum() > 0.99 * 6
    with pytest.raises(InputError, match="own_weight"):
        step(SharedCodebook(6, 4, ["a", "b"]), features)


def test_a_saved_codebook_goes_on_exactly_where_it_stopped() -> None:
    first = SharedCodebook(8, 4, NAMES, revive_after=2, init="data").double()
    for seed in range(3):
        step(first, random_batch(NAMES, 2, 2, 4, seed)[0], seed=seed)
    second = SharedCodebook(8, 4, NAMES, revive_after=2, init="data").double()
    second.load_state_dict(first.state_dict())
    for seed in range(3, 8):
        for codebook in (first, second):
            step(codebook, random_batch(NAMES, 2, 2, 4, seed)[0], seed=seed)
    for name, value in first.state_dict().items():
        assert torch.equal(second.get_buffer(name), value), name


def test_some_modalities_alone_can_be_updated_and_unknown_ones_are_refused() -> None:
    codebook = SharedCodebook(6, 4, NAMES)
    features, _ = random_batch(("video",), 2, 3, 4, 0)
    step(codebook, features)
    with pytest.raises(InputError, match="unknown modality 'smell'"):
        codebook.update({"smell": features["video"]}, {"smell": torch.zeros(2, 3, dtype=torch.int64)})
    with pytest.raises(InputError, match="no features"):
        codebook.update({}, {})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_codes": 0}, "num_codes is 0"),
        ({"dim": 0}, "dim is 0"),
        ({"modalities": []}, "one or more"),
        ({"modalities": ["a", "a"]}, "different names"),
        ({"decay": 1.0}, "decay is 1.0"),
        ({"epsilon": 0.0}, "epsilon is 0.0"),
        ({"own_weight": 1.5}, "own_weight is 1.5"),
        ({"revive_after": 0}, "revive_after is 0"),
    ],
)
def test_settings_out_of_range_are_refused(change: dict[str, object], message: str) -> None:
    options: dict[str, object] = {"num_codes": 4, "dim": 2, "modalities": ["a"]}
    with pytest.raises(InputError, match=message):
        SharedCodebook(**{**options, **change})  # type: ignore[arg-type]


def test_an_unknown_init_is_refused_where_types_are_not_checked() -> None:
    constructor = inspect.unwrap(SharedCodebook.__init__)
    with pytest.raises(InputError, match="init is 'kmeans'"):
        constructor(SharedCodebook.__new__(SharedCodebook), 4, 2, ["a"], init="kmeans")
