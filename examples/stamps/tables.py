"""The tables of the stamps benchmark, from the results of its runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.markdown import markdown_table
from unicode_cmg.console import show
from unicode_cmg.files import write_text

ROLES = ("image", "text", "speech")
WAYS = [f"{source}->{target}" for source, target in permutations(ROLES, 2)]
_SEARCHES = ("image->text", "speech->text", "speech->image")


def write_tables(base: Mapping[str, Any], runs: Mapping[str, Sequence[Mapping[str, Any]]], to: Path) -> None:
    """Print the tables and write them to a file.

    Args:
        base: What `baselines` returns.
        runs: Method -> what `evaluate` of run.py returned, for each seed.
        to: A Markdown file.
    """
    text = f"{_transfer(base, runs)}\n{_retrieval(base, runs)}"
    write_text(to, text)
    show(text)


def _transfer(base: Mapping[str, Any], runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    header = ["accuracy %, trained on -> tested on", *WAYS, "mean"]
    rows = []
    for name, part in (("", base["together"]), (", each language apart", base["apart"])):
        ceiling = [part["probes"][way.split("->")[1]] for way in WAYS]
        rows.append([f"linear probe of the tested modality itself{name}", *_numbers(ceiling)])
        rows.append([f"ridge regression and probe{name}", *_numbers([part["transfer"][way] for way in WAYS])])
    for method, found in runs.items():
        for name, kind in (("codes", "codes"), ("before quantization", "continuous"), ("codes, TOC", "toc")):
            values = np.array([[run[kind][way] for way in WAYS] for run in found])
            rows.append([f"{method}, {name}", *_spread(np.c_[values, values.mean(axis=1)])])
        values = np.array([[run["shuffled"][way] for way in WAYS] for run in found])
        rows.append([f"{method}, codes renamed at random", *_spread(np.c_[values, values.mean(axis=1)])])
    text = f"Most frequent class: {base['majority']:.1f} %.\n\n"
    return text + markdown_table(header, rows, text=header[:1])


def _retrieval(base: Mapping[str, Any], runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    languages = list(base["searched"])
    header = ["R@10 in %", *languages, "mean"]
    sizes = [base["searched"][language] for language in languages]
    rows = [["chance", *_numbers([100 * min(1.0, 10 / size) for size in sizes])]]
    for way in _SEARCHES:
        for name, part in (("", base["together"]), (", each language apart", base["apart"])):
            values = [part["retrieval"][each][way] for each in languages]
            rows.append([f"{way}: ridge regression{name}", *_numbers(values)])
        for method, found in runs.items():
            for place, name in enumerate(("codes", "before quantization")):
                values = np.array(
                    [[run["retrieval"][each][way][place] for each in languages] for run in found]
                )
                rows.append([f"{way}: {method}, {name}", *_spread(np.c_[values, values.mean(axis=1)])])
    text = (
        f"Test stamps to search: {', '.join(f'{a} {n}' for a, n in zip(languages, sizes, strict=True))}.\n\n"
    )
    return text + markdown_table(header, rows, text=header[:1])


def _numbers(values: Sequence[float]) -> list[str]:
    return [f"{value:.1f}" for value in [*values, float(np.mean(values))]]


def _spread(values: np.ndarray) -> list[str]:
    """Mean and sample standard deviation over seeds, `[seeds, columns]`."""
    if len(values) == 1:
        return [f"{value:.1f}" for value in values[0]]
    spread = values.std(axis=0, ddof=1)
    return [f"{mean:.1f} ± {std:.1f}" for mean, std in zip(values.mean(axis=0), spread, strict=True)]
