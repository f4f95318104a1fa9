"""The top of the page: what the run is, and its headline numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.report.record import RunRecord
from benchmarks.report.transfer import TransferTable


@dataclass(frozen=True)
class Tile:
    """One headline number."""

    name: str
    value: str
    hint: str
    spread: str = ""


def lede(record: RunRecord) -> str:
    """The run in one sentence."""
    method = record.config.get("method", {})
    parts = [f"Method {method.get('name', 'unknown')}"]
    if record.modalities:
        parts.append(" · ".join(record.modalities))
    if "num_codes" in method:
        parts.append(f"{method['num_codes']} codes of {method['dim']} dimensions")
    if logged := record.last_loss:
        parts.append(f"{_thousands(logged['step'])} steps in {_duration(logged['seconds'])}")
    return ", ".join(parts) + "."


def arrow(tables: Sequence[TransferTable]) -> tuple[str, str]:
    """The direction that the page explains and shows first: video to audio where there is one."""
    pairs = tables[0].crossings() if tables else []
    return ("video", "audio") if ("video", "audio") in pairs or not pairs else pairs[0]


def tiles(record: RunRecord, tables: Sequence[TransferTable]) -> list[Tile]:
    """The first task in both directions, and how long training took."""
    found = []
    if tables:
        table, (source, target) = tables[0], arrow(tables)
        for pair in dict.fromkeys([(source, target), (target, source)]):
            if pair not in table.cells:
                continue
            score, *others = table.cells[pair]
            hint = table.floors
            for other in others:
                hint += f" · {other.label}: {other.mean:.1f} %"
            spread = "" if score.std is None else f"± {score.std:.1f}"
            found.append(Tile(f"{pair[0]} → {pair[1]}", f"{score.mean:.1f} %", hint, spread))
    if logged := record.last_loss:
        steps = f"{_thousands(logged['step'])} steps"
        found.append(Tile("training", _duration(logged["seconds"]), steps))
    return found


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _thousands(number: int) -> str:
    return f"{number:,}".replace(",", "\u202f")
