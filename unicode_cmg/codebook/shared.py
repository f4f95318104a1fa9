"""The codebook that all modalities share, moved by multimodal exponential moving averages (MM-EMA)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from unicode_cmg.codebook.joint import Joint
from unicode_cmg.codebook.pulls import Choices, laplace_smoothing, pulls
from unicode_cmg.codebook.quantizer import (
    Features,
    Generator,
    Indices,
    Lookup,
    Masks,
    Quantized,
    Quantizer,
    nearest_and_distances,
    nearest_codewords,
    squared_distances,
)
from unicode_cmg.codebook.revival import Places, draws_of_rank_0
from unicode_cmg.errors import InputError, at_least, one_of, positive, unknown
from unicode_cmg.ranks import sum_over_ranks


class SharedCodebook(Quantizer):
    """`H` codewords of width `D` for all modalities (DCID paper eq. 7; `e` of TOC paper eq. A3).

    Each choice of a code pulls it, with weight `own_weight`, towards the feature that chose it and, with the
    rest, towards the features of the other modalities at the same step of the same clip. There is one update
    per training step for all modalities together, as in the paper. Counts start at one, so that count, weight
    and codeword agree from the start.

    With `assignment="joint"` the modalities of a step choose together: the code nearest to their mean, which
    is the code with the least sum of squared distances to them, is the choice of each. What they mean in
    common then has one code. If each chooses for itself ("own", as in the papers), two modalities can keep
    two copies of a codeword side by side, each a little nearer to one of them, and nothing ever makes these
    one. Modalities in `free` have steps at times of their own, such as words: each of their steps joins the
    step of its clip at which the other modalities are nearest to it.

    A code idle for more than `revive_after` updates moves to a step drawn from the current batch, onto the
    mean of the modalities there (onto a feature if modalities do not pull each other's codes), and its count
    and weight are reset with it. Any use keeps a code, as in the released code; the paper asks for use by
    *each* modality (`PaperSharedCodebook`). Statistics are summed over the ranks of torch.distributed and
    revivals are the same on all ranks. `ReleasedSharedCodebook` is the update of the released code.

    State is float32 also inside autocast and under `half()` or `bfloat16()`, and float64 after `double()`.
    Buffers: `embedding` `[H, D]`, the codewords; `ema_count` `[H]` and `ema_weight` `[H, D]`, the averages
    they are made of; `idle` `[H]`, updates since any modality used a code (`unactivated_count` in released
    checkpoints); `seeded`, whether `init="data"` has happened.

    Args:
        num_codes: Number of codewords H.
        dim: Width of a codeword D.
        modalities: Names of the modalities.
        decay: Share of the running averages that survives an update.
        epsilon: Laplace smoothing of the counts.
        own_weight: Weight of the choosing feature itself, in [0, 1]; at 1 modalities do not pull each other's
            codes.
        revive_after: Updates without use after which a code is dead; None never revives.
        init: `uniform` draws codewords from U(-1/H, 1/H), the released range at the released H = 400; `data`
            also starts there, and lets the first training update place every code on the batch, as a revival
            would.
        assignment: `own` or `joint`; see above.
        free: Modalities whose steps are not those of the others; read by `joint` alone.
        separation: Least distance between two codewords, as a share of the spread of the features (their
            root mean square distance to their mean); 0 for any. Codewords that come closer become one, and a
            dead code starts again only on a vector that is at least as far from every other codeword, as in
            DP-means (Kulis and Jordan 2012). Then as many codes are in use as there are things to tell apart,
            H at most; the rows of the others are copies of the nearest one in use.

    Raises:
        InputError: An argument is out of range.

    >>> codebook = SharedCodebook(num_codes=8, dim=4, modalities=("audio", "video"))
    >>> features = {m: torch.randn(2, 10, 4) for m in codebook.modalities}
    >>> quantized = {m: codebook.quantize(z) for m, z in features.items()}
    >>> quantized["audio"].codes.shape, quantized["audio"].indices.shape
    (torch.Size([2, 10, 4]), torch.Size([2, 10, 1]))
    >>> codebook.update(features, {m: q.indices for m, q in quantized.items()})
    """

    embedding: Tensor
    ema_count: Tensor
    ema_weight: Tensor
    idle: Tensor
    seeded: Tensor

    def __init__(
        self,
        num_codes: int,
        dim: int,
        modalities: Sequence[str],
        *,
        decay: float = 0.99,
        epsilon: float = 1e-5,
        own_weight: float = 0.5,
        revive_after: int | None = 300,
        init: Literal["uniform", "data"] = "uniform",
        assignment: Literal["own", "joint"] = "own",
        free: Collection[str] = (),
        separation: float = 0.0,
    ) -> None:
        super().__init__()
        where = type(self).__name__
        at_least(where, 1, num_codes=num_codes, dim=dim)
        if revive_after is not None:
            at_least(where, 1, revive_after=revive_after)
        one_of(where, ("uniform", "data"), init=init)
        one_of(where, ("own", "joint"), assignment=assignment)
        at_least(where, 0, separation=separation)
        positive(where, epsilon=epsilon)
        names = list(modalities)
        for what, fine, expected in (
            (f"modalities are {names}", 0 < len(names) == len(set(names)), "one or more different names"),
            (f"decay is {decay}", 0 <= decay < 1, "a number in [0, 1)"),
            (f"own_weight is {own_weight}", 0 <= own_weight <= 1, "a number in [0, 1]"),
        ):
            if not fine:
                raise InputError(what, where=where, expected=expected)
        self.num_codes, self.dim, self.modalities = num_codes, dim, tuple(modalities)
        self.decay, self.epsilon, self.own_weight = decay, epsilon, own_weight
        self.revive_after, self.init = revive_after, init
        self.assignment, self.free, self.separation = assignment, frozenset(free), separation
        embedding = torch.empty(num_codes, dim).uniform_(-1 / num_codes, 1 / num_codes)
        self.register_buffer("embedding", embedding)
        self.register_buffer("ema_count", torch.ones(num_codes))
        self.register_buffer("ema_weight", embedding.clone())
        self.register_buffer("idle", torch.zeros(num_codes, dtype=torch.int64))
        self.register_buffer("seeded", torch.tensor(init == "uniform"))
        self.in_use: Tensor | None
        self.register_buffer("in_use", torch.ones(num_codes, dtype=torch.bool) if separation else None)

    def extra_repr(self) -> str:
        return (
            f"{self.num_codes} codes of width {self.dim}, init={self.init}, decay={self.decay}, "
            f"own_weight={self.own_weight}, revive_after={self.revive_after}"
        )

    def quantize(self, z: Float[Tensor, "batch time dim"], *, distances: bool = False) -> Quantized:
        """The nearest codeword of every step. The state does not change.

        Backpropagate through `squared_distances` before calling `update`, which writes the codewords in
        place. Arguments and errors are those of `Quantizer.quantize`.
        """
        self._check_width(z)
        with torch.autocast(z.device.type, enabled=False):
            exact = z.to(self.embedding.dtype)
            flat, kept = exact.flatten(0, 1), None
            if distances:
                indices, kept = nearest_and_distances(flat, self.embedding, in_use=self.in_use)
                kept = kept.view(*z.shape[:2], -1)
            else:
                indices = nearest_codewords(flat.detach(), self.embedding, in_use=self.in_use)
            codewords = functional.embedding(indices, self.embedding).view(z.shape)
            codes = (exact + (codewords - exact).detach()).to(z.dtype)
        return Quantized(codes, (Lookup(exact, codewords, indices.view(z.shape[:2]), kept),))

    def targets(
        self, features: Features, quantized: Mapping[str, Quantized], masks: Masks = None
    ) -> dict[str, Float[Tensor, "batch _ dim"]]:
        """The codewords that the modalities chose together, or each for itself; see `Quantizer.targets`."""
        if self.assignment == "own":
            return super().targets(features, quantized, masks)
        joint = Joint.of(features, masks, self.free, self.quantize)
        return {m: functional.embedding(index, self.embedding) for m, index in joint.assigned.items()}

    @torch.no_grad()
    def update(
        self, features: Features, indices: Indices, masks: Masks = None, *, generator: Generator = None
    ) -> None:
        """Move the codes towards what pulls them, and revive dead codes; in eval mode nothing happens.

        Arguments and errors are those of `Quantizer.update`.
        """
        if not self.training:
            return
        if self.assignment == "joint":
            joint = Joint.of(features, masks, self.free, self.quantize)
            features, indices, masks = joint.features, joint.indices, joint.masks
        choices = self._choices(features, indices, masks)
        counts, sums = torch.zeros_like(self.ema_count), torch.zeros_like(self.ema_weight)
        for choice, pull in zip(choices, self._pulls(choices), strict=True):
            choice.add_to(counts, sums, pull)
        places = Places.of([c.features for c in choices], [c.valid for c in choices], self.own_weight)
        draws = draws_of_rank_0((self.num_codes,), generator, counts.device).to(counts.dtype)
        counts, places_by_rank, draws = sum_over_ranks(counts, places.by_rank(), draws)

        self._note_use(counts, dict(zip(self._names(features), choices, strict=True)))
        anything = places_by_rank.sum() > 0
        dead = (self._dead() | ~self.seeded) & anything
        if self.in_use is not None:
            dead |= ~self.in_use
        sums, fresh = sum_over_ranks(sums, places.drawn(dead, draws, places_by_rank))
        self._move(counts, sums)
        if self.in_use is None:
            self._revive(dead, fresh)
        else:
            self._separate(self.in_use, dead, fresh, places.spread() * self.separation)
        self.seeded.logical_or_(anything)

    def _pulls(self, choices: Sequence[Choices]) -> list[Float[Tensor, "batch _ dim"]]:
        """For each modality the vectors that pull the codes it chose."""
        return pulls(choices, self.own_weight)

    def _note_use(self, counts: Float[Tensor, " codes"], choices: Mapping[str, Choices]) -> None:
        """Count the updates since a code was used by any modality."""
        self.idle.copy_(torch.where(counts > 0, 0, self.idle + 1))

    def _move(self, counts: Float[Tensor, " codes"], sums: Float[Tensor, "codes dim"]) -> None:
        """`N <- decay N + (1 - decay) n`, `o <- decay o + (1 - decay) sum`, `e = o / N` (DCID paper eq. 7).

        A code nobody chose keeps its place: its count and its weight decay alike, so their ratio has not
        changed, and the smoothing would only shrink it towards the origin.

        Args:
            counts: n, how many choices of all modalities fell on each code.
            sums: What pulls each code, summed over these choices.
        """
        self.ema_count.mul_(self.decay).add_(counts, alpha=1 - self.decay)
        self.ema_weight.mul_(self.decay).add_(sums, alpha=1 - self.decay)
        moved = self.ema_weight / laplace_smoothing(self.ema_count, self.epsilon).unsqueeze(-1)
        self.embedding.copy_(torch.where(counts.unsqueeze(-1) > 0, moved, self.embedding))

    def _revive(self, dead: Bool[Tensor, " codes"], fresh: Float[Tensor, "codes dim"]) -> None:
        """Put each dead code on its row of `fresh`, as if one choice had put it there."""
        for rows in (self.embedding, self.ema_weight):
            rows.copy_(torch.where(dead.unsqueeze(-1), fresh, rows))
        self.ema_count.masked_fill_(dead, 1)
        self.idle.masked_fill_(dead, 0)

    def _separate(
        self,
        in_use: Bool[Tensor, " codes"],
        dead: Bool[Tensor, " codes"],
        fresh: Float[Tensor, "codes dim"],
        least: Float[Tensor, ""],
    ) -> None:
        """Revive dead codes where nothing is near, then make one of codewords closer than `least`.

        Each codeword points to the one within `least` of it that is chosen most often. Following the pointers
        leads to a codeword that points to itself, and that takes in the counts and weights of all that led
        there.
        """
        living = in_use & ~dead
        near = _within(fresh, self.embedding, least) & living
        born = dead & (~near.any(1) | ~self.seeded)
        self._revive(born, fresh)
        in_use.copy_(living | born)
        score = torch.where(_within(self.embedding, self.embedding, least) & in_use, self.ema_count, -1.0)
        score.diagonal().copy_(self.ema_count)
        root = score.argmax(1)
        for _ in range(self.num_codes.bit_length()):
            root = root[root]
        for rows in (self.ema_count, self.ema_weight):
            used = in_use.view(-1, *[1] * (rows.ndim - 1))
            rows.copy_(torch.zeros_like(rows).index_add_(0, root, torch.where(used, rows, 0)))
        in_use &= root == torch.arange(self.num_codes, device=root.device)
        centers = self.ema_weight / self.ema_count.clamp(min=1e-12).unsqueeze(-1)
        self.embedding.copy_(torch.where(in_use.unsqueeze(-1), centers, self.embedding))
        nearest = nearest_codewords(self.embedding, self.embedding, in_use=in_use)
        self.embedding.copy_(torch.where(in_use.unsqueeze(-1), self.embedding, self.embedding[nearest]))

    def _dead(self) -> Bool[Tensor, " codes"]:
        """Codes that have been idle for too long."""
        if self.revive_after is None:
            return torch.zeros_like(self.idle, dtype=torch.bool)
        return self.idle > self.revive_after

    def _choices(
        self,
        features: Mapping[str, Tensor],
        indices: Mapping[str, Tensor],
        masks: Mapping[str, Tensor] | None,
    ) -> list[Choices]:
        """The choices of a batch, in the order of `modalities`, once the batch has been checked."""
        where = f"{type(self).__name__}.update"
        for m in features:
            if m not in self.modalities:
                raise unknown("modality", m, self.modalities, where=where)
        names = self._names(features)
        if not names:
            raise InputError("there are no features", where=where, expected="at least one modality")
        aligned = self.own_weight != 1
        shapes = {m: list(features[m].shape[: 2 if aligned else 1]) for m in names}
        if any(shape != shapes[names[0]] for shape in shapes.values()):
            raise InputError(
                "modalities differ in batch or time: " + ", ".join(f"{m} {s}" for m, s in shapes.items()),
                where=where,
                expected="aligned features",
                fix="align them, or set own_weight to 1" if aligned else None,
            )
        masks = masks or {}
        dtype = self.embedding.dtype
        return [Choices.of(features[m].to(dtype), indices[m], masks.get(m)) for m in names]

    def _names(self, features: Features) -> list[str]:
        return [m for m in self.modalities if m in features]

    @property
    def sizes(self) -> tuple[int, ...]:
        """H."""
        return (self.num_codes,)

    def codebook_keys(self) -> tuple[str, ...]:
        """The one codebook."""
        return ("embedding",)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> SharedCodebook:
        """Follow `.to()` and friends, but stay at float32 or above: averages move by a hundredth."""

        def at_least_float32(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            halved = moved.is_floating_point() and torch.finfo(moved.dtype).bits < 32
            return tensor.to(moved.device) if halved else moved

        super()._apply(at_least_float32, recurse)  # type: ignore[no-untyped-call]
        return self


def _within(
    x: Float[Tensor, "rows dim"], y: Float[Tensor, "columns dim"], distance: Float[Tensor, ""]
) -> Bool[Tensor, "rows columns"]:
    return squared_distances(x, y) < distance.square()
