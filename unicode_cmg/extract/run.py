"""`unicode-cmg extract`: files of sound, video, images and text to a feature store."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from unicode_cmg.data.store import FeatureStore, StoreWriter
from unicode_cmg.errors import InputError, at_least, one_of, positive
from unicode_cmg.extract.broken_list import BrokenList
from unicode_cmg.extract.clips import Broken, Clip, MediaSource
from unicode_cmg.extract.engines import ENGINES
from unicode_cmg.extract.extractor import LONGEST, Encoded, Extractor
from unicode_cmg.extract.media import Kind
from unicode_cmg.extract.plan import Given, check_same, encoders_of, patterns_of, provenance_of
from unicode_cmg.extract.sources import Listing, Pattern, Wanted, open_media
from unicode_cmg.files import check_writable
from unicode_cmg.progress import Progress

BROKEN = "broken.csv"
"""The file of a store that lists what could not be used."""
_PARTS_OF_SHARD = 10_000
_SECONDS_BETWEEN_PARTS = 120.0  # what a killed run loses at most
_SECONDS_BETWEEN_LINES = 10.0
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


def extract(
    source: str | Path,
    encoders: Mapping[str, Given | tuple[Kind, Given]],
    to: str | Path,
    *,
    steps_per_second: int | float | None = 1,
    seconds: int | float | None = 10,
    root: str | Path | None = None,
    files: Mapping[str, str | Sequence[str]] | None = None,
    clip_id: str | None = None,
    listing: Listing | None = None,
    dtype: Literal["float16", "float32"] = "float32",
    workers: int | None = None,
    batch_size: int = 16,
    device: str = "auto",
    shard: tuple[int, int] = (0, 1),
    engine: Literal["local", "ray"] = "local",
    strict: bool = False,
    progress: bool | None = False,
) -> Extracted:
    """Decode the files of clips, encode them, and write a feature store, in memory that does not grow.

    If it is interrupted, call it again: clips that are in the store are left out. What cannot be used is
    listed in `broken.csv` in the store; a clip of which one modality is broken keeps the others.

    >>> import tempfile
    >>> from unicode_cmg.extract import extract
    >>> folder = tempfile.TemporaryDirectory()
    >>> _ = Path(folder.name, "a.txt").write_text("a dog barks")
    >>> def letters(text, grid):
    ...     return np.array([[len(word)] for word in text.sentences[0].split()], np.float32)
    >>> extract(folder.name, {"text": letters}, Path(folder.name, "store")).modalities
    {'text': 1}
    >>> folder.cleanup()

    Args:
        source: A folder in which files of one stem are a clip, a list of clips (csv, tsv, jsonl, json,
            Parquet), a data set of the library `datasets`, or a single file.
        encoders: Modality -> encoder: a specification such as `"vggish:weights.pth"`, an `Encoder`, or a
            function of media and grid; with its kind in front, as `("image", spec)`, if the name of the
            modality is not a kind.
        to: The store. Clips are added to it if it is of the same encoders and settings.
        steps_per_second: Steps per second of sound and video. None: each file is one step, whatever its
            length, as suits words, effects and other clips that are a single event.
        seconds: Length of a clip: what is longer is cut, steps after the end of a shorter one are masked;
            None: each clip is as long as it is.
        root: The folder that paths of a list are relative to and may not leave; that of the list by default.
        files: Modality -> its file, or a text, as a pattern of columns of the list: `"videos/{id}.mp4"`.
        clip_id: The ids, as a pattern of columns of the list.
        listing: Which lists a folder has, of a data set in which their names are known.
        dtype: Of the features in the store.
        workers: Threads that decode, by default one for each core and at most 8; or processes of Ray, by
            default one for each core or GPU of the cluster.
        batch_size: Clips that are encoded and written together.
        device: On which encoders compute: "cpu", "cuda", or "auto".
        shard: `(i, n)`: only the i-th of n parts of the clips, i from 0 on. Shards can run at the same time
            and write to the same store; together they hold what a single run does, in the same order.
        engine: "local", or "ray" for Ray Data.
        strict: Stop at the first thing that is broken.
        progress: True for a bar, False for nothing, None for a bar on a terminal and plain lines elsewhere.

    Raises:
        InputError: The source or the store cannot be used, a setting or an encoder is wrong, no clip could be
            extracted, or `strict` met something broken.
    """
    started = time.monotonic()
    source, to = Path(source), Path(to)
    numbers = {"steps_per_second": steps_per_second, "seconds": seconds}
    positive("extract", **{name: value for name, value in numbers.items() if value is not None})
    if seconds is not None and seconds > LONGEST:
        raise InputError(f"seconds is {seconds:g}", where="extract", expected=f"at most {LONGEST:g}")
    at_least("extract", 1, batch_size=batch_size, workers=1 if workers is None else workers)
    one_of("extract", ("float16", "float32"), dtype=dtype)
    one_of("extract", tuple(ENGINES), engine=engine)
    seconds = None if seconds is None else float(seconds)
    steps_per_second = None if steps_per_second is None else float(steps_per_second)
    number, shards = shard
    if not 0 <= number < shards:
        raise InputError(f"shard {number} of {shards}", where="extract", expected=f"0 to {shards - 1}")
    if not source.exists():
        raise InputError("no such file or folder", where=source, fix="check the path")
    loaded = encoders_of(encoders)
    patterns = patterns_of(files or {}, loaded)
    wanted = {name: Wanted(encoder.kind, patterns.get(name, ())) for name, encoder in loaded.items()}
    found = open_media(
        source,
        wanted,
        None if root is None else Path(root),
        Pattern(clip_id) if clip_id else None,
        listing,
    )
    note = provenance_of(loaded, found, steps_per_second, seconds, dtype)
    check_same(to, note)
    check_writable(to)
    extractor = Extractor(
        loaded, found.root, steps_per_second=steps_per_second, seconds=seconds, dtype=dtype, device=device
    )
    chunks = _chunks(found.clips, batch_size, number, shards)
    writer = StoreWriter(to, source=note, first_part=number * _PARTS_OF_SHARD)
    listed = BrokenList(to / _list_name(number, shards))
    run = _Run(writer, found, tuple(loaded), chunks, listed, strict, number == 0)
    run(ENGINES[engine](extractor, workers), progress)
    return run.result(to, time.monotonic() - started)


class _Run:
    """One pass over the clips of a shard."""

    def __init__(
        self,
        writer: StoreWriter,
        source: MediaSource,
        modalities: tuple[str, ...],
        chunks: Sequence[Sequence[Clip]],
        broken: BrokenList,
        strict: bool,
        first: bool,
    ) -> None:
        self._writer, self._source, self._broken, self._strict = writer, source, broken, strict
        self._modalities = modalities
        self._all = [clip.id for chunk in chunks for clip in chunk]
        self._todo = [kept for chunk in chunks if (kept := [clip for clip in chunk if clip.id not in writer])]
        self._before = len(self._all) - sum(map(len, self._todo))
        self._listed: dict[str, list[Broken]] = {}
        for entry in source.broken if first else ():
            self._listed.setdefault(entry.clip, []).append(entry)
        self._added, self._whole = 0, True

    def __call__(
        self,
        encode: Callable[[Sequence[Sequence[Clip]]], Generator[Encoded, None, None]],
        progress: bool | None,
    ) -> None:
        """Encode and write what is not in the store yet."""
        if self._strict and self._listed:
            raise _stopped(next(iter(self._listed.values()))[0])
        if not self._all:
            return
        self._writer.begin()
        known = set(self._all)
        for clip in self._listed.keys() - known:
            self._broken.add([clip], self._listed[clip])
        shown = Progress(progress, total=len(self._all), unit="clip", done=self._before)
        flushed = time.monotonic()
        try:
            with closing(encode(self._todo)) as results:
                for result in results:
                    self._write(result)
                    shown.advance(len(result.clips))
                    count = sum(1 for _ in self._broken)
                    position = f"extracted {shown.done}/{shown.total} clips"
                    shown.report(position, f"{count} broken" if count else "", every=_SECONDS_BETWEEN_LINES)
                    if time.monotonic() - flushed > _SECONDS_BETWEEN_PARTS:
                        self._writer.flush()
                        flushed = time.monotonic()
        finally:  # also of a run that is interrupted
            shown.close()
            if self._whole:
                self._writer.flush()
        self._broken.finish({clip.id: row for row, clip in enumerate(self._source.clips)})

    def result(self, to: Path, seconds: float) -> Extracted:
        """What the store holds now."""
        broken = tuple(self._broken)
        left_out = sum(clip not in self._writer for clip in self._all)
        if self._all and left_out == len(self._all):
            raise InputError(
                f"no clip could be extracted; the first of {len(broken)} reasons: {broken[0].text()}",
                where=self._source.path,
                fix=f"all reasons are in {self._broken.path}",
            )
        counts: dict[str, int] = {}
        if self._all:
            present = FeatureStore.open(to).present
            counts = {name: int(present[name].sum()) if name in present else 0 for name in self._modalities}
        path = self._broken.path if broken else None
        source = self._source
        return Extracted(
            source.path, to, self._added, self._before, left_out, counts, broken, path, source.notes, seconds
        )

    def _write(self, result: Encoded) -> None:
        """List what is broken, then add the clips of which something is left, as one block."""
        ids = [clip.id for clip in result.clips]
        self._broken.add(ids, [*(e for clip in ids for e in self._listed.get(clip, ())), *result.broken])
        if self._strict and result.broken:
            raise _stopped(result.broken[0])
        rows = [
            r for r in range(len(result.clips)) if any(f[r] is not None for f in result.features.values())
        ]
        if not rows:
            return
        features, masks = {}, {}
        for name in result.features:
            given = [(result.features[name][row], result.masks[name][row]) for row in rows]
            if any(values is not None for values, _ in given):
                features[name], masks[name] = _stacked(given, [result.clips[row].id for row in rows], name)
        clips = [result.clips[row] for row in rows]
        columns = {name: [clip.columns.get(name) for clip in clips] for name in self._source.columns}
        self._whole = False
        self._writer.write([clip.id for clip in clips], features, masks=masks, columns=columns)
        self._whole = True
        self._added += len(clips)


def _stopped(entry: Broken) -> InputError:
    return InputError(entry.text(), fix="leave out --strict to list and skip what is broken")


def _stacked(given: Sequence[tuple[Any, Any]], clips: Sequence[str], name: str) -> tuple[Any, Any]:
    """`[n, T, ...]` and `[n, T]` of clips that have `[t, ...]` and `[t]`, or None."""
    first = next(values for values, _ in given if values is not None)
    steps = max(len(values) for values, _ in given if values is not None)
    features = np.zeros((len(given), steps, *first.shape[1:]), first.dtype)
    masks = np.zeros((len(given), steps), bool)
    for row, (values, mask) in enumerate(given):
        if values is None:
            continue
        if values.shape[1:] != first.shape[1:]:
            raise InputError(
                f"features {list(values.shape)} of clip '{clips[row]}'",
                where=f"modality '{name}'",
                expected=f"steps of {list(first.shape[1:])}, as in other clips",
                fix="its encoder must give every clip the same shape",
            )
        masks[row, : len(values)] = mask
        features[row, : len(values)][mask] = values[mask]
    return features, masks


def _chunks(clips: Sequence[Clip], size: int, shard: int, shards: int) -> list[Sequence[Clip]]:
    """The clips of a shard, cut where a single run cuts them, so that batches are the same."""
    chunks = [clips[start : start + size] for start in range(0, len(clips), size)]
    return chunks[len(chunks) * shard // shards : len(chunks) * (shard + 1) // shards]


def _list_name(shard: int, shards: int) -> str:
    return BROKEN if shards == 1 else f"broken-{shard}-of-{shards}.csv"
