"""The downstream tasks, written in the published layouts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations
from pathlib import Path

import numpy as np
from jaxtyping import Float16

from unicode_cmg.data.digits.clips import ClipsT, DigitClips, Pool, concatenate
from unicode_cmg.data.digits.hard_clips import HardClips, draw_hard_clips
from unicode_cmg.data.digits.sources import CLASSES, scans, windows, word_vector
from unicode_cmg.data.digits.task_clips import MixedClips, draw_audio, draw_mixed_clips, draw_video
from unicode_cmg.data.layouts.ave import SPLITS, Annotation, write_ave
from unicode_cmg.data.layouts.ave_avvp import write_ave_avvp
from unicode_cmg.data.layouts.avvp import EventRow, write_avvp
from unicode_cmg.data.layouts.retrieval import read_retrieval, write_caption_words, write_retrieval
from unicode_cmg.data.layouts.ucf_vgg import UCFVGGClip, write_ucf_vgg

AVVP_COUNTS: dict[str, int] = {"train": 80, "val": 240, "test": 280}
HARD_AVVP_COUNTS: dict[str, int] = {"train": 80, "val": 480, "test": 480}
# orders of their own, as the published lists have, so that an index from the wrong list is noticed
AVVP_CLASSES = tuple(sorted(CLASSES))
AVE_AVVP_CLASSES = ("three", "seven", "zero", "nine", "one", "five", "eight", "two")
UCF_VGG_CLASSES = tuple((f"Write{word.capitalize()}", f"saying {word}") for word in CLASSES)
UCF_PER_CLASS = VGG_PER_CLASS = 60
_GROUPS = 25
CAPTIONS = (  # of words that the prompts of pretraining have, too
    "first {} is read aloud then {}",
    "listen to a person who says {} and {}",
    "the sound of {} and then of {}",
    "someone speaks the number {} and the number {}",
    "we hear {} here then a voice says {}",
)
ORDERED_PAIRS = tuple(permutations(range(len(CLASSES)), 2))


def write_ave_task(root: Path, clips: Mapping[str, ClipsT], classes: Sequence[str]) -> ClipsT:
    """Write `AVE`: rows are the clips of train, val and test, in this order; returns them."""
    rows = concatenate([clips[split] for split in SPLITS])
    ends = np.cumsum([len(clips[split]) for split in SPLITS])
    order = {split: np.arange(end - len(clips[split]), end) for split, end in zip(SPLITS, ends, strict=True)}
    annotations = [
        Annotation(classes[number], f"ave-{row:07d}", start, end)
        for row, (number, start, end) in enumerate(rows.intervals())
    ]
    features = {"video": rows.video, "audio": rows.audio, "text": rows.text}
    write_ave(root / "AVE", features, rows.labels, order, annotations, rows.text_mask)
    return rows


def draw_avvp(rng: np.random.Generator, pools: dict[str, Pool]) -> dict[str, MixedClips]:
    """Clips of each split, from its own instances."""
    return {split: draw_mixed_clips(rng, pools[split], count) for split, count in AVVP_COUNTS.items()}


def draw_hard_avvp(
    rng: np.random.Generator, pools: dict[str, Pool], pairs: list[tuple[int, int]]
) -> dict[str, HardClips]:
    """The same of the hard recipe, where more clips make up for shorter events."""
    return {s: draw_hard_clips(rng, pools[s], count, pairs) for s, count in HARD_AVVP_COUNTS.items()}


def write_avvp_task(root: Path, clips: Mapping[str, MixedClips]) -> dict[str, list[EventRow]]:
    """Write `AVVP`; as published, the event tables hold val and test, and train has classes without times.

    Returns:
        Modality -> the rows of its event table.
    """
    names = {split: [f"dv{split:_<5}{i:04d}_30_40" for i in range(len(c))] for split, c in clips.items()}
    events = {
        modality: [row for split in ("val", "test") for row in clips[split].rows(modality, names[split])]
        for modality in ("audio", "video")
    }
    every = [name for split in clips for name in names[split]]
    features = {
        modality: dict(zip(every, (x for c in clips.values() for x in getattr(c, modality)), strict=True))
        for modality in ("audio", "video")
    }
    splits = {s: {name: c.classes(i) for i, name in enumerate(names[s])} for s, c in clips.items()}
    write_avvp(root / "AVVP", features, AVVP_CLASSES, events, splits)
    return events


def write_ave_avvp_task(root: Path, rows: DigitClips, events: dict[str, list[EventRow]]) -> None:
    """Write `AVE_AVVP`: the AVE rows and the AVVP events of eight digits."""
    shared = [CLASSES.index(word) for word in AVE_AVVP_CLASSES]
    labels = np.zeros((len(rows), rows.labels.shape[1], len(shared) + 1), np.float32)
    labels[..., :-1] = rows.labels[..., shared]
    inside = labels.any(axis=(1, 2))
    labels[inside, :, -1] = ~labels[inside].any(-1)
    chosen = {
        modality: [
            EventRow(row.filename, part)
            for row in table
            if (part := tuple(event for event in row.events if event.label in AVE_AVVP_CLASSES))
        ]
        for modality, table in events.items()
    }
    write_ave_avvp(root / "AVE_AVVP", AVE_AVVP_CLASSES, np.flatnonzero(inside), labels, chosen)


def ucf_split(group: int) -> str:
    """Whose instances a UCF group shows: 1-7 test, as in UCF101's first split; 8-10 val; 11-25 train."""
    return "test" if group <= 7 else "val" if group <= 10 else "train"


