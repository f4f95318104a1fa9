"""One pass over the clips of a shard: encode what is not in the store yet, write it, list what is broken."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import numpy as np

from unicode_cmg.data.store import FeatureStore, StoreWriter
from unicode_cmg.errors import InputError
from unicode_cmg.extract.broken_list import BrokenList
from unicode_cmg.extract.clips import Broken, Clip, MediaSource
from unicode_cmg.extract.engines import Engine
from unicode_cmg.extract.extracted import Extracted
from unicode_cmg.extract.extractor import Encoded
from unicode_cmg.extract.faults import NOT_FINITE, REFUSED
from unicode_cmg.progress import Progress

_SECONDS_BETWEEN_PARTS = 120.0  # what a killed run loses at most
_SECONDS_BETWEEN_LINES = 10.0
_TRIAL = 10
"""Clips that an encoder refuses, without having encoded a single one, before it is found at fault."""
_MOST_HELD = 64


class ShardRun:
    """One pass over the clips of a shard.

    Args:
        writer: Of the store.
        source: The clips of all shards.
        modalities: The modalities that have an encoder.
        chunks: The clips of this shard, as many at a time as are encoded together.
        broken: The list of what could not be used.
        strict: Stop at the first thing that is broken.
        first: Whether it lists what the source has left out.
    """

    def __init__(
        self,
        writer: StoreWriter,
        source: MediaSource,
        modalities: tuple[str, ...],
        chunks: Sequence[Sequence[Clip]],
        broken: BrokenList,
        *,
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

    def __call__(self, engine: Engine, progress: bool | None) -> None:
        """Encode and write what is not in the store yet.

        Raises:
            InputError: An encoder refuses all clips, the disk is full, or `strict` met something broken.
        """
        if self._strict and self._listed:
            raise _stopped(next(iter(self._listed.values()))[0])
        if not self._all:
            return
        self._writer.begin()
        known = set(self._all)
        for clip, entries in self._listed.items():
            if clip not in known:
                self._broken.add([clip], entries)
        shown = Progress(progress, total=len(self._all), unit="clip", done=self._before)
        trial, flushed = _Trial(self._writer.modalities), time.monotonic()
        try:
            with closing(engine(self._todo)) as results:
                for result in results:
                    for kept in [result] if self._strict else trial.passed(result):
                        self._write(kept)
                    shown.advance(len(result.clips))
                    count = sum(1 for _ in self._broken)
                    position = f"extracted {shown.done}/{shown.total} clips"
                    shown.report(position, f"{count} broken" if count else "", every=_SECONDS_BETWEEN_LINES)
                    if time.monotonic() - flushed > _SECONDS_BETWEEN_PARTS:
                        self._writer.flush()
                        flushed = time.monotonic()
                trial.end()
        finally:  # also of a run that is interrupted
            shown.close()
            if self._whole:
                self._writer.flush()
        self._broken.finish({clip.id: row for row, clip in enumerate(self._source.clips)})

    def result(self, seconds: float) -> Extracted:
        """What the store holds now.

        Args:
            seconds: Time that it took.

        Raises:
            InputError: It holds none of the clips.
        """
        source, broken = self._source, tuple(self._broken)
        left_out = sum(clip not in self._writer for clip in self._all)
        if self._all and left_out == len(self._all):
            raise InputError(
                f"no clip could be extracted; the first of {len(broken)} reasons: {broken[0].text()}",
                where=source.path,
                fix=f"all reasons are in {self._broken.path}",
            )
        counts: dict[str, int] = {}
        if self._all:
            present = FeatureStore.open(self._writer.path).present
            counts = {name: int(present[name].sum()) if name in present else 0 for name in self._modalities}
        return Extracted(
            source=source.path,
            to=self._writer.path,
            added=self._added,
            before=self._before,
            left_out=left_out,
            modalities=counts,
            broken=broken,
            broken_file=self._broken.path if broken else None,
            notes=source.notes,
            seconds=seconds,
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
        features, masks, words = {}, {}, {}
        for name in result.features:
            given = [(result.features[name][row], result.masks[name][row]) for row in rows]
            if any(values is not None for values, _ in given):
                features[name], masks[name] = _stacked(given, [result.clips[row].id for row in rows], name)
                if name in result.words:
                    words[name] = [result.words[name].get(row, ()) for row in rows]
        clips = [result.clips[row] for row in rows]
        columns = {name: [clip.columns.get(name) for clip in clips] for name in self._source.columns}
        self._whole = False
        ids = [clip.id for clip in clips]
        self._writer.write(ids, features, masks=masks, tokens=words, columns=columns)
        self._whole = True
        self._added += len(clips)


class _Trial:
    """Holds back clips that an encoder refuses until it has encoded one: else it is at fault, not they.

    Clips that are written are not extracted again, so those of an encoder that does not work must not be.

    Args:
        encoded: The modalities that clips of the store have.
    """

    def __init__(self, encoded: Sequence[str]) -> None:
        self._works = set(encoded)
        self._refused: dict[str, list[Broken]] = {}
        self._held: list[Encoded] = []

    def passed(self, result: Encoded) -> list[Encoded]:
        """The results that can be written, once this one is known.

        Raises:
            InputError: An encoder has refused all of many clips.
        """
        self._held.append(result)
        self._works |= {n for n, found in result.features.items() if any(f is not None for f in found)}
        for entry in result.broken:
            if entry.kind in (REFUSED, NOT_FINITE) and entry.modality not in self._works:
                self._refused.setdefault(entry.modality, []).append(entry)
        self._refused = {name: each for name, each in self._refused.items() if name not in self._works}
        self._stop(_TRIAL)
        if self._refused and sum(len(held.clips) for held in self._held) < _MOST_HELD:
            return []
        passed, self._held = self._held, []
        return passed

    def end(self) -> None:
        """There are no more clips.

        Raises:
            InputError: An encoder has refused all clips.
        """
        self._stop(1)

    def _stop(self, least: int) -> None:
        for name, refused in self._refused.items():
            if len(refused) >= least:
                count = f"any of {len(refused)} clips" if len(refused) > 1 else "the only clip"
                raise InputError(
                    f"it gives no features for {count}; the first reason: {refused[0].text()}",
                    where=f"the encoder of '{name}'",
                    fix=f"fix it or its settings, or extract without '{name}'",
                )


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
