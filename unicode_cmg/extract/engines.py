"""Who encodes: threads of this process, or Ray Data."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from types import MappingProxyType
from typing import TypeAlias

from unicode_cmg.extract.clips import Clip
from unicode_cmg.extract.decoding import Page
from unicode_cmg.extract.extractor import Encoded, Extractor, Prepared
from unicode_cmg.extract.faults import MediaError
from unicode_cmg.on_ray import ray_map

_MOST_THREADS = 8

Engine: TypeAlias = Callable[[Sequence[Sequence[Clip]]], Generator[Encoded, None, None]]
"""Encodes chunks of clips, in their order."""


def local(extractor: Extractor, workers: int | None) -> Engine:
    """Threads decode and prepare the next clips while this one encodes; few of them wait at a time."""
    threads = workers or min(_MOST_THREADS, os.cpu_count() or 1)

    def encode(chunks: Sequence[Sequence[Clip]]) -> Generator[Encoded, None, None]:
        with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
            prepared = _prepared(extractor, pool, threads, chunks)
            try:
                for chunk in chunks:
                    yield extractor.encode(islice(prepared, len(chunk)))
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    return encode


def _prepared(
    extractor: Extractor, pool: ThreadPoolExecutor, workers: int, chunks: Sequence[Sequence[Clip]]
) -> Iterator[Prepared]:
    waiting: deque[Future[Prepared]] = deque()
    for clip in (clip for chunk in chunks for clip in chunk):
        waiting.append(pool.submit(extractor.prepare, _held(clip)))
        if len(waiting) > workers + 1:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _held(clip: Clip) -> Clip:
    """The clip with its files in tables read: in the order of the rows, a table is read once."""
    held = dict(clip.media)
    for name, place in clip.media.items():
        if isinstance(place, Page):
            try:
                held[name] = _Bytes(place.name, place.read())
            except MediaError:
                continue  # it is read again, where errors are listed
    return replace(clip, media=held)


@dataclass(frozen=True)
class _Bytes(Page):
    name: str
    content: bytes

    def read(self) -> bytes:
        return self.content


def on_ray(extractor: Extractor, workers: int | None) -> Engine:
    """Processes of Ray Data, each of which decodes and encodes a chunk at a time."""

    def encode(chunks: Sequence[Sequence[Clip]]) -> Generator[Encoded, None, None]:
        return ray_map(extractor.chunk, chunks, workers, gpus=extractor.device != "cpu")

    return encode


ENGINES: Mapping[str, Callable[[Extractor, int | None], Engine]] = MappingProxyType(
    {"local": local, "ray": on_ray}
)
