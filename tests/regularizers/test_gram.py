"""`gram` on real methods: its terms, its anchors, and what must not matter."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from step_views import METHODS, gradients, method_of, view_of, with_noise_in_the_padding
from torch import Tensor

from unicode_cmg.batch import StepView
from unicode_cmg.errors import InputError
from unicode_cmg.losses import gram_loss
from unicode_cmg.regularizers import regularizer_class
from unicode_cmg.regularizers.gram import Gram, GramConfig


def gram(view: StepView, **settings: Any) -> Gram:
    return Gram(GramConfig.parse(settings, where="test"), view)


def terms(view: StepView, **settings: Any) -> dict[str, Tensor]:
    return gram(view, **settings).losses(view, generator=torch.Generator())


@pytest.mark.parametrize(
    ("name", "modalities", "representation"),
    [
        *((name, count, "general") for name in METHODS for count in (2, 3, 4)),
        ("dcid", 3, "codes"),
        ("hdcid", 3, "codes"),
    ],
)
def test_one_term_reaches_the_encoders_of_all_modalities(
    name: str, modalities: int, representation: str
) -> None:
    method = method_of(name, modalities)
    losses = terms(view_of(method), representation=representation)
    assert tuple(losses) == method.modalities[:1]
    assert losses["audio"].isfinite()
    losses["audio"].backward()
    named = {part for key in gradients(method) for part in key.split(".")}
    assert named >= set(method.modalities)


def test_clips_that_all_have_one_code_are_left_as_they_are() -> None:
    view = view_of(method_of("dcid"))
    same = {m: (z * 0 + 1).detach().requires_grad_() for m, z in view.codes.items()}
    (loss,) = terms(replace(view, codes=same), representation="codes").values()
    loss.backward()
    assert loss.item() == pytest.approx(math.log(4))  # one clip of four, by chance
    assert all(z.grad is not None and z.grad.eq(0).all() for z in same.values())


def test_the_vectors_are_means_over_valid_steps() -> None:
    view = view_of(method_of("dcid"))
    means = {
        m: torch.stack([z[i, view.masks[m][i]].mean(0) for i in range(len(z))])
        for m, z in view.general.items()
    }
    expected = gram_loss(means, "text", temperature=0.2)
    torch.testing.assert_close(terms(view, anchor="text", temperature=0.2)["text"], expected)


def test_anchors_in_turn_share_the_weight() -> None:
    view = view_of(method_of("dcid"))
    each = gram(view, anchor="each")
    losses = each.losses(view, generator=torch.Generator())
    assert losses.keys() == view.general.keys()
    for anchor, loss in losses.items():
        assert loss == terms(view, anchor=anchor)[anchor]
    assert each.loss_factors() == {"audio": 1 / 3, "video": 1 / 3, "text": 1 / 3}
    assert gram(view).loss_factors() == {"audio": 1.0}


@pytest.mark.parametrize("representation", ["general", "codes"])
def test_padding_has_no_influence(representation: str) -> None:
    view = view_of(method_of("dcid"))
    (before,) = terms(view, representation=representation).values()
    (after,) = terms(with_noise_in_the_padding(view), representation=representation).values()
    torch.testing.assert_close(after, before)


def test_a_clip_that_lacks_a_modality_is_left_out() -> None:
    view = view_of(method_of("dcid"))
    view.masks["text"][2] = False
    means = {
        m: torch.stack([z[i, view.masks[m][i]].mean(0) for i in (0, 1, 3)]) for m, z in view.general.items()
    }
    torch.testing.assert_close(terms(view)["audio"], gram_loss(means, "audio"))


@pytest.mark.parametrize("name", METHODS)
def test_one_clip_has_nothing_to_be_compared_with(name: str) -> None:
    assert terms(view_of(method_of(name), clips=1))["audio"] == 0


def test_it_is_found_by_its_name_and_has_nothing_to_train() -> None:
    assert regularizer_class("gram", where="test") is Gram
    made = gram(view_of(method_of("dcid")))
    assert made.parameter_groups() == []
    assert made.state_dict() == {}


def test_what_does_not_fit_the_method_is_named() -> None:
    view = view_of(method_of("dcid", 2))
    with pytest.raises(InputError, match="unknown anchor 'smell'; expected one of audio, video, each"):
        gram(view, anchor="smell")
    flat = {"general": {m: z[..., :1] for m, z in view.general.items()}}
    flat |= {"codes": {m: z[..., :1] for m, z in view.codes.items()}}
    with pytest.raises(InputError, match=r"2 modalities with vectors of width 1.*no more than the width"):
        gram(replace(view, **flat))
