"""`structure` on real methods: its terms, its units, and what must not matter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from step_views import METHODS, gradients, method_of, view_of, with_noise_in_the_padding
from torch import Tensor

from unicode_cmg.batch import StepView
from unicode_cmg.errors import InputError
from unicode_cmg.losses import structure_loss
from unicode_cmg.regularizers import regularizer_class
from unicode_cmg.regularizers.structure import Structure, StructureConfig


def structure(view: StepView, **settings: Any) -> Structure:
    return Structure(StructureConfig.parse(settings, where="test"), view)


def terms(view: StepView, **settings: Any) -> dict[str, Tensor]:
    return structure(view, **settings).losses(view, generator=torch.Generator())


@pytest.mark.parametrize(
    ("name", "modalities", "representation"),
    [
        *((name, count, "general") for name in METHODS for count in (2, 3, 4)),
        ("dcid", 3, "codes"),
        ("hdcid", 3, "codes"),
    ],
)
def test_every_modality_has_a_term_that_reaches_its_encoder(
    name: str, modalities: int, representation: str
) -> None:
    method = method_of(name, modalities)
    losses = terms(view_of(method), representation=representation)
    assert tuple(losses) == method.modalities
    for m, loss in losses.items():
        assert loss.isfinite()
        assert loss > 0
        method.zero_grad()
        loss.backward(retain_graph=True)
        named = {part for key in gradients(method) for part in key.split(".")}
        assert named & set(method.modalities) == {m}


@pytest.mark.parametrize("units", ["clips", "steps"])
def test_clips_are_means_over_valid_steps_and_steps_are_all_valid_ones(units: str) -> None:
    view = view_of(method_of("dcid"))
    losses = terms(view, units=units, representation="general", levels=2, temperature=0.3)
    for m, z in view.general.items():
        x, mask = view.features[m], view.masks[m]
        if x.ndim == 5:
            x = x.mean((2, 3))
        if units == "clips":
            x, z = (torch.stack([v[mask[i]].mean(0) for i, v in enumerate(y)]) for y in (x, z))
        else:
            x, z = x[mask], z[mask]
        torch.testing.assert_close(losses[m], structure_loss(x, z, levels=2, temperature=0.3))


def test_codes_of_clips_are_compared_with_clips_and_not_with_steps() -> None:
    view = view_of(method_of("fcid"))
    assert all(codes.shape[1] == 1 for codes in view.codes.values())
    assert all(loss.isfinite() for loss in terms(view, representation="codes").values())
    assert all(loss > 0 for loss in terms(view, representation="general", units="steps").values())
    with pytest.raises(InputError, match="'audio' has 5 steps and 1 codes; set 'units' to clips"):
        structure(view, representation="codes", units="steps")


@pytest.mark.parametrize("units", ["clips", "steps"])
@pytest.mark.parametrize("representation", ["general", "codes"])
def test_padding_has_no_influence(units: str, representation: str) -> None:
    view = view_of(method_of("dcid"))
    settings = {"units": units, "representation": representation}
    before, after = terms(view, **settings), terms(with_noise_in_the_padding(view), **settings)
    for m in before:
        torch.testing.assert_close(after[m], before[m])


def test_a_clip_without_a_valid_step_is_left_out() -> None:
    view = view_of(method_of("dcid"))
    view.masks["audio"][1] = False
    rest, mask = [0, 2, 3], view.masks["audio"]
    x, z = (
        torch.stack([values["audio"][i, mask[i]].mean(0) for i in rest])
        for values in (view.features, view.codes)
    )
    torch.testing.assert_close(terms(view)["audio"], structure_loss(x, z))


@pytest.mark.parametrize("name", METHODS)
def test_one_clip_has_no_neighbours(name: str) -> None:
    assert all(loss == 0 for loss in terms(view_of(method_of(name), clips=1)).values())


def test_a_representation_with_the_geometry_of_its_input_costs_nothing() -> None:
    view = view_of(method_of("dcid"))
    x = {m: f.flatten(2, -2).mean(2) if f.ndim > 3 else f for m, f in view.features.items()}
    alike = replace(view, general={m: torch.cat([-2 * f, f * 0], -1)[..., :8] for m, f in x.items()})
    for m, loss in terms(alike, representation="general", units="steps").items():
        assert loss.item() == pytest.approx(0, abs=1e-6), m


def test_it_is_found_by_its_name_and_has_nothing_to_train() -> None:
    assert regularizer_class("structure", where="test") is Structure
    made = structure(view_of(method_of("dcid")))
    assert made.parameter_groups() == []
    assert made.state_dict() == {}
    with pytest.raises(InputError, match="unknown key 'level'; did you mean 'levels'"):
        StructureConfig.parse({"level": 2}, where="test")
