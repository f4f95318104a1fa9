"""Codes of your own compared without heads: retrieval in a feature store, and classes told by their prompts.

Two stores may take part: one of clips, and one of texts, such as captions or prompts. A text names what it is
about in a column: `clip`, the id of a clip, or `label`, the name of a class. Without one it is about what its
own id names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Int64

from benchmarks.evaluation.directions import Direction, crossing
from benchmarks.evaluation.protocols import Protocol
from benchmarks.evaluation.retrieval_scores import class_scores, retrieval_scores
from benchmarks.evaluation.scoring import EncodedTask, Scored
from benchmarks.tasks.base import Features, Mask, Part, Rows, Task
from benchmarks.tasks.labels.answers import read_answers
from benchmarks.tasks.labels.clip_table import UNKNOWN, csv_table, listed, store_table
from benchmarks.tasks.labels.splits import read_splits
from unicode_cmg.data import FeatureStore
from unicode_cmg.errors import InputError

_HELD_OUT = Protocol(
    name="held-out",
    report="test",
    drop_shared=False,
    cautions=("The codebook may have been pretrained on the reported clips; --exclude leaves clips out.",),
)


@dataclass(frozen=True, eq=False)
class StoreTask(Task):
    """Rows of feature stores, and what each row is about; the split "test" is all of them.

    Attributes:
        stores: Modality -> the store of its rows.
        there: Modality -> rows of its store that have it and take part.
        about: Modality -> what each row of its store is about.
        notes: Sentences on what was left out.
    """

    protocols: ClassVar[Mapping[str, Protocol]] = {"held-out": _HELD_OUT}
    held_out_splits: ClassVar[tuple[str, ...]] = ("test",)

    stores: Mapping[str, FeatureStore]
    there: Mapping[str, Int64[np.ndarray, " _"]]
    about: Mapping[str, Int64[np.ndarray, " _"]]
    notes: tuple[str, ...]

    def remarks(self) -> tuple[str, ...]:
        return self.notes

    def names(self, modality: str) -> Sequence[str]:
        return self.stores[modality].ids

    def rows(self, modality: str, split: str) -> Rows:
        return self.there[modality]

    def labels(self, modality: str, rows: Rows) -> Int64[np.ndarray, " rows"]:
        items: Int64[np.ndarray, " rows"] = self.about[modality][rows]
        return items

    def features(self, modality: str, rows: Rows) -> Features:
        batch = self.stores[modality].batch(rows, modalities=[modality])
        values: Features = batch.features[modality].numpy()
        return values

    def mask(self, modality: str, rows: Rows) -> Mask:
        values: Mask = self.stores[modality].batch(rows, modalities=[modality]).masks[modality].numpy()
        return values

    def source(self, modality: str) -> Path:
        return self.stores[modality].feature_file(modality)

    def identity(self) -> Iterator[Part]:
        for modality in sorted(self.modalities):
            yield "\n".join([modality, *self.stores[modality].ids])
            yield self.about[modality]
            yield self.there[modality]
            yield from self.sampled(modality)


class StoreRetrievalTask(StoreTask):
    """Find what belongs to the same clip in another modality; a clip may have several texts."""

    name: ClassVar[str] = "retrieval-store"

    @classmethod
    def read(
        cls, data_root: str | Path, texts: str | Path | None = None, split_column: str | None = None
    ) -> StoreRetrievalTask:
        """Open a store, and a store of further texts for its clips.

        Args:
            data_root: Folder of the store.
            texts: Folder of a store whose rows are texts; its column `clip` names the clip of each. Its
                modalities take the place of those of the same name.
            split_column: Only clips that this column of the store calls `test`; by default those of the
                column `split`, and all if it names none.

        Raises:
            InputError: A store is damaged, no text is of a clip of the store, or there is no such column.
        """
        store = FeatureStore.open(data_root)
        chosen = np.ones(len(store), dtype=np.bool_)
        split_column = split_column or _test_column(store)
        if split_column is not None:
            values = store_table(store).by_clip(split_column, len(store))
            chosen = read_splits(values, split_column, store.path) == "test"
        number = np.arange(len(store))
        stores = dict.fromkeys(store.modalities, store)
        there = {m: np.flatnonzero(store.present[m] & chosen) for m in store.modalities}
        about = dict.fromkeys(store.modalities, number)
        notes = _told(split_column)
        if texts is not None:
            captions = FeatureStore.open(texts)
            place = {clip: row for row, clip in enumerate(store.ids) if chosen[row]}
            clips = captions.columns.get("clip", captions.ids)
            found = np.array([place.get(clip, -1) for clip in clips], dtype=np.int64)
            if not (found >= 0).any():
                raise InputError(
                    f"none of its {len(clips)} texts, such as one of '{clips[0]}', is of a clip",
                    where=texts,
                    expected=f"a column 'clip' with ids of {store.path}, such as '{store.ids[0]}'",
                )
            if outside := int((found < 0).sum()):
                notes.append(f"{outside} of {len(clips)} texts are of no clip that is searched.")
            for modality in captions.modalities:
                stores[modality], about[modality] = captions, found
                there[modality] = np.flatnonzero(captions.present[modality] & (found >= 0))
        for modality, rows in there.items():
            lacking = int(chosen.sum()) - len(np.unique(about[modality][rows]))
            if lacking:
                notes.append(
                    f"{lacking} of {int(chosen.sum())} clips have no {modality} and are left out where it is"
                    " searched or asked for."
                )
        return cls(Path(data_root).resolve().name, (), tuple(stores), stores, there, about, tuple(notes))

    def directions(self, pairs: tuple[Direction, ...]) -> tuple[Direction, ...]:
        return crossing(pairs)

    def score(self, encoded: EncodedTask) -> Scored:
        return retrieval_scores(encoded)


@dataclass(frozen=True, eq=False)
class ZeroShotTask(StoreTask):
    """Tell the class of a clip by the most similar class, which is the mean of its prompts, without training.

    Attributes:
        prompts: The store of the prompts.
    """

    name: ClassVar[str] = "zero-shot"

    prompts: FeatureStore

    @classmethod
    def read(
        cls,
        data_root: str | Path,
        texts: str | Path | None = None,
        labels: str | Path | None = None,
        label_column: str | Sequence[str] = "label",
        split_column: str | None = None,
        id_column: str | None = None,
    ) -> ZeroShotTask:
        """Open a store of clips with one class each, and a store of prompts.

        Args:
            data_root: Folder of the store of clips.
            texts: Folder of the store of prompts; its column `label` names the class of each, else its id.
            labels, label_column, id_column: As for `LabelsTask.read`.
            split_column: Only clips that this column calls `test`; by default those of the column `split` of
                the store, and all if it names none.

        Raises:
            InputError: A store or table is damaged, or a class has no prompt.
        """
        store = FeatureStore.open(data_root)
        if texts is None:
            raise InputError(
                "no prompts", where=store.path, expected="a feature store of them", fix="give --texts"
            )
        prompts = FeatureStore.open(texts)
        table = store_table(store) if labels is None else csv_table(Path(labels), store, id_column)
        columns = [label_column] if isinstance(label_column, str) else list(label_column)
        steps = np.stack([store.valid_steps(m) for m in store.modalities])
        answers = read_answers(table, columns, "class", steps)
        chosen, notes = answers.known, list(answers.notes)
        split_column = split_column or (_test_column(store) if labels is None else None)
        if split_column is not None:
            notes += _told(split_column)
            values = table.by_clip(split_column, len(store))
            chosen = chosen & (read_splits(values, split_column, table.where) == "test")
        place = {name: number for number, name in enumerate(answers.classes)}
        told = [label.strip() for label in prompts.columns.get("label", prompts.ids)]
        found = np.array([place.get(name, -1) for name in told], dtype=np.int64)
        missing = [name for name, number in place.items() if number not in found]
        if missing:
            raise InputError(
                f"{len(missing)} of {len(place)} classes have no prompt: {listed(missing)}",
                where=texts,
                expected="a column 'label' with the class of each prompt, or ids that are classes",
            )
        if extra := [name for name, at in zip(told, found, strict=True) if at < 0 and name not in UNKNOWN]:
            notes.append(f"{len(extra)} prompts are of no class of the clips ({listed(extra)}).")
        stores = dict.fromkeys(store.modalities, store) | dict.fromkeys(prompts.modalities, prompts)
        there = {m: np.flatnonzero(store.present[m] & chosen) for m in store.modalities}
        about = dict.fromkeys(store.modalities, np.asarray(answers.values, dtype=np.int64))
        for modality in prompts.modalities:
            there[modality] = np.flatnonzero(prompts.present[modality] & (found >= 0))
            about[modality] = found
        for modality in store.modalities:
            lacking = int((chosen & ~store.present[modality]).sum())
            if lacking and modality not in prompts.modalities:
                notes.append(f"{lacking} of {int(chosen.sum())} clips have no {modality}.")
        root = Path(data_root).resolve().name
        return cls(root, answers.classes, tuple(stores), stores, there, about, tuple(notes), prompts)

    def directions(self, pairs: tuple[Direction, ...]) -> tuple[Direction, ...]:
        prompts = tuple(self.prompts.modalities)
        asked = tuple(pair for pair in pairs if pair.target in prompts and pair.source not in prompts)
        if not asked:
            raise InputError(
                f"nothing to classify in {pairs[0]}",
                expected=f"a modality of the clips -> {' or '.join(prompts)}, the prompts",
            )
        return asked

    def score(self, encoded: EncodedTask) -> Scored:
        return class_scores(encoded)


def _test_column(store: FeatureStore) -> str | None:
    """The column `split` of a store, if it has test clips."""
    return (
        "split" if {"test", "testing"} & {value.lower() for value in store.columns.get("split", ())} else None
    )


def _told(split_column: str | None) -> list[str]:
    """What the user should know of the choice of clips."""
    return [] if split_column is None else [f"Only clips that column '{split_column}' calls test take part."]
