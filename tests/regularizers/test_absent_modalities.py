"""Clips that lack modalities have no part in a regularizer, whatever stands in their place."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from step_views import METHODS, batch_of, method_of
from torch import Tensor

from unicode_cmg.batch import FeatureBatch, StepView
from unicode_cmg.config import NamedConfig
from unicode_cmg.regularizers import Regularizers, regularizer_class

SETTINGS: dict[str, dict[str, Any]] = {
    "gram": {"anchor": "each"},
    "structure": {},
    "slot_alignment": {},
}
PRESENT = torch.tensor([[1, 1, 1], [1, 0, 1], [0, 1, 1], [1, 1, 0], [1, 1, 1], [0, 0, 1]], dtype=torch.bool)


def entry(name: str) -> NamedConfig:
    parsed = regularizer_class(name).config_class.parse(SETTINGS[name], where="test")
    return NamedConfig(name=name, settings=parsed)


def losses_of(
    method: Any, name: str, present: Tensor, *, garbage: float = 0.0
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The terms, and the gradients of their sum in the encoders."""
    whole = batch_of(method, clips=8, seed=1).to("cpu", next(method.parameters()).dtype)
    clips = len(present)
    masks = {m: mask[:clips] & present[:, k, None] for k, (m, mask) in enumerate(whole.masks.items())}
    features = {m: x[:clips].clone() for m, x in whole.features.items()}
    for m, x in features.items():
        x[~masks[m]] = garbage
    batch = FeatureBatch(features, masks)
    with torch.no_grad():
        example = method.view(whole, method.represent(whole))
    regularizers = Regularizers.build([entry(name)], example, seed=0).eval()
    method.zero_grad()
    view: StepView = method.view(batch, method.represent(batch))
    terms = regularizers.losses(view, [torch.Generator().manual_seed(0)])
    sum(terms.values()).backward()
    return terms, {key: p.grad for key, p in method.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("method_name", METHODS)
def test_what_stands_in_the_place_of_a_missing_modality_changes_no_term_and_no_gradient(
    method_name: str, name: str
) -> None:
    method = method_of(method_name).eval()
    clean, of_clean = losses_of(method, name, PRESENT)
    dirty, of_dirty = losses_of(method, name, PRESENT, garbage=torch.nan)
    assert all(loss.isfinite() for loss in clean.values())
    assert all(torch.equal(loss, dirty[term]) for term, loss in clean.items())
    assert all(torch.equal(gradient, of_dirty[key]) for key, gradient in of_clean.items())
    assert all(gradient.isfinite().all() for gradient in of_clean.values())


@pytest.mark.parametrize("name", SETTINGS)
def test_a_clip_without_any_modality_is_as_good_as_none(name: str) -> None:
    method = method_of("dcid").double().eval()
    alone, of_alone = losses_of(method, name, PRESENT)
    terms, gradients = losses_of(method, name, torch.cat([PRESENT, torch.zeros(2, 3, dtype=torch.bool)]))
    for term, loss in terms.items():
        torch.testing.assert_close(loss, alone[term], rtol=1e-9, atol=1e-12)
    for key, gradient in gradients.items():
        torch.testing.assert_close(gradient, of_alone[key], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("modality", [0, 1, 2])
def test_structure_of_a_modality_is_that_of_the_clips_that_have_it(modality: int) -> None:
    method = method_of("dcid").double().eval()
    term = f"structure/{method.modalities[modality]}"
    (terms, _), (alone, _) = (
        losses_of(method, "structure", present) for present in (PRESENT, PRESENT & PRESENT[:, modality, None])
    )
    assert terms[term] > 0
    torch.testing.assert_close(terms[term], alone[term], rtol=1e-9, atol=0)


def test_gram_is_that_of_the_clips_that_have_every_modality() -> None:
    method = method_of("dcid").double().eval()
    (terms, _), (alone, _) = (
        losses_of(method, "gram", present) for present in (PRESENT, PRESENT & PRESENT.all(1, keepdim=True))
    )
    for term, loss in terms.items():
        assert loss > 0
        torch.testing.assert_close(loss, alone[term], rtol=1e-9, atol=0)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_batch_in_which_nothing_occurs_together_costs_no_more_than_it_must(name: str) -> None:
    method = method_of("dcid").eval()
    terms, gradients = losses_of(method, name, torch.eye(3, dtype=torch.bool).repeat(2, 1), garbage=torch.inf)
    assert all(loss.isfinite() for loss in terms.values())
    assert all(gradient.isfinite().all() for gradient in gradients.values())
    if name == "gram":
        assert all(loss == 0 for loss in terms.values())
        assert not any(gradient.any() for gradient in gradients.values())
