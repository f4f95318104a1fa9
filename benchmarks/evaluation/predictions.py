"""What the heads of one direction said, class by class: what a result keeps beside its measures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from unicode_cmg.results import ClipDetails, Event, SecondDetails, TagDetails, Timeline

TIMELINES = 6
"""How many clips a result shows second by second, evenly spread over those with an event."""


def clip_details(
    said: Int64[Tensor, "heads clips"], true: Int64[Tensor, " clips"], classes: int
) -> ClipDetails:
    """Which classes are taken for which.

    Args:
        said: The class that each head names.
        true: The class of each clip.
        classes: How many there are.
    """
    pairs = classes * true + said  # here rather than by scikit-learn, which takes seconds to import
    counts = torch.bincount(pairs.flatten(), minlength=classes**2).view(classes, classes)
    return ClipDetails(
        confusion=tuple(tuple(row) for row in counts.tolist()),
        by_class=tuple(
            100.0 * right / total if total else None
            for right, total in zip(counts.diagonal().tolist(), counts.sum(dim=1).tolist(), strict=True)
        ),
    )


def tag_details(
    precision: Float64[Tensor, "heads classes"], true: Bool[Tensor, "clips classes"]
) -> TagDetails:
    """How well clips of each class are ranked above the others.

    Args:
        precision: Average precision of each head and class, in 0..1; NaN for a class without clips.
        true: The classes of each clip.
    """
    means = precision.mean(dim=0).tolist()
    return TagDetails(
        present=tuple(true.sum(dim=0).tolist()),
        by_class=tuple(None if np.isnan(value) else 100.0 * value for value in means),
    )


def second_details(
    said: Bool[Tensor, "heads clips time classes"],
    true: Bool[Tensor, "clips time classes"],
    clips: Sequence[str],
) -> SecondDetails:
    """How well each class is found, and some clips second by second.

    Args:
        said: The events that each head names, without background.
        true: The events that are there.
        clips: Name of each clip.
    """
    labels, answers = true.cpu().numpy(), said.cpu().numpy()
    present, claimed = labels.sum(axis=(0, 1)), answers.sum(axis=(1, 2))
    found = (answers & labels).sum(axis=(1, 2))
    known = present + claimed.sum(axis=0) > 0
    scores = (2 * found / np.maximum(claimed + present, 1)).mean(axis=0)
    eventful = np.flatnonzero(labels.any(axis=(1, 2)))
    places = np.linspace(0, len(eventful) - 1, min(TIMELINES, len(eventful))).round().astype(np.int64)
    return SecondDetails(
        present=tuple(present.tolist()),
        by_class=tuple(100.0 * float(f1) if there else None for f1, there in zip(scores, known, strict=True)),
        timelines=tuple(
            Timeline(
                clip=clips[row],
                seconds=labels.shape[1],
                true=events_of(labels[row]),
                said=events_of(answers[0, row]),
            )
            for row in eventful[np.unique(places)]
        ),
    )


def events_of(active: Bool[np.ndarray, "time classes"]) -> tuple[Event, ...]:
    """The unbroken runs of seconds of each class, class by class."""
    edges = np.diff(np.pad(active.astype(np.int8), ((1, 1), (0, 0))), axis=0)
    found = []
    for number, column in enumerate(edges.T):
        starts, stops = np.flatnonzero(column == 1).tolist(), np.flatnonzero(column == -1).tolist()
        found += [Event(number, start, stop) for start, stop in zip(starts, stops, strict=True)]
    return tuple(found)
