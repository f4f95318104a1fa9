"""The numbers as Markdown for people and CSV for everything else."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Callable, Iterator, Sequence

from benchmarks.experiments.masking.masks import (
    CENTRED,
    FILLS,
    ORDERS,
    PCA,
    SHARES,
    TOC,
    WORST,
    Masked,
    kept_dims,
)
from benchmarks.experiments.masking.runs import Outcome
from benchmarks.experiments.masking.vqvae import DIM
from benchmarks.markdown import markdown_table
from benchmarks.sweep.tables import mean_std

PRINTED = {
    0.875: (0.0621, 0.0231, 100),
    0.75: (0.0477, 0.0159, 100),
    0.625: (0.0335, 0.0109, 100),
    0.5: (0.0229, 0.0086, 100),
    0.375: (0.0141, 0.0062, 96),
    0.25: (0.0075, 0.0039, 90),
}
"""Masked share -> R100-avg, TOC and Count of FCID paper, table 3: faces, range of the pixels unknown."""


def tables(outcomes: Sequence[Outcome]) -> str:
    """All tables: the models, TOC against random masks, each model by itself, and other orders."""
    kinds = list(dict.fromkeys(outcome.inputs for outcome in outcomes))
    groups = [[o for o in outcomes if o.inputs == kind] for kind in kinds]
    return "\n".join(
        [
            *("Models, nothing masked:\n", _models(groups)),
            *("Masked by TOC and at random:\n", _against_random(groups)),
            *("Each model, half of the dimensions masked to zero:\n", _each_model(outcomes)),
            *("Masked by other orders:\n", _other_orders(groups)),
        ]
    )


def _models(groups: Sequence[Sequence[Outcome]]) -> str:
    columns: dict[str, tuple[Callable[[Outcome], float], int]] = {
        "MSE": (lambda o: o.mse, 4),
        "perplexity": (lambda o: o.perplexity, 1),
        "offset": (lambda o: o.offset, 2),
        "directions": (lambda o: o.directions, 2),
        "alignment": (lambda o: o.alignment, 2),
        "auto keeps": (lambda o: o.automatic, 0),
        "seconds": (lambda o: o.seconds, 0),
    }
    rows = [
        (g[0].inputs, str(len(g)), *(mean_std([float(of(o)) for o in g], n) for of, n in columns.values()))
        for g in groups
    ]
    return markdown_table(("inputs", "seeds", *columns), rows)


def _against_random(groups: Sequence[Sequence[Outcome]]) -> str:
    header = (
        *("inputs", "masked to", "mask (%)", "R100-avg", "TOC", "Count", "TOC / R100-avg"),
        *("printed: ratio, Count", CENTRED, "its Count"),
    )
    rows = []
    for group in groups:
        for fill, name, printed, found in _rows(group):
            random = [statistics.mean(entry.random) for entry in found]
            (toc, toc_count), (centred, its_count) = (
                ([entry.chosen[o] for entry in found], mean_std([float(e.count(o)) for e in found], 0))
                for o in (TOC, CENTRED)
            )
            ratio = mean_std([t / r for t, r in zip(toc, random, strict=True)], 2)
            rows.append(
                (
                    *(group[0].inputs, fill, name, mean_std(random, 4), mean_std(toc, 4), toc_count),
                    *(ratio, printed, mean_std(centred, 4), its_count),
                )
            )
    return markdown_table(header, rows)


def _each_model(outcomes: Sequence[Outcome]) -> str:
    header = ("inputs", "seed", "offset", "alignment", "R100-avg", "TOC", "Count", CENTRED, "its Count")
    rows = []
    for o in outcomes:
        entry = o.at(kept_dims(0.5), "zero")
        orders = [(f"{entry.chosen[order]:.4f}", str(entry.count(order))) for order in (TOC, CENTRED)]
        about = (o.inputs, str(o.seed), f"{o.offset:.2f}", f"{o.alignment:.2f}")
        rows.append((*about, f"{statistics.mean(entry.random):.4f}", *orders[0], *orders[1]))
    return markdown_table(header, rows)


def _other_orders(groups: Sequence[Sequence[Outcome]]) -> str:
    orders = (*ORDERS, WORST, PCA)
    rows = [
        (group[0].inputs, fill, name, *(mean_std([entry.chosen[o] for entry in found], 4) for o in orders))
        for group in groups
        for fill, name, _, found in _rows(group)
    ]
    return markdown_table(("inputs", "masked to", "mask (%)", *orders), rows)


def _rows(group: Sequence[Outcome]) -> Iterator[tuple[str, str, str, list[Masked]]]:
    """Fill, masked share in words, what the paper prints, errors of all seeds; last, the automatic number."""
    for fill in FILLS:
        for share in SHARES:
            entries = [outcome.at(kept_dims(share), fill) for outcome in group]
            random, toc, count = PRINTED[share]
            yield fill, f"{100 * share:.1f}", f"{toc / random:.2f}, {count}", entries
        kept = [outcome.automatic for outcome in group]
        share = 100 * (1 - statistics.mean(kept) / DIM)
        yield fill, f"auto ({share:.1f})", "", [o.at(o.automatic, fill) for o in group]


def tidy_csv(outcomes: Sequence[Outcome]) -> str:
    """One line for each error: inputs, seed, fill, kept, order, mse; random masks are numbered."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["inputs", "seed", "fill", "kept", "order", "mse"])
    for o in outcomes:
        writer.writerow([o.inputs, o.seed, "", DIM, "", o.mse])
        for entry in o.masked:
            where = (o.inputs, o.seed, entry.fill, entry.kept)
            writer.writerows([*where, order, error] for order, error in entry.chosen.items())
            writer.writerows([*where, f"random {i}", error] for i, error in enumerate(entry.random))
    return text.getvalue()
