"""The slots of a run with `slot_alignment`, for its section of the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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

    They are those of the newest checkpoint, on the first clips of the validation store, or, without one, of
    the store it was trained on.
    """
    if all(entry.get("name") != "slot_alignment" for entry in run.config.get("regularizers") or ()):
        return None
    data = run.config["data"]
    trained_on = not data.get("val_store")
    try:
        store = FeatureStore.open(data.get("val_store") or data["store"])
        found = matched_slots(run.path, store, clips=_COUNTED)
    except InputError as error:
        return RunSlots(trained_on, absent=str(error))
    return RunSlots(trained_on, found=found, scenes=scenes(found, store, clips=_DRAWN))
