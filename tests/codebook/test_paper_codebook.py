"""The two rules of the papers: cross-attention weights the pulls, and every modality has to use a code."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from unicode_cmg.codebook.paper_rule import PaperSharedCodebook

NAMES = ("audio", "video", "text")


def batch(seed: int, number: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Features with padding of NaN; the last modality has no step in the second clip."""
    generator = torch.Generator().manual_seed(seed)
    features = {m: torch.randn(3, 4, 5, generator=generator).double() for m in NAMES[:number]}
    masks = {m: torch.rand(3, 4, generator=generator) < 0.7 for m in features}
    masks[NAMES[number - 1]][1] = False
    for m, mask in masks.items():
        features[m][~mask] = torch.nan
    return features, masks


def slow_pull(
    features: dict[str, Tensor], masks: dict[str, Tensor], m: str, b: int, t: int, own_weight: float
) -> Tensor:
    """Own feature and, of each other modality of the clip, `sum_s softmax_s(z . z'_s / sqrt(D)) z'_s`."""
    z = features[m][b, t]
    attended = []
    for other in features:
        steps = [s for s in range(features[other].shape[1]) if masks[other][b, s]]
        if other != m and steps:
            weights = [math.exp(float(z @ features[other][b, s]) / math.sqrt(len(z))) for s in steps]
            values = [w / sum(weights) * features[other][b, s] for w, s in zip(weights, steps, strict=True)]
            attended.append(torch.stack(values).sum(0))
    if not attended:
        return z
    return own_weight * z + (1 - own_weight) * torch.stack(attended).mean(0)


@pytest.mark.parametrize("own_weight", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_codes_are_pulled_by_what_their_features_attend_to(number: int, own_weight: float) -> None:
    codebook = PaperSharedCodebook(6, 5, NAMES[:number], own_weight=own_weight, revive_after=None).double()
    features, masks = batch(0, number)
    indices = {m: codebook.quantize(z.nan_to_num()).indices for m, z in features.items()}
    before = codebook.ema_weight.clone()
    codebook.update(features, indices, masks)
    sums = torch.zeros(6, 5).double()
    for m, mask in masks.items():
        for b, t in mask.nonzero().tolist():
            sums[indices[m][b, t, 0]] += slow_pull(features, masks, m, b, t, own_weight)
    torch.testing.assert_close(codebook.ema_weight, 0.99 * before + 0.01 * sums, rtol=1e-12, atol=1e-14)


def test_a_code_is_revived_unless_every_modality_uses_it() -> None:
    codebook = PaperSharedCodebook(3, 1, ["audio", "video"], decay=0.5, revive_after=2).double()
    codebook.embedding.copy_(torch.tensor([[0.0], [10.0], [-10.0]]))
    codebook.ema_weight.copy_(codebook.embedding)
    both, one = torch.zeros(1, 2, 1).double(), torch.tensor([[[0.0], [10.0]]]).double()
    for _ in range(2):
        codebook.update(
            {"audio": both, "video": one},
            {"audio": torch.tensor([[0, 0]]), "video": torch.tensor([[0, 1]])},
        )
    assert codebook.idle.tolist() == [0, 2, 2]
    codebook.update(
        {"audio": both, "video": one}, {"audio": torch.tensor([[0, 0]]), "video": torch.tensor([[0, 1]])}
    )
    assert codebook.idle.tolist() == [0, 0, 0]
    assert codebook.embedding[1].item() in (
        0.0,
        5.0,
    )  # a mean of the modalities


def test_a_modality_that_is_not_there_leaves_no_code_unused() -> None:
    codebook = PaperSharedCodebook(2, 1, ["audio", "video"], revive_after=1).double()
    there, chosen = torch.ones(1, 2, 1).double(), torch.tensor([[0, 1]])
    nothing = {"audio": torch.ones(1, 2, dtype=torch.bool), "video": torch.zeros(1, 2, dtype=torch.bool)}
    for _ in range(4):
        codebook.update({"audio": there}, {"audio": chosen})
        codebook.update({"audio": there, "video": there}, {"audio": chosen, "video": chosen}, nothing)
    assert codebook.idle.tolist() == [0, 0]
