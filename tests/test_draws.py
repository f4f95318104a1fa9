"""Draws of clips: distributions, independence, and the same numbers for a clip in any part of a batch."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unicode_cmg import ranks
from unicode_cmg.draws import ClipDraws
from unicode_cmg.layers import TemporalTransformer


def draws(clips: int = 2000, seed: int = 0) -> ClipDraws:
    return ClipDraws.of(clips, torch.Generator().manual_seed(seed))


def test_uniform_numbers_are_uniform_and_inside_their_bounds() -> None:
    numbers = draws().uniform(200)
    assert 0 < numbers.min() < 1e-4
    assert 1 - 1e-4 < numbers.max() < 1
    shares = torch.histc(numbers, 20, 0, 1) / numbers.numel()
    torch.testing.assert_close(shares, torch.full((20,), 0.05), atol=2e-3, rtol=0)


def test_normal_numbers_have_the_moments_of_the_normal_distribution() -> None:
    numbers = draws().normal(20, 10).double()
    assert numbers.shape == (2000, 20, 10)
    moments = [float((numbers**k).mean()) for k in range(1, 5)]
    assert moments == pytest.approx([0, 1, 0, 3], abs=0.03)


def test_clips_counts_places_and_steps_draw_independently() -> None:
    first, second, later = draws().at(0).normal(40), draws().at(1).normal(40), draws(seed=1).at(0).normal(40)
    by_clip = torch.corrcoef(first[:40]).fill_diagonal_(0)
    by_count = torch.corrcoef(first.T).fill_diagonal_(0)
    assert by_count.abs().max() < 0.11
    assert by_clip.abs().max() < 0.75
    for other in (second, later):
        assert abs(float((first * other).mean())) < 0.015


def test_dropout_drops_its_share_and_keeps_the_mean() -> None:
    kept = draws().dropout(torch.ones(2000, 5, 61), 0.3)
    share = (kept == 0).float()
    assert float(share.mean()) == pytest.approx(0.3, abs=0.003)
    assert float(kept.mean()) == pytest.approx(1, abs=0.003)
    assert float(share.flatten(1).mean(0).std()) == pytest.approx((0.3 * 0.7 / 2000) ** 0.5, rel=0.2)


def test_nothing_is_dropped_at_zero_and_everything_at_one() -> None:
    x = torch.randn(3, 7)
    assert torch.equal(draws(3).dropout(x, 0.0), x)
    assert not draws(3).dropout(x, 1.0).any()


def test_a_place_within_a_place_is_another_place() -> None:
    places = {draws(1).at(a, b).place for a in range(20) for b in range(20)}
    assert len(places) == 400
    assert draws(1).at(3).at(4).place == draws(1).at(3, 4).place


@pytest.mark.slow
def test_the_operation_that_compilers_see_is_the_one_that_runs() -> None:
    operation, keys = torch.ops.unicode_cmg.hashed.default, draws(3).keys
    for dtype in (torch.int16, torch.int32):
        torch.library.opcheck(operation, (keys, 7, dtype), test_utils=("test_schema", "test_faketensor"))
        assert torch.equal(operation(keys, 7, dtype), draws(3)._integers(7, dtype))


@pytest.mark.parametrize("clips", [7, 2])
def test_a_clip_draws_alike_in_the_whole_batch_and_in_the_share_of_a_rank(
    clips: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = draws(clips).at(2).normal(5)
    found = []
    for rank in range(3):
        share = ranks.Share(clips, 3, rank)
        monkeypatch.setattr(ranks, "_shared", share)
        found.append(draws(share.rows).at(2).normal(5)[: share.count])
    assert torch.equal(torch.cat(found), whole)


def test_without_draws_dropout_follows_the_global_generator() -> None:
    layer = TemporalTransformer(3, 8, heads=2, layers=1, feedforward=16, dropout=0.5)
    x = torch.randn(2, 4, 3)
    torch.manual_seed(1)
    first, second = layer(x), layer(x)
    torch.manual_seed(1)
    assert torch.equal(layer(x), first)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("window", [None, 1])
@pytest.mark.parametrize("masked", [False, True])
def test_a_layer_with_dropout_is_that_of_torch_but_for_what_it_drops(
    window: int | None, masked: bool
) -> None:
    torch.manual_seed(0)
    layer = TemporalTransformer(3, 8, heads=2, layers=2, feedforward=16, dropout=0.5, window=window).double()
    x, mask = torch.randn(4, 6, 3).double(), torch.rand(4, 6) < 0.6
    mask[0] = False
    expected = layer.eval()(x, mask if masked else None)
    layer.train().dropout = 1e-6  # below what dropout resolves
    seen = mask if masked else torch.ones_like(mask)
    torch.testing.assert_close(layer(x, mask if masked else None)[seen], expected[seen])
    assert isinstance(layer.encoder, nn.TransformerEncoder)
