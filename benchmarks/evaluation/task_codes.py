"""A task in the codes of a model: the encoder has run, and whatever is tried next works on its codes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int64, Shaped
from torch import Tensor

from benchmarks.evaluation.clip_codes import EncodedClips, encode_clips
from benchmarks.evaluation.directions import Direction, resolve_directions
from benchmarks.evaluation.layers import resolve_layers
from benchmarks.evaluation.protocols import Protocol
from benchmarks.evaluation.scoring import Setting
from benchmarks.tasks import Task, read_task
from unicode_cmg.errors import InputError
from unicode_cmg.files import read_text
from unicode_cmg.model import Model
from unicode_cmg.results import Bootstrap, HeadConfig

Rows = dict[str, dict[str, Int64[np.ndarray, " rows"]]]
"""Split -> modality -> rows."""


@dataclass(frozen=True)
class EncodedTask:
    """The clips that a protocol reads, as codes, and what is true of them.

    Attributes:
        data: The task.
        rule: The protocol.
        pairs: The directions.
        rows: Split -> modality -> rows of the data.
        labels: Split -> modality -> the labels of those rows.
        dropped: Split -> modality -> how many rows were left out.
        codes: Modality -> codes of all its rows.
        layers: The code layers in `codes`.
        codebooks: Layer -> codebook `[H, D]`, of the layers that have one.
    """

    data: Task
    rule: Protocol
    pairs: tuple[Direction, ...]
    rows: Rows
    labels: Mapping[str, Mapping[str, Shaped[np.ndarray, " rows *axes"]]]
    dropped: Mapping[str, Mapping[str, int]]
    codes: Mapping[str, EncodedClips]
    layers: tuple[str, ...]
    codebooks: Mapping[str, Float[Tensor, "_ _"]]

    def setting(
        self,
        seeds: Sequence[int],
        head: HeadConfig | None,
        *,
        permute_codes_seed: int | None = None,
        bootstrap: Bootstrap | None = None,
    ) -> Setting:
        """Everything a score needs but the codes; arguments as in `evaluate`."""
        return Setting(
            rule=self.rule,
            classes=len(self.data.classes),
            pairs=self.pairs,
            rows=self.rows,
            labels=self.labels,
            names={m: self._names(m, reported) for m, reported in self.rows[self.rule.report].items()},
            seeds=seeds,
            head=self.rule.head_config if head is None else head,
            permute_codes_seed=permute_codes_seed,
            bootstrap=bootstrap,
        )

    def _names(self, modality: str, rows: Int64[np.ndarray, " rows"]) -> list[str]:
        names = self.data.names(modality)
        return [names[row] for row in rows]


def encode_task(
    model: Model,
    task: str,
    data_root: str | Path,
    rule: Protocol,
    directions: Sequence[str | tuple[str, str]] | None = None,
    layers: Sequence[str] | None = None,
    exclude: Collection[str] | str | Path = (),
    *,
    with_unquantized: bool = False,
) -> EncodedTask:
    """Read the clips and run the frozen encoder once for each modality.

    Args:
        model, task, data_root, directions, layers, exclude: As for `evaluate`.
        rule: The protocol.
        with_unquantized: Also keep what was quantized.

    Raises:
        InputError: A name is unknown, or the data is damaged or does not fit the model.
    """
    seen = resolve_layers(layers, model.code_layers())
    data = read_task(task, data_root).under(rule)
    pairs = data.directions(resolve_directions(directions, model.modalities, data.modalities))
    modalities = tuple(dict.fromkeys(modality for pair in pairs for modality in pair))
    rows, dropped = _split_rows(data, rule, modalities, _ids(exclude))
    codes = {}
    for modality in modalities:
        needed = np.unique(np.concatenate([part[modality] for part in rows.values()]))
        codes[modality] = encode_clips(
            model,
            modality,
            needed,
            data.features,
            data.mask,
            seen,
            with_unquantized=with_unquantized,
            source=data.source(modality),
        )
    return EncodedTask(
        data=data,
        rule=rule,
        pairs=pairs,
        rows=rows,
        labels={split: {m: data.labels(m, r) for m, r in part.items()} for split, part in rows.items()},
        dropped=dropped,
        codes=codes,
        layers=seen,
        codebooks={name: book.detach() for name, book in model.codebooks().items() if name in seen},
    )


def _split_rows(
    data: Task, rule: Protocol, modalities: Sequence[str], excluded: Collection[str]
) -> tuple[Rows, dict[str, dict[str, int]]]:
    """Rows of each split the protocol reads, and how many were left out of it."""
    kept: Rows = {}
    dropped: dict[str, dict[str, int]] = {}
    for modality in modalities:
        out = data.shared_rows(modality) if rule.drop_shared else np.array([], dtype=np.int64)
        if excluded:
            unwanted = [row for row, video in enumerate(data.videos(modality)) if video in excluded]
            out = np.union1d(out, np.array(unwanted, dtype=np.int64))
        for split in rule.splits:
            listed = data.rows(modality, split)
            rows = listed[~np.isin(listed, out)]
            if len(rows) == 0:
                why = "" if len(listed) == 0 else " left whose video is in no other split and not excluded"
                raise InputError(f"the {split} split has no {modality} clip{why}", where=data.root)
            kept.setdefault(split, {})[modality] = rows
            dropped.setdefault(split, {})[modality] = len(listed) - len(rows)
    return kept, dropped


def _ids(exclude: Collection[str] | str | Path) -> frozenset[str]:
    """Ids as given, or as a file lists them."""
    if isinstance(exclude, (str, Path)):
        return frozenset(line.strip() for line in read_text(Path(exclude)).splitlines() if line.strip())
    return frozenset(exclude)
