"""Cross-modal contrastive predictive coding: the past of a modality predicts what comes in the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from unicode_cmg.errors import InputError
from unicode_cmg.losses._contrast import contrast
from unicode_cmg.losses._numeric import at_least_float32

_SINGLE_STEP_TEMPERATURE = 0.1  # as in `info_nce`

_Round = tuple[Tensor, Tensor, Tensor | None]
"""`[modalities, batch, dim]` targets and predictions, and which clips count, `[targets, sources, batch]`."""


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
    """InfoNCE between what a modality's past predicts and what comes (DCID paper eq. 6, TOC paper eqs. 2,
    13).

    At one step t for the whole batch, modality m's LSTM has read steps 0..t and its last output `c_t^m`
    gives, by a linear layer per r, a prediction of step t + r; it is scored by dot products against step t +
    r of every clip in modality n. The loss sums over all ordered pairs of different modalities with weight 1
    and over each modality with itself with `self_weight`, and averages over r = 1..horizon and over clips.

    t is uniform in {1, ..., T - 1 - horizon}, as released; where that set is empty t is T - 1 - horizon or,
    for fewer steps still, the horizon shrinks to T - 1 and t is 0. With a single step nothing can be
    predicted, and each ordered pair contributes the contrast of the features themselves.

    The papers normalise over the targets for one prediction (`normalize="target"`), the released code over
    the predictions for one target (`"prediction"`); the paper also has single-layer LSTMs and no terms of a
    modality with itself. `contexts.M.*` and `predictors.M.K.*` are called `M_ar_lstm.*` and
    `M_predictors.K.*` in released checkpoints.

    Args:
        modalities: Names of at least two modalities.
        dim: Width D of the features.
        context_dim: Width of the LSTM; D if left out.
        layers: Layers of the LSTM.
        horizon: How many steps ahead to predict.
        self_weight: Weight of predicting a modality from its own past; 0 leaves these terms out.
        normalize: `prediction` or `target`, see above.

    Raises:
        InputError: An argument is out of range, or a name cannot name a submodule.
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
        self.modalities, self.dim, self.horizon = tuple(modalities), dim, horizon
        self.self_weight, self.normalize = self_weight, normalize
        self._check_arguments(layers)
        width = context_dim or dim
        self.contexts = nn.ModuleDict(
            {m: nn.LSTM(dim, width, num_layers=layers, batch_first=True) for m in self.modalities}
        )
        self.predictors = nn.ModuleDict(
            {m: nn.ModuleList(nn.Linear(width, dim) for _ in range(horizon)) for m in self.modalities}
        )

    def draw_step(self, time: int, generator: torch.Generator | None = None) -> int:
        """A random t for `time` steps, see the class; a CPU generator keeps devices busy."""
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
        names = self._check_features(features_by_modality)
        time = min(features_by_modality[m].shape[1] for m in names)
        features = {m: features_by_modality[m][:, :time] for m in names}
        real = None if masks is None else torch.stack([_mask_of(m, masks, features[m]) for m in names])
        if time == 1:
            rounds, self_weight = [_single_step(features, real)], 0.0  # a feature is its own best match
        else:
            rounds, self_weight = self._rounds(features, real, time, step, generator), self.self_weight
        results = [_contrasts(*targets_and_predictions, self.normalize) for targets_and_predictions in rounds]
        losses = torch.stack([loss for loss, _ in results]).mean(0)
        accuracies = torch.stack([accuracy for _, accuracy in results]).mean(0)
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

    def _rounds(
        self,
        features: Mapping[str, Float[Tensor, "batch time dim"]],
        real: Bool[Tensor, "modalities batch time"] | None,
        time: int,
        step: int | None,
        generator: torch.Generator | None,
    ) -> list[_Round]:
        """What is to be predicted and what was, for each step ahead."""
        horizon = min(self.horizon, time - 1)
        if step is None:
            step = self.draw_step(time, generator)
        if not 0 <= step < time - horizon:
            raise InputError(
                f"step is {step} of {time} with horizon {horizon}",
                where="CrossModalCPC",
                expected=f"0 to {time - horizon - 1}",
            )
        contexts = {m: self.contexts[m](x[:, : step + 1])[0][:, -1] for m, x in features.items()}
        return [
            (
                torch.stack([x[:, step + ahead] for x in features.values()]),
                torch.stack(
                    [self.predictors[m].get_submodule(str(ahead - 1))(c) for m, c in contexts.items()]
                ),
                None if real is None else _pairs(real, step, step + ahead),
            )
            for ahead in range(1, horizon + 1)
        ]

    def _check_arguments(self, layers: int) -> None:
        for name in self.modalities:
            if not name or "." in name or hasattr(nn.ModuleDict(), name):
                raise InputError(
                    f"'{name}' cannot name a modality", where="CrossModalCPC", fix="choose another name"
                )
        if len(set(self.modalities)) != len(self.modalities) or len(self.modalities) < 2:
            raise InputError(
                f"modalities are {', '.join(self.modalities)}",
                where="CrossModalCPC",
                expected="two or more different names",
            )
        for what, value in (("dim", self.dim), ("layers", layers), ("horizon", self.horizon)):
            if value < 1:
                raise InputError(f"{what} is {value}", where="CrossModalCPC", expected="at least 1")
        if self.self_weight < 0:
            raise InputError(
                f"self_weight is {self.self_weight}", where="CrossModalCPC", expected="0 or more"
            )
        if self.normalize not in ("prediction", "target"):
            raise InputError(
                f"normalize is '{self.normalize}'", where="CrossModalCPC", expected="'prediction' or 'target'"
            )

    def _check_features(self, features: Mapping[str, Tensor]) -> list[str]:
        unknown = [m for m in features if m not in self.modalities]
        if unknown:
            raise InputError(
                f"unknown modality '{unknown[0]}'",
                where="CrossModalCPC",
                expected=f"some of {', '.join(self.modalities)}",
            )
        if len(features) < 2:
            raise InputError(
                "fewer than two modalities", where="CrossModalCPC", expected="something to predict"
            )
        if len({x.shape[0] for x in features.values()}) > 1:
            raise InputError(
                "modalities differ in batch size", where="CrossModalCPC", expected="the same clips"
            )
        return [m for m in self.modalities if m in features]


