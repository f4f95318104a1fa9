"""The slots of a run with `slot_alignment`, for its section of the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.report.run_files import RunFiles
from unicode_cmg.data.store import FeatureStore
from unicode_cmg.errors import InputError
from unicode_cmg.inspect import MatchedSlots, matched_slots
from unicode_cmg.inspect.slots.scene import Scene, scenes

_COUNTED, _DRAWN = 64, 3


@dataclass(frozen=True)
class RunSlots:
    """The slots on some clips, and the first of these laid out; without `found` why they are missing."""

    trained_on: bool
    absent: str = ""
    found: MatchedSlots | None = None
    scenes: Sequence[Scene] = ()

    def to_json(self) -> dict[str, Any] | None:
        """The numbers of the section."""
        if self.found is None:
            return None
        return {
            "features": self.found.features,
            "clips": len(self.found.clips),
            "slots": self.found.slots,
            "means": {name: row.to_json() for name, row in self.found.summary().items()},
            "moments": [pair.to_json() for pair in self.found.moments],
        }


def run_slots(run: RunFiles) -> RunSlots | None:
    """The slots of a run, finished or not; None if it has no `slot_alignment`.

    They are those of the newest checkpoint, on the first clips of the store given, of the validation store,
    or, without one, of the store it was trained on.
    """
    settings = run.settings
    if all(entry.name != "slot_alignment" for entry in settings.regularizers):
        return None
    place = run.features or run.own_store(settings.data.val_store or settings.data.store)
    trained_on = place is not None and place.resolve() == Path(settings.data.store or "").resolve()
    if place is None:
        absent = "the features of this run lie outside of its folder; name them with --features"
        return RunSlots(trained_on, absent=absent)
    try:
        store = FeatureStore.open(place)
        found = matched_slots(run.path, store, clips=_COUNTED)
    except InputError as error:
        return RunSlots(trained_on, absent=str(error))
    return RunSlots(trained_on, found=found, scenes=scenes(found, store, clips=_DRAWN))
