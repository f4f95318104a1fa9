"""From values for each head to the row of a direction: means, intervals, and the order of the measures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from benchmarks.evaluation.clip_codes import EncodedClips
from benchmarks.evaluation.directions import Direction
from benchmarks.evaluation.metrics import Weights, bootstrap_intervals, mean_and_std
from benchmarks.evaluation.objectives import HeadMeasures
from unicode_cmg.results import Bootstrap, Details, DirectionResult, Measure


def measures_of(
    judged: Callable[[Weights | None], HeadMeasures],
    bootstrap: Bootstrap | None,
    clips: int,
    device: torch.device,
    constant: Mapping[str, float] | None = None,
) -> dict[str, Measure]:
    """Measures of the tested clips, with intervals.

    Args:
        judged: The measures of resamples with these weights, or for None those of the clips as they are.
        bootstrap: How intervals are made; None for none.
        clips: How many were tested.
        device: Where `judged` computes.
        constant: What a constant answer reaches, by the names of the measures.
    """
    intervals = {} if bootstrap is None else bootstrap_intervals(bootstrap, clips, judged, device)
    return {
        name: measure(values.tolist(), (constant or {}).get(name), intervals.get(name))
        for name, values in judged(None).items()
    }


def measure(
    per_seed: Sequence[float], constant: float | None, interval: tuple[float, float] | None
) -> Measure:
    """A measure from its values for each seed."""
    mean, std = mean_and_std(per_seed)
    return Measure(mean=mean, std=std, per_seed=tuple(per_seed), constant=constant, interval=interval)


def direction_result(
    pair: Direction,
    metric: str,
    measures: Mapping[str, Measure],
    epochs: tuple[int, ...] = (),
    details: Details | None = None,
) -> DirectionResult:
    """The row of a direction: the metric first, the other measures beside it."""
    return DirectionResult(
        source=pair.source,
        target=pair.target,
        kind="same-modality" if pair.source == pair.target else "transfer",
        metric=metric,
        epochs_selected=epochs,
        others={name: other for name, other in measures.items() if name != metric},
        details=details,
        **dict(measures[metric]),
    )


def code_permutations(clips: EncodedClips, seeds: Sequence[int], permute_seed: int) -> list[Tensor]:
    """For each code layer, `[S, U]`: a random order of the codes in use for each head."""
    device = clips.indices.device
    generators = [torch.Generator().manual_seed(permute_seed * 1_000_003 + seed) for seed in seeds]
    return [
        torch.stack([torch.randperm(len(table), generator=g) for g in generators]).to(device)
        for table in clips.tables
    ]
