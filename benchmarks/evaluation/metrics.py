"""Numbers of the result tables, for a stack of S heads at a time, in percent.

Measures of the clean protocols are functions of sums over clips. With `weights [R, N]`, how often each of N
clips counts in each of R resamples, they come out once for each resample.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from jaxtyping import Bool, Float, Float64, Int64, Shaped
from torch import Tensor
from torch.nn import functional

from unicode_cmg.results import Bootstrap

Weights = Float64[Tensor, "resamples clips"]

_RELEASED_BATCH = 80
_WEIGHTS_AT_ONCE = 4_000_000


def clip_accuracy(
    predictions: Int64[Tensor, "heads clips"],
    labels: Int64[Tensor, " clips"],
    weights: Weights | None = None,
) -> Float64[Tensor, "*resamples heads"]:
    """Share of clips whose class is right.

    >>> clip_accuracy(torch.tensor([[0, 1, 2, 0]]), torch.tensor([0, 1, 2, 2])).tolist()
    [75.0]
    """
    return 100.0 * mean_over_clips(predictions == labels, weights)


def event_scores(
    predicted: Bool[Tensor, "heads clips time columns"],
    labels: Bool[Tensor, "clips time columns"],
    weights: Weights | None = None,
) -> dict[str, Float64[Tensor, "*resamples heads"]]:
    """Segment-level scores over the event classes; the last column, background, is left out.

    Every pair of a segment and a class is one decision, counted over all clips at once.

    Returns:
        `f1_micro`; `f1_macro`, the mean over the classes that occur or are predicted; `precision_micro` and
        `recall_micro`. A score without anything to divide by is 0.

    One class in three seconds, found in one of two and claimed in one where it is not:

    >>> present = torch.tensor([[[True, False], [True, False], [False, True]]])
    >>> predicted = torch.tensor([[[[True, False], [False, True], [True, False]]]])
    >>> event_scores(predicted, present)["f1_micro"].tolist()
    [50.0]
    """
    predicted, labels = predicted[..., :-1], labels[..., :-1]
    found = sum_over_clips((predicted & labels).sum(dim=2), weights)
    claimed = sum_over_clips(predicted.sum(dim=2), weights)
    present = sum_over_clips(labels.sum(dim=1)[None], weights).expand_as(found)
    known = (claimed + present > 0).sum(dim=-1)
    return {
        "f1_micro": _percent(2 * found.sum(dim=-1), (claimed + present).sum(dim=-1)),
        "f1_macro": _percent(2 * found, claimed + present).sum(dim=-1) / known.clamp(min=1),
        "precision_micro": _percent(found.sum(dim=-1), claimed.sum(dim=-1)),
        "recall_micro": _percent(found.sum(dim=-1), present.sum(dim=-1)),
    }


def released_event_scores(
    predicted: Bool[Tensor, "heads clips time columns"], labels: Bool[Tensor, "clips time columns"]
) -> dict[str, Float64[Tensor, " heads"]]:
    """Precision, recall and F1 as the released scripts print them for AVVP and AVE->AVVP.

    All columns count, background too. Precision and recall are micro-averages within each batch of 80 clips,
    in the order of the rows; a batch in which nothing is predicted has a precision of 0. The batches are
    averaged, weighted by their clips, and F1 is the harmonic mean of the two averages. The DCID and TOC
    papers print this precision as the accuracy on AVVP, the FCID paper this F1.

    One clip of one second with two classes and background; of two claims one is right:

    >>> present = torch.tensor([[[True, False, False]]])
    >>> scores = released_event_scores(torch.tensor([[[[True, False, True]]]]), present)
    >>> {name: round(value.item(), 1) for name, value in scores.items()}
    {'precision': 50.0, 'recall': 100.0, 'f1': 66.7}
    """
    parts = zip(
        torch.split(predicted, _RELEASED_BATCH, dim=1), torch.split(labels, _RELEASED_BATCH), strict=True
    )
    precision = recall = torch.zeros(len(predicted), dtype=torch.float64, device=predicted.device)
    for guess, truth in parts:
        found = (guess & truth).sum(dim=(1, 2, 3)).double()
        share = len(truth) / len(labels)
        precision = precision + share * _percent(found, guess.sum(dim=(1, 2, 3)).double())
        recall = recall + share * _percent(found, truth.sum().double())
    total = precision + recall
    f1 = torch.where(total > 0, 2 * precision * recall / total, 0.0)
    return {"precision": precision, "recall": recall, "f1": f1}


_RANKED_AT_ONCE = 8_000_000


def average_precision(
    scores: Float[Tensor, "heads clips columns"],
    labels: Bool[Tensor, "clips columns"],
    weights: Weights | None = None,
) -> Float64[Tensor, "*resamples heads columns"]:
    """Average precision of each column, in 0..1; NaN for a column without a right clip.

    It is the mean precision at the places of the right clips. Clips with equal scores share the place of the
    last of them, as in scikit-learn.

    Right at places 1 and 3:

    >>> scores = torch.tensor([[[0.9], [0.5], [0.4]]])
    >>> average_precision(scores, torch.tensor([[True], [False], [True]])).item()
    0.8333333333333333
    """
    found, order = scores.transpose(1, 2).sort(dim=-1, descending=True)
    right = labels.T[torch.arange(labels.shape[1], device=labels.device)[:, None], order]
    places = torch.arange(found.shape[-1], device=found.device)
    ends = functional.pad(found[..., :-1] != found[..., 1:], (0, 1), value=True)
    last = torch.where(ends, places, len(places)).flip(-1).cummin(dim=-1).values.flip(-1)

    def ranked(counts: Float64[Tensor, "some clips"]) -> Float64[Tensor, "some heads columns"]:
        times = counts[:, order]
        hits = times * right
        above = (hits.cumsum(-1) / times.cumsum(-1).clamp(min=1)).gather(-1, last.expand_as(times))
        return (hits * above).sum(dim=-1) / hits.sum(dim=-1)

    if weights is None:
        return ranked(torch.ones(1, len(labels), dtype=torch.float64, device=labels.device))[0]
    some = max(1, _RANKED_AT_ONCE // order.numel())
    return torch.cat([ranked(part) for part in torch.split(weights, some)])


def mean_and_std(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation (n - 1); a single value has no deviation."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def sum_over_clips(
    values: Shaped[Tensor, "heads clips ..."], weights: Weights | None
) -> Float64[Tensor, " ..."]:
    """Sums over all clips, `[S, ...]`, or over those of each resample, `[R, S, ...]`."""
    if weights is None:
        return values.sum(dim=1, dtype=torch.float64)
    total: Tensor = torch.tensordot(weights, values.double(), dims=([1], [1]))
    return total


def mean_over_clips(
    values: Shaped[Tensor, "heads clips"], weights: Weights | None
) -> Float64[Tensor, "*resamples heads"]:
    """Means over all clips, or over those of each resample.

    >>> mean_over_clips(torch.tensor([[0, 3]]), torch.tensor([[2.0, 0.0], [1.0, 1.0]]).double()).tolist()
    [[0.0], [1.5]]
    """
    if weights is None:
        return values.double().mean(dim=1)
    return sum_over_clips(values, weights) / weights.sum(dim=1, keepdim=True)


def means_over_clips(
    values: Mapping[str, Shaped[Tensor, "heads clips"]], weights: Weights | None
) -> dict[str, Float64[Tensor, "*resamples heads"]]:
    """`mean_over_clips` of each score."""
    return {name: mean_over_clips(scores, weights) for name, scores in values.items()}


def _percent(part: Float64[Tensor, " ..."], whole: Float64[Tensor, " ..."]) -> Float64[Tensor, " ..."]:
    """100 part / whole, and 0 of nothing; both are counts."""
    return 100.0 * part / whole.clamp(min=1)


def resample_weights(bootstrap: Bootstrap, clips: int) -> Iterator[Weights]:
    """How often each clip is in each resample, some resamples at a time.

    They depend on the seed and the number of clips only, so all heads and measures see the same ones.
    """
    generator = torch.Generator().manual_seed(bootstrap.seed)
    at_once = max(1, _WEIGHTS_AT_ONCE // clips)
    for start in range(0, bootstrap.resamples, at_once):
        count = min(at_once, bootstrap.resamples - start)
        drawn = torch.randint(clips, (count, clips), generator=generator)
        ones = torch.ones(count, clips, dtype=torch.float64)
        yield torch.zeros_like(ones).scatter_add_(1, drawn, ones)


def bootstrap_intervals(
    bootstrap: Bootstrap,
    clips: int,
    resampled: Callable[[Weights], Mapping[str, Float64[Tensor, "resamples heads"]]],
    device: torch.device,
) -> dict[str, tuple[float, float]]:
    """The interval of each measure, of its mean over the heads.

    Args:
        bootstrap: How many resamples, and which percentiles.
        clips: How many were tested.
        resampled: From weights to measures.
        device: Where `resampled` computes.
    """
    parts = [resampled(weights.to(device)) for weights in resample_weights(bootstrap, clips)]
    edge = (100 - bootstrap.percent) / 200
    levels = torch.tensor([edge, 1 - edge], dtype=torch.float64)
    found = {}
    for name in parts[0]:
        low, high = torch.cat([part[name] for part in parts]).mean(dim=1).cpu().quantile(levels).tolist()
        found[name] = (low, high)
    return found
