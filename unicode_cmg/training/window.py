"""Means of the logged values over the steps since the last log line, summed on the device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


class Window:
    """Sums of named scalars since the last `close`; a change of names starts a new window."""

    def __init__(self) -> None:
        self._names: tuple[str, ...] = ()
        self._sum: Float[Tensor, " names"] | None = None
        self._steps = 0

    def add(self, values: Mapping[str, Float[Tensor, ""]]) -> None:
        """Take in the values of one step; nothing is read from the device."""
        stacked = torch.stack([value.detach().float() for value in values.values()])
        if self._sum is None or self._names != tuple(values):
            self._names, self._sum, self._steps = tuple(values), stacked, 1
        else:
            self._sum, self._steps = self._sum + stacked, self._steps + 1

    def means(self) -> Float[Tensor, " names"]:
        """Mean of every name over the window, on the device; at least one step must have been added."""
        if self._sum is None:
            raise RuntimeError("the window is empty")
        return self._sum / self._steps

    def close(self, means: Float[Tensor, " names"]) -> dict[str, dict[str, float]]:
        """`means` as numbers, grouped by what precedes the first `/` of a name; the window is then empty."""
        grouped: dict[str, dict[str, float]] = {}
        for name, value in zip(self._names, means.tolist(), strict=True):
            group, _, rest = name.partition("/")
            grouped.setdefault(group, {})[rest] = value
        self._sum = None
        return grouped

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON values that `restore` takes back."""
        tensors = {} if self._sum is None else {"sum": self._sum}
        return tensors, {"names": list(self._names), "steps": self._steps}

    def restore(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any], device: torch.device) -> None:
        """Continue the window that `state` described."""
        self._names, self._steps = tuple(values["names"]), values["steps"]
        self._sum = tensors["sum"].to(device) if "sum" in tensors else None
