"""CLUB: an upper bound of the mutual information between two representations, to be minimised."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from unicode_cmg.errors import InputError
from unicode_cmg.losses._numeric import at_least_float32, masked_mean


class CLUB(nn.Module):
    """The variational critic `q(y | x)`, a diagonal Gaussian, and the bound it gives (Cheng et al. 2020).

    The critic learns by maximising `log_likelihood` on detached inputs with its own optimizer (five Adam
    steps per model step in the released code); the encoders then minimise `mutual_information`. Inputs are
    `[B, T, X]` and `[B, T, Y]`, or `[N, X]` and `[N, Y]` where there is no time.

    Layers are named as in the released `CLUBSample_group`, whose tensors load as they are: `p_mu` and
    `p_logvar`, each four linear layers of width `hidden // 2` with ReLU, the log-variance bounded to (-1, 1)
    by a tanh.

    Args:
        x_dim: Width X of what is given (the general, quantized representation).
        y_dim: Width Y of what is predicted (the specific representation).
        hidden: Twice the width of the hidden layers.

    Raises:
        InputError: A width is not positive, or `hidden` is below 2.
    """

    def __init__(self, x_dim: int, y_dim: int, hidden: int) -> None:
        super().__init__()
        if min(x_dim, y_dim) < 1 or hidden < 2:
            raise InputError(
                f"widths are x {x_dim}, y {y_dim}, hidden {hidden}",
                where="CLUB",
                expected="1, 1 and 2 or more",
            )
        self.p_mu = nn.Sequential(*_mlp(x_dim, hidden // 2, y_dim))
        self.p_logvar = nn.Sequential(*_mlp(x_dim, hidden // 2, y_dim), nn.Tanh())

    def log_likelihood(
        self,
        x: Float[Tensor, "*steps x_dim"],
        y: Float[Tensor, "*steps y_dim"],
        mask: Bool[Tensor, "*steps"] | None = None,
    ) -> Float[Tensor, ""]:
        """Mean over the valid steps of `log q(y | x)`, summed over Y, without its constant `-Y/2 log 2 pi`.

        Args:
            x: What is given.
            y: What is predicted.
            mask: True where a step is real.
        """
        mu, logvar = self._gaussian(x)
        per_step = -0.5 * ((mu - at_least_float32(y)).square() * (-logvar).exp() + logvar).sum(-1)
        return masked_mean(per_step, mask)

    def mutual_information(
        self,
        x: Float[Tensor, "*steps x_dim"],
        y: Float[Tensor, "*steps y_dim"],
        permutation: Int64[Tensor, " batch"] | None = None,
        mask: Bool[Tensor, "*steps"] | None = None,
        *,
        form: Literal["paper", "released"] = "paper",
        negatives: Literal["permutation", "all"] = "permutation",
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, ""]:
        """`E_p(x,y)[log q(y | x)] - E_p(x)p(y)[log q(y | x)]` (FCID paper eqs. 11-12, TOC paper eqs. 1 and
        12).

        `form="paper"` averages the log-likelihood ratio of single steps. `form="released"` is the released
        estimator: squared errors and log-variances are averaged over axis 1 *before* one is divided by the
            other.
        For `[B, T, Y]` that axis is time; for `[N, Y]` it is the feature axis, and the sum over features
        becomes a sum over the batch.

        Args:
            x: What is given.
            y: What is predicted.
            permutation: `[B]`, clip i's negative is clip `permutation[i]`; drawn if left out.
            mask: True where a step is real. A negative counts where both clips are real.
            form: `paper` or `released`.
            negatives: `permutation` takes one negative a clip, which may be the clip itself, as released;
                `all` takes the mean over every clip of the batch, the double sum of the equation, in linear
                time.
            generator: Draws the permutation, on the generator's device.

        Raises:
            InputError: An option is unknown.
        """
        for name, value, options in (
            ("form", form, ("paper", "released")),
            ("negatives", negatives, ("permutation", "all")),
        ):
            if value not in options:
                raise InputError(f"{name} is '{value}'", where="CLUB", expected=" or ".join(options))
        mu, logvar = self._gaussian(x)
        y = at_least_float32(y)
        positive = (mu - y).square()
        if negatives == "all":
            negative, both = _error_to_all(mu, y, mask), mask
        else:
            if permutation is None:
                source = x.device if generator is None else generator.device
                permutation = torch.randperm(len(x), generator=generator, device=source).to(x.device)
            negative = (mu - y[permutation]).square()
            both = None if mask is None else mask & mask[permutation]
        gap = negative - positive
        if form == "released":
            return _released_average(gap, logvar, both)
        return masked_mean(0.5 * (gap * (-logvar).exp()).sum(-1), both)

    def _gaussian(self, x: Float[Tensor, "*steps x_dim"]) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of `q(y | x)`."""
        return at_least_float32(self.p_mu(x)), at_least_float32(self.p_logvar(x))


def _mlp(inputs: int, hidden: int, outputs: int) -> list[nn.Module]:
    return [
        nn.Linear(inputs, hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, outputs),
    ]


def _error_to_all(
    mu: Float[Tensor, "batch *steps y_dim"],
    y: Float[Tensor, "batch *steps y_dim"],
    mask: Bool[Tensor, "batch ..."] | None,
) -> Float[Tensor, "batch *steps y_dim"]:
    """`mean_j (mu_i - y_j)^2 = (mu_i - mean_j y_j)^2 + var_j y_j` at each step, over the clips real there."""
    if mask is None:
        center = y.mean(0)
        return (mu - center).square() + (y - center).square().mean(0)
    weight = mask.unsqueeze(-1).to(y.dtype)
    weight = weight / weight.sum(0).clamp(min=1)
    center = (weight * y).sum(0)
    return (mu - center).square() + (weight * (y - center).square()).sum(0)


def _released_average(
    gap: Float[Tensor, "batch *steps y_dim"],
    logvar: Float[Tensor, "batch *steps y_dim"],
    mask: Bool[Tensor, "batch ..."] | None,
) -> Float[Tensor, ""]:
    """Half of the gap between negative and positive errors, averaged and summed as released."""
    if gap.ndim == 2:
        ratio = gap.mean(1) / logvar.mean(1).exp()
        return 0.5 * (ratio if mask is None else ratio * mask).sum()
    if mask is None:
        return 0.5 * (gap.mean(1) / logvar.mean(1).exp()).sum(-1).mean()
    weight = mask.unsqueeze(-1).to(gap.dtype)
    weight = weight / weight.sum(1, keepdim=True).clamp(min=1)
    ratio = (weight * gap).sum(1) / (weight * logvar).sum(1).exp()
    return 0.5 * masked_mean(ratio.sum(-1), mask.any(1))
