"""Which representation of a step's clips is regularized, and one vector for each clip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unicode_cmg.batch import StepView

Representation = Literal["general", "codes"]


def represented(
    view: StepView, which: Representation
) -> tuple[Mapping[str, Float[Tensor, "batch _ dim"]], Mapping[str, Bool[Tensor, "batch _"]]]:
    """The general features or the codes by modality, and which of their steps are valid."""
    if which == "codes":
        return view.codes, view.code_masks
    return view.general, {m: view.masks[m] for m in view.general}


def clip_means(
    values: Float[Tensor, "batch time dim"], mask: Bool[Tensor, "batch time"]
) -> Float[Tensor, "batch dim"]:
    """Mean over the valid steps in float32 or better, 0 for a clip without any; padding may hold anything."""
    share = mask.float() / mask.sum(1, keepdim=True).clamp(min=1)
    return (torch.where(mask.unsqueeze(-1), values, 0) * share.unsqueeze(-1)).sum(1)
