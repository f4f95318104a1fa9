"""Make ten short videos with sound, and a table that says what happens when.

Each video lasts 40 s. Every two seconds something else comes: one of five colours as a disc or as a bar,
with a tone of its own. Place, size, brightness, loudness and pitch vary, and both picture and sound are
noisy. The table has a row for each thing: 200 in all, those of six videos for training, of two for
validation and of two for testing.

    python examples/media/make_clips.py clips
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

COLOURS = {"red": (220, 50, 40), "green": (60, 180, 70), "blue": (50, 80, 220), "yellow": (225, 205, 60),
           "white": (235, 235, 235)}  # fmt: skip
THINGS = [f"{colour} {shape}" for colour in COLOURS for shape in ("disc", "bar")]
SPLITS = ("train",) * 6 + ("val",) * 2 + ("test",) * 2  # of the videos
EVENTS, SECONDS = 20, 2  # in a video; of an event
SIDE, PER_SECOND, RATE = 64, 5, 16_000  # points, frames, samples


def write_clips(to: Path, *, seed: int = 0, events: int = EVENTS) -> None:
    """Write `to/NAME.mp4` and `to/clips.csv`."""
    rng = np.random.default_rng(seed)
    to.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, split in enumerate(SPLITS):
        name, things = f"video-{number}", rng.permutation(np.arange(events) % len(THINGS))
        write_video(to / f"{name}.mp4", list(things), rng)
        for place, thing in enumerate(things):
            start = place * SECONDS
            rows.append([f"{name}.{start:02}", f"{name}.mp4", start, start + SECONDS, THINGS[thing], split])
    with (to / "clips.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "video", "start", "end", "label", "split"])
        writer.writerows(rows)


def write_video(path: Path, things: list[int], rng: np.random.Generator) -> None:
    """One video with the things in their order."""
    with av.open(path, "w") as file:
        picture = file.add_stream("mpeg4", rate=PER_SECOND)
        picture.width = picture.height = SIDE
        picture.pix_fmt, picture.bit_rate = "yuv420p", 100_000
        sound = file.add_stream("aac", rate=RATE, layout="mono")
        for thing in things:
            for image in shown(thing, rng):
                file.mux(picture.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            frame = av.AudioFrame.from_ndarray(heard(thing, rng)[None], format="fltp", layout="mono")
            frame.sample_rate = RATE
            file.mux(sound.encode(frame))
        file.mux(picture.encode())
        file.mux(sound.encode())


def shown(thing: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """The frames of an event, `[64, 64, 3]`."""
    colour, shape = THINGS[thing].split()
    y, x = np.mgrid[:SIDE, :SIDE]
    centre, size = rng.uniform(24, 40, size=2), rng.uniform(11, 17)
    ground, light = rng.uniform(20, 90, size=3), rng.uniform(0.6, 1.0)
    for _ in range(SECONDS * PER_SECOND):
        centre = centre + rng.normal(0, 1.0, size=2)
        far = np.hypot(y - centre[0], x - centre[1]) if shape == "disc" else 2 * np.abs(y - centre[0])
        image = np.where((far < size)[..., None], light * np.array(COLOURS[colour]), ground)
        yield np.clip(image + rng.normal(0, 25, size=image.shape), 0, 255).astype(np.uint8)


def heard(thing: int, rng: np.random.Generator) -> np.ndarray:
    """The sound of an event, `[32 000]`."""
    seconds = np.arange(SECONDS * RATE) / RATE
    pitch = 250 * 1.35**thing * rng.uniform(0.95, 1.05)
    tone = np.sin(2 * np.pi * pitch * seconds) + 0.5 * np.sin(4 * np.pi * pitch * seconds)
    return (rng.uniform(0.05, 0.3) * tone + rng.normal(0, 0.05, size=len(seconds))).astype(np.float32)


if __name__ == "__main__":
    write_clips(Path(sys.argv[1]))
