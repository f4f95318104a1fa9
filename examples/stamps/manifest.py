"""The manifest of the stamps: one row for each stamp and language in which someone describes it.

The picture, the English text and the sound effect of a stamp stand in each of its rows; only the speech
differs. Stamps that share a text, a picture or a recording are one group, and a group is in one split.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from unicode_cmg.files import atomic_file

LANGUAGES = ("fr", "ru", "ro", "ca", "bg", "es", "be", "el", "da")
"""Those with 300 descriptions or more; five others have fewer than 100."""
FEWEST = 20  # stamps of a class
SHARES = {"train": 0.6, "val": 0.1}  # of the groups of a class; the others are for testing
_SPOKEN = re.compile(r"_desc(_[a-z]{2}(_[A-Z]{2})?)?$")
_COLUMNS = ("id", "image", "text", "speech", "sound", "label", "split", "group", "language")


@dataclass(frozen=True)
class Stamp:
    """One stamp; paths are relative to the folder of the stamps.

    Attributes:
        name: Path without ending, such as `animals/birds/blackbird`.
        image: A PNG file where there is one, else SVG.
        text: What it shows, in English; empty for none.
        speech: Language -> spoken description.
        sound: A sound effect, which no letter or number has: theirs are spoken names.
    """

    name: str
    image: Path
    text: str
    speech: dict[str, Path]
    sound: Path | None

    @property
    def folder(self) -> str:
        return self.name.split("/")[0]


def read_stamps(root: Path) -> list[Stamp]:
    """All stamps below a folder, sorted by name."""
    images = {path.with_suffix("") for path in root.rglob("*") if path.suffix in (".png", ".svg")}
    return [_read(root, stem) for stem in sorted(images) if not _SPOKEN.search(stem.name)]


def _read(root: Path, stem: Path) -> Stamp:
    def beside(ending: str) -> Path | None:
        path = stem.with_name(stem.name + ending)
        return path.relative_to(root) if path.is_file() else None

    name = stem.relative_to(root).as_posix()
    told = beside(".txt")
    lines = (root / told).read_text(encoding="utf-8", errors="replace").splitlines() if told else []
    spoken = {language: beside(f"_desc_{language}.ogg") for language in LANGUAGES}
    sound = None if name.startswith("symbols/") else beside(".ogg") or beside(".wav")
    return Stamp(
        name,
        beside(".png") or Path(f"{name}.svg"),
        lines[0].strip() if lines else "",
        {language: path for language, path in spoken.items() if path},
        sound,
    )


def groups_of(root: Path, stamps: Sequence[Stamp]) -> list[str]:
    """The group of each stamp: the name of the first stamp with which it shares something, directly or not.

    Shared are: the words of the text, a recording byte for byte, a file of a picture byte for byte, or the
    picture itself, up to its size and a hundredth of its brightness. `X_mirror` is the picture of `X`
    reversed.
    """
    first = {stamp.name: stamp.name for stamp in stamps}

    def root_of(name: str) -> str:
        while first[name] != name:
            name = first[name]
        return name

    def join(names: Iterable[str]) -> None:
        roots = sorted({root_of(name) for name in names})
        for name in roots[1:]:
            first[name] = roots[0]

    shared: dict[tuple[str, str], list[str]] = defaultdict(list)
    for stamp in stamps:
        words = " ".join(re.findall(r"\w+", stamp.text.casefold()))
        if words:
            shared["words", words].append(stamp.name)
        shared["picture", stamp.name.removesuffix("_mirror")].append(stamp.name)
        for path in (stamp.image, stamp.sound, *stamp.speech.values()):
            if path is not None:
                digest = hashlib.sha256((root / path).read_bytes()).hexdigest()
                shared["bytes", digest].append(stamp.name)
    for names in shared.values():
        join(names)
    for one, other in _same_pictures(root, stamps):
        join((one, other))
    return [root_of(stamp.name) for stamp in stamps]


def _same_pictures(root: Path, stamps: Sequence[Stamp]) -> Iterator[tuple[str, str]]:
    """Pairs of PNG files that look the same at 16 x 16 points."""
    drawn = [stamp for stamp in stamps if stamp.image.suffix == ".png"]
    small = np.stack([_small(root / stamp.image) for stamp in drawn])
    for number, picture in enumerate(small):
        far = np.abs(small[number + 1 :] - picture).mean(axis=1)
        for other in np.flatnonzero(far < 0.01):
            yield drawn[number].name, drawn[number + 1 + other].name


def _small(path: Path) -> np.ndarray:
    picture = Image.open(path).convert("RGBA")
    ground = Image.new("RGBA", picture.size, "white")
    ground.alpha_composite(picture)
    return np.asarray(ground.convert("RGB").resize((16, 16), Image.Resampling.BOX), float).ravel() / 255


def splits_of(stamps: Sequence[Stamp], groups: Sequence[str]) -> dict[str, str]:
    """The split of each group, drawn by a hash of its name, in equal shares of each top folder."""
    folders: dict[str, list[str]] = defaultdict(list)
    folder = {stamp.name: stamp.folder for stamp in stamps}
    for group in sorted(set(groups), key=lambda name: hashlib.sha256(name.encode()).hexdigest()):
        folders[folder[group]].append(group)
    splits = {}
    for names in folders.values():
        bounds = np.cumsum([round(share * len(names)) for share in SHARES.values()])
        for place, name in enumerate(names):
            splits[name] = [*SHARES, "test"][int(np.searchsorted(bounds, place, side="right"))]
    return splits


def write_manifest(root: Path, to: Path) -> str:
    """Write the manifest of the stamps below `root`; paths in it are relative to `root`.

    Beside the columns of a manifest there is `search_LANGUAGE` for each language, for `evaluate --task
    retrieval --split-column`: the split of the rows with a description in it, one for each text, because two
    stamps that are called the same cannot be told apart by it. Stamps of folders with fewer than 20 have no
    label.

    Returns:
        A sentence that counts what was found.
    """
    stamps = read_stamps(root)
    groups = groups_of(root, stamps)
    splits = splits_of(stamps, groups)
    count = Counter(stamp.folder for stamp in stamps)
    searched = [f"search_{language}" for language in LANGUAGES]
    named: set[tuple[str, str]] = set()
    rows = []
    for stamp, group in zip(stamps, groups, strict=True):
        split, label = splits[group], stamp.folder if count[stamp.folder] >= FEWEST else ""
        for language in stamp.speech or ("",):
            only = f"search_{language}" if stamp.text and (group, language) not in named else ""
            named.add((group, language))
            values = (
                f"{stamp.name}.{language}" if language else stamp.name,
                stamp.image,
                stamp.text,
                stamp.speech.get(language, ""),
                stamp.sound or "",
                label,
                split,
                group,
                language,
            )
            rows.append([*map(str, values), *(split if name == only else "" for name in searched)])
    with atomic_file(to) as scratch, scratch.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*_COLUMNS, *searched])
        writer.writerows(rows)
    spoken = sum(bool(row[3]) for row in rows)
    return (
        f"{len(stamps)} stamps in {len(set(groups))} groups, {spoken} descriptions in {len(LANGUAGES)}"
        f" languages, {sum(stamp.sound is not None for stamp in stamps)} with a sound effect"
    )
