"""Small UCF101 and vggsound40k folders in the common space of `tiny_ave`; some classes have one side only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tiny_ave import DIM, centres, turns

from unicode_cmg.data.layouts.ucf_vgg import UCFVGGClip, write_ucf_vgg

PAIRS = (
    ("RingBell", "bell ringing"),
    ("CatchDisc", "catching a disc"),  # nobody has heard it
    ("WalkDog", "dog barking"),
    ("Bowling", "bowling"),  # nobody has seen it
    ("PlayViolin", "playing violin"),
)
SHARED = (0, 2, 4)
SEEN, HEARD = (0, 1, 2, 4), (0, 2, 3, 4)
GROUPS = range(1, 26)
HEARD_PER_SPLIT = {"train": 12, "val": 5, "test": 8}


def write_tiny_ucf_vgg(root: Path) -> Path:
    """Write `root/UCF101` and `root/vggsound40k`: a video for each class and group, and one in no group."""
    rng = np.random.default_rng(37)
    books, rotations = centres(), turns()

    def draw(pair: int, modality: str) -> np.ndarray:
        """Codes of an event, or for a pair with one side codes of background."""
        event = SHARED.index(pair) * 4 if pair in SHARED else 16
        steps = int(rng.integers(4, 13))
        points = books[event + rng.integers(0, 4, steps)] + 0.05 * rng.normal(size=(steps, DIM))
        return (points @ rotations[modality]).astype(np.float32)

    video, audio = {}, {}
    for pair in SEEN:
        for group in GROUPS:
            name = f"v_{PAIRS[pair][0]}_g{group:02}_c01"
            video[UCFVGGClip(name, PAIRS[pair][0], f"g{group:02}")] = draw(pair, "video")
    odd = UCFVGGClip("v_RingBell_nogroup", PAIRS[0][0], "")
    video[odd] = draw(0, "video")
    for pair in HEARD:
        for split, count in HEARD_PER_SPLIT.items():
            for i in range(count):
                audio[UCFVGGClip(f"{split:x<5}-{pair}-{i:03}", PAIRS[pair][1], split)] = draw(pair, "audio")
    write_ucf_vgg(root, PAIRS, video, audio)
    return root
