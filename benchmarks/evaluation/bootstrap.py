"""How much a number depends on which clips happened to be tested: the bootstrap over clips."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from jaxtyping import Float64
from torch import Tensor

from unicode_cmg.config import Config

_WEIGHTS_AT_ONCE = 4_000_000


class Bootstrap(Config):
    """Resamples of the tested clips, with replacement; an interval is between two of their percentiles."""

    resamples: int = 1000
    percent: float = 95.0
    seed: int = 0

    def weights(self, clips: int) -> Iterator[Float64[Tensor, "resamples clips"]]:
        """How often each clip is in each resample, some resamples at a time.

        They depend on the seed and the number of clips only, so all heads and measures see the same ones.
        """
        generator = torch.Generator().manual_seed(self.seed)
        at_once = max(1, _WEIGHTS_AT_ONCE // clips)
        for start in range(0, self.resamples, at_once):
            count = min(at_once, self.resamples - start)
            drawn = torch.randint(clips, (count, clips), generator=generator)
            ones = torch.ones(count, clips, dtype=torch.float64)
            yield torch.zeros_like(ones).scatter_add_(1, drawn, ones)

    def intervals(
        self,
        clips: int,
        resampled: Callable[
            [Float64[Tensor, "resamples clips"]], Mapping[str, Float64[Tensor, "resamples heads"]]
        ],
        device: torch.device,
    ) -> dict[str, tuple[float, float]]:
        """The interval of each measure, of its mean over the heads.

        Args:
            clips: How many were tested.
            resampled: From weights to measures.
            device: Where `resampled` computes.
        """
        parts = [resampled(weights.to(device)) for weights in self.weights(clips)]
        edge = (100 - self.percent) / 200
        levels = torch.tensor([edge, 1 - edge], dtype=torch.float64)
        found = {}
        for name in parts[0]:
            low, high = torch.cat([part[name] for part in parts]).mean(dim=1).cpu().quantile(levels).tolist()
            found[name] = (low, high)
        return found
