"""CLUB: an upper bound of the mutual information between two representations, to be minimised."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from unicode_cmg import ranks
from unicode_cmg.errors import at_least, one_of
from unicode_cmg.losses._masked import at_least_float32, cleared, mean_of_clips


def club_bound(
    mu: Float[Tensor, "batch *steps y_dim"],
    logvar: Float[Tensor, "batch *steps y_dim"],
    y: Float[Tensor, "batch *steps y_dim"],
    permutation: Int64[Tensor, " batch"] | None,
    mask: Bool[Tensor, "batch ..."] | None,
) -> Float[Tensor, ""]:
    """`E_p(x,y)[log q(y | x)] - E_p(x)p(y)[log q(y | x)]`, with x = z^m and y = zbar^m.

    TOC paper eqs. 1, 12, A5 and A6; FCID paper eqs. 11, 12 and 15, where x is f or c.

    With `q(y | x) = N(mu(x), exp logvar(x))` the log-variances cancel, so each step contributes
    `sum_d ((mu - y_negative)^2 - (mu - y)^2) / (2 exp logvar)`.

    Args:
        mu: `[B, T, Y]`, or `[B, Y]` where there is no time: mean of `q(y | x)`.
        logvar: Log-variance of `q(y | x)`, likewise.
        y: What was to be predicted.
        permutation: `[B]`, clip i's negative is clip `permutation[i]`; None takes the mean over every clip of
            the batch, the double sum of the equation, in linear time.
        mask: True where a step is real. A negative counts where both clips are real.
    """
    gap, valid = _error_gap(mu, y, permutation, mask)
    return mean_of_clips(0.5 * (gap * (-logvar).exp()).sum(-1), valid)


def _error_gap(
    mu: Float[Tensor, "batch *steps y_dim"],
    y: Float[Tensor, "batch *steps y_dim"],
    permutation: Int64[Tensor, " batch"] | None,
    mask: Bool[Tensor, "batch ..."] | None,
) -> tuple[Float[Tensor, "batch *steps y_dim"], Bool[Tensor, "batch ..."] | None]:
    """Squared error to the negatives less that to the own step, and where it counts.

    Over all clips `mean_j (mu_i - y_j)^2 = (mu_i - mean_j y_j)^2 + var_j y_j`, at each step over those real
    there.
    """
    positive, mask = (mu - y).square(), ranks.real(mask, y[..., 0])
    if permutation is not None:
        chosen = ranks.own_rows(permutation)
        both = None if mask is None else mask & ranks.gather(mask)[chosen]
        return (mu - ranks.gather(y)[chosen]).square() - positive, both
    weight = torch.ones_like(y[..., :1]) if mask is None else mask.unsqueeze(-1).to(y.dtype)
    count, center = ranks.total(weight.sum(0), (weight * y).sum(0))
    center = center / count.clamp(min=1)
    (spread,) = ranks.total((weight * (y - center).square()).sum(0))
    return (mu - center).square() + spread / count.clamp(min=1) - positive, mask


class CLUB(nn.Module):
    """The variational critic `q(y | x)`, a diagonal Gaussian, and the bound it gives (Cheng et al. 2020).

    The critic learns by maximising `log_likelihood` on detached inputs with its own optimizer (five Adam
    steps per model step in the released code); the encoders then minimise `mutual_information`. Inputs are
    `[B, T, X]` and `[B, T, Y]`, or `[N, X]` and `[N, Y]` where there is no time.

    Submodules are named as in the released `CLUBSample_group`, whose tensors load as they are: `p_mu` and
    `p_logvar`, each four linear layers of width `hidden // 2` with ReLU, the log-variance bounded to (-1, 1)
    by a tanh.

    The bound of the paper is a sum over Y of errors in the units of y. It grows with the width of the
    features and with their scale, and an encoder can escape it by shrinking y below the least deviation that
    the critic can express, with nothing forgotten. With `scale_free` the critic sees x and y with each
    channel at mean 0 and deviation 1 over the batch, its log-variance lies in (-5, 1), and the bound is the
    mean over Y, in nats per channel, and not below 0: neither widths nor scales change it.

    Args:
        x_dim: Width X of what is given (the general representation).
        y_dim: Width Y of what is predicted (the specific representation).
        hidden: Twice the width of the hidden layers.
        scale_free: Whether inputs are standardized and the bound is a mean over Y.

    Raises:
        InputError: A width is not positive, or `hidden` is below 2.

    >>> critic = CLUB(x_dim=4, y_dim=3, hidden=8)
    >>> codes, specific = torch.randn(2, 10, 4), torch.randn(2, 10, 3)
    >>> (-critic.log_likelihood(codes, specific)).backward()  # for the critic's optimizer
    >>> critic.mutual_information(codes, specific).shape  # for the encoders
    torch.Size([])
    """

    def __init__(self, x_dim: int, y_dim: int, hidden: int, *, scale_free: bool = False) -> None:
        super().__init__()
        at_least("CLUB", 1, x_dim=x_dim, y_dim=y_dim)
        at_least("CLUB", 2, hidden=hidden)
        self.scale_free = scale_free
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
        x, y = self._inputs(x, y, mask)
        mu, logvar = self._gaussian(x)
        per_step = -0.5 * ((mu - at_least_float32(y)).square() * (-logvar).exp() + logvar).sum(-1)
        return mean_of_clips(per_step, mask)

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
        """The bound `club_bound` of the critic's `q(y | x)`.

        Args:
            x: What is given.
            y: What is predicted.
            permutation: `[B]`, clip i's negative is clip `permutation[i]`; drawn if left out. With a mask,
                the order that it gives to the clips with a real step; see `among_present`. Of a batch that
                ranks share, the permutation of the whole batch.
            mask: True where a step is real. A negative counts where both clips are real.
            form: `paper` is `club_bound`, `released` is `released_club_bound`.
            negatives: `permutation` takes one negative a clip, which may be the clip itself, as released;
                `all` takes every clip of the batch.
            generator: Draws the permutation, on the generator's device.

        Raises:
            InputError: An option is unknown.
        """
        one_of("CLUB", ("paper", "released"), form=form)
        one_of("CLUB", ("permutation", "all"), negatives=negatives)
        if negatives == "all":
            permutation = None
        elif permutation is None:
            source = x.device if generator is None else generator.device
            clips = ranks.clips_of_batch(len(x))
            permutation = torch.randperm(clips, generator=generator, device=source).to(x.device)
        if permutation is not None and mask is not None:
            permutation = among_present(permutation, ranks.gather(mask))
        x, y = self._inputs(x, y, mask)
        bound = club_bound if form == "paper" else released_club_bound
        mu, logvar = self._gaussian(x)
        nats = bound(mu, logvar, at_least_float32(y), permutation, mask)
        return (nats / y.shape[-1]).clamp(min=0) if self.scale_free else nats

    def _inputs(
        self,
        x: Float[Tensor, "*steps x_dim"],
        y: Float[Tensor, "*steps y_dim"],
        mask: Bool[Tensor, "*steps"] | None,
    ) -> tuple[Float[Tensor, "*steps x_dim"], Float[Tensor, "*steps y_dim"]]:
        """What the critic sees of both, with zeros where a step is not real."""
        x, y = cleared(x, mask), cleared(y, mask)
        return _standardized(x, y, mask) if self.scale_free else (x, y)

    def _gaussian(self, x: Float[Tensor, "*steps x_dim"]) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of `q(y | x)`."""
        logvar = at_least_float32(self.p_logvar(x))
        return at_least_float32(self.p_mu(x)), 3 * logvar - 2 if self.scale_free else logvar


