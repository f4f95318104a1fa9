"""What a sweep tells of the codes of a run, beside scores: same codes, background, disentanglement."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.evaluation.protocols import HeadProtocol
from benchmarks.evaluation.scoring import EncodedTask, score_vectors
from unicode_cmg.data import LabelledClips
from unicode_cmg.data.labelled import open_clips, open_events
from unicode_cmg.errors import InputError
from unicode_cmg.inspect import DescribedCodes, describe_codes
from unicode_cmg.model import Model
from unicode_cmg.results import HeadConfig

Figures = Mapping[str, float]
"""Name of a figure, and behind a comma what it is of, such as `same code, audio-video` -> percent."""

SAME_CODE = "same code, audio-video"


def measure_codes(model: Model, data: Path, split: str, code_layer: str) -> dict[str, float]:
    """The figures of one code layer, in percent.

    Args:
        model: A trained model.
        data: Folder of data sets with one in the AVE layout, and perhaps one in the AVVP layout; or a feature
            store, of whose labels nothing is known. In other folders nothing is measured.
        split: Split of labelled clips.
        code_layer: Name of the code layer.
    """
    try:
        clips = open_clips(data, split)
    except InputError:  # nothing of the kind; a task that needs it says so
        return {}
    events = open_events(data) if isinstance(clips, LabelledClips) else None
    return figures_of(describe_codes(model, clips, code_layer=code_layer, nearest=0, events=events))


def figures_of(codes: DescribedCodes) -> dict[str, float]:
    """What a sweep tells of codes, in percent."""
    shares: dict[str, float | None] = {}
    for pair in codes.event_agreement:
        shares[f"same code, {'-'.join(pair.modalities)}"] = pair.steps
    if codes.labels is not None:
        for pair in codes.labels.background_agreement:
            shares[f"same code in background, {'-'.join(pair.modalities)}"] = pair.steps
        for m, reading in codes.labels.readings.items():
            shares[f"event names class, {m}"] = reading.events
            shares[f"background names class, {m}"] = reading.background
            shares[f"background by chance, {m}"] = reading.chance
    for m, own in codes.events.readings.items() if codes.events is not None else ():
        shares[f"own of several classes, {m}"] = own.own
        shares[f"another of several classes, {m}"] = own.other
    shares["dead codes"] = codes.kinds["unused"] / codes.num_codes
    for probe in codes.specific:
        of = f"{probe.modality} {probe.part}"
        shares[f"specific tells class, {of}"] = probe.label
        shares[f"specific tells code, {of}"] = probe.code
        shares[f"specific explained by code, {of}"] = probe.explained
    return {name: 100 * share for name, share in shares.items() if share is not None}


def measure_vectors(
    task: EncodedTask, name: str, seeds: Sequence[int], head: HeadConfig | None
) -> dict[str, float]:
    """What the heads of a task reach on what was quantized, and on the features, in place of codes.

    Args:
        task: Encoded with `continuous`.
        name: Of the task.
        seeds: Of the heads.
        head: How heads train; by default as the protocol says.

    Returns:
        `continuous ave, audio-video` and so on; of a modality with itself `continuous ave within, ...` and
        `raw ave within, ...`. Empty for a task without heads.
    """
    head = task.head if head is None else head
    rule = task.rule
    if not isinstance(rule, HeadProtocol) or head is None:
        return {}
    task = replace(task, seeds=tuple(seeds), head=head)
    return {
        f"{kind} {name}{' within' * (pair.source == pair.target)}, {pair.source}-{pair.target}": measure.mean
        for source in dict.fromkeys(pair.source for pair in task.pairs)
        for kind, measures in score_vectors(task, source, rule, head).items()
        for pair, measure in measures.items()
    }


def in_columns(figures: Figures) -> dict[str, float]:
    """Column of a table -> the same code of a pair, or the mean of a figure over what it is of."""
    grouped: dict[str, list[float]] = {}
    for name, value in figures.items():
        kind, _, of = name.partition(", ")
        pair = "-".join(m[:1].upper() for m in of.split("-"))
        column = f"{kind} {pair}" if kind.startswith("same code") else kind
        grouped.setdefault(column, []).append(value)
    return {column: statistics.fmean(values) for column, values in grouped.items()}
