"""The last sections of the page: under which settings the numbers came about, and how long that took."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.report.record import RunRecord
from benchmarks.report.transfer import TransferTable


def facts(record: RunRecord, tables: Sequence[TransferTable]) -> list[tuple[str, str]]:
    """Settings of the training and of each protocol, as name and value."""
    training = record.config.get("training", {})
    found = [
        (name, str(training[key]))
        for name, key in (("epochs", "epochs"), ("batch size", "batch_size"), ("seed of pretraining", "seed"))
        if key in training
    ]
    for table in tables:
        first = table.results[0]
        clips = ", ".join(f"{count} {split}" for split, count in first.data.counts.items())
        if dropped := sum(first.data.dropped.values()):
            clips += f"; {dropped} left out because their video is in another split too"
        found.append((f"{table.task}: protocol", f"{table.protocol}; clips: {clips}"))
        if (head := first.head) is not None:
            found += [
                (
                    f"{table.task}: head",
                    f"Adam {head.lr:g}, {head.epochs} epochs, batch {head.batch_size}, {head.select}",
                ),
                (f"{table.task}: seeds", ", ".join(map(str, first.seeds))),
            ]
        found += [(f"{table.task}: departure", departure) for departure in first.departures]
    return found


def timings(record: RunRecord) -> list[tuple[str, float]]:
    """Stage and seconds."""
    if record.stages:
        return [(stage["name"], stage["seconds"]) for stage in record.stages]
    logged = record.last_loss
    training = [("pretraining", float(logged["seconds"]))] if logged else []
    return training + [(f"evaluation {name}", r.seconds.total) for name, r in record.evaluations.items()]
