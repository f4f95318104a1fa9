"""The HTML page of a run: which sections it has, and what each is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from benchmarks.report.codes import meaning_view, sharing_view
from benchmarks.report.curves import Chart, curves_of, draw_curves
from benchmarks.report.gallery import Card, digit_cards
from benchmarks.report.headline import arrow, lede, tiles
from benchmarks.report.record import RunRecord
from benchmarks.report.refined import refined_view
from benchmarks.report.settings import facts, timings
from benchmarks.report.slots import SlotsView
from benchmarks.report.tasks import TaskView, task_views
from benchmarks.report.transfer import transfer_tables
from unicode_cmg.inspect.slots.page import HELPERS, LOADER, page_css, slots_css


def render(record: RunRecord, results: Mapping[str, Any], slots: SlotsView | None) -> str:
    """The page as text; it needs no other file and asks the network for nothing.

    Args:
        record: The run.
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
    tables = transfer_tables(record.evaluations.values())
    tasks = task_views(tables, record.evaluations.values())
    return environment.get_template("report.html.j2").render(
        title=f"Unified codebook: {results['run']}",
        css=Markup(page_css() + (slots_css() if slots else "")),
        lede=lede(record),
        contents=_contents(tasks, slots is not None),
        tiles=tiles(record, tables),
        tables=tables,
        crossings=list(dict.fromkeys(pair for table in tables for pair in table.crossings())),
        arrow=arrow(tables),
        tasks=tasks,
        losses=_charts(record, "loss", "validation"),
        held_out=any("validation" in line for line in record.metrics),
        usage=_charts(record, "codebook"),
        sharing=sharing_view(record.codes) if record.codes else None,
        meaning=meaning_view(record.codes) if record.codes else None,
        gallery=_gallery(record),
        slots=slots,
        toc=refined_view(record.toc, record.path) if record.toc else None,
        facts=facts(record, tables),
        config=yaml.safe_dump(record.config, sort_keys=False, allow_unicode=True),
        timings=timings(record),
        versions=", ".join(f"{name} {number}" for name, number in results["versions"].items()),
        version=results["library_version"],
    )


def _contents(tasks: Sequence[TaskView], slots: bool) -> list[tuple[str, str]]:
    """Id and name of each section."""
    return [
        ("transfer", "Transfer"),
        *((task.id, task.name) for task in tasks),
        ("training", "Training"),
        ("codebook", "Codebook"),
        ("meaning", "Meaning of codes"),
        *([("slots", "Slots")] if slots else []),
        ("toc", "TOC"),
        ("settings", "Settings"),
        ("timings", "Timings"),
    ]


def _charts(record: RunRecord, group: str, held_out: str = "") -> list[Chart]:
    dots = curves_of(record.metrics, held_out)
    found = curves_of(record.metrics, group)
    only_layer = len({title.split("/")[0] for title in found}) == 1
    return [
        draw_curves(
            title.removeprefix("layer0/") if only_layer else title,
            curves,
            record.modalities,
            dots.get(title, ()),
        )
        for title, curves in found.items()
    ]


def _gallery(record: RunRecord) -> list[Card]:
    """Cards where the run has the embedded digits beside it; other data has no pictures of its features."""
    data = record.path / "data"
    return digit_cards(record.codes, data) if record.codes and (data / "digits.json").is_file() else []
