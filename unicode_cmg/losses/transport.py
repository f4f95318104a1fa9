"""How far apart sets of tokens are by optimal transport: sliced, exact or entropic."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

from unicode_cmg.errors import InputError, at_least, positive
from unicode_cmg.losses._masked import at_least_float32

_UNCONVERGED = 0.01  # share of the mass


def random_directions(count: int, dim: int, *, generator: torch.Generator) -> Float[Tensor, "count dim"]:
    """Unit vectors, uniform on the sphere, float32 on the CPU.

    Args:
        count: How many.
        dim: Their width.
        generator: CPU generator.

    Raises:
        InputError: There are none.
    """
    at_least("random_directions", 1, count=count)
    return functional.normalize(torch.randn(count, dim, generator=generator), dim=-1)


def sliced_distances(
    x: Float[Tensor, "x_batch x_tokens dim"],
    x_mask: Bool[Tensor, "x_batch x_tokens"] | None,
    y: Float[Tensor, "y_batch y_tokens dim"],
    y_mask: Bool[Tensor, "y_batch y_tokens"] | None,
    *,
    directions: Float[Tensor, "directions dim"],
) -> Float[Tensor, "x_batch y_batch"]:
    """Squared sliced 2-Wasserstein distance of every `x[i]` to every `y[j]`, times D (Bonneel et al. 2015).

    Along one direction, transport is solved by sorting: the cost is the squared difference of the quantile
    functions, integrated over (0, 1). These are steps, and steps of all numbers of tokens in the batch are
    constant between the breakpoints of all of them, so the integral is a finite sum and exact for sets of
    different sizes. It is a squared Euclidean distance of the quantiles side by side, one matrix product for
    all pairs.

    The mean over random directions is about 1/D of the cost in D dimensions. The factor D undoes that: two
    single tokens are `|x - y|^2` apart on average, as by the other distances; larger sets are at most as far
    apart on average as by `exact_distances`.

    Args:
        x: `[B1, N, D]`, each sample a distribution with equal mass on its valid tokens.
        x_mask: `[B1, N]`, True where a token is valid; all of them if None. Padding has no influence.
        y: `[B2, M, D]`.
        y_mask: `[B2, M]`.
        directions: `[P, D]` unit vectors, of `random_directions`.

    Returns:
        `[B1, B2]`; 0 where either has no valid token. It takes `O((B1 + B2) P G)` memory, where G is the
        number of breakpoints: N if all samples have N tokens, about 0.3 N^2 if every number up to N occurs.
    """
    with torch.autocast(x.device.type, enabled=False):
        x, x_some, x_mask = _cleared(x, x_mask)
        y, y_some, y_mask = _cleared(y, y_mask)
        level, width = _levels(torch.cat([x_mask.sum(1), y_mask.sum(1)]))
        directions = directions.to(x)
        a, b = (
            (_quantiles(tokens @ directions.T, mask, level.to(x.device)) * width.to(x).sqrt()).flatten(1)
            for tokens, mask in ((x, x_mask), (y, y_mask))
        )
        return _where_both(x_some, y_some, _squared(a, b) * (directions.shape[1] / directions.shape[0]))


def exact_distances(
    x: Float[Tensor, "x_batch x_tokens dim"],
    x_mask: Bool[Tensor, "x_batch x_tokens"] | None,
    y: Float[Tensor, "y_batch y_tokens dim"],
    y_mask: Bool[Tensor, "y_batch y_tokens"] | None,
) -> Float[Tensor, "x_batch y_batch"]:
    """Squared 2-Wasserstein distance of every `x[i]` to every `y[j]`, by POT's network simplex.

    The least `sum_nm T[n, m] |x_n - y_m|^2` over plans T that take the equal masses of one sample to those of
    the other. By the envelope theorem its gradient is that of the cost with the optimal plan held constant.
    Plans are found on the CPU in float64, one pair of samples after the other: for small batches.

    Args:
        x: `[B1, N, D]`, each sample a distribution with equal mass on its valid tokens.
        x_mask: `[B1, N]`, True where a token is valid; all of them if None. Padding has no influence.
        y: `[B2, M, D]`.
        y_mask: `[B2, M]`.

    Returns:
        `[B1, B2]`; 0 where either has no valid token. It takes `O(B1 B2 N M)` memory.

    Raises:
        InputError: POT is not installed.
    """
    ot = _pot("exact_distances")
    with torch.autocast(x.device.type, enabled=False):
        x, x_some, x_mask = _cleared(x, x_mask)
        y, y_some, y_mask = _cleared(y, y_mask)
        costs = _token_costs(x, y)
        # POT would warn of each NaN; the sum below has it all the same.
        known = np.nan_to_num(costs.detach().cpu().double().numpy(), posinf=0.0)
        rows, columns = ([np.flatnonzero(one) for one in mask.cpu().numpy()] for mask in (x_mask, y_mask))
        plans = np.zeros_like(known)
        for at in np.ndindex(plans.shape[:2]):
            valid = np.ix_(rows[at[0]], columns[at[1]])
            plans[at][valid] = ot.emd([], [], known[at][valid])
        plan = torch.from_numpy(plans).to(costs)
        return _where_both(x_some, y_some, (plan * costs).sum((-2, -1)))


def entropic_distances(
    x: Float[Tensor, "x_batch x_tokens dim"],
    x_mask: Bool[Tensor, "x_batch x_tokens"] | None,
    y: Float[Tensor, "y_batch y_tokens dim"],
    y_mask: Bool[Tensor, "y_batch y_tokens"] | None,
    *,
    entropy: float = 0.1,
    iterations: int = 200,
    tolerance: float = 1e-5,
) -> Float[Tensor, "x_batch y_batch"]:
    """Sinkhorn divergence of every `x[i]` and `y[j]`, by POT's batched solver in the log domain.

    `S(x, y) = W(x, y) - W(x, x) / 2 - W(y, y) / 2`, where W is the cost of `exact_distances` plus `entropy`
    times the negative entropy of the plan (Feydy et al. 2019). Without the last two terms a sample would not
    be nearest to itself, and the minimum would shrink samples to points. It tends to the exact distance as
    `entropy` goes to 0, and takes more iterations the smaller that is against the costs. Its gradient is that
    of the costs with the plans held constant, as exact as the plans are.

    Args:
        x: `[B1, N, D]`, each sample a distribution with equal mass on its valid tokens.
        x_mask: `[B1, N]`, True where a token is valid; all of them if None. Padding has no influence.
        y: `[B2, M, D]`.
        y_mask: `[B2, M]`.
        entropy: Weight of the entropy, in units of squared distance.
        iterations: Sinkhorn iterations at most. After 200, costs of unit tokens are within 0.01 of their
            limit at an entropy of 0.1.
        tolerance: They end when no sample's masses are off by more than this. A plan whose masses are off by
            more than a hundredth after the last iteration gives a `UserWarning`, once a call.

    Returns:
        `[B1, B2]`, 0 or more to within the tolerance; 0 where either has no valid token. It takes
        `O(B1 B2 N M)` memory.

    Raises:
        InputError: POT is not installed, or `entropy` is not positive.
    """
    positive("entropic_distances", entropy=entropy)
    solve_batch = _pot("entropic_distances").batch.solve_batch

    off: list[Tensor] = []

    def regularised(costs: Tensor, a: Tensor, b: Tensor) -> Tensor:
        with torch.no_grad():
            plan = solve_batch(costs, entropy, a=a, b=b, max_iter=iterations, tol=tolerance).plan
            off.append(torch.maximum((plan.sum(2) - a).abs().sum(1), (plan.sum(1) - b).abs().sum(1)).max())
        value: Tensor = (plan * costs).sum((-2, -1)) - entropy * torch.special.entr(plan).sum((-2, -1))
        return value

    with torch.autocast(x.device.type, enabled=False):
        x, x_some, x_mask = _cleared(x, x_mask)
        y, y_some, y_mask = _cleared(y, y_mask)
        a, b = (mask / mask.sum(1, keepdim=True).to(x) for mask in (x_mask, y_mask))
        costs = _token_costs(x, y)
        between = regularised(costs.flatten(0, 1), a.repeat_interleave(len(b), 0), b.repeat(len(a), 1)).view(
            len(a), len(b)
        )
        own_x, own_y = (
            regularised((tokens.unsqueeze(2) - tokens.unsqueeze(1)).square().sum(-1), mass, mass)
            for tokens, mass in ((x, a), (y, b))
        )
        if max(off) > _UNCONVERGED:
            warnings.warn(
                f"entropic_distances: not converged after {iterations} iterations, more than 1 % of the mass"
                f" is not where it should be: the entropy {entropy:g} is small against the squared distances"
                " of tokens; raise it to about a tenth of their mean, or scale the tokens to unit length",
                stacklevel=2,
            )
        return _where_both(x_some, y_some, between - (own_x.unsqueeze(1) + own_y) / 2)


def _pot(where: str) -> Any:
    """The POT library; `where` is the function that needs it, for the message."""
    try:
        import ot
        import ot.batch
    except ImportError:
        raise InputError(
            "POT 0.9.6 or newer is not installed",
            where=where,
            fix="pip install 'unicode-cmg[transport]', or use sliced distances",
        ) from None
    return ot


def _cleared(
    tokens: Float[Tensor, "batch tokens dim"], mask: Bool[Tensor, "batch tokens"] | None
) -> tuple[Float[Tensor, "batch tokens dim"], Bool[Tensor, " batch"], Bool[Tensor, "batch tokens"]]:
    """Tokens with zeros at padding, which samples have any, and a mask in which the others have all."""
    tokens = at_least_float32(tokens)
    if mask is None:
        mask = tokens.new_ones(tokens.shape[:2], dtype=torch.bool)
    some = mask.any(1)
    return tokens.masked_fill(~mask.unsqueeze(2), 0), some, mask | ~some.unsqueeze(1)


def _where_both(
    x_some: Bool[Tensor, " x_batch"],
    y_some: Bool[Tensor, " y_batch"],
    values: Float[Tensor, "x_batch y_batch"],
) -> Float[Tensor, "x_batch y_batch"]:
    return torch.where(x_some.unsqueeze(1) & y_some, values, 0)


def _levels(counts: Int64[Tensor, " samples"]) -> tuple[Float[Tensor, " levels"], Float[Tensor, " levels"]]:
    """Middle and width of each interval on which quantile functions of so many equal masses are constant."""
    # Equal fractions are equal floats, division being correctly rounded.
    steps = [torch.arange(n + 1, dtype=torch.float64) / n for n in set(counts.tolist())]
    edges = torch.unique(torch.cat(steps))  # sorted
    return (edges[1:] + edges[:-1]) / 2, edges.diff()


def _quantiles(
    projected: Float[Tensor, "batch tokens directions"],
    mask: Bool[Tensor, "batch tokens"],
    level: Float[Tensor, " levels"],
) -> Float[Tensor, "batch directions levels"]:
    """The value below which the given shares of a sample's tokens lie, along each direction."""
    ordered = projected.mT.masked_fill(~mask.unsqueeze(1), torch.inf).sort(-1).values
    rank = (mask.sum(1, keepdim=True) * level).long()
    return ordered.gather(2, rank.unsqueeze(1).expand(-1, ordered.shape[1], -1))


def _token_costs(
    x: Float[Tensor, "x_batch x_tokens dim"], y: Float[Tensor, "y_batch y_tokens dim"]
) -> Float[Tensor, "x_batch y_batch x_tokens y_tokens"]:
    flat = _squared(x.flatten(0, 1), y.flatten(0, 1))
    return flat.view(*x.shape[:2], *y.shape[:2]).transpose(1, 2)


def _squared(x: Float[Tensor, "rows dim"], y: Float[Tensor, "columns dim"]) -> Float[Tensor, "rows columns"]:
    """Squared Euclidean distances; where rounding would make one negative, it is 0 and has no gradient."""
    lengths = x.square().sum(1, keepdim=True) + y.square().sum(1)
    return torch.addmm(lengths, x, y.T, alpha=-2).clamp(min=0)