def _standardized(
    x: Float[Tensor, "*steps x_dim"], y: Float[Tensor, "*steps y_dim"], mask: Bool[Tensor, "*steps"] | None
) -> tuple[Float[Tensor, "*steps x_dim"], Float[Tensor, "*steps y_dim"]]:
    """Each channel of both at mean 0 and deviation 1 over the real steps; one that is constant is 0.

    Gradients flow through mean and deviation too, so that no gradient changes the scale of a channel.
    """
    both = [at_least_float32(x), at_least_float32(y)]
    mask = ranks.real(mask, both[0][..., 0])
    flat = [z.flatten(0, -2) for z in both]
    weight = (
        torch.ones_like(flat[0][:, :1]) if mask is None else mask.flatten().unsqueeze(-1).to(flat[0].dtype)
    )
    count, *sums = ranks.total(weight.sum(), *((weight * z).sum(0) for z in flat))
    means = [each / count.clamp(min=1) for each in sums]
    centered = [weight * (z - mean) for z, mean in zip(flat, means, strict=True)]
    squares = ranks.total(*(z.square().sum(0) for z in centered))
    found = []
    for z, mean, square, shape in zip(centered, means, squares, both, strict=True):
        least = 1e-12 * mean.detach().square() + 1e-20  # a deviation below this is rounding
        found.append((z * (square / count.clamp(min=1) + least).rsqrt()).view_as(shape))
    return found[0], found[1]


