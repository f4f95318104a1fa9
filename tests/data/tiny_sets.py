"""The published layouts with a handful of clips each, for tests that spoil them."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from unicode_cmg.data.check import CheckReport
from unicode_cmg.data.layouts.ave import Annotation, write_ave
from unicode_cmg.data.layouts.ave_avvp import write_ave_avvp
from unicode_cmg.data.layouts.avvp import Event, EventClips, EventRow, write_avvp
from unicode_cmg.data.layouts.tables import write_table
from unicode_cmg.data.layouts.ucf_vgg import UCFVGGClip, write_ucf_vgg
from unicode_cmg.data.layouts.vggsound_avel import CATEGORIES, CLIPS, FOLDER, PROMPTS, AVELClip
from unicode_cmg.data.layouts.zips import write_clips, zip_folder

AVE_ROWS = [
    Annotation("Bell", "vid-0000000", 0, 10),
    Annotation("Dog", "vid-0000001", 2, 7),
    Annotation("Bell", "vid-0000002", 9, 10),
    Annotation("Dog", "vid-0000003", 1, 4),
    Annotation("Dog", "vid-0000004", 0, 10),
    Annotation("Bell", "vid-0000005", 0, 4),
]
AVE_ORDER = {"train": [0, 1], "val": [2, 3], "test": [4, 5]}
NAMES = ["AAAAAAAAAAA_30_40", "BBBBBBBBBBB_0_10", "CCCCCCCCCCC_0_10"]
AVVP_CLASSES = ("Speech", "Dog", "Bell")
AUDIO = [
    EventRow(NAMES[0], (Event("Dog", 0, 4), Event("Speech", 2, 10))),
    EventRow(NAMES[1], (Event("Bell", 3, 5),)),
    EventRow(NAMES[2], (Event("Dog", 1, 2),)),
]
VIDEO = [
    EventRow(NAMES[0], (Event("Dog", 5, 10), Event("Speech", 0, 1))),
    EventRow(NAMES[2], (Event("Bell", 0, 10),)),
]


def one_hot(rows: list[Annotation], classes: tuple[str, ...]) -> np.ndarray:
    """`[rows, 10, classes + 1]`."""
    labels = np.zeros((len(rows), 10, len(classes) + 1), np.float32)
    labels[..., -1] = 1
    for row, annotation in enumerate(rows):
        column = classes.index(annotation.category)
        labels[row, annotation.start : annotation.end] = np.eye(len(classes) + 1)[column]
    return labels


def ave(root: Path) -> Path:
    """`root/AVE/data`, six clips of two classes."""
    rng = np.random.default_rng(0)
    features = {"video": rng.random((6, 10, 2, 2, 3)), "audio": rng.random((6, 10, 5))}
    order = {split: np.array(rows) for split, rows in AVE_ORDER.items()}
    write_ave(root / "AVE", features, one_hot(AVE_ROWS, ("Bell", "Dog")), order, AVE_ROWS)
    return root / "AVE/data"


def avvp(root: Path) -> Path:
    """`root/AVVP`, three clips of three classes."""
    features = {
        "audio": {name: np.ones((10, 5)) for name in NAMES},
        "video": {name: np.ones((10, 2, 2, 3)) for name in NAMES},
    }
    splits = {
        "train": {"DDDDDDDDDDD_0_10": ["Bell"]},
        "val": {NAMES[0]: ["Dog", "Speech"]},
        "test": {NAMES[1]: ["Bell"], NAMES[2]: ["Dog"]},
    }
    write_avvp(root / "AVVP", features, AVVP_CLASSES, {"audio": AUDIO, "video": VIDEO}, splits)
    return root / "AVVP"


def ave_avvp(root: Path) -> Path:
    """`root/AVE_AVVP/data`, with the two sets it needs."""
    labels = one_hot(AVE_ROWS, ("Bell", "Dog"))[..., [1, 0, 2]]
    events = {
        modality: [
            EventRow(row.filename, tuple(e for e in row.events if e.label != "Speech")) for row in rows
        ]
        for modality, rows in (("audio", AUDIO), ("video", VIDEO))
    }
    ave(root), avvp(root)
    write_ave_avvp(root / "AVE_AVVP", ("Dog", "Bell"), np.arange(6), labels, events)
    return root / "AVE_AVVP/data"


def ucf_vgg(root: Path) -> Path:
    """`root/UCF101/data` and the features of two pairs of classes."""
    video = {
        UCFVGGClip(f"v_{name}_g0{k + 1}_c01", name, f"g0{k + 1}"): np.ones((10, 2, 2, 3))
        for name in ("Skiing", "Typing")
        for k in range(3)
    }
    audio = {
        UCFVGGClip(f"aaaaaaaaa{i}{k}", name, split): np.ones((10, 5))
        for i, name in enumerate(("skiing", "typing on typewriter"))
        for k, split in enumerate(("train", "val", "test"))
    }
    write_ucf_vgg(root, [("Skiing", "skiing"), ("Typing", "typing on typewriter")], video, audio)
    return root / "UCF101/data"


def told(report: CheckReport, level: str) -> list[str]:
    """Entries of a level, as lines."""
    return [f"{entry.where}: {entry.what}" for entry in report if entry.level == level]


def one(lines: list[str], *parts: str) -> str:
    """The only line with all these parts."""
    found = [line for line in lines if all(part in line for part in parts)]
    assert len(found) == 1, (parts, lines)
    return found[0]


def h5(path: Path, values: np.ndarray, key: str = "avadataset") -> None:
    """Write an array in place of a file."""
    with h5py.File(path, "w") as file:
        file[key] = values


def edit(path: Path, change: Callable[[np.ndarray], object], key: str = "avadataset") -> None:
    """Change some values of an array in its file."""
    with h5py.File(path) as file:
        values = file[key][()]
    change(values)
    h5(path, values, key)


def append(path: Path, line: str) -> None:
    """Add a line to a text."""
    path.write_text(path.read_text() + line + "\n")


def clip(value: float, length: int, dim: int) -> np.ndarray:
    """`[length, dim]`: `value` plus the second."""
    return np.full((length, dim), float(value)) + np.arange(length)[:, None]


def pack(path: Path, *members: tuple[str, bytes]) -> Path:
    """Write a zip."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


class Runs:
    """Creates a folder when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("made-by-a-pickle",))


def write_vggsound_avel(
    data_root: Path,
    classes: Sequence[str],
    clips: Sequence[AVELClip],
    features: Mapping[str, Mapping[str, NDArray[np.floating]]],
    prompts: Mapping[str, str],
) -> None:
    """Write the folder `vggsound40k`; `features` map "video", "audio" and "label" to arrays by clip."""
    tables = data_root / FOLDER / "data"
    tables.mkdir(parents=True)
    (tables / CATEGORIES).write_text("\n".join(classes) + "\n", encoding="utf-8")
    write_table(tables / CLIPS, AVELClip._fields, clips)
    write_table(tables / PROMPTS, ("label", "prompt"), prompts.items())
    for kind, arrays in features.items():
        write_clips(zip_folder(data_root / FOLDER, kind), arrays)


def split_rows(data: EventClips, modality: str, split: str) -> NDArray[np.int64]:
    """Rows of one modality whose clip is in a split."""
    return np.flatnonzero([row.filename in data.splits[split] for row in data.rows[modality]])
