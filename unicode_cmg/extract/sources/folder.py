"""A folder in which files of one stem are one clip: X.wav, X.mp4, X.jpg and X.txt."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from unicode_cmg.data.sources import Source
from unicode_cmg.data.sources.clip_table import join_table, table_beside
from unicode_cmg.errors import InputError
from unicode_cmg.extract.clips import READS, Broken, Clip, MediaSource, is_id, kind_of
from unicode_cmg.extract.media import Kind
from unicode_cmg.extract.sources.rows import bad_row

FOLDER = "folder"
"""The column with the folder of each clip, of a source with folders in it."""


def read_folder(path: Path, modalities: Mapping[str, Kind]) -> MediaSource:
    """The clips of a folder, in the order of their ids, which are their paths without suffix.

    `image/X.png` and `X.sketch.png` are files of the modalities of these names. Otherwise a modality is the
    file of its kind, or the sound of a video. Columns of `clips.csv`, `labels.csv` or `metadata.csv` are
    joined by id. Hidden files are ignored.

    Args:
        path: The folder.
        modalities: Modality -> its kind.

    Raises:
        InputError: There is no file of any of these kinds, or the table does not fit.
    """
    found: dict[str, dict[str, Path]] = {}
    broken: list[Broken] = []
    others: Counter[str] = Counter()
    links: list[str] = []
    table = table_beside(path)
    for file in _files(path, links):
        kind = kind_of(file.name)
        if file == table:
            continue
        if kind is None:
            others[file.suffix.lower() or "no suffix"] += 1
            continue
        stem, slot = _stem_and_slot(file.relative_to(path), kind, modalities)
        if not is_id(stem):
            shown = str(file).encode("utf-8", "backslashreplace").decode()
            broken.append(Broken(ascii(stem)[1:-1], "", shown, "name", "its name cannot be the id of a clip"))
        elif slot in found.setdefault(stem, {}):
            used = found[stem][slot].name
            what = f"{used} has the same stem and is used"
            broken.append(Broken(stem, slot.strip("*"), str(file), "second file", what))
        else:
            found[stem][slot] = file
    named = {slot for files in found.values() for slot in files} & modalities.keys()
    clips = []
    for stem in sorted(found):
        media = {m: at for m, kind in modalities.items() if (at := _chosen(found[stem], m, kind, m in named))}
        if media:
            clips.append(Clip(stem, media))
    if not clips:
        kinds = ", ".join(dict.fromkeys(modalities.values()))
        seen = ", ".join(f"{count} {suffix}" for suffix, count in others.most_common(5)) or "nothing else"
        raise InputError(f"no file of {kinds} in this folder ({seen})", where=path, expected="files of media")
    notes = [f"{path}: a folder of media, {len(clips)} clips, ids from the names of the files"]
    if others:
        listed = ", ".join(f"{count} {suffix}" for suffix, count in others.most_common(5))
        notes.append(f"note: files that are no media are ignored: {listed}")
    notes += [f"note: {link} is a link to a folder and not followed" for link in links]
    columns = _columns(path, table, clips, notes, broken)
    clips = [
        Clip(clip.id, clip.media, columns={name: values[row] for name, values in columns.items()})
        for row, clip in enumerate(clips)
    ]
    return MediaSource("a folder of media", path, path, clips, tuple(columns), tuple(broken), tuple(notes))


def _files(folder: Path, links: list[str]) -> Iterator[Path]:
    """All files under a folder, sorted; links to folders are not followed but listed."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        links += [str(link) for name in folders if (link := Path(parent, name)).is_symlink()]
        yield from (Path(parent, name) for name in sorted(files) if not name.startswith("."))


def _stem_and_slot(file: Path, kind: Kind, modalities: Mapping[str, Kind]) -> tuple[str, str]:
    """The clip of a file, and which of its files it is: a modality that it names, or `*kind`."""
    place = PurePosixPath(unicodedata.normalize("NFC", file.as_posix()))
    stem = place.with_suffix("")
    first, named = stem.parts[0], stem.suffix[1:]
    if len(stem.parts) > 1 and _serves(kind, modalities.get(first)):
        return str(PurePosixPath(*stem.parts[1:])), first
    if _serves(kind, modalities.get(named)):
        return str(stem.with_suffix("")), named
    return str(stem), f"*{kind}"


def _serves(kind: Kind, wanted: Kind | None) -> bool:
    return wanted is not None and kind in READS[wanted]


def _chosen(files: Mapping[str, Path], modality: str, kind: Kind, named: bool) -> Path | None:
    """The file of a modality: its own where files name it, else that of its kind."""
    if named:
        return files.get(modality)
    slots = (slot for read in READS[kind] for slot in (f"*{read}", read))
    return next((files[slot] for slot in slots if slot in files), None)


def _columns(
    path: Path, table: Path | None, clips: list[Clip], notes: list[str], broken: list[Broken]
) -> dict[str, list[object]]:
    """The folder of each clip, and the columns of a table; rows that are wrong are listed."""
    columns: dict[str, list[object]] = {}
    parents = [str(PurePosixPath(clip.id).parent) for clip in clips]
    if any(parent != "." for parent in parents):
        columns[FOLDER] = ["" if parent == "." else parent for parent in parents]
    if table is not None:
        unfit: dict[int, str] = {}
        source = Source("a folder of media", path, len(clips), ids=[clip.id for clip in clips])
        try:
            join_table(source, table, None, unfit)
        except InputError as error:
            names = [PurePosixPath(clip.id).name for clip in clips]
            if names == source.ids or len(set(names)) < len(names):
                raise InputError(error.what, where=table, fix="rename it, or name it as SOURCE") from None
            source = Source("a folder of media", path, len(clips), ids=names)
            join_table(source, table, None, unfit)
        broken += [bad_row(f"{table}, line {line}", why) for line, why in sorted(unfit.items())]
        columns |= {name: list(values) for name, values in source.columns.items()}
        notes += [
            f"columns {', '.join(source.columns)} ({table.name})",
            *(f"note: {n}" for n in source.notes),
        ]
    return columns
