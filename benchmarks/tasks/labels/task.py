"""`labels`: heads on the codes of a feature store of your own, with labels of your own."""

from __future__ import annotations

import math
import operator
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Shaped

from benchmarks.evaluation.label_objectives import ClassifySteps, PredictNumber, TagClips
from benchmarks.evaluation.objectives import ClassifyClips, Objective
from benchmarks.evaluation.protocols import HELD_OUT, HeadProtocol, Protocol
from benchmarks.tasks.base import Features, Mask, Part, Rows, Task
from benchmarks.tasks.labels.answers import NO_LABEL, Answers, read_answers
from benchmarks.tasks.labels.clip_table import ClipTable, csv_table, listed, store_table
from benchmarks.tasks.labels.splits import Splits, draw_splits, draw_validation, read_splits
from unicode_cmg.batch import FeatureBatch
from unicode_cmg.data import FeatureStore
from unicode_cmg.data.splits import SPLITS
from unicode_cmg.errors import InputError
from unicode_cmg.results import HeadConfig

_STEPS = 1000  # of Adam at least, also for few clips
_PRETRAINED = (
    "The codebook may have been pretrained on the reported clips, without their labels; --exclude leaves"
    " clips out."
)


@dataclass(frozen=True, eq=False)
class LabelsTask(Task):
    """The labelled clips of a feature store; the rows of all modalities are its clips.

    A clip that lacks a modality is no row of it. Heads train for the epochs of the other tasks, but for 1000
    steps at least.

    Attributes:
        store: The features.
        answers: What is true of each clip.
        splits: The split of each clip, empty for none.
        groups: The group of each clip; clips of a group in two splits are left out.
        notes: Sentences on clips that are left out, and on rare classes.
    """

    name: ClassVar[str] = "labels"
    protocols: ClassVar[Mapping[str, Protocol]] = {"held-out": replace(HELD_OUT, cautions=(_PRETRAINED,))}

    store: FeatureStore
    answers: Answers
    splits: Splits
    groups: tuple[str, ...]
    notes: tuple[str, ...]
    _latest: dict[str, tuple[Rows, FeatureBatch]] = field(default_factory=dict)

    @classmethod
    def read(
        cls,
        data_root: str | Path,
        labels: str | Path | None = None,
        label_column: str | Sequence[str] = "label",
        split_column: str | None = None,
        group_column: str | None = None,
        id_column: str | None = None,
        kind: str | None = None,
        split_seed: int = 0,
    ) -> LabelsTask:
        """Open a feature store and its labels.

        Args:
            data_root: Folder of the store.
            labels: A csv file with a row for each clip; None: the columns of the store.
            label_column: The column of the labels, or several columns of zeros and ones, a class each.
            split_column: The column of the splits train, val and test; by default `split` where there is
                one. Without it they are drawn.
            group_column: The column of groups that must not be divided, such as the speaker of a clip; by
                default `group` where there is one.
            id_column: The column of the clip ids in the csv file; by default the one that names most clips.
            kind: `class`, `classes`, `steps` or `number`; by default as the values look.
            split_seed: Seed of the draw.

        Raises:
            InputError: A file is missing or damaged, there is no such column, or its values make no sense;
                too few clips have labels.
        """
        store = FeatureStore.open(data_root)
        table = store_table(store) if labels is None else csv_table(Path(labels), store, id_column)
        steps = np.stack([store.valid_steps(m) for m in store.modalities])
        columns = [label_column] if isinstance(label_column, str) else list(label_column)
        columns = [_label_column(table) if column == "label" else column for column in columns]
        answers = read_answers(table, columns, kind, steps)
        notes = list(answers.notes)
        modalities = tuple(store.modalities)
        if answers.steps is not None:
            modalities = _of_these_steps(modalities, steps, answers, table.where)
        groups, grouped = _column(table, group_column, "group", len(store))
        named = [group or f"\0{clip}" for group, clip in zip(groups, store.ids, strict=True)]
        splits = _splits(table, split_column, store, answers, named, split_seed, notes, grouped=grouped)
        present = {m: store.present[m] & answers.known for m in modalities}
        kept = []
        for modality in modalities:
            counts = Counter(splits[present[modality]].tolist())
            missing = [split for split in SPLITS if not counts[split]]
            if missing:
                notes.append(f"{modality} is left out: no clip of the split {missing[0]} has it.")
            else:
                kept.append(modality)
            lacking = int((answers.known & ~store.present[modality]).sum())
            if lacking and not missing:
                notes.append(f"{lacking} of {int(answers.known.sum())} labelled clips have no {modality}.")
        if len(kept) < min(2, len(modalities)):
            raise InputError(
                ", ".join(note.removesuffix(".") for note in notes if " is left out: " in note),
                where=table.where,
                expected="labelled clips of two modalities in the splits train, val and test",
            )
        notes += _rare_classes(answers, splits, {m: present[m] for m in kept})
        root = Path(data_root).resolve().name
        return cls(root, answers.classes, tuple(kept), store, answers, splits, tuple(named), tuple(notes))

    def rule(self, protocol: str | Protocol) -> Protocol:
        rule = super().rule(protocol)
        if not isinstance(rule, HeadProtocol):
            return rule
        train = self.answers.known & (self.splits == rule.train)
        clips = int(train.sum())
        head = HeadConfig(lr=1e-3)
        epochs = max(head.epochs, math.ceil(_STEPS / math.ceil(clips / head.batch_size)))
        return replace(
            rule,
            objective=self._objective(self.answers.values[train]),
            head=head.model_copy(update={"epochs": epochs}),
        )

    def _objective(self, train: Shaped[np.ndarray, "clips ..."]) -> Objective:
        if self.answers.kind == "number":
            return PredictNumber(float(train.mean()), float(train.std()) or 1.0)
        objectives: dict[str, type[Objective]] = {
            "class": ClassifyClips,
            "classes": TagClips,
            "steps": ClassifySteps,
        }
        return objectives[self.answers.kind]()

    def remarks(self) -> tuple[str, ...]:
        return self.notes

    def names(self, modality: str) -> Sequence[str]:
        return self.store.ids

    def videos(self, modality: str) -> Sequence[str]:
        return self.groups

    def rows(self, modality: str, split: str) -> Rows:
        there = self.store.present[modality] & self.answers.known & (self.splits == split)
        return np.flatnonzero(there).astype(np.int64)

    def labels(self, modality: str, rows: Rows) -> Shaped[np.ndarray, "rows ..."]:
        values: Shaped[np.ndarray, "rows ..."] = self.answers.values[rows]
        if self.answers.kind != "steps":
            return values
        steps = self.store.modalities[modality][0]
        grid = np.full((len(rows), steps), NO_LABEL, dtype=np.int64)
        grid[:, : values.shape[1]] = values[:, :steps]
        grid[~self.mask(modality, rows)] = NO_LABEL
        return grid

    def features(self, modality: str, rows: Rows) -> Features:
        values: Features = self._read(modality, rows).features[modality].numpy()
        return values

    def mask(self, modality: str, rows: Rows) -> Mask:
        values: Mask = self._read(modality, rows).masks[modality].numpy()
        return values

    def source(self, modality: str) -> Path:
        return self.store.feature_file(modality)

    def identity(self) -> Iterator[Part]:
        yield "\n".join([*self.store.ids, *self.classes])
        yield self.answers.values
        yield self.answers.known.astype(np.int64)
        yield "\n".join([*self.splits.tolist(), *self.groups])
        for modality in self.modalities:
            yield from self.sampled(modality)

    def _read(self, modality: str, rows: Rows) -> FeatureBatch:
        """Features and mask are asked for one after the other: they are read once."""
        known, batch = self._latest.get(modality, (None, None))
        if known is None or batch is None or not np.array_equal(known, rows):
            batch = self.store.batch(rows, modalities=[modality])
            self._latest[modality] = (rows, batch)
        return batch


