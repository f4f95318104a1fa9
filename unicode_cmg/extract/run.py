"""`unicode-cmg extract`: files of sound, video, images and text to a feature store."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from unicode_cmg.data.store import StoreWriter
from unicode_cmg.errors import InputError, at_least, one_of, positive
from unicode_cmg.extract.broken_list import BrokenList
from unicode_cmg.extract.clips import Clip
from unicode_cmg.extract.engines import ENGINES
from unicode_cmg.extract.extracted import Extracted
from unicode_cmg.extract.extractor import LONGEST, Extractor, device_of
from unicode_cmg.extract.media import Kind
from unicode_cmg.extract.plan import Given, check_same, encoders_of, patterns_of, provenance_of
from unicode_cmg.extract.shard_run import ShardRun
from unicode_cmg.extract.sources import Listing, Pattern, Wanted, open_media
from unicode_cmg.files import check_writable

BROKEN = "broken.csv"
"""The file of a store that lists what could not be used."""
_PARTS_OF_SHARD = 10_000


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
    >>> import numpy as np
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
    if engine == "local":  # the machines of a cluster may have others
        device_of(device)
    extractor = Extractor(
        loaded, found.root, steps_per_second=steps_per_second, seconds=seconds, dtype=dtype, device=device
    )
    chunks = _chunks(found.clips, batch_size, number, shards)
    writer = StoreWriter(to, source=note, first_part=number * _PARTS_OF_SHARD)
    listed = BrokenList(to / _list_name(number, shards))
    run = ShardRun(writer, found, tuple(loaded), chunks, listed, strict=strict, first=number == 0)
    run(ENGINES[engine](extractor, workers), progress)
    return run.result(time.monotonic() - started)


def _chunks(clips: Sequence[Clip], size: int, shard: int, shards: int) -> list[Sequence[Clip]]:
    """The clips of a shard, cut where a single run cuts them, so that batches are the same."""
    chunks = [clips[start : start + size] for start in range(0, len(clips), size)]
    return chunks[len(chunks) * shard // shards : len(chunks) * (shard + 1) // shards]


def _list_name(shard: int, shards: int) -> str:
    return BROKEN if shards == 1 else f"broken-{shard}-of-{shards}.csv"
