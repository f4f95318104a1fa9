"""The section about the slots of a run with `slot_alignment`: its terms, what is kept, and some clips."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from benchmarks.report.curves import Chart, curves_of, draw_curves, in_words
from benchmarks.report.run_files import RunFiles
from unicode_cmg.data.store import FeatureStore
from unicode_cmg.errors import InputError
from unicode_cmg.inspect import MatchedSlots, matched_slots
from unicode_cmg.inspect.slots.page import ClipView, clip_views
from unicode_cmg.inspect.slots.scene import scenes

_NAME = "slot_alignment"
_COUNTED, _DRAWN = 64, 3


@dataclass(frozen=True)
class SlotsView:
    """What the section shows; without `found` only the charts and why the rest is missing."""

    charts: list[Chart]
    absent: str = ""
    found: MatchedSlots | None = None
    trained_on: bool = False
    clips: tuple[ClipView, ...] = ()

    def to_json(self) -> dict[str, Any] | None:
        """The numbers of the section."""
        if self.found is None:
            return None
        return {
            "features": self.found.features,
            "clips": len(self.found.clips),
            "slots": self.found.slots,
            "means": {name: row.model_dump(mode="json") for name, row in self.found.summary().items()},
            "moments": [pair.model_dump(mode="json") for pair in self.found.moments],
        }


def slots_view(run: RunFiles) -> SlotsView | None:
    """The section of a run, finished or not; None if it has no `slot_alignment`.

    The slots are those of the newest checkpoint, on the first clips of the validation store, or, without one,
    of the store it was trained on.
    """
    if all(entry.get("name") != _NAME for entry in run.config.get("regularizers") or ()):
        return None
    charts = _charts(run)
    data = run.config["data"]
    try:
        store = FeatureStore.open(data.get("val_store") or data["store"])
        found = matched_slots(run.path, store, clips=_COUNTED)
    except InputError as error:
        return SlotsView(charts, absent=str(error))
    return SlotsView(
        charts,
        found=found,
        trained_on=not data.get("val_store"),
        clips=tuple(clip_views(scenes(found, store, clips=_DRAWN))),
    )


def _charts(run: RunFiles) -> list[Chart]:
    """A chart for each term of the regularizer: their scales have nothing in common."""
    held_out = {curve.name: curve for curve in curves_of(run.metrics, "validation").get(_NAME, ())}
    charts = []
    for curve in curves_of(run.metrics, "loss").get(_NAME, ()):
        key = f"{_NAME}/{curve.name}"
        dots = [replace(held_out[curve.name], name="")] if curve.name in held_out else []
        charts.append(draw_curves(in_words(key), key, [replace(curve, name="")], run.modalities, dots))
    return charts
