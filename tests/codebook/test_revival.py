"""Where dead codes, and the codes of `init="data"`, start."""

from __future__ import annotations

import torch
from torch import Tensor

from unicode_cmg.codebook import ReleasedSharedCodebook, SharedCodebook
from unicode_cmg.codebook.revival import Places


def line_of_codes(kind: type[SharedCodebook] = SharedCodebook, **options: object) -> SharedCodebook:
    """Eight codes of which only the first is near the features."""
    codebook = kind(8, 2, ["a", "b"], **options)
    codebook.embedding.copy_(torch.arange(8.0).unsqueeze(-1).mul(100).expand(8, 2))
    codebook.ema_weight.copy_(codebook.embedding)
    return codebook


def batch(seed: int = 0) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(seed)
    return {m: torch.randn(4, 3, 2, generator=g) for m in ("a", "b")}


def update(codebook: SharedCodebook, features: dict[str, Tensor], seed: int = 0, **options: object) -> None:
    indices = {m: codebook.quantize(z).indices for m, z in features.items()}
    codebook.update(features, indices, generator=torch.Generator().manual_seed(seed), **options)


def is_one_of(vectors: Tensor, candidates: Tensor) -> bool:
    return bool(torch.cdist(vectors, candidates).amin(1).max() < 1e-5)


def test_a_code_is_revived_after_its_idle_time_and_not_before() -> None:
    codebook = line_of_codes(revive_after=3)
    for number in range(3):
        update(codebook, batch(number))
        assert codebook.idle[1:].tolist() == [number + 1] * 7
        assert codebook.embedding[7].tolist() == [700.0, 700.0]
    update(codebook, batch(3))
    assert codebook.idle.tolist() == [0] * 8
    assert codebook.embedding.abs().max() < 10


def test_revived_codes_lie_on_means_of_the_modalities_with_fresh_state() -> None:
    codebook = line_of_codes(revive_after=1)
    update(codebook, batch(0))
    features = batch(1)
    update(codebook, features)
    revived = codebook.embedding[1:]
    assert is_one_of(revived, ((features["a"] + features["b"]) / 2).flatten(0, 1))
    assert torch.equal(codebook.ema_weight[1:], revived)
    assert codebook.ema_count[1:].tolist() == [1.0] * 7


def test_a_revived_code_survives_the_next_update() -> None:
    codebook = line_of_codes(revive_after=1)
    for seed in range(2):
        update(codebook, batch(seed))
    revived = codebook.embedding[1:].clone()
    indices = {m: torch.zeros(4, 3, dtype=torch.int64) for m in ("a", "b")}
    codebook.update(batch(2), indices)
    assert torch.equal(codebook.embedding[1:], revived)
    at_home = dict.fromkeys(("a", "b"), revived.unsqueeze(0))
    codebook.update(at_home, dict.fromkeys(("a", "b"), torch.arange(1, 8).unsqueeze(0)))
    torch.testing.assert_close(codebook.embedding[1:], revived, rtol=1e-4, atol=0)


def test_codes_revived_together_start_at_different_places() -> None:
    for own_weight, places in ((1.0, 24), (0.5, 12)):  # as many as there are features, and steps
        codebook = SharedCodebook(places, 2, ["a", "b"], own_weight=own_weight, init="data")
        update(codebook, batch())
        assert len(torch.unique(codebook.embedding, dim=0)) == places


def test_a_draw_that_rounds_up_to_one_still_finds_the_last_place() -> None:
    places = Places(torch.ones(3, 1), torch.tensor([True, True, True]))
    almost_one = torch.full((1000,), 1 - 2**-24)
    assert places.drawn(torch.ones(1000, dtype=torch.bool), almost_one, torch.tensor([3.0])).all()


def test_modalities_that_do_not_pull_each_other_revive_codes_on_single_features() -> None:
    codebook = SharedCodebook(8, 2, ["a", "b"], own_weight=1.0, init="data")
    features = {"a": batch()["a"], "b": batch(1)["b"][:, :2]}
    update(codebook, features)
    assert is_one_of(codebook.embedding, torch.cat([x.flatten(0, 1) for x in features.values()]))


def test_revival_repeats_under_the_same_generator_and_differs_under_another() -> None:
    results = []
    for seed in (0, 0, 1):
        codebook = line_of_codes(revive_after=1)
        update(codebook, batch(0))
        update(codebook, batch(1), seed=seed)
        results.append(codebook.embedding)
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_revival_can_be_switched_off() -> None:
    codebook = line_of_codes(revive_after=None)
    codebook.idle.fill_(10_000)
    update(codebook, batch())
    assert codebook.embedding[7].tolist() == [700.0, 700.0]
    assert codebook.idle[7] == 10_001


def test_padding_is_never_revived_into() -> None:
    codebook = line_of_codes(revive_after=1)
    masks = {m: torch.zeros(4, 3, dtype=torch.bool) for m in ("a", "b")}
    update(codebook, batch(0), masks=masks)
    update(codebook, batch(1), masks=masks)
    assert codebook.embedding[7].tolist() == [700.0, 700.0]  # nothing to revive into
    masks["a"][2, 1] = True
    features = batch(2)
    update(codebook, features, masks=masks)
    assert is_one_of(codebook.embedding[1:], features["a"][2, 1].unsqueeze(0))


def test_first_training_update_places_all_codes_on_the_data_once() -> None:
    codebook = SharedCodebook(8, 2, ["a", "b"], init="data", revive_after=None)
    start = codebook.embedding.clone()
    codebook.eval()
    update(codebook, batch(0))
    assert torch.equal(codebook.embedding, start)
    assert not codebook.seeded
    codebook.train()
    update(codebook, batch(0), masks={m: torch.zeros(4, 3, dtype=torch.bool) for m in ("a", "b")})
    assert not codebook.seeded  # nothing to place them on
    features = batch(1)
    update(codebook, features)
    assert codebook.seeded
    assert is_one_of(codebook.embedding, ((features["a"] + features["b"]) / 2).flatten(0, 1))
    placed = codebook.embedding.clone()
    indices = {m: torch.zeros(4, 3, dtype=torch.int64) for m in ("a", "b")}
    codebook.update(batch(2), indices)
    assert torch.equal(codebook.embedding[1:], placed[1:])


def test_a_restored_codebook_is_not_placed_again() -> None:
    first = SharedCodebook(8, 2, ["a", "b"], init="data")
    update(first, batch(0))
    second = SharedCodebook(8, 2, ["a", "b"], init="data")
    second.load_state_dict(first.state_dict())
    update(second, batch(1))
    assert torch.cdist(second.embedding, first.embedding).diagonal().max() < 0.5


def test_released_revivals_copy_an_active_code_with_noise_within_its_bounds() -> None:
    codebook = line_of_codes(ReleasedSharedCodebook, revive_after=1).eval()
    codebook.idle.fill_(1)
    update(codebook, batch())  # which uses the first code alone
    offsets = (codebook.embedding[1:] - codebook.embedding[0]).abs()
    assert 0 < offsets.min() <= offsets.max() <= 1 / 1024
