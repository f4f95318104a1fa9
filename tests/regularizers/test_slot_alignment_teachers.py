"""Teachers of `slot_alignment`: stored columns, frozen modules and modules that learn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from step_views import method_of, view_of

from unicode_cmg.batch import StepView
from unicode_cmg.errors import InputError
from unicode_cmg.regularizers.slot_alignment import SlotAlignment, SlotAlignmentConfig

MODULE = {"column": "audio", "module": "teacher_modules:Summary"}


def view_with_a_column() -> StepView:
    """A view that has a second extractor's features of the video, on a grid, with three steps of five."""
    view = view_of(method_of("dcid"))
    extra = torch.randn(4, 3, 2, 2, 9, generator=torch.Generator().manual_seed(1))
    mask = torch.tensor([[True, True, False]]).repeat(4, 1)
    return replace(view, features={**view.features, "clip": extra}, masks={**view.masks, "clip": mask})


def built(view: StepView, teachers: dict[str, Any]) -> SlotAlignment:
    torch.manual_seed(0)
    values = {"slots": 3, "dim": 8, "teachers": teachers}
    return SlotAlignment(SlotAlignmentConfig.parse(values, where="test"), view)


def total(regularizer: SlotAlignment, view: StepView) -> torch.Tensor:
    terms = regularizer.losses(view, generator=torch.Generator().manual_seed(0))
    return torch.stack(list(terms.values())).sum()


def test_every_modality_teaches_by_default() -> None:
    view = view_with_a_column()
    assert SlotAlignment.columns(SlotAlignmentConfig()) == ()
    alignment = built(view, {}).align(view, generator=torch.Generator())
    assert list(alignment.teachers) == ["audio", "video", "text"]


def test_named_teachers_are_all_there_are_and_their_columns_are_asked_for() -> None:
    view = view_with_a_column()
    regularizer = built(view, {"second": {"column": "clip"}, "text": {}, "third": {"column": "clip"}})
    assert SlotAlignment.columns(regularizer.config) == ("clip", "text")
    alignment = regularizer.align(view, generator=torch.Generator())
    assert list(alignment.teachers) == ["second", "text", "third"]
    assert alignment.teachers["second"].attention.shape == (4, 3 * 2 * 2, 3)
    real = alignment.teachers["second"].attention.sum(2)[0].reshape(3, 4)
    torch.testing.assert_close(real, torch.tensor([[1.0], [1.0], [0.0]]).expand(3, 4))


def test_a_frozen_module_never_changes() -> None:
    view = view_with_a_column()
    regularizer = built(view, {"whole": MODULE, "text": {}}).train()
    teacher = regularizer.teachers["whole"]
    before = {n: p.clone() for n, p in teacher.state_dict().items()}
    assert not any(module.training for module in teacher.modules())
    (group,) = regularizer.parameter_groups()
    optimizer = torch.optim.AdamW(group.parameters, lr=0.1, weight_decay=0.1)
    losses = []
    for _ in range(2):
        optimizer.zero_grad()
        loss = total(regularizer, view)
        loss.backward(retain_graph=True)
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] != losses[1]
    assert all(p.grad is None for p in teacher.parameters())
    torch.testing.assert_close(teacher.state_dict(), before, rtol=0, atol=0)


def test_a_module_with_a_rate_learns_at_that_rate() -> None:
    view = view_with_a_column()
    regularizer = built(view, {"whole": {**MODULE, "lr": 1e-6}, "text": {}}).train()
    teacher = regularizer.teachers["whole"]
    assert all(module.training for module in teacher.modules())
    own, learned = regularizer.parameter_groups()
    assert (own.lr, learned.lr, learned.weight_decay, learned.warmup) == (1e-4, 1e-6, 1e-2, 0.1)
    assert {id(p) for p in learned.parameters} == {id(p) for p in teacher.parameters()}
    assert not {id(p) for p in own.parameters} & {id(p) for p in learned.parameters}
    before = [p.clone() for p in learned.parameters]
    total(regularizer, view).backward()
    torch.optim.AdamW(learned.parameters, lr=0.1, weight_decay=0.0).step()
    assert all(not torch.equal(p, b) for p, b in zip(learned.parameters, before, strict=True))


@pytest.mark.parametrize("term", ["reconstruction", "keep"])
def test_a_teacher_does_not_learn_to_be_easy_to_rebuild(term: str) -> None:
    view = view_with_a_column()
    regularizer = built(view, {"whole": {**MODULE, "lr": 1e-6}})
    regularizer.losses(view, generator=torch.Generator())[term].backward()
    assert all(p.grad is None for p in regularizer.teachers.parameters())
    assert any(p.grad is not None and p.grad.ne(0).any() for p in regularizer.aligner.parameters())


def test_weights_of_a_module_are_part_of_the_state() -> None:
    view = view_with_a_column()
    regularizer = built(view, {"whole": MODULE})
    torch.manual_seed(5)
    twin = SlotAlignment(regularizer.config, view)
    assert total(twin, view) != total(regularizer, view)
    twin.load_state_dict(regularizer.state_dict())
    assert total(twin, view) == total(regularizer, view)


def test_what_a_modules_own_tokens_stand_for_is_not_known() -> None:
    view = view_with_a_column()
    layout = built(view, {"whole": MODULE}).token_layout(view).teachers["whole"]
    assert layout.columns == ("audio",)
    assert layout.column.tolist() == [0] * 6
    assert layout.step.tolist() == layout.row.tolist() == layout.col.tolist() == [-1] * 6


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("no_such_package:Thing", "teachers.x: 'no_such_package:Thing' cannot be imported"),
        ("teacher_modules:nothing", "has no attribute 'nothing'"),
        ("teacher_modules:broken", "no weights here"),
        ("teacher_modules:number", "returned an object of type int; expected a torch.nn.Module"),
        (
            "teacher_modules:Forgetful",
            r"the module returned float32 \[4, 5, 6\]; expected floats \[4, N, C\]",
        ),
    ],
)
def test_a_module_that_cannot_teach_is_named(module: str, message: str) -> None:
    view = view_with_a_column()
    with pytest.raises(InputError, match=message):
        built(view, {"x": {"column": "audio", "module": module}})