def _label_column(table: ClipTable) -> str:
    """The column `label`, or the only one that could be meant."""
    others = [name for name in table.columns if name not in ("split", "group", "folder", table.ids)]
    if "label" in others or len(others) == 1:
        return "label" if "label" in others else others[0]
    raise InputError(
        "no column 'label'",
        where=table.where,
        expected=f"labels in one of its columns {', '.join(table.columns)}",
        fix="name it by --label-column",
    )


def _column(table: ClipTable, name: str | None, default: str, clips: int) -> tuple[list[str], bool]:
    """The values of a column that may be missing unless it is named, and whether there are any."""
    if name is None and default not in table.columns:
        return [""] * clips, False
    values = table.by_clip(name or default, clips)
    return values, any(values)


def _splits(
    table: ClipTable,
    column: str | None,
    store: FeatureStore,
    answers: Answers,
    groups: Sequence[str],
    seed: int,
    notes: list[str],
    *,
    grouped: bool,
) -> Splits:
    """The splits as named, or drawn."""
    named, there = _column(table, column, "split", len(store))
    together = " with groups kept together" if grouped else ""
    if not there:
        if column is not None:
            raise InputError(f"column '{column}' is empty", where=table.where, expected="train, val and test")
        notes.append(f"Splits are drawn by seed {seed}{together}; no column names them.")
        return draw_splits(answers.strata(), groups, answers.known, seed, table.where)
    splits = read_splits(named, column or "split", table.where)
    if outside := int((answers.known & (splits == "")).sum()):
        notes.append(f"{outside} labelled clips are in no split and are left out.")
    splits[~answers.known] = ""
    for split in ("train", "test"):
        if not (splits == split).any():
            raise InputError(
                f"no labelled clip is in the split {split}",
                where=table.where,
                expected="clips in train and test at least",
            )
    if not (splits == "val").any():
        notes.append(
            f"No clip is in the split val; a fifth of train is drawn for it by seed {seed}{together}."
        )
        splits = draw_validation(splits, answers.strata(), groups, seed, table.where)
    return splits


