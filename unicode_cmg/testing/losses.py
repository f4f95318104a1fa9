"""What the loss terms promise: names, values, random draws, any batch, and batches that do not fit."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from unicode_cmg.batch import FeatureBatch
from unicode_cmg.testing.check import check
from unicode_cmg.testing.subject import Subject, changed, close, losses_of, refusing, require, state_of


def _finite(losses: Mapping[str, Tensor], what: str) -> None:
    bad = [term for term, loss in losses.items() if not loss.isfinite()]
    require(not bad, f"{what}: {', '.join(bad[:3])} is NaN or infinite")


@check(
    why="the fit loop weighs, sums and logs them by name",
    fix="return a dict from names to scalar tensors",
)
def losses_are_named_scalars(subject: Subject) -> None:
    losses = losses_of(subject.build(training=True), subject.batch())
    require(losses, "training_losses returns nothing")
    for term, loss in losses.items():
        require(isinstance(loss, Tensor) and loss.ndim == 0, f"'{term}' is no scalar tensor")
    _finite(losses, "noise")


@check(
    why="`loss_weights` covers terms by the beginning of their name up to a '/', and `total` is their sum",
    fix="name terms as paths, such as club/audio, and none of them `total`",
)
def names_of_losses_are_paths(subject: Subject) -> None:
    model = subject.build(training=True)
    batch = subject.batch()
    for term in (*losses_of(model, batch), *model.critic_losses(model.represent(batch))):
        require(all(part.strip() == part != "" for part in term.split("/")), f"'{term}' is no path")
        require(term.split("/")[0] != "total", f"'{term}' takes the name of the sum")


@check(
    why="a change of names starts a new window of the log, and weights are checked in the first step only",
    fix="return every term for every batch, 0 where it does not apply",
)
def names_of_losses_do_not_depend_on_the_batch(subject: Subject) -> None:
    model = subject.build(training=True)
    names = list(losses_of(model, subject.batch()))
    for what, batch in (
        ("a single step", subject.batch(3, 1)),
        ("a single clip", subject.batch(1)),
        ("clips that lack modalities", subject.incomplete()),
    ):
        found = list(losses_of(model, batch))
        require(found == names, f"with {what} the terms are {found}, else {names}")


@check(
    why="runs resume bit for bit, and each step draws from a generator of its own",
    fix="draw everything in training_losses from `generator`",
)
def the_generator_decides_every_draw_of_the_losses(subject: Subject) -> None:
    model, batch = subject.build(), subject.batch()
    before = torch.get_rng_state()
    one = losses_of(model, batch, seed=5)
    require(torch.equal(before, torch.get_rng_state()), "the global generator was drawn from")
    two = losses_of(model, batch, seed=5)
    key = changed(one, two)
    require(key is None, f"'{key}' differs with the same generator")


@check(
    why="the fit loop encodes a batch once and hands the result on",
    fix="compute the losses from `representation` where it is given, and from represent(batch) otherwise",
)
def a_representation_that_is_handed_on_gives_the_same_losses(subject: Subject) -> None:
    model, batch = subject.build(), subject.batch()
    handed = losses_of(model, batch, representation=model.represent(batch))
    for term, loss in losses_of(model, batch).items():
        require(close(loss, handed[term]), f"'{term}' is another one with `representation`")


@check(
    why="the state moves in optimizer steps and in update_codebooks, so that a step can be repeated",
    fix="write no buffer in represent, critic_losses and training_losses",
)
def losses_change_no_state(subject: Subject) -> None:
    model, batch = subject.build(training=True), subject.batch()
    before = state_of(model)
    model.critic_losses(model.represent(batch))
    losses_of(model, batch)
    key = changed(before, state_of(model))
    require(key is None, f"'{key}' was changed")


@check(
    why="a factor for a term that never comes is a typing error, and `loss_weights` accepts its name",
    fix="use beginnings of names of terms, up to a '/', as keys of loss_factors()",
)
def loss_factors_are_about_terms(subject: Subject) -> None:
    model = subject.build(training=True)
    terms = losses_of(model, subject.batch())
    for key, factor in model.loss_factors().items():
        about = any(term == key or term.startswith(f"{key}/") for term in terms)
        require(about, f"no term begins with '{key}'")
        require(factor >= 0, f"the factor of '{key}' is {factor}")


@check(
    why="a schedule that starts late must start",
    fix="return in step 0 at least one term whose factor is not 0, and name later terms in loss_factors()",
)
def the_first_step_has_something_to_train_on(subject: Subject) -> None:
    model = subject.build(training=True)
    model.begin_step(step=0, epoch=0)
    terms, factors = losses_of(model, subject.batch()), model.loss_factors()
    require(any(factors.get(term, factors.get(term.split("/")[0], 1.0)) for term in terms),
            "every term has factor 0 in the first step")  # fmt: skip
    _finite(terms, "the first step")
    model.begin_step(step=10_000, epoch=1_000)
    later = losses_of(model, subject.batch())
    unknown = [term for term in later if term not in terms and term not in factors]
    require(not unknown, f"{', '.join(unknown[:3])} joins later without a factor at the start")


@check(
    why="an image and a caption are modalities of one step, and the last batch may hold one clip",
    fix="let every loss take T = 1 and B = 1: without negatives a contrast is 0",
)
def the_smallest_batches_train(subject: Subject) -> None:
    model = subject.build(training=True)
    for clips, steps in ((3, 1), (1, 6), (1, 1), (2, 2)):
        _finite(losses_of(model, subject.batch(clips, steps)), f"{clips} clips of {steps} steps")


@check(
    why="people bring clips of any length",
    fix="write no number of steps into the losses",
)
def long_clips_train(subject: Subject) -> None:
    _finite(losses_of(subject.build(training=True), subject.batch(2, 23)), "23 steps")


@check(
    why="`training.precision` runs the networks in bfloat16",
    fix="compute sums, exponentials and codebooks in float32: torch.autocast(device, enabled=False)",
)
def losses_are_finite_in_mixed_precision(subject: Subject) -> None:
    model = subject.build(training=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _finite(losses_of(model, subject.batch()), "bfloat16 autocast")


@check(
    why="gradients are checked in float64",
    fix="create tensors in the dtype of what they meet",
)
def losses_follow_float64(subject: Subject) -> None:
    model = subject.build(training=True).double()
    losses = losses_of(model, subject.batch().to("cpu", torch.float64))
    _finite(losses, "float64")
    for term, loss in losses.items():
        require(loss.dtype == torch.float64, f"'{term}' of float64 features is {loss.dtype}")


@check(
    why="a store without a modality should give a line that names it",
    fix="call unicode_cmg.batch.check_batch first; a clip lacks a modality by an empty mask",
)
def a_batch_without_a_modality_is_refused(subject: Subject) -> None:
    model, batch = subject.build(), subject.batch()
    last = subject.modalities[-1]
    with refusing(f"a batch without '{last}'", last):
        model.represent(batch.only(subject.modalities[:-1]))


@check(
    why="a modality that is silently ignored is never trained",
    fix="call unicode_cmg.batch.check_batch first",
)
def a_batch_with_an_unknown_modality_is_refused(subject: Subject) -> None:
    model, batch = subject.build(), subject.batch()
    first = next(iter(batch.features))
    more = FeatureBatch(
        {**batch.features, "surely_no_modality": batch.features[first]},
        {**batch.masks, "surely_no_modality": batch.masks[first]},
    )
    with refusing("a batch with an unknown modality", "surely_no_modality"):
        model.represent(more)


@check(
    why="features of another extractor should give a line that says what was expected",
    fix="call unicode_cmg.batch.check_batch first",
)
def a_batch_of_another_shape_is_refused(subject: Subject) -> None:
    model = subject.build()
    for m in subject.modalities:
        batch = subject.batch()
        wide = torch.cat([batch.features[m], batch.features[m][..., :1]], dim=-1)
        with refusing(f"'{m}' with a channel too many", m):
            model.represent(FeatureBatch({**batch.features, m: wide}, batch.masks))
