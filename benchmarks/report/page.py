"""The HTML page of a run: its sections, and what each of them is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from benchmarks.report.codebook import sharing_view
from benchmarks.report.curves import charts_of
from benchmarks.report.gallery import digit_cards
from benchmarks.report.headline import arrow, conclusion, data_in_words, run_in_words, tiles, title
from benchmarks.report.meaning import meaning_view
from benchmarks.report.run_files import RunFiles
from benchmarks.report.slots import SlotsView
from benchmarks.report.svg import inline_svg
from benchmarks.report.tasks import task_views
from benchmarks.report.transfer import TransferTable, transfer_tables
from toc import CodebookError, TOCSelection, draw_selection, load_codebook
from toc.figure import mean_similarity
from unicode_cmg.inspect.slots.page import HELPERS, LOADER, stylesheet


def render(run: RunFiles, results: Mapping[str, Any], slots: SlotsView | None) -> str:
    """The page as text; it needs no other file and asks the network for nothing.

    Args:
        run: The run.
        results: The same run as `results.json` holds it.
        slots: Its slots, if it has any.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader("benchmarks.report"), LOADER]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.globals |= HELPERS
    tables = transfer_tables(run.evaluations.values())
    tasks = task_views(tables, run.evaluations.values(), digits=run.digits is not None)
    return environment.get_template("report.html.j2").render(
        css=Markup(stylesheet("page.css", *(["slots.css"] if slots else []))),
        title=title(run),
        conclusion=conclusion(run, tables),
        about=(data_in_words(run), run_in_words(run)),
        command=run.command,
        again=f"unicode-cmg pretrain {run.path / 'config.yaml'} --to {run.path}-again",
        tiles=tiles(run, tables),
        contents=[
            ("transfer", "Transfer"),
            *((task.id, task.name) for task in tasks),
            ("training", "Training"),
            ("codebook", "Codebook"),
            ("meaning", "Meaning of codes"),
            *([("slots", "Slots")] if slots else []),
            ("toc", "TOC"),
            ("settings", "Settings"),
            ("timings", "Timings"),
        ],
        tables=tables,
        crossings=list(dict.fromkeys(pair for table in tables for pair in table.crossings())),
        arrow=arrow(tables),
        tasks=tasks,
        losses=charts_of(run.metrics, "loss", run.modalities, "validation"),
        held_out=any("validation" in line for line in run.metrics),
        usage=charts_of(run.metrics, "codebook", run.modalities),
        sharing=sharing_view(run.codes) if run.codes else None,
        meaning=meaning_view(run.codes) if run.codes else None,
        agreement=run.codes.event_agreement if run.codes else (),
        gallery=digit_cards(run.codes, run.digits) if run.codes and run.digits else [],
        slots=slots,
        toc=_toc_section(run, run.toc) if run.toc else None,
        facts=_facts(run, tables),
        config=yaml.safe_dump(run.config, sort_keys=False, allow_unicode=True),
        timings=_timings(run),
        versions=", ".join(f"{name} {number}" for name, number in results["versions"].items()),
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
    before, after = mean_similarity(codebook), mean_similarity(selection.select(codebook))
    sentence = (
        f"TOC keeps {kept}: the mean cosine similarity between two codes goes from {before:.3f} to "
        f"{after:.3f}. Nothing was trained for it, and which code a step gets does not change; the "
        "classifiers see fewer dimensions."
    )
    return sentence, inline_svg(draw_selection(codebook, selection), "TOC: " + sentence)


def _facts(run: RunFiles, tables: Sequence[TransferTable]) -> list[tuple[str, str]]:
    """Settings of the training and of each protocol, as name and value."""
    training = run.config.get("training", {})
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