def _of_these_steps(
    modalities: Sequence[str], steps: Shaped[np.ndarray, "modalities clips"], answers: Answers, where: Path
) -> tuple[str, ...]:
    """The modalities whose clips have as many steps as labels."""
    known = answers.known
    wanted = np.asarray(answers.steps)[known]

    def fitting(fits: Callable[[Any, Any], Any]) -> tuple[str, ...]:
        rows = zip(modalities, steps[:, known], strict=True)
        return tuple(m for m, mine in rows if (fits(mine, wanted) | (mine == 0)).all() and mine.any())

    found = fitting(operator.eq) or (fitting(operator.ge) if answers.partial else ())
    if not found:
        raise InputError(
            "the clips of no modality have as many steps as labels",
            where=where,
            expected="a label for each valid step",
        )
    return found


def _rare_classes(
    answers: Answers, splits: Splits, present: Mapping[str, Shaped[np.ndarray, " clips"]]
) -> Iterator[str]:
    """Sentences on classes that heads cannot learn, or are not asked for."""
    if answers.kind == "number":
        return

    def without(rows: Shaped[np.ndarray, " clips"]) -> list[str]:
        values = answers.values[rows]
        if answers.kind == "classes":
            counts = values.sum(axis=0)
        else:
            counts = np.bincount(values[values >= 0].ravel(), minlength=len(answers.classes))
        return [name for name, count in zip(answers.classes, counts, strict=True) if not count]

    unlearned = without(splits == "train")
    if unlearned:
        yield (
            f"{len(unlearned)} of {len(answers.classes)} classes have no training clip, so no head can name"
            f" them: {listed(unlearned)}."
        )
    untested = without(splits == "test")
    if untested:
        yield f"{len(untested)} of {len(answers.classes)} classes have no test clip: {listed(untested)}."
    for modality, there in present.items():
        more = [name for name in without(there & (splits == "train")) if name not in unlearned]
        if more:
            yield f"{len(more)} classes have no training clip with {modality}: {listed(more)}."
