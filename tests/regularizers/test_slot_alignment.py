"""`slot_alignment` on real methods: tokens, terms, parameters, and what must not matter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from step_views import METHODS, gradients, method_of, view_of, with_noise_in_the_padding
from torch import Tensor

from unicode_cmg.batch import StepView
from unicode_cmg.errors import InputError
from unicode_cmg.regularizers import regularizer_class
from unicode_cmg.regularizers.slot_alignment import SlotAlignment, SlotAlignmentConfig

TERMS = {"contrastive", "retrieval", "reconstruction", "keep"}


def built(view: StepView, **settings: Any) -> SlotAlignment:
    torch.manual_seed(0)
    values = {"slots": 4, "dim": 8, **settings}
    return SlotAlignment(SlotAlignmentConfig.parse(values, where="test"), view)


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_registry_knows_it() -> None:
    assert regularizer_class("slot_alignment", where="test") is SlotAlignment


@pytest.mark.slow
@pytest.mark.parametrize(("name", "modalities"), [(name, count) for name in METHODS for count in (2, 3, 4)])
def test_four_terms_on_every_method_reach_the_encoders_of_all_modalities(name: str, modalities: int) -> None:
    method = method_of(name, modalities)
    view = view_of(method)
    losses = built(view).losses(view, generator=draws())
    assert losses.keys() == TERMS
    assert all(loss.ndim == 0 and loss.isfinite() for loss in losses.values())
    torch.stack(list(losses.values())).sum().backward()
    named = {part for key in gradients(method) for part in key.split(".")}
    assert named >= set(method.modalities)


@pytest.mark.parametrize(
    ("term", "moves_method", "moves_slots"),
    [
        ("contrastive", True, True),
        ("retrieval", True, False),
        ("reconstruction", False, True),
        ("keep", False, True),
    ],
)
def test_what_each_term_moves(term: str, moves_method: bool, moves_slots: bool) -> None:
    method = method_of("dcid")
    view = view_of(method)
    regularizer = built(view)
    regularizer.losses(view, generator=draws())[term].backward()
    assert bool(gradients(method)) is moves_method
    assert any(p.grad is not None and p.grad.ne(0).any() for p in regularizer.parameters()) is moves_slots


def test_every_parameter_is_moved_by_some_term() -> None:
    view = view_of(method_of("dcid"))
    regularizer = built(view, update="gru", init="per-slot")
    torch.stack(list(regularizer.losses(view, generator=draws()).values())).sum().backward()
    assert [n for n, p in regularizer.named_parameters() if p.grad is None or not p.grad.ne(0).any()] == []


@pytest.mark.parametrize("training", [True, False])
def test_padding_has_no_influence(training: bool) -> None:
    view = view_of(method_of("dcid"))
    regularizer = built(view).train(training)
    expected = regularizer.losses(view, generator=draws())
    leaves = {m: z.detach().requires_grad_() for m, z in with_noise_in_the_padding(view).general.items()}
    spoilt = replace(with_noise_in_the_padding(view), general=leaves)
    losses = regularizer.losses(spoilt, generator=draws())
    torch.testing.assert_close(losses, expected)
    torch.stack(list(losses.values())).sum().backward()
    assert all(z.grad is not None and z.grad.isfinite().all() for z in leaves.values())


def test_in_evaluation_the_order_and_company_of_clips_do_not_matter() -> None:
    view = view_of(method_of("fcid"))
    regularizer = built(view).eval()
    order = torch.tensor([2, 0, 3, 1])

    def picked(tensors: Any) -> dict[str, Tensor]:
        return {m: x[order] for m, x in tensors.items()}

    names = ("features", "masks", "general", "specific", "codes", "code_masks")
    shuffled = StepView(**{name: picked(getattr(view, name)) for name in names})
    torch.testing.assert_close(
        regularizer.losses(shuffled, generator=draws()), regularizer.losses(view, generator=draws())
    )
    slots = regularizer.align(view, generator=draws()).joint.slots
    torch.testing.assert_close(regularizer.align(shuffled, generator=draws()).joint.slots, slots[order])


def test_nothing_is_drawn_but_from_the_generator() -> None:
    view = view_of(method_of("dcid"))
    regularizer = built(view)
    state = torch.get_rng_state()
    first, again, other = (regularizer.losses(view, generator=draws(seed)) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert first == again
    assert all(first[term] != other[term] for term in TERMS - {"keep"})


def test_one_vector_a_clip_is_enough() -> None:
    view = view_of(method_of("dcid"))
    short = replace(
        view,
        general={m: z[:, :1] for m, z in view.general.items()},
        masks={**view.masks, "text": view.masks["text"].clone().index_fill_(0, torch.tensor(1), False)},
    )
    losses = built(short).losses(short, generator=draws())
    assert losses.keys() == TERMS
    assert all(loss.isfinite() for loss in losses.values())


def test_one_modality_has_nothing_to_retrieve() -> None:
    view = view_of(method_of("dcid"))
    alone = replace(view, general={"audio": view.general["audio"]})
    assert built(alone).losses(alone, generator=draws()).keys() == TERMS - {"retrieval"}


def test_half_precision_leaves_the_terms_in_float32() -> None:
    view = view_of(method_of("dcid"))
    regularizer = built(view)
    expected = regularizer.losses(view, generator=draws())
    with torch.autocast("cpu", torch.bfloat16):
        losses = regularizer.losses(view, generator=draws())
    assert all(loss.dtype == torch.float32 for loss in losses.values())
    torch.testing.assert_close(losses, expected, rtol=1e-4, atol=1e-5)


def test_a_factor_of_zero_leaves_its_term_out() -> None:
    view = view_of(method_of("dcid"))
    regularizer = built(view, retrieval=0, keep=0.5)
    assert regularizer.loss_factors() == {"contrastive": 1.0, "reconstruction": 1.0, "keep": 0.5}
    assert regularizer.losses(view, generator=draws()).keys() == regularizer.loss_factors().keys()
    assert "keep" not in built(view, adaptive=False).loss_factors()


def test_tokens_know_where_they_come_from() -> None:
    view = view_of(method_of("dcid"))
    layouts = built(view).token_layout(view)
    assert layouts.joint.columns == ("audio", "video", "text")
    assert layouts.joint.column.tolist() == [0] * 5 + [1] * 5 + [2] * 5
    assert layouts.joint.step.tolist() == [*range(5)] * 3
    assert layouts.joint.row.unique().tolist() == layouts.joint.col.unique().tolist() == [-1]
    video = layouts.teachers["video"]
    assert video.columns == ("video",)
    at = (video.step == 3) & (video.row == 1) & (video.col == 2)
    (number,) = at.nonzero().flatten().tolist()
    marked = torch.zeros_like(view.features["video"])
    marked[:, 3, 1, 2] = 1
    tokens = built(view).teachers["video"](marked, view.masks["video"])
    assert tokens.values[0].any(1).nonzero().flatten().tolist() == [number]
    assert layouts.teachers["text"].step.tolist() == [*range(5)]


def test_state_makes_a_twin() -> None:
    view = view_of(method_of("dcid"))
    regularizer = built(view)
    torch.manual_seed(9)
    twin = SlotAlignment(regularizer.config, view)
    assert twin.losses(view, generator=draws()) != regularizer.losses(view, generator=draws())
    twin.load_state_dict(regularizer.state_dict())
    assert twin.losses(view, generator=draws()) == regularizer.losses(view, generator=draws())


def test_its_parameters_have_the_rate_of_the_paper() -> None:
    view = view_of(method_of("dcid"))
    (group,) = built(view).parameter_groups()
    assert (group.lr, group.weight_decay, group.warmup) == (1e-4, 1e-2, 0.1)
    assert len(group.parameters) == len(list(built(view).parameters()))
    (group,) = built(view, lr=None, weight_decay=None, warmup=0).parameter_groups()
    assert (group.lr, group.weight_decay, group.warmup) == (None, None, 0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"slot": 3}, "did you mean 'slots'"),
        ({"minimum": 5}, "'minimum' is 5, but there are 4 slots"),
        ({"matching": "greedy"}, "'top' or 'one-to-one'"),
        ({"teachers": {"audio": {"lr": 1e-6}}}, "stored features do not learn"),
        ({"teachers": {"audio": {"module": "teacher_modules"}}}, "package.module:callable"),
        ({"teachers": {"a.b": {}}}, "cannot name a teacher"),
        ({"teachers": {"clip": {"column": "video_clip"}}}, "unknown column 'video_clip'"),
    ],
)
def test_wrong_settings_say_what_is_wrong(settings: dict[str, Any], message: str) -> None:
    view = view_of(method_of("dcid"))
    with pytest.raises(InputError, match=message):
        built(view, **settings)


def test_a_method_without_general_features_is_refused() -> None:
    view = replace(view_of(method_of("dcid")), general={})
    with pytest.raises(InputError, match="no modality-general features"):
        built(view)
