"""What is masked, in which order, and how errors are counted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA as ReferencePCA
from torch.nn import functional

from benchmarks.experiments.masking.masks import (
    CENTRED,
    ORDERS,
    TOC,
    WORST,
    Masked,
    automatic_dims,
    dimension_orders,
    kept_dims,
    masked,
    measure_masked,
    projected,
    random_orders,
    reconstruction_error,
)
from benchmarks.experiments.masking.vqvae import CODES, DIM, VQVAE, Settings
from toc import VARIANTS, optimize, toc_scores


@pytest.fixture(scope="module")
def codebook() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    scale = torch.rand(DIM, generator=generator) + 0.1
    return torch.randn(CODES, DIM, generator=generator) * scale + torch.randn(DIM, generator=generator)


def test_masked_dimensions_become_zero_or_their_mean() -> None:
    codebook = torch.tensor([[1.0, 2.0, 3.0], [5.0, 6.0, 9.0]])
    kept = np.array([2, 0])
    assert masked(codebook, kept, "zero").tolist() == [[1.0, 0.0, 3.0], [5.0, 0.0, 9.0]]
    assert masked(codebook, kept, "mean").tolist() == [[1.0, 4.0, 3.0], [5.0, 4.0, 9.0]]
    assert codebook[0, 1] == 2.0


def test_shares_of_the_paper_are_whole_numbers_of_dimensions() -> None:
    assert [kept_dims(share) for share in (0.25, 0.375, 0.5, 0.625, 0.75, 0.875)] == [96, 80, 64, 48, 32, 16]


def test_orders_are_those_of_the_scores_and_hold_every_dimension_once(codebook: torch.Tensor) -> None:
    orders = dimension_orders(codebook)
    scores = toc_scores(codebook.numpy())
    assert orders[TOC].tolist() == np.argsort(-scores.score, kind="stable").tolist()
    assert orders["variance only"].tolist() == np.argsort(-scores.variance, kind="stable").tolist()
    assert orders["similarity only"].tolist() == np.argsort(scores.similarity, kind="stable").tolist()
    released = toc_scores(codebook.numpy(), normalize=False, divisor="H(H-1)", ddof=1).score
    assert orders["released"].tolist() == np.argsort(-released, kind="stable").tolist()
    assert orders[WORST].tolist() == orders[TOC].tolist()[::-1]
    assert {*ORDERS, CENTRED, WORST} == set(orders)
    for order in [*orders.values(), *random_orders(0)]:
        assert sorted(order.tolist()) == list(range(DIM))


def test_the_order_of_the_centred_codebook_does_not_see_a_common_offset(codebook: torch.Tensor) -> None:
    offset = torch.linspace(-3, 3, DIM)
    before, after = dimension_orders(codebook), dimension_orders(codebook + offset)
    assert before[CENTRED].tolist() == after[CENTRED].tolist()
    assert before[TOC].tolist() != after[TOC].tolist()


def test_projection_about_the_mean_is_pca(codebook: torch.Tensor) -> None:
    reference = ReferencePCA(16, svd_solver="full").fit(codebook.double().numpy())
    expected = reference.inverse_transform(reference.transform(codebook.double().numpy()))
    np.testing.assert_allclose(projected(codebook, 16, "mean").numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("fill", ["zero", "mean"])
def test_projection_loses_less_of_the_codes_than_any_mask_of_its_size(
    codebook: torch.Tensor, fill: str
) -> None:
    lost = (projected(codebook, 32, fill) - codebook).square().sum()
    for order in [*dimension_orders(codebook).values(), *random_orders(1)[:20]]:
        assert lost < (masked(codebook, order[:32], fill) - codebook).square().sum()
    torch.testing.assert_close(projected(codebook, DIM, fill), codebook, atol=1e-5, rtol=0)


def test_count_is_how_many_random_masks_are_worse() -> None:
    entry = Masked(64, "zero", random=(0.1, 0.2, 0.2, 0.3, 0.4), chosen={TOC: 0.2, CENTRED: 0.05})
    assert entry.count() == 2
    assert entry.count(CENTRED) == 5


def test_random_masks_are_decided_by_the_seed() -> None:
    first, same, other = (np.array(random_orders(seed)) for seed in (0, 0, 1))
    assert first.shape == (100, DIM)
    assert (first == same).all()
    assert (first != other).any()


def test_errors_are_those_of_the_masked_codebooks(codebook: torch.Tensor) -> None:
    torch.manual_seed(0)
    model = VQVAE(Settings(channels=4)).eval()
    model.quantizer.codebook = codebook
    images = torch.rand(3, 3, 8, 8)
    made = model(images)
    plain = functional.mse_loss(made.images, images).item()
    assert reconstruction_error(model, images, made.indices, codebook) == pytest.approx(plain, rel=1e-6)

    (entry,) = (
        entry for entry in measure_masked(model, images, made.indices, [40], seed=3) if entry.fill == "mean"
    )
    kept = list(optimize(codebook.numpy(), 40, **VARIANTS["paper"]).indices)
    codes = codebook.mean(dim=0).repeat(CODES, 1)
    codes[:, kept] = codebook[:, kept]
    by_hand = model.decoder(codes[made.indices].permute(0, 3, 1, 2)) + 0.5
    assert entry.chosen[TOC] == pytest.approx(functional.mse_loss(by_hand, images).item(), rel=1e-5)
    assert len(entry.random) == 100
    assert len(set(entry.random)) == 100


def test_toc_may_choose_how_many(codebook: torch.Tensor) -> None:
    positive = int((toc_scores(codebook.numpy()).score > 0).sum())
    assert positive <= automatic_dims(codebook) < DIM
