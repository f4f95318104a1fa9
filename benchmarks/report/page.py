"""The HTML page of a run: what its templates are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import yaml
from markupsafe import Markup

from benchmarks.evaluation.results import decimal
from benchmarks.report.classes import class_view, confusion_maps
from benchmarks.report.codebook import contingency_maps, digit_cards, sharing_bars
from benchmarks.report.curves import charts_of
from benchmarks.report.headline import arrow, conclusion, duration, thousands
from benchmarks.report.run_files import RunFiles
from benchmarks.report.slots import RunSlots
from benchmarks.report.svg import inline_svg, legend_of
from benchmarks.report.tasks import RETRIEVAL, joint_rows, retrieval_rows, task_sections
from benchmarks.report.timelines import timeline_views
from benchmarks.report.transfer import (
    TransferTable,
    full_scale,
    spread,
    transfer_tables,
    unit,
    variant,
    without_codes,
)
from toc import CodebookError, CodeMerge, TOCSelection, draw_selection, load_codebook
from toc.figure import draw_merge, mean_similarity
from unicode_cmg.inspect.codes.usage import SHARED_FROM, SINGLE_ABOVE
from unicode_cmg.inspect.slots.page import stylesheet, templates

_FUNCTIONS = (
    *(charts_of, class_view, confusion_maps, contingency_maps, digit_cards, duration, joint_rows, legend_of),
    *(
        decimal,
        full_scale,
        retrieval_rows,
        sharing_bars,
        spread,
        thousands,
        timeline_views,
        unit,
        variant,
        without_codes,
    ),
)
"""What templates call."""


def render(run: RunFiles, results: Mapping[str, Any], slots: RunSlots | None) -> str:
    """The page as text; it needs no other file and asks the network for nothing.

    Args:
        run: The run.
        results: The same run as `results.json` holds it.
        slots: Its slots, if it has any.
    """
    environment = templates("benchmarks.report")
    environment.globals |= {function.__name__: function for function in _FUNCTIONS}
    tables = transfer_tables(run.evaluations.values())
    return environment.get_template("report.html.j2").render(
        css=stylesheet("page.css", *(["slots.css"] if slots else [])),
        run=run,
        name=run.path.resolve().name,
        store="/".join(Path(run.settings.data.store or "an unknown store").parts[-2:]),
        conclusion=conclusion(run.evaluations.values(), tables),
        tables=tables,
        crossings=list(dict.fromkeys(chain.from_iterable(table.crossings() for table in tables))),
        arrow=arrow(tables),
        tasks=task_sections(tables, run.evaluations.values(), digits=run.digits is not None),
        retrieval=RETRIEVAL,
        held_out=any("validation" in line for line in run.metrics),
        codes=run.codes,
        shared_from=SHARED_FROM,
        single_above=SINGLE_ABOVE,
        slots=slots,
        toc=_toc_section(run, run.toc) if run.toc else None,
        merges=[_merge_section(merge) for merge in run.merges],
        facts=_facts(run, tables),
        config=yaml.safe_dump(run.config, sort_keys=False, allow_unicode=True),
        timings=_timings(run),
        versions=results["versions"],
        version=results["library_version"],
    )


def _toc_section(run: RunFiles, selection: TOCSelection) -> tuple[str, Markup | None]:
    """What TOC kept, in words and as a figure; no figure where the codebook is gone or another one."""
    kept = f"{len(selection.indices)} of {selection.n_dims} dimensions, those that tell the codes apart best"
    try:
        codebook = load_codebook(run.path, selection.layer).vectors
        selection.check(codebook)
    except CodebookError as error:
        return f"TOC keeps {kept}. No picture: {error}.", None
    if selection.scores.centered:
        share = selection.scores.offset_share
        kept += f" after subtraction of their mean, which holds {share:.0%} of their squared length"
    seen = codebook - codebook.mean(axis=0) if selection.scores.centered else codebook
    before, after = mean_similarity(codebook), mean_similarity(selection.select(seen))
    sentence = (
        f"TOC keeps {kept}: the mean cosine similarity between two codes goes from {before:.3f} to "
        f"{after:.3f}. Nothing was trained for it, and which code a step gets does not change; the "
        "classifiers see fewer dimensions."
    )
    return sentence, inline_svg(draw_selection(codebook, selection), "TOC: " + sentence)


def _merge_section(merge: CodeMerge) -> tuple[str, Markup]:
    """How codes were merged, in words and as a figure."""
    sentence = (
        f"The {merge.n_codes} codes of {merge.layer} are merged to {merge.n_groups} by the distances of their"
        f" codewords: the next merge is {merge.ratio:.2f} times as high as the last one, and"
        f" {merge.within:.1%} of the variance of the codewords lies within groups."
    )
    if merge.warning is not None:
        sentence += " The groups are not well separated, so merging can cost accuracy."
    return sentence, inline_svg(draw_merge(merge), "Merged codes: " + sentence)


def _facts(run: RunFiles, tables: Sequence[TransferTable]) -> list[tuple[str, str]]:
    """Settings of the training and of each protocol, as name and value."""
    training = run.settings.training
    names = {"epochs": "epochs", "batch_size": "batch size", "seed": "seed of pretraining"}
    found = [(name, str(training[key])) for key, name in names.items() if key in training]
    for table in tables:
        first = table.results[0]
        clips = ", ".join(f"{count} {split}" for split, count in first.data.counts.items())
        if dropped := sum(first.data.dropped.values()):
            clips += f"; {dropped} left out because their video is in another split too"
        found.append((f"{table.task}: protocol", f"{table.protocol}; clips: {clips}"))
        if (head := first.head) is not None:
            recipe = f"Adam {head.lr:g}, {head.epochs} epochs, batch {head.batch_size}, {head.select}"
            found.append((f"{table.task}: head", recipe))
            found.append((f"{table.task}: seeds", ", ".join(map(str, first.seeds))))
        found += [(f"{table.task}: departure", departure) for departure in first.departures]
    return found


def _timings(run: RunFiles) -> list[tuple[str, float]]:
    """Stage and seconds."""
    if run.stages:
        return [(stage["name"], stage["seconds"]) for stage in run.stages]
    training = [("pretraining", float(run.last_loss["seconds"]))] if run.last_loss else []
    return training + [(f"evaluation {name}", r.seconds.total) for name, r in run.evaluations.items()]
