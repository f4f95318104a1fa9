"""Write the raw data of the example: a folder of arrays for each modality, and a table of labels.

400 recordings of places, each with one or two of six things that happen there. A picture and a caption are
one vector each, sound has 10 steps, motion 5 to 12 steps. A fifth of the files is missing. What happens is
drawn as a direction of a common space; each modality turns that space in its own way and adds noise of its
own. Heads on the codes of one modality can only work on another if pretraining has found the turns.

    python examples/own_data/make_data.py raw
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np

TAGS = ("birds", "children", "engine", "music", "rain", "steps")
CLIPS, SHARED, MISSING = 400, 8, 0.2
CHANNELS = {"picture": 24, "caption": 16, "sound": 20, "motion": 12}


def write_raw(to: Path, *, clips: int = CLIPS, seed: int = 0) -> None:
    """Write `to/MODALITY/CLIP.npy` and `to/labels.csv`."""
    rng = np.random.default_rng(seed)
    meanings = np.linalg.qr(rng.normal(size=(SHARED, SHARED)))[0][: len(TAGS)]
    turns = {name: rng.normal(size=(SHARED, width)) / 3 for name, width in CHANNELS.items()}
    rows = []
    for number in range(clips):
        clip = f"clip-{number:03}"
        tags = sorted(rng.choice(len(TAGS), size=rng.integers(1, 3), replace=False))
        steps = {"picture": 1, "caption": 1, "sound": 10, "motion": int(rng.integers(5, 13))}
        there = rng.random(len(steps)) >= MISSING
        there[rng.integers(len(steps))] |= not there.any()  # a clip has at least one modality
        for name, has in zip(steps, there, strict=True):
            if not has:
                continue
            heard = 4 * meanings[tags].sum(axis=0) + 0.4 * rng.normal(size=(steps[name], SHARED))
            values = heard @ turns[name] + 0.1 * rng.normal(size=(steps[name], CHANNELS[name]))
            (to / name).mkdir(parents=True, exist_ok=True)
            np.save(to / name / f"{clip}.npy", values.astype(np.float32))
        rows.append([clip, ";".join(TAGS[tag] for tag in tags), f"place-{rng.integers(60)}"])
    with (to / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "label", "group"])
        writer.writerows(rows)


if __name__ == "__main__":
    write_raw(Path(sys.argv[1]))
