"""How much a number depends on which clips happened to be tested: the bootstrap over clips."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from jaxtyping import Float64
from torch import Tensor

from unicode_cmg.results import Bootstrap

_WEIGHTS_AT_ONCE = 4_000_000


def resample_weights(bootstrap: Bootstrap, clips: int) -> Iterator[Float64[Tensor, "resamples clips"]]:
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
    resampled: Callable[
        [Float64[Tensor, "resamples clips"]], Mapping[str, Float64[Tensor, "resamples heads"]]
    ],
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
