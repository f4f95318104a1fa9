"""Published layouts as sources: AVE, VGGSound-AVEL, the retrieval sets, and a feature store itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from unicode_cmg.data.layouts.ave import ANNOTATIONS, read_ave
from unicode_cmg.data.layouts.retrieval import read_retrieval, words_file
from unicode_cmg.data.layouts.retrieval_lists import LAYOUTS
from unicode_cmg.data.layouts.tables import data_folder, set_folder
from unicode_cmg.data.layouts.vggsound_avel import CLIPS, FOLDER, read_vggsound_avel
from unicode_cmg.data.sources.source import LazyClips, Source, Wanted, take_modalities
from unicode_cmg.data.store import FeatureStore


def published_reader(path: Path) -> Any:
    """The reader for a folder in a published layout; None if it is none."""
    if (data_folder(path) / ANNOTATIONS).is_file():
        return _ave
    if (data_folder(set_folder(path, FOLDER)) / CLIPS).is_file():
        return _vggsound_avel
    for name, layout in LAYOUTS.items():
        folder = layout.folder(path)
        if folder.name in {Path(known).name for known in layout.folders} and layout.list_in(folder).is_file():
            return lambda path, wanted: _retrieval(name, path, wanted)
    return None


def _ave(path: Path, wanted: Wanted) -> Source:
    data = read_ave(path)
    ids = list(data.video_ids)
    repeated = {clip for clip in ids if ids.count(clip) > 1}
    source = Source("AVE", path, len(ids), ids_from=ANNOTATIONS)
    source.ids = [f"{clip}-{row}" if clip in repeated else clip for row, clip in enumerate(ids)]
    if repeated:
        source.notes.append(f"{len(repeated)} videos have several clips, whose ids end with their row")
    split = np.full(len(ids), "", dtype=object)
    for name, rows in data.order.items():
        split[rows] = name
    source.columns = {
        "label": [annotation.category for annotation in data.annotations],
        "split": split.tolist(),
        "group": ids,
        "start": [annotation.start for annotation in data.annotations],
        "end": [annotation.end for annotation in data.annotations],
    }
    found = {m: _Rows(len(ids), lambda rows, m=m: data.features(m, rows)) for m in data.modalities}
    take_modalities(source, found, wanted)
    for name, key in (wanted.modalities or {m: m for m in found}).items():
        mask = data.mask(key, np.arange(len(ids)))
        if not mask.all():
            source.features[name] = _Masked(found[key], mask)
    return source


def _vggsound_avel(path: Path, wanted: Wanted) -> Source:
    data = read_vggsound_avel(path)
    order = data.rows("40k")
    clips = [data.clips[row] for row in order]
    source = Source("VGGSound-AVEL", path, len(clips), ids=[c.video_id for c in clips], ids_from=CLIPS)
    source.columns = {"label": [c.category for c in clips], "split": [c.split for c in clips]}
    if data.prompts:
        source.columns["caption"] = [data.prompts[c.category] for c in clips]
    found = {
        modality: _Rows(len(clips), lambda rows, modality=modality: data.features(modality, order[rows]))
        for modality in ("audio", "video")
    }
    take_modalities(source, found, wanted)
    return source


def _retrieval(name: str, path: Path, wanted: Wanted) -> Source:
    """A row for each caption; the features of an item are in the row of its first caption."""
    data = read_retrieval(name, path)
    items = data.caption_items if data.captions else np.arange(len(data.items))
    first = np.r_[True, np.diff(items) != 0] if len(items) else np.zeros(0, bool)
    seen: set[int] = set()
    for row, item in enumerate(items.tolist()):
        first[row] = item not in seen
        seen.add(item)
    number = dict.fromkeys(range(len(data.items)), 0)
    ids = []
    for item in items.tolist():
        ids.append(data.items[item] + (f"#{number[item]}" if number[item] else ""))
        number[item] += 1
    source = Source(name, path, len(items), ids=ids, ids_from=data.table.name)
    source.columns["group"] = [data.items[item] for item in items]
    found: dict[str, Any] = {}
    for modality in data.feature_folders:

        def read(rows: Any, modality: str = modality) -> list[Any]:
            one = (items[row : row + 1] if first[row] else None for row in rows)
            return [None if item is None else data.features(modality, item).values[0] for item in one]

        found[modality] = _Rows(len(items), read)
    if data.captions:
        source.columns["caption"] = list(data.captions)
        source.notes.append("a row for each caption; audio and video are in the row of the first caption")
        if words_file(data.table.parent).is_file():

            def words(rows: Any) -> list[Any]:
                values, mask = data.features("text", rows)
                return [value[valid] for value, valid in zip(values, mask, strict=True)]

            found["text"] = _Rows(len(items), words)
    take_modalities(source, found, wanted)
    return source


def read_store(path: Path, wanted: Wanted) -> Source:
    """A feature store, to write it again with other settings or in one part."""
    store = FeatureStore.open(path)
    source = Source("a feature store", path, len(store), ids=store.ids, ids_from="the store")
    source.columns, source.origin = dict(store.columns), dict(store.source)
    found = {m: _StoreClips(store, m) for m in store.modalities}
    take_modalities(source, found, wanted)
    for name, key in (wanted.modalities or {m: m for m in found}).items():
        if key in store.tokenized:
            source.tokens[name] = [[w for w in words if w is not None] for words in store.tokens(key)]
    return source


class _Rows(LazyClips):
    def __init__(self, clips: int, read: Any) -> None:
        super().__init__(clips)
        self._reader = read

    def read(self, rows: range) -> list[Any]:
        return list(self._reader(np.arange(rows.start, rows.stop)))


class _Masked(LazyClips):
    def __init__(self, clips: LazyClips, mask: Any) -> None:
        super().__init__(len(clips))
        self._inner, self._mask = clips, mask

    def read(self, rows: range) -> list[Any]:
        return [values[self._mask[row]] for row, values in zip(rows, self._inner.read(rows), strict=True)]


class _StoreClips(LazyClips):
    def __init__(self, store: FeatureStore, modality: str) -> None:
        super().__init__(len(store))
        self._store, self._modality = store, modality

    def read(self, rows: range) -> list[Any]:
        import torch

        dtype = getattr(torch, self._store.dtypes[self._modality])
        batch = self._store.batch(list(rows), modalities=[self._modality], dtype=dtype)
        values, mask = batch.features[self._modality].numpy(), batch.masks[self._modality].numpy()
        return [v[valid] if valid.any() else None for v, valid in zip(values, mask, strict=True)]
