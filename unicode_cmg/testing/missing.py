"""Padding, and modalities that clips lack: they cost nothing, teach nothing and break nothing."""

from __future__ import annotations

import torch
from torch import Tensor

from unicode_cmg.batch import FeatureBatch
from unicode_cmg.methods.base import Method
from unicode_cmg.testing.check import check
from unicode_cmg.testing.subject import (
    GARBAGE,
    NOT_FINITE,
    Subject,
    changed,
    encoded,
    filled,
    gradients_of,
    losses_of,
    require,
    state_of,
)

_CLEAR = (
    "clear features where the mask is False, with unicode_cmg.batch.cleared, and give masks to every loss"
)


def _step(model: Method[object], batch: FeatureBatch) -> dict[str, Tensor]:
    """Losses, gradients, and the state after an update of the codebooks."""
    found: dict[str, Tensor] = {}
    representation = model.represent(batch)
    critics = model.critic_losses(representation)
    found |= {term: loss.detach() for term, loss in {**losses_of(model, batch), **critics}.items()}
    found |= {f"the gradient of {name}": value for name, value in gradients_of(model, batch).items()}
    model.update_codebooks(representation, generator=torch.Generator().manual_seed(0))
    return found | {f"{key} after an update": value for key, value in state_of(model).items()}


def _unmoved(subject: Subject, clean: FeatureBatch, dirty: FeatureBatch, what: str) -> None:
    one, two = (_step(subject.build(training=True), batch) for batch in (clean, dirty))
    key = changed(one, two)
    require(key is None, f"{what} changes {key}")


@check(why="the padding of a store holds whatever the writer left there", fix=_CLEAR)
def losses_ignore_the_padding(subject: Subject) -> None:
    _unmoved(subject, subject.padded(), subject.padded(garbage=GARBAGE), f"{GARBAGE} in the padding")


@check(why="0 times NaN is NaN, so a mask that multiplies does not keep it out", fix=_CLEAR)
def losses_ignore_nan_in_the_padding(subject: Subject) -> None:
    _unmoved(subject, subject.padded(), subject.padded(garbage=NOT_FINITE), "NaN in the padding")


@check(why="a clip may lack any modality, which an empty mask says", fix=_CLEAR)
def losses_ignore_what_stands_for_a_missing_modality(subject: Subject) -> None:
    clean, dirty = (subject.incomplete(garbage=garbage) for garbage in ((0.0,), NOT_FINITE))
    _unmoved(subject, clean, dirty, "NaN in the place of a modality that a clip lacks")


@check(
    why="20 % missing in each of four modalities would leave 41 % of the clips, were only whole ones used",
    fix="average each term over the clips that have what it is about, and divide by at least 1",
)
def batches_with_missing_modalities_train(subject: Subject) -> None:
    for name, value in _step(subject.build(training=True), subject.incomplete()).items():
        require(value.isfinite().all(), f"{name} is NaN or infinite")


@check(
    why="in a small batch a modality may not occur at all",
    fix="divide by at least 1, so that a mean over nothing is 0",
)
def a_modality_that_a_batch_lacks_costs_nothing(subject: Subject) -> None:
    batch = subject.batch()
    for absent in subject.modalities:
        masks = {m: torch.full_like(mask, m != absent) for m, mask in batch.masks.items()}
        model = subject.build(training=True)
        for name, value in _step(model, filled(batch, masks, NOT_FINITE)).items():
            require(value.isfinite().all(), f"without '{absent}' {name} is NaN or infinite")


@check(
    why="two modalities that never occur together align through a third",
    fix="let a pair that never occurs have a term of 0",
)
def modalities_that_never_meet_train(subject: Subject) -> None:
    names, clips = subject.modalities, 2 * len(subject.modalities)
    masks = {
        m: (torch.arange(clips) % len(names) == k).unsqueeze(1).expand(clips, 6) for k, m in enumerate(names)
    }
    batch = filled(subject.batch(clips), masks, NOT_FINITE)
    for name, value in _step(subject.build(training=True), batch).items():
        require(value.isfinite().all(), f"where each clip has one modality, {name} is NaN or infinite")


@check(
    why="clips that lack a modality pass through `encode` in the batches of a store",
    fix="return finite codes for them; their mask says that they mean nothing",
)
def a_clip_without_the_modality_is_encoded(subject: Subject) -> None:
    model, batch = subject.build(), subject.incomplete(garbage=NOT_FINITE)
    for m in subject.modalities:
        there = batch.masks[m].any(1)
        made = encoded(model, batch, m)
        require(made.codes.isfinite().all(), f"codes of clips without '{m}' are not finite")
        alone = encoded(model, FeatureBatch({m: batch.features[m][there]}, {m: batch.masks[m][there]}), m)
        require(torch.equal(made.indices[there], alone.indices), f"they change the codes of clips with '{m}'")


@check(
    why="statistics that count absent steps say that codes are used which are not",
    fix="give masks in quantized_batches",
)
def statistics_ignore_what_is_missing(subject: Subject) -> None:
    figures = []
    for garbage in ((0.0,), GARBAGE):
        model, batch = subject.build(training=True), subject.incomplete(garbage=garbage)
        figures.append(model.codebook_statistics(model.represent(batch)))
    for key, value in figures[0].items():
        same = value == figures[1][key] or value != value
        require(same, f"'{key}' depends on what stands for a missing modality")
