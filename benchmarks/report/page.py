"""The HTML page of a run: what each section shows, from the record of the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from benchmarks.report.codes import meaning_view, sharing_view
from benchmarks.report.curves import Chart, curves_of, draw_curves
from benchmarks.report.gallery import Card, digit_cards
from benchmarks.report.record import RunRecord
from benchmarks.report.refined import refined_view
from benchmarks.report.transfer import TransferTable, transfer_tables

_CONTENTS = [
    ("transfer", "Transfer"),
    ("training", "Training"),
    ("codebook", "Codebook"),
    ("meaning", "Meaning of codes"),
    ("toc", "TOC"),
    ("settings", "Settings"),
    ("timings", "Timings"),
]


@dataclass(frozen=True)
class Tile:
    """One headline number."""

    name: str
    value: str
    hint: str
    spread: str = ""


def render(record: RunRecord, results: Mapping[str, Any]) -> str:
    """The page as text; it needs no other file and asks the network for nothing.

    Args:
        record: The run.
        results: The same run as `results.json` holds it.
    """
    templates = files("benchmarks.report") / "templates"
    environment = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    template = environment.from_string((templates / "report.html.j2").read_text(encoding="utf-8"))
    tables = transfer_tables(record.evaluations.values())
    return template.render(
        title=f"Unified codebook: {results['run']}",
        css=Markup((templates / "report.css").read_text(encoding="utf-8")),
        lede=_lede(record),
        contents=_CONTENTS,
        tiles=_tiles(record, tables),
        tables=tables,
        arrow=_arrow(tables),
        losses=_charts(record, "loss", "validation"),
        held_out=any("validation" in line for line in record.metrics),
        usage=_charts(record, "codebook"),
        sharing=sharing_view(record.codes) if record.codes else None,
        meaning=meaning_view(record.codes) if record.codes else None,
        gallery=_gallery(record),
        toc=refined_view(record.toc, record.path) if record.toc else None,
        facts=_facts(record, tables),
        leaks=[leak for table in tables for leak in table.results[0].leaks],
        config=yaml.safe_dump(record.config, sort_keys=False, allow_unicode=True),
        timings=_timings(record),
        versions=", ".join(f"{name} {number}" for name, number in results["versions"].items()),
        version=results["library_version"],
    )


def _lede(record: RunRecord) -> str:
    method = record.config.get("method", {})
    parts = [f"Method {method.get('name', 'unknown')}"]
    if modalities := _modalities(record):
        parts.append(" · ".join(modalities))
    if "num_codes" in method:
        parts.append(f"{method['num_codes']} codes of {method['dim']} dimensions")
    if logged := _last_loss(record):
        parts.append(f"{_thousands(logged['step'])} steps in {_duration(logged['seconds'])}")
    return ", ".join(parts) + "."


def _modalities(record: RunRecord) -> list[str]:
    declared = record.config.get("method", {}).get("modalities", {})
    return list(declared)


def _last_loss(record: RunRecord) -> Mapping[str, Any] | None:
    return next((line for line in reversed(record.metrics) if "loss" in line), None)


def _arrow(tables: Sequence[TransferTable]) -> tuple[str, str]:
    """The direction that the page explains and shows first: video to audio where there is one."""
    pairs = tables[0].crossings() if tables else []
    return ("video", "audio") if ("video", "audio") in pairs or not pairs else pairs[0]


def _tiles(record: RunRecord, tables: Sequence[TransferTable]) -> list[Tile]:
    tiles = []
    if tables:
        table, (source, target) = tables[0], _arrow(tables)
        for pair in dict.fromkeys([(source, target), (target, source)]):
            if pair not in table.cells:
                continue
            score, *others = table.cells[pair]
            hint = table.floors
            for other in others:
                hint += f" · {other.label}: {other.mean:.1f} %"
            spread = "" if score.std is None else f"± {score.std:.1f}"
            tiles.append(Tile(f"{pair[0]} → {pair[1]}", f"{score.mean:.1f} %", hint, spread))
    if logged := _last_loss(record):
        tiles.append(Tile("training", _duration(logged["seconds"]), f"{_thousands(logged['step'])} steps"))
    return tiles


def _charts(record: RunRecord, group: str, held_out: str = "") -> list[Chart]:
    modalities, dots = _modalities(record), curves_of(record.metrics, held_out)
    found = curves_of(record.metrics, group)
    only_layer = len({title.split("/")[0] for title in found}) == 1
    return [
        draw_curves(
            title.removeprefix("layer0/") if only_layer else title, curves, modalities, dots.get(title, ())
        )
        for title, curves in found.items()
    ]


def _gallery(record: RunRecord) -> list[Card]:
    """Cards where the run has the embedded digits beside it; other data has no pictures of its features."""
    data = record.path / "data"
    return digit_cards(record.codes, data) if record.codes and (data / "digits.json").is_file() else []


def _facts(record: RunRecord, tables: Sequence[TransferTable]) -> list[tuple[str, str]]:
    training = record.config.get("training", {})
    facts = [
        (name, str(training[key]))
        for name, key in (("epochs", "epochs"), ("batch size", "batch_size"), ("seed of pretraining", "seed"))
        if key in training
    ]
    for table in tables:
        first = table.results[0]
        clips = ", ".join(f"{count} {split}" for split, count in first.data.counts.items())
        if dropped := sum(first.data.dropped.values()):
            clips += f"; {dropped} left out because their video is in another split too"
        head = first.head
        facts += [
            (f"{table.task}: protocol", f"{table.protocol}; clips: {clips}"),
            (
                f"{table.task}: head",
                f"Adam {head.lr:g}, {head.epochs} epochs, batch {head.batch_size}, {head.select}",
            ),
            (f"{table.task}: seeds", ", ".join(map(str, first.seeds))),
        ]
        facts += [(f"{table.task}: departure", departure) for departure in first.departures]
    return facts


def _timings(record: RunRecord) -> list[tuple[str, float]]:
    if record.stages:
        return [(stage["name"], stage["seconds"]) for stage in record.stages]
    logged = _last_loss(record)
    training = [("pretraining", float(logged["seconds"]))] if logged else []
    return training + [(f"evaluation {name}", r.seconds.total) for name, r in record.evaluations.items()]


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _thousands(number: int) -> str:
    return f"{number:,}".replace(",", "\u202f")
