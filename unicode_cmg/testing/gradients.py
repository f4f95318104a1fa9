"""Where gradients go: to every trained module, to critics from their own losses, and to nothing else."""

from __future__ import annotations

from unicode_cmg.errors import InputError
from unicode_cmg.methods.base import Method
from unicode_cmg.testing.check import check
from unicode_cmg.testing.subject import Skipped, Subject, backward, gradients_of, losses_of, require


@check(
    why="a module without gradient does not learn, and nobody notices",
    fix="let a loss term depend on it, or take it out of trained_modules()",
)
def gradients_reach_every_trained_module(subject: Subject) -> None:
    model = subject.build(training=True)
    found = gradients_of(model, subject.batch())
    names = {id(p): name for name, p in model.named_parameters()}
    for module, trained in model.trained_modules().items():
        own = [names[id(p)] for p in trained.parameters() if p.requires_grad]
        require(any(found[n].any() for n in own if n in found), f"no gradient reaches '{module}'")
        silent = [name for name in own if name not in found]
        require(not silent, f"no gradient reaches {', '.join(silent[:3])} of '{module}'")


@check(
    why="one modality that does not learn spoils every transfer from and to it",
    fix="let the loss depend on the features of every modality",
)
def every_modality_has_a_part_in_the_losses(subject: Subject) -> None:
    model, batch = subject.build(training=True), subject.batch()
    for x in batch.features.values():
        x.requires_grad_()
    backward(losses_of(model, batch))
    for m, x in batch.features.items():
        require(x.grad is not None and x.grad.any(), f"the losses do not depend on '{m}'")


@check(
    why="a NaN in one gradient ends the run",
    fix="guard roots, logarithms and divisions where their slope is infinite",
)
def gradients_are_finite(subject: Subject) -> None:
    for what, batch in (("noise", subject.batch()), ("a single step", subject.batch(3, 1))):
        for name, gradient in gradients_of(subject.build(training=True), batch).items():
            require(gradient.isfinite().all(), f"{what}: the gradient of '{name}' is NaN or infinite")


@check(
    why="features that are all alike occur, such as silence, and distances and norms of 0 with them",
    fix="guard roots and divisions at 0",
)
def equal_features_give_finite_gradients(subject: Subject) -> None:
    batch = subject.batch()
    for x in batch.features.values():
        x.zero_()
    for name, gradient in gradients_of(subject.build(training=True), batch).items():
        require(gradient.isfinite().all(), f"the gradient of '{name}' is NaN or infinite")


@check(
    why="critics learn on constants: a gradient into the encoders would undo what they are for",
    fix="detach the representation in critic_losses",
)
def critic_losses_teach_the_critics_alone(subject: Subject) -> None:
    model = subject.build(training=True)
    _critic_backward(model, subject)
    critics = {id(p) for p in model.critic_parameters()}
    strays = [n for n, p in model.named_parameters() if p.grad is not None and id(p) not in critics]
    require(not strays, f"critic_losses reach {', '.join(strays[:3])}")


@check(
    why="a critic that does not learn gives an estimate of nothing",
    fix="let critic_losses depend on every module in critic_modules()",
)
def critic_losses_reach_every_critic(subject: Subject) -> None:
    model = subject.build(training=True)
    _critic_backward(model, subject)
    for name, module in model.critic_modules().items():
        reached = [p.grad is not None and bool(p.grad.any()) for p in module.parameters()]
        require(not reached or any(reached), f"critic_losses do not reach '{name}'")


@check(
    why="regularizers work on these tensors, and their gradients must reach the encoders",
    fix="return the tensors of the representation from view(), with their graph, for every modality",
)
def the_view_is_complete(subject: Subject) -> None:
    model, batch = subject.build(training=True), subject.batch()
    try:
        view = model.view(batch, model.represent(batch))
    except InputError:
        raise Skipped("the method takes no regularizers") from None
    for field in ("features", "masks", "general", "codes", "code_masks"):
        missing = set(subject.modalities) - set(getattr(view, field))
        require(not missing, f"`{field}` has no '{min(missing, default='')}'")
    for m in subject.modalities:
        general, codes = view.general[m], view.codes[m]
        require(general.requires_grad and codes.requires_grad, f"the tensors of '{m}' carry no graph")
        require(general.shape[1] in (1, 6), f"`general` of '{m}' is {list(general.shape)}")
        mask = list(view.code_masks[m].shape)
        require(mask == list(codes.shape[:2]), f"codes of '{m}' are {list(codes.shape)}, their mask {mask}")


def _critic_backward(model: Method[object], subject: Subject) -> None:
    losses = model.critic_losses(model.represent(subject.batch()))
    if not losses:
        require(not model.critic_modules(), "there are critics, and critic_losses returns nothing")
        raise Skipped("the method has no critics")
    backward(losses)
