"""Rows of an evaluation: heads on codes, beside the plain loop and their own matrix products."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from benchmarks.evaluation.fitting import fit_heads
from benchmarks.evaluation.heads import LabelledCodes
from benchmarks.evaluation.objectives import ClassifyClips
from benchmarks.experiments.speed.measuring import Row, Work, compared, in_turns
from unicode_cmg.results import HeadConfig

CLIPS, STEPS, CODES, DIM, CLASSES, EPOCHS, BATCH = 4000, 10, 400, 256, 28, 25, 80


def coded_clips(clips: int, layers: int) -> LabelledCodes:
    """Clips of random codes, of which all occur alike: the worst case."""
    generator = torch.Generator().manual_seed(0)
    tables = tuple(torch.randn(CODES, DIM, generator=generator) for _ in range(layers))
    indices = torch.randint(0, CODES, (clips, STEPS, layers), generator=generator)
    return LabelledCodes(tables, indices, indices[:, 0, 0] % CLASSES)


def head_rows(rounds: int, *, epochs: int) -> Iterator[Row]:
    """An epoch, as a plain loop of one head after the other does it, and its matrix products alone."""
    for layers, reach in ((1, 5), (2, 10)):
        data = coded_clips(CLIPS, layers)
        ours = _fit(data, (0, 1, 2), epochs)
        steps = 3 * epochs * CLIPS // BATCH
        width = layers * DIM
        table, weight = data.tables[0], torch.randn(DIM, width)

        def products(
            table: torch.Tensor = table, weight: torch.Tensor = weight, steps: int = steps * layers
        ) -> None:
            for _ in range(steps):
                table @ weight

        name = f"heads, {CLIPS} clips, 3 seeds, {layers} code layer{'s' * (layers > 1)}"
        rows = compared(
            name,
            ours,
            {"plain loop over dense codes": _plain(data, 3, epochs), "their own matrix products": products},
            rounds,
        )
        yield from rows
        whole = tuple(seconds * EPOCHS / epochs for seconds in in_turns({"": ours}, rounds)[""])
        part = "" if epochs == EPOCHS else f", from {epochs} epoch{'s' * (epochs > 1)}"
        yield Row(f"{name}, {EPOCHS} epochs{part}", f"s on {_threads()}", whole, f"<= {reach}, two cores")


def growth_rows(rounds: int) -> Iterator[Row]:
    """An epoch with more of something against one with less."""
    base = coded_clips(1000, 1)
    grown = {
        "twice the clips": _fit(coded_clips(2000, 1), (0, 1, 2), 1),
        "twice the seeds": _fit(base, (0, 1, 2, 3, 4, 5), 1),
        "two code layers": _fit(coded_clips(1000, 2), (0, 1, 2), 1),
        "four code layers": _fit(coded_clips(1000, 4), (0, 1, 2), 1),
    }
    for title, work in grown.items():
        name = f"heads, 1000 clips, 3 seeds, {title}"
        yield from compared(name, work, {"without": _fit(base, (0, 1, 2), 1)}, rounds, guarded=False)


def _threads() -> str:
    count = torch.get_num_threads()
    return f"{count} thread{'s' * (count > 1)}"


def _fit(data: LabelledCodes, seeds: tuple[int, ...], epochs: int) -> Work:
    config = HeadConfig(epochs=epochs, select="last", batch_size=BATCH)

    def fit() -> None:
        fit_heads(data, {"val": data}, objective=ClassifyClips(), classes=CLASSES, seeds=seeds, config=config)

    return fit


def _plain(data: LabelledCodes, seeds: int, epochs: int) -> Work:
    """The released recipe: code vectors, two linear layers, a maximum over the steps between them."""
    vectors = torch.cat([table[data.indices[..., k]] for k, table in enumerate(data.tables)], dim=-1)
    width = vectors.shape[-1]

    def fit() -> None:
        for _ in range(seeds):
            hidden, classes = nn.Linear(width, width), nn.Linear(width, CLASSES)
            parameters = [*hidden.parameters(), *classes.parameters()]
            optimizer = torch.optim.Adam(parameters, lr=4e-4)
            for _ in range(epochs):
                for rows in torch.split(torch.randperm(len(vectors)), BATCH):
                    logits = classes(hidden(vectors[rows]).max(dim=1).values)
                    optimizer.zero_grad()
                    loss = nn.functional.cross_entropy(logits, data.labels[rows])
                    torch.autograd.backward(loss)
                    nn.utils.clip_grad_norm_(parameters, 0.5)
                    optimizer.step()

    return fit