def write_ucf_vgg_task(root: Path, rng: np.random.Generator, pools: dict[str, Pool]) -> None:
    """Write `UCF101` and `vggsound40k`: 60 clips a digit on each side, of varying length."""
    video, audio = {}, {}
    for digit, (ucf, vgg) in enumerate(UCF_VGG_CLASSES):
        for i in range(UCF_PER_CLASS):
            group = i % _GROUPS + 1
            name = f"v_{ucf}_g{group:02d}_c{i // _GROUPS + 1:02d}"
            clip = UCFVGGClip(name, ucf, f"g{group:02d}")
            video[clip] = draw_video(rng, pools[ucf_split(group)].scans[digit])
        for i in range(VGG_PER_CLASS):
            split = "train" if i % 5 < 3 else "val" if i % 5 == 3 else "test"
            clip = UCFVGGClip(f"vgg-{digit}-{i:05d}", vgg, split)
            audio[clip] = draw_audio(rng, pools[split].recordings[digit])
    write_ucf_vgg(root, UCF_VGG_CLASSES, video, audio)


def write_clotho_task(root: Path, rng: np.random.Generator, pool: Pool) -> None:
    """Write `clotho2.1`: 90 recordings of 16 to 24 seconds, five captions each, and word vectors."""
    sounds = {pair: _sound(rng, pool, *pair) for pair in ORDERED_PAIRS}
    _write_clotho(root, sounds, "then")


def write_hard_retrieval_tasks(root: Path, clips: HardClips) -> None:
    """Write `clotho2.1` and `FlickrSoundNet`: a clip of each of the 45 pairs, 21 of which are no class."""
    pairs = [(int(first), int(second)) for first, second, _ in clips.digits]
    _write_clotho(root, dict(zip(pairs, clips.audio, strict=True)), "and")
    items = [f"{number:05d}" for number in range(len(clips))]
    features = {m: dict(zip(items, getattr(clips, m), strict=True)) for m in ("audio", "video")}
    write_retrieval("flickr-sound", root, features, [(item, None) for item in items])


def _write_clotho(
    root: Path, sounds: Mapping[tuple[int, int], Float16[np.ndarray, "_ 104"]], between: str
) -> None:
    """A sound and five captions for each pair of digits; items are their words, with `between`."""
    items, pairs = {}, []
    for (first, second), sound in sounds.items():
        item = f"{CLASSES[first]} {between} {CLASSES[second]}"
        items[item] = sound
        pairs += [(item, caption.format(CLASSES[first], CLASSES[second])) for caption in CAPTIONS]
    write_retrieval("clotho", root, {"audio": items}, pairs)
    words = [np.stack([word_vector(word) for word in caption.split()]) for _, caption in pairs]
    write_caption_words(read_retrieval("clotho", root), words)


def write_flickr_task(root: Path, rng: np.random.Generator, pool: Pool) -> None:
    """Write `FlickrSoundNet`: 90 pictures of two pages with a digit on each, and as many recordings."""
    sounds, pictures = {}, {}
    for number, (first, second) in enumerate(ORDERED_PAIRS):
        item = f"{number:05d}"
        sounds[item] = _sound(rng, pool, first, second)
        pages = [rng.choice(pool.scans[digit]) for digit in (first, second)]
        pictures[item] = windows(scans().pixels[pages]).astype(np.float16)
    write_retrieval(
        "flickr-sound", root, {"audio": sounds, "video": pictures}, [(item, None) for item in sounds]
    )


def _sound(rng: np.random.Generator, pool: Pool, first: int, second: int) -> Float16[np.ndarray, "time 104"]:
    return np.concatenate([draw_audio(rng, pool.recordings[digit]) for digit in (first, second)])
