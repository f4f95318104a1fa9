"""A task in the codes of a model: the encoder has run, and whatever is tried next works on its codes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from benchmarks.evaluation.clip_codes import encode_clips, resolve_code_layers
from benchmarks.evaluation.directions import resolve_directions
from benchmarks.evaluation.protocols import Protocol
from benchmarks.evaluation.scoring import EncodedTask
from benchmarks.tasks.base import Task
from unicode_cmg.data import FeatureStore
from unicode_cmg.errors import InputError
from unicode_cmg.files import read_text
from unicode_cmg.model import Model
from unicode_cmg.results import DataSummary

Rows = dict[str, dict[str, Int64[np.ndarray, " rows"]]]
"""Split -> modality -> rows."""


def encode_task(
    model: Model,
    task: Task,
    rule: Protocol,
    directions: Sequence[str | tuple[str, str]] | None = None,
    code_layers: Sequence[str] | None = None,
    exclude: Collection[str] | str | Path = (),
    *,
    level: str | None = None,
    with_unquantized: bool = False,
    continuous: bool = False,
) -> EncodedTask:
    """Read the clips and run the frozen encoder once for each modality.

    Args:
        model, directions, code_layers, exclude, level: As for `evaluate`.
        task: Its data.
        rule: The protocol.
        with_unquantized: Also keep what was quantized.
        continuous: Keep that, and the features for heads, to compare with what the codes give.

    Raises:
        InputError: A name is unknown, or the data is damaged or does not fit the model.
    """
    seen = resolve_code_layers(code_layers, model.code_layers())
    data = task.under(rule)
    pairs = data.directions(resolve_directions(directions, model.modalities, data.modalities))
    modalities = tuple(dict.fromkeys(modality for pair in pairs for modality in pair))
    if isinstance(exclude, (str, Path)):
        exclude = _listed(Path(exclude))
    rows, dropped = _split_rows(data, rule, modalities, frozenset(exclude))
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
            with_unquantized=with_unquantized or continuous,
            with_inputs=continuous and rule.head is not None,
            source=data.source(modality),
            level=level,
        )
    used = {split: {m: len(r) for m, r in part.items()} for split, part in rows.items()}
    differ = any(len(set(part.values())) > 1 for part in (*used.values(), *dropped.values()))
    names = {m: data.names(m) for m in modalities}
    return EncodedTask(
        rule=rule,
        judge=data.score,
        data=DataSummary(
            root=data.root,
            fingerprint=data.fingerprint(),
            counts=_named(used, by_modality=differ),
            dropped=_named(dropped, by_modality=differ),
            notes=data.remarks(),
        ),
        classes=data.classes,
        pairs=pairs,
        rows=rows,
        labels={split: {m: data.labels(m, r) for m, r in part.items()} for split, part in rows.items()},
        names={m: [names[m][row] for row in reported] for m, reported in rows[rule.report].items()},
        codes=codes,
        code_layers=seen,
        codebooks={name: book.detach() for name, book in model.codebooks().items() if name in seen},
        head=rule.head,
        continuous=continuous,
    )


def _listed(path: Path) -> Sequence[str]:
    """The clip ids of a feature store, or of a text file with one a line."""
    if path.is_dir():
        return FeatureStore.open(path).ids
    return [line.strip() for line in read_text(path).splitlines() if line.strip()]


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


def _named(counts: Mapping[str, Mapping[str, int]], *, by_modality: bool) -> dict[str, int]:
    """Counts under the name of their split, or of split and modality."""
    return {
        f"{split} {modality}" if by_modality else split: count
        for split, part in counts.items()
        for modality, count in part.items()
    }