def among_present(
    permutation: Int64[Tensor, " batch"], mask: Bool[Tensor, "batch ..."]
) -> Int64[Tensor, " batch"]:
    """A permutation of a batch as one of the clips that are there, so that none has an absent negative.

    The n clips with a real step, in ascending order, are mapped onto the same clips in the order in which the
    permutation names them: uniform if the permutation is, and the permutation itself if no clip is absent.
    Nothing is read from the device.

    Args:
        permutation: `[B]`.
        mask: `[B, ...]`, True where a step is real.

    >>> among_present(torch.tensor([1, 0, 3, 2]), torch.tensor([True, False, True, True]))
    tensor([0, 1, 3, 2])
    """
    absent = ~mask.flatten(1).any(1) if mask.ndim > 1 else ~mask
    ascending = absent.long().argsort(stable=True)
    named = permutation[absent[permutation].long().argsort(stable=True)]
    return torch.empty_like(permutation).scatter_(0, ascending, named)


def _mlp(inputs: int, hidden: int, outputs: int) -> list[nn.Module]:
    widths = [inputs, hidden, hidden, hidden, outputs]
    layers = [[nn.Linear(*pair), nn.ReLU()] for pair in pairwise(widths)]
    return [module for layer in layers for module in layer][:-1]


def released_club_bound(
    mu: Float[Tensor, "batch *steps y_dim"],
    logvar: Float[Tensor, "batch *steps y_dim"],
    y: Float[Tensor, "batch *steps y_dim"],
    permutation: Int64[Tensor, " batch"] | None,
    mask: Bool[Tensor, "batch ..."] | None,
) -> Float[Tensor, ""]:
    """The released estimate: errors and log-variances are averaged over axis 1 *before* they are divided.

    For `[B, T, Y]` that axis is time; for `[B, Y]` it is the feature axis, and the sum over features becomes
    a sum over the batch. Arguments are those of `club_bound`.
    """
    gap, valid = _error_gap(mu, y, permutation, mask)
    if gap.ndim == 2:
        ratio = gap.mean(1) / logvar.mean(1).exp()
        return 0.5 * ranks.total((ratio if valid is None else ratio * valid).sum())[0]
    weight = torch.ones_like(gap[..., :1]) if valid is None else valid.unsqueeze(-1).to(gap.dtype)
    weight = weight / weight.sum(1, keepdim=True).clamp(min=1)
    ratio = (weight * gap).sum(1) / (weight * logvar).sum(1).exp()
    return 0.5 * mean_of_clips(ratio.sum(-1), None if valid is None else valid.any(1))