def _mask_of(
    modality: str, masks: Mapping[str, Bool[Tensor, "batch _"]], features: Float[Tensor, "batch time dim"]
) -> Bool[Tensor, "batch time"]:
    time = features.shape[1]
    if modality in masks:
        return masks[modality][:, :time]
    return torch.ones(features.shape[:2], dtype=torch.bool, device=features.device)


def _single_step(
    features: Mapping[str, Float[Tensor, "batch 1 dim"]], real: Bool[Tensor, "modalities batch 1"] | None
) -> _Round:
    """The features as predictions of each other, scored like `info_nce`."""
    clips = torch.stack([functional.normalize(at_least_float32(x[:, 0]), dim=-1) for x in features.values()])
    return clips / _SINGLE_STEP_TEMPERATURE, clips, None if real is None else _pairs(real, 0, 0)


def _pairs(
    real: Bool[Tensor, "modalities batch time"], step: int, target: int
) -> Bool[Tensor, "targets sources batch"]:
    """Which clips have the whole context of a source and the target step of a target modality."""
    return real[:, :, target].unsqueeze(1) & real[:, :, : step + 1].all(-1).unsqueeze(0)


def _contrasts(
    targets: Float[Tensor, "modalities batch dim"],
    predictions: Float[Tensor, "modalities batch dim"],
    valid: Bool[Tensor, "targets sources batch"] | None,
    normalize: str,
) -> tuple[Float[Tensor, "targets sources"], Float[Tensor, "targets sources"]]:
    """Loss and accuracy of every ordered pair, all pairs from one product."""
    number, batch = targets.shape[:2]
    with torch.autocast(targets.device.type, enabled=False):
        rows, columns = (at_least_float32(x).flatten(0, 1) for x in (targets, predictions))
        scores = (rows @ columns.t()).view(number, batch, number, batch).transpose(1, 2)
        return contrast(scores, valid, dim=-1 if normalize == "prediction" else -2)
