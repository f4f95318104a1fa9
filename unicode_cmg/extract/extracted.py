"""What an extraction has written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unicode_cmg.extract.clips import Broken

_SHOWN = 5


@dataclass(frozen=True)
class Extracted:
    """What was written.

    Attributes:
        source: Where the clips are from.
        to: The store.
        added: Clips that this run has added.
        before: Clips of the source that were in the store before.
        left_out: Clips of which nothing could be used.
        modalities: Modality -> how many clips of the store have it.
        broken: Everything that could not be used, also by earlier runs.
        broken_file: The list of it; None if there is nothing.
        notes: What was recognized, guessed and ignored, a line each.
        seconds: Time that it took.
    """

    source: Path
    to: Path
    added: int
    before: int
    left_out: int
    modalities: Mapping[str, int]
    broken: tuple[Broken, ...]
    broken_file: Path | None
    notes: tuple[str, ...]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        return {
            "source": str(self.source),
            "store": str(self.to),
            "added": self.added,
            "before": self.before,
            "left_out": self.left_out,
            "modalities": dict(self.modalities),
            "broken": dict(Counter(entry.kind for entry in self.broken)),
            "broken_file": None if self.broken_file is None else str(self.broken_file),
            "notes": list(self.notes),
            "seconds": round(self.seconds, 3),
        }

    def text(self) -> str:
        """The result as lines for people."""
        before = f", {self.before} were there before" if self.before else ""
        left_out = f", {self.left_out} left out" if self.left_out else ""
        lines = [*self.notes, f"{self.to}: {self.added} clips written{before}{left_out}"]
        lines += [f"  {name:<12} {count} clips" for name, count in self.modalities.items()]
        if self.broken_file is not None:
            kinds = Counter(entry.kind for entry in self.broken).most_common()
            counted = ", ".join(f"{count} {kind}" for kind, count in kinds)
            entries = "entry" if len(self.broken) == 1 else "entries"
            lines.append(f"{len(self.broken)} {entries} in {self.broken_file}: {counted}")
            lines += [f"  {entry.text()}" for entry in self.broken[:_SHOWN]]
            lines += ["  ..."] if len(self.broken) > _SHOWN else []
        return "\n".join(lines)
