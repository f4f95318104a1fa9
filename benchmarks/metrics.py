"""Numbers of the result tables, for a stack of S heads at a time, in percent."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

_RELEASED_BATCH = 80


def clip_accuracy(
    predictions: Int64[Tensor, "heads clips"], labels: Int64[Tensor, " clips"]
) -> Float64[Tensor, " heads"]:
    """Share of clips whose class is right."""
    return 100.0 * (predictions == labels).double().mean(dim=1)


def event_scores(
    predicted: Bool[Tensor, "heads clips time columns"], labels: Bool[Tensor, "clips time columns"]
) -> dict[str, Float64[Tensor, " heads"]]:
    """Segment-level scores over the event classes; the last column, background, is left out.

    Every pair of a segment and a class is one decision, counted over all clips at once.

    Returns:
        `f1_micro`; `f1_macro`, the mean over the classes that occur or are predicted; `precision_micro` and
        `recall_micro`. A score without anything to divide by is 0.
    """
    predicted, labels = predicted[..., :-1], labels[..., :-1]
    found = (predicted & labels).sum(dim=(1, 2))
    claimed, present = predicted.sum(dim=(1, 2)), labels.sum(dim=(0, 1)).expand_as(found)
    known = (claimed + present > 0).sum(dim=1)
    return {
        "f1_micro": _percent(2 * found.sum(dim=1), (claimed + present).sum(dim=1)),
        "f1_macro": _percent(2 * found, claimed + present).sum(dim=1) / known.clamp(min=1),
        "precision_micro": _percent(found.sum(dim=1), claimed.sum(dim=1)),
        "recall_micro": _percent(found.sum(dim=1), present.sum(dim=1)),
    }


def published_event_scores(
    predicted: Bool[Tensor, "heads clips time columns"], labels: Bool[Tensor, "clips time columns"]
) -> dict[str, Float64[Tensor, " heads"]]:
    """Precision, recall and F1 as the released scripts print them for AVVP and AVE->AVVP.

    All columns count, background too. Precision and recall are micro-averages within each batch of 80 clips,
    in the order of the rows; a batch in which nothing is predicted has a precision of 0. The batches are
    averaged, weighted by their clips, and F1 is the harmonic mean of the two averages. The DCID and TOC
    papers print this precision as the accuracy on AVVP, the FCID paper this F1.
    """
    parts = zip(
        torch.split(predicted, _RELEASED_BATCH, dim=1), torch.split(labels, _RELEASED_BATCH), strict=True
    )
    precision = recall = torch.zeros(len(predicted), dtype=torch.float64, device=predicted.device)
    for guess, truth in parts:
        found = (guess & truth).sum(dim=(1, 2, 3))
        share = len(truth) / len(labels)
        precision = precision + share * _percent(found, guess.sum(dim=(1, 2, 3)))
        recall = recall + share * _percent(found, truth.sum())
    total = precision + recall
    f1 = torch.where(total > 0, 2 * precision * recall / total, 0.0)
    return {"precision": precision, "recall": recall, "f1": f1}


def mean_and_std(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation (n - 1); a single value has no deviation."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def _percent(part: Int64[Tensor, " ..."], whole: Int64[Tensor, " ..."]) -> Float64[Tensor, " ..."]:
    """100 part / whole, and 0 of nothing."""
    return 100.0 * part.double() / whole.clamp(min=1)
