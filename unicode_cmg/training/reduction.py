"""The mean over ranks of the gradients, on its way while backward still computes the others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from unicode_cmg.ranks import rank_and_world

_BUCKET = 25 * 2**20  # bytes; as DistributedDataParallel of torch


class GradientMean:
    """Averages the gradients of an optimizer's parameters over the ranks of torch.distributed.

    Parameters that had a gradient in the step before are grouped into buckets, the last ones first, as
    backward reaches them first. A bucket is sent as soon as it and those before it have all their gradients.
    Which parameters have one must not differ between ranks. With one rank nothing is watched.

    Args:
        parameters: Those of the optimizer, in the order in which they are used.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self._parameters, self._world = list(parameters), rank_and_world()[1]
        self._buckets: list[list[nn.Parameter]] = []
        self._arrived: set[nn.Parameter] = set()
        self._sent: list[tuple[list[nn.Parameter], Tensor, Any]] = []
        if self._world > 1:
            for parameter in self._parameters:
                parameter.register_post_accumulate_grad_hook(self._arrive)  # type: ignore[no-untyped-call]

    def finish(self) -> None:
        """Wait until every gradient is the mean; to be called after backward, on every rank."""
        if self._world == 1:
            return
        sent = {parameter for bucket, _, _ in self._sent for parameter in bucket}
        for bucket in _buckets(p for p in reversed(self._parameters) if p in self._arrived - sent):
            self._send(bucket)
        for bucket, flat, work in self._sent:
            work.wait()
            flat.div_(self._world)
            for parameter, part in zip(bucket, torch.split(flat, [p.numel() for p in bucket]), strict=True):
                if parameter.grad is not None:
                    parameter.grad.copy_(part.view_as(parameter))
        if self._arrived != {parameter for bucket in self._buckets for parameter in bucket}:
            self._buckets = _buckets(p for p in reversed(self._parameters) if p in self._arrived)
        self._arrived, self._sent = set(), []

    def _arrive(self, parameter: Tensor) -> None:
        self._arrived.add(parameter)  # type: ignore[arg-type]  # the hooks are those of parameters
        while len(self._sent) < len(self._buckets):
            bucket = self._buckets[len(self._sent)]
            if not self._arrived.issuperset(bucket):
                return
            self._send(bucket)

    def _send(self, bucket: list[nn.Parameter]) -> None:
        flat = torch.cat([p.grad.flatten() for p in bucket if p.grad is not None])
        self._sent.append((bucket, flat, dist.all_reduce(flat, async_op=True)))


def _buckets(parameters: Iterable[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Neighbours of one type, together, up to a size."""
    found: list[list[nn.Parameter]] = []
    full = 0
    for p in parameters:
        size = p.numel() * p.element_size()
        if not found or full + size > _BUCKET or found[-1][0].dtype != p.dtype:
            found.append([])
            full = 0
        found[-1].append(p)
        full += size
    return found
