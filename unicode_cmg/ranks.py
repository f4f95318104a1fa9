"""Batches that several processes share: which clips are this rank's, gathers and sums over all ranks.

Outside `sharing`, and with one rank, every tensor is the whole already, and nothing here communicates.

A loss of a shared batch has the value of the whole batch on every rank, and the mean over ranks of its
gradients is the gradient on one rank. `gather` and `total` have the gradients that this takes, whatever each
rank does with their result; `mean_of_batch` is for what every rank puts to the same use.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Bool, Float, Shaped
from torch import Tensor


def rank_and_world() -> tuple[int, int]:
    """This process's rank and the number of ranks; (0, 1) outside torch.distributed."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def first_to_tell() -> bool:
    """Whether no other rank of the job has asked this before: of what all have to say, one should be heard.

    Ranks ask each other where torchrun or torch.distributed keeps what they share, also after some of them
    have ended. Where that is out of reach, the first rank is the one.
    """
    key, store = "unicode_cmg/told", None
    try:
        if dist.is_available() and dist.is_initialized():
            store = dist.distributed_c10d._get_default_store()
        elif os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
            address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
            wait = timedelta(seconds=10)
            store = dist.TCPStore(address, port, is_master=False, timeout=wait)  # type: ignore[attr-defined]
        if store is not None:
            return int(store.add(key, 1)) == 1
    except (RuntimeError, LookupError, ValueError):
        pass
    return os.environ.get("RANK", "0") == "0"


@dataclass(frozen=True)
class Share:
    """The clips of a batch that one rank has; those of all ranks, in order, are the batch.

    Every rank has equally many rows, at least one. A rank with fewer clips than rows has a row without any
    valid step at the end.

    Attributes:
        clips: Clips of the batch.
        ranks: Number of ranks.
        rank: Which of them.
    """

    clips: int
    ranks: int
    rank: int

    @property
    def rows(self) -> int:
        """Rows of every rank."""
        return max(1, -(-self.clips // self.ranks))

    @property
    def first(self) -> int:
        """Place of the first clip of this rank in the batch."""
        each, more = divmod(self.clips, self.ranks)
        return self.rank * each + min(self.rank, more)

    @property
    def count(self) -> int:
        """Clips of this rank."""
        each, more = divmod(self.clips, self.ranks)
        return each + (self.rank < more)

    def of(self, rank: int) -> Share:
        """The share of another rank."""
        return Share(self.clips, self.ranks, rank)


_shared: Share | None = None


def share() -> Share | None:
    """The share of this rank in the batch at hand; None where no other rank has a part of it."""
    return _shared


@contextmanager
def sharing(clips: int) -> Iterator[None]:
    """Within the block the ranks of torch.distributed work on their shares of a batch of so many clips."""
    global _shared
    rank, ranks = rank_and_world()
    before, _shared = _shared, Share(clips, ranks, rank) if ranks > 1 else None
    try:
        yield
    finally:
        _shared = before


def clips_of_batch(rows: int) -> int:
    """Clips of the whole batch of which this rank has `rows` rows, in one or more blocks; see `gather`."""
    return rows if _shared is None else rows // _shared.rows * _shared.clips


def real(
    mask: Bool[Tensor, rows * steps] | None, like: Shaped[Tensor, rows * steps]
) -> Bool[Tensor, rows * steps] | None:
    """The mask of a share's values; without one, True in the rows that are clips.

    Args:
        mask: True where a value counts; it is False already in a row without a clip. None: everywhere.
        like: What has the shape of the mask.

    Returns:
        None where there was no mask and the batch is not shared.
    """
    if mask is not None or _shared is None:
        return mask
    row = torch.arange(_shared.rows, device=like.device) < _shared.count
    row = row.repeat(len(like) // _shared.rows)
    return row.view(-1, *[1] * (like.ndim - 1)).expand_as(like)


def own_rows(whole: Shaped[Tensor, clips * shape]) -> Shaped[Tensor, rows * shape]:
    """This rank's rows of a tensor of the whole batch; a row without a clip holds those of another."""
    if _shared is None:
        return whole
    blocks = whole.reshape(-1, _shared.clips, *whole.shape[1:])
    rows = torch.arange(_shared.first, _shared.first + _shared.rows, device=whole.device)
    own: Tensor = blocks[:, rows.clamp(max=_shared.clips - 1)].flatten(0, 1)
    return own


def gather(x: Shaped[Tensor, rows * shape]) -> Shaped[Tensor, clips * shape]:
    """The rows of all ranks, in the order of the batch, with gradient.

    Args:
        x: A row for each of this rank's, or several blocks of them, one after the other, such as one for each
            modality.
    """
    if _shared is None:
        return x
    blocks = x.reshape(-1, _shared.rows, *x.shape[1:]).transpose(0, 1)
    whole: Tensor = _Gather.apply(blocks, _shared)  # type: ignore[no-untyped-call]
    return whole.transpose(0, 1).flatten(0, 1)


def total(*tensors: Shaped[Tensor, ...]) -> tuple[Shaped[Tensor, ...], ...]:
    """Each tensor summed over the ranks that share the batch, in one collective, with gradient."""
    if _shared is None:
        return tensors
    summed: Tensor = _Total.apply(_flat(tensors))  # type: ignore[no-untyped-call]
    return _parted(summed, tensors)


def mean_of_batch(sums: Float[Tensor, "*shape"], counts: Shaped[Tensor, ...]) -> Float[Tensor, "*shape"]:
    """`sums / counts`, both taken over the whole batch; 0 where nothing is counted.

    Its gradient on a rank is that in the rank's own sums, times the number of ranks.

    Args:
        sums: Of this rank's clips.
        counts: How much was summed, likewise; its axes are the last ones of `sums`.
    """
    if _shared is None:
        return sums / counts.clamp(min=1)
    counts = counts.to(sums.dtype).expand_as(sums)
    whole, of_all = sum_over_ranks(sums.detach(), counts)
    of_all = of_all.clamp(min=1)
    own = sums * (_shared.ranks / of_all)
    return own - own.detach() + whole / of_all  # to the bit the same value on every rank


def sum_over_ranks(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Each tensor summed over all ranks of torch.distributed, in one collective and without gradient.

    Every rank must call it, whether they share a batch or not.
    """
    if rank_and_world()[1] == 1:
        return tensors
    flat = _flat(tensors)
    dist.all_reduce(flat)
    return _parted(flat, tensors)


def _flat(tensors: tuple[Tensor, ...]) -> Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def _parted(flat: Tensor, like: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    parts = torch.split(flat, [tensor.numel() for tensor in like])
    return tuple(part.view_as(tensor) for part, tensor in zip(parts, like, strict=True))


class _Gather(torch.autograd.Function):
    """`[rows, ...]` of every rank as `[clips, ...]` on each; gradients of all ranks are added up."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, shared: Share) -> Tensor:
        ctx.shared = shared
        parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(shared.ranks)]
        dist.all_gather(parts, x.contiguous())
        return torch.cat([part[: shared.of(rank).count] for rank, part in enumerate(parts)])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        whole, shared = gradient.contiguous().clone(), ctx.shared
        dist.all_reduce(whole)
        own = whole.new_zeros(shared.rows, *whole.shape[1:])
        own[: shared.count] = whole[shared.first : shared.first + shared.count]
        return own, None


class _Total(torch.autograd.Function):
    """The sum over ranks; its gradient is the sum of their gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.clone()
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.clone()
        dist.all_reduce(gradient)
        return gradient
