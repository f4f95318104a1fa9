"""How codebooks move: in training alone, by explicit updates, and as the generator says."""

from __future__ import annotations

import torch

from unicode_cmg.methods.base import Method
from unicode_cmg.testing.check import check
from unicode_cmg.testing.subject import Skipped, Subject, changed, require, state_of


def _update(model: Method[object], subject: Subject, *, seed: int = 0) -> None:
    representation = model.represent(subject.batch())
    model.update_codebooks(representation, generator=torch.Generator().manual_seed(seed))


@check(
    why="codebooks are updated and measured from these records",
    fix="return for each name in quantizers() a record with `quantized` and `masks`, both by modality",
)
def quantized_batches_fit_the_quantizers(subject: Subject) -> None:
    model = subject.build(training=True)
    batches = model.quantized_batches(model.represent(subject.batch()))
    require(set(batches) == set(model.quantizers()), f"quantized_batches has {', '.join(batches)}")
    for name, batch in batches.items():
        require(set(batch.quantized) == set(subject.modalities), f"'{name}' lacks a modality")
        for m, made in batch.quantized.items():
            count = len(model.quantizer(name).sizes)
            require(len(made.lookups) == count, f"'{m}' has {len(made.lookups)} lookups of {count} codebooks")
            shape, mask = list(made.codes.shape[:2]), list(batch.masks[m].shape)
            require(shape == mask, f"codes of '{m}' are {shape}, their mask {mask}")


@check(
    why="the log and the report show how codes are used",
    fix="leave codebook_statistics as it is, or return floats by `CODE_LAYER/QUANTITY`",
)
def statistics_are_floats_by_code_layer(subject: Subject) -> None:
    model = subject.build(training=True)
    figures = model.codebook_statistics(model.represent(subject.batch()))
    require(figures, "codebook_statistics returns nothing")
    for key, value in figures.items():
        layer = key.split("/")[0]
        require(layer in model.code_layers(), f"'{key}' begins with no code layer")
        require(isinstance(value, float), f"'{key}' is a {type(value).__name__}")


@check(
    why="codebooks learn by update_codebooks, not by gradient",
    fix="call `update` of every quantizer in update_codebooks, in training mode",
)
def updates_move_the_codebooks(subject: Subject) -> None:
    model = subject.build(training=True)
    if not model.codebooks():
        raise Skipped("there are no codebooks")
    before = {layer: book.clone() for layer, book in model.codebooks().items()}
    for _ in range(len(before)):  # residual codebooks are placed one after the other
        _update(model, subject)
    for layer, book in model.codebooks().items():
        require(not torch.equal(book, before[layer]), f"the codebook of {layer} does not move")


@check(
    why="validation and encoding must not move what they measure",
    fix="do nothing in update_codebooks outside of training mode",
)
def updates_do_nothing_in_evaluation(subject: Subject) -> None:
    model = subject.build()
    before = state_of(model)
    _update(model, subject)
    key = changed(before, state_of(model))
    require(key is None, f"an update in evaluation mode changes '{key}'")


@check(
    why="gradients move the trained modules, averages the codebooks; neither may touch the other's",
    fix="write buffers of quantizers, and statistics of your own, in update_codebooks, and no parameter",
)
def updates_leave_the_parameters_alone(subject: Subject) -> None:
    model = subject.build(training=True)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    _update(model, subject)
    key = changed(before, dict(model.named_parameters()))
    require(key is None, f"an update changes the parameter '{key}'")


@check(
    why="runs resume bit for bit, and ranks draw the same",
    fix="draw everything in update_codebooks from `generator`",
)
def the_generator_decides_every_draw_of_an_update(subject: Subject) -> None:
    states = []
    for noise in (1, 2):
        model = subject.build().train()
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        representation = model.eval().represent(subject.batch())
        model.train()
        torch.manual_seed(noise)
        before = torch.get_rng_state()
        model.update_codebooks(representation, generator=torch.Generator().manual_seed(7))
        require(torch.equal(before, torch.get_rng_state()), "the global generator was drawn from")
        states.append(state_of(model))
    key = changed(*states)
    require(key is None, f"'{key}' differs with the same generator")


@check(
    why="codewords in a graph would keep every batch in memory",
    fix="update without gradient, on detached features",
)
def codebooks_carry_no_graph(subject: Subject) -> None:
    model = subject.build(training=True)
    _update(model, subject)
    for layer, book in model.codebooks().items():
        require(not book.requires_grad, f"the codebook of {layer} requires a gradient")
