"""Cross-modal contrastive predictive coding: the past of a modality predicts what comes in the others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from unicode_cmg.batch import can_name_module
from unicode_cmg.errors import InputError, at_least, one_of, unknown
from unicode_cmg.losses._masked import at_least_float32, cleared, contrast

_SINGLE_STEP_TEMPERATURE = 0.1  # as in `info_nce`


def cpc_losses(
    targets: Float[Tensor, "horizon targets batch dim"],
    predictions: Float[Tensor, "horizon sources batch dim"],
    valid: Bool[Tensor, "horizon targets sources batch"] | None,
    normalize: Literal["prediction", "target"],
) -> tuple[Float[Tensor, "targets sources"], Float[Tensor, "targets sources"]]:
    """Loss and accuracy of predicting each target modality n from each source modality m.

    `L[n, m] = -1/R sum_r mean_i log(exp(z^n_i . p^m_i) / sum_j exp(z^n_j . p^m_i))` with `z^n = z^n_{t+r}`
    and `p^m = W_r^m c_t^m` (DCID paper eq. 6, TOC paper eqs. 2 and 13); j runs over the clips of the batch.

    Args:
        targets: `[R, M, B, D]` what comes r = 1..R steps ahead, by modality.
        predictions: `[R, M, B, D]` what each modality predicts for it.
        valid: `[R, M, M, B]`, which clips take part in a pair; all if None.
        normalize: `target` sums over the targets of other clips, as in the equation; `prediction` sums over
            the predictions of other clips for one target, as in the released code.
    """
    (number, batch), dim = targets.shape[1:3], -2 if normalize == "target" else -1
    rounds = []
    with torch.autocast(targets.device.type, enabled=False):
        for r, (z, p) in enumerate(zip(targets, predictions, strict=True)):
            rows, columns = (at_least_float32(x).flatten(0, 1) for x in (z, p))
            scores = (rows @ columns.t()).view(number, batch, number, batch).transpose(1, 2)
            rounds.append(contrast(scores, None if valid is None else valid[r], dim))
    losses, accuracies = (torch.stack(values).mean(0) for values in zip(*rounds, strict=True))
    return losses, accuracies


@dataclass(frozen=True)
class CPCResult:
    """Cross-modal CPC of one batch.

    Attributes:
        loss: The weighted sum of the contrasts over ordered pairs.
        accuracy: `(source, target)` -> share of clips whose own target scores highest, without gradient.
    """

    loss: Float[Tensor, ""]
    accuracy: Mapping[tuple[str, str], Float[Tensor, ""]]


class CrossModalCPC(nn.Module):
    """InfoNCE between what a modality's past predicts and what comes, see `cpc_losses`.

    At one step t for the whole batch, modality m's LSTM has read steps 0..t. Its last output `c_t^m` gives a
    prediction of step t + r of every modality, by a linear layer per r. The loss sums over all ordered pairs
    of different modalities with weight 1 and over each modality with itself with `self_weight`; the papers
    have no terms of a modality with itself, and single-layer LSTMs.

    t is uniform in {1, ..., T - 1 - horizon}, as released; where that set is empty t is T - 1 - horizon or,
    for fewer steps still, the horizon shrinks to T - 1 and t is 0. With a single step nothing can be
    predicted, and each ordered pair contributes the contrast of the features themselves.

    `contexts.M.*` and `predictors.M.K.*` are called `M_ar_lstm.*` and `M_predictors.K.*` in released
    checkpoints.

    Args:
        modalities: Names of at least two modalities.
        dim: Width D of the features.
        context_dim: Width of the LSTM; D if left out.
        layers: Layers of the LSTM.
        horizon: Number of steps ahead to predict.
        self_weight: Weight of predicting a modality from its own past; 0 leaves these terms out.
        normalize: `target`, as in the papers, or `prediction`, as released; see `cpc_losses`.

    Raises:
        InputError: An argument is out of range, or a name cannot name a submodule.

    >>> cpc = CrossModalCPC(("audio", "video"), dim=4)
    >>> features = {m: torch.randn(2, 10, 4) for m in cpc.modalities}
    >>> cpc(features, step=cpc.draw_step(10)).loss.shape
    torch.Size([])
    """

    def __init__(
        self,
        modalities: Sequence[str],
        dim: int,
        *,
        context_dim: int | None = None,
        layers: int = 2,
        horizon: int = 1,
        self_weight: float = 0.1,
        normalize: Literal["prediction", "target"] = "target",
    ) -> None:
        super().__init__()
        where = "CrossModalCPC"
        for name in modalities:
            if not can_name_module(name):
                raise InputError(f"'{name}' cannot name a modality", where=where, fix="choose another name")
        if not 2 <= len(modalities) == len(set(modalities)):
            expected = "two or more different names"
            raise InputError(f"modalities are {', '.join(modalities)}", where=where, expected=expected)
        at_least(where, 1, dim=dim, layers=layers, horizon=horizon)
        at_least(where, 0, self_weight=self_weight)
        one_of(where, ("prediction", "target"), normalize=normalize)
        self.modalities, self.dim, self.horizon = tuple(modalities), dim, horizon
        self.self_weight, self.normalize = self_weight, normalize
        width = context_dim or dim
        self.contexts = nn.ModuleDict(
            {m: nn.LSTM(dim, width, num_layers=layers, batch_first=True) for m in modalities}
        )
        self.predictors = nn.ModuleDict(
            {m: nn.ModuleList(nn.Linear(width, dim) for _ in range(horizon)) for m in modalities}
        )

    def chance_loss(self, clips: int, time: int) -> float:
        """The loss where all clips of a batch look alike to it.

        Args:
            clips: Clips that are contrasted.
            time: Steps of a clip; a single one has no terms of a modality with itself.
        """
        others = len(self.modalities) - 1
        return len(self.modalities) * (others + (self.self_weight if time > 1 else 0)) * math.log(clips)

    def draw_step(self, time: int, generator: torch.Generator | None = None) -> int:
        """A random t for `time` steps, see the class; with a CPU generator no device has to wait."""
        last = time - 1 - min(self.horizon, time - 1)
        if last <= 1:
            return last
        device = None if generator is None else generator.device
        return int(torch.randint(1, last + 1, (), generator=generator, device=device))

    def forward(
        self,
        features_by_modality: Mapping[str, Float[Tensor, "batch _ dim"]],
        step: int | None = None,
        masks: Mapping[str, Bool[Tensor, "batch _"]] | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> CPCResult:
        """The loss of one batch.

        Args:
            features_by_modality: `[B, T, D]` of at least two of the modalities, aligned in time; steps beyond
                the shortest T are not used.
            step: The step t; drawn if left out.
            masks: `[B, T]` by modality, True where a step is real. A clip takes part in a pair, as positive
                and as negative, if the whole context and the target are real.
            generator: Draws the step.

        Raises:
            InputError: A modality is unknown or alone, or the step leaves nothing to predict.
        """
        names = self._checked(features_by_modality)
        time = min(features_by_modality[m].shape[1] for m in names)
        features = {m: features_by_modality[m][:, :time] for m in names}
        real = None
        if masks is not None:
            everywhere = torch.ones_like(features[names[0]][..., 0], dtype=torch.bool)
            real = torch.stack([masks[m][:, :time] if m in masks else everywhere for m in names])
            features = {m: cleared(x, here) for (m, x), here in zip(features.items(), real, strict=True)}
        self_weight = self.self_weight
        if time == 1:  # the features predict each other, scored like `info_nce`
            units = [functional.normalize(at_least_float32(x), dim=-1) for x in features.values()]
            targets = torch.stack(units).movedim(2, 0)
            predictions, self_weight = targets / _SINGLE_STEP_TEMPERATURE, 0.0
            valid = None if real is None else (real.unsqueeze(1) & real).movedim(-1, 0)
        else:
            if step is None:
                step = self.draw_step(time, generator)
            targets, predictions, valid = self._predict(features, real, step)
        losses, accuracies = cpc_losses(targets, predictions, valid, self.normalize)
        weights = torch.ones_like(losses).fill_diagonal_(self_weight)
        return CPCResult(
            (weights * losses).sum(),
            {
                (source, target): accuracies[row, column]
                for row, target in enumerate(names)
                for column, source in enumerate(names)
                if source != target or self_weight
            },
        )

    def _predict(
        self,
        features: Mapping[str, Float[Tensor, "batch time dim"]],
        real: Bool[Tensor, "modalities batch time"] | None,
        step: int,
    ) -> tuple[
        Float[Tensor, "horizon modalities batch dim"],
        Float[Tensor, "horizon modalities batch dim"],
        Bool[Tensor, "horizon modalities modalities batch"] | None,
    ]:
        """Targets, predictions and valid pairs for `cpc_losses` where t is `step`."""
        time = next(iter(features.values())).shape[1]
        ahead = range(min(self.horizon, time - 1))
        last = time - 1 - len(ahead)
        if not 0 <= step <= last:
            raise InputError(
                f"step is {step} of {time} with horizon {len(ahead)}",
                where="CrossModalCPC",
                expected=f"0 to {last}",
            )
        targets = torch.stack([x[:, step + 1 :][:, : len(ahead)] for x in features.values()]).movedim(2, 0)
        contexts = {m: self.contexts[m](x[:, : step + 1])[0][:, -1] for m, x in features.items()}
        predictions = torch.stack(
            [
                torch.stack([self.predictors[m].get_submodule(str(r))(c) for m, c in contexts.items()])
                for r in ahead
            ]
        )
        if real is None:
            return targets, predictions, None
        read, comes = real[:, :, : step + 1].all(-1), real[:, :, step + 1 :][:, :, : len(ahead)]
        return targets, predictions, comes.movedim(-1, 0).unsqueeze(2) & read

    def _checked(self, features: Mapping[str, Tensor]) -> list[str]:
        """The modalities of a batch in the order of the module."""
        where = "CrossModalCPC"
        for m in features:
            if m not in self.modalities:
                raise unknown("modality", m, self.modalities, where=where)
        at_least(where, 2, modalities=len(features))
        if len({x.shape[0] for x in features.values()}) > 1:
            raise InputError("modalities differ in batch size", where=where, expected="the same clips")
        return [m for m in self.modalities if m in features]
