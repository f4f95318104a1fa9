"""Cross-modal contrastive predictive coding: the past of a modality predicts what comes in the others."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn
from torch.nn import functional

from unicode_cmg import ranks
from unicode_cmg.batch import can_name_module
from unicode_cmg.errors import InputError, at_least, one_of, unknown
from unicode_cmg.losses._masked import at_least_float32, cleared, contrast_by_line

_SINGLE_STEP_TEMPERATURE = 0.1  # as in `info_nce`


def cpc_losses(
    targets: Float[Tensor, "rounds targets batch dim"],
    predictions: Float[Tensor, "rounds sources batch dim"],
    valid: Bool[Tensor, "rounds targets sources batch"] | None,
    normalize: Literal["prediction", "target"],
    others: Float[Tensor, "rounds targets sources batch others"] | None = None,
) -> tuple[Float[Tensor, "targets sources"], Float[Tensor, "targets sources"]]:
    """Loss and accuracy of predicting each target modality n from each source modality m.

    `L[n, m] = -mean_(t, r, i) log(exp(z^n_i . p^m_i) / sum_j exp(z^n_j . p^m_i))` with `z^n = z^n_{t+r}` and
    `p^m = W_r^m c_t^m`; j runs over the clips of the batch, those of all ranks where they share it.
    DCID paper eq. 6; TOC paper eqs. 2, 13 and A7; FCID paper eq. 13, where z is f and c is o.

    Args:
        targets: `[P, M, B, D]` what comes, by modality, in each of P rounds: pairs of a step t and a distance
            r ahead.
        predictions: `[P, M, B, D]` what each modality predicts for it.
        valid: `[P, M, M, B]`, which clips take part in a pair; all if None.
        normalize: `target` sums over the targets of other clips, as in the equation; `prediction` sums over
            the predictions of other clips for one target, as in the released code.
        others: `[P, M, M, B, S]` scores of further negatives of each prediction, -inf where there is none.
    """
    rounds, number, batch = targets.shape[:3]
    real = ranks.real(None, targets[0, 0, :, 0])
    if valid is None and real is not None:
        valid = real.expand(rounds, number, number, batch)
    with torch.autocast(targets.device.type, enabled=False):
        lines, entries = (at_least_float32(x) for x in (targets, predictions))
        if normalize == "target":
            lines, entries = entries, lines
        # lines are clips of this rank, entries those of all ranks
        entries = _gathered(entries, 2)
        scores = (lines.flatten(1, 2) @ entries.flatten(1, 2).mT).view(rounds, number, batch, number, -1)
        scores = scores.permute(0, 3, 1, 2, 4) if normalize == "target" else scores.transpose(2, 3)
        right = ranks.own_rows(torch.arange(scores.shape[-1], device=scores.device))
        taking_part = None if valid is None else _gathered(valid, 3)
        per_clip, hits = contrast_by_line(scores, right, taking_part, others)
    if valid is None:
        return per_clip.mean((0, -1)), hits.to(per_clip.dtype).mean((0, -1))
    sums = torch.stack([torch.where(valid, per_clip, 0), (hits & valid).to(per_clip.dtype)]).sum((1, -1))
    losses, accuracies = ranks.mean_of_batch(sums, valid.sum((0, -1)))
    return losses, accuracies


def _gathered(x: Shaped[Tensor, ...], dim: int) -> Shaped[Tensor, ...]:
    """`ranks.gather` along another axis."""
    return ranks.gather(x.movedim(dim, 0)).movedim(0, dim)


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

    At step t modality m's LSTM has read steps 0..t. Its last output `c_t^m` gives a prediction of step t + r
    of every modality, by a linear layer per r. The loss sums over all ordered pairs of different modalities
    with weight 1 and over each modality with itself with `self_weight`; the papers have no terms of a
    modality with itself, and single-layer LSTMs.

    The steps t are {1, ..., T - 1 - horizon}; where that set is empty t is T - 1 - horizon or, for fewer
    steps still, the horizon shrinks to T - 1 and t is 0. The papers and the released code draw one of them
    for each batch. `forward` without a step takes the mean over all of them, which is the expectation of the
    drawn one: an LSTM that reads the clip once gives every context, and the gradient has a fraction of the
    variance. With a single step nothing can be predicted, and each ordered pair contributes the contrast of
    the features themselves.

    Clips alone as negatives reward a feature that names its clip in every second. With `same_clip` the other
    steps of the clip that the prediction is about are negatives too, so that a feature says what happens at
    its own time, as far as the modalities named share a clock.

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
        same_clip: Modalities whose steps happen at the same times; between them the other steps of a clip are
            negatives too. Needs `normalize: target`.

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
        same_clip: Collection[str] = (),
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
        if same_clip and normalize != "target":
            raise InputError(
                "other steps of a clip are negatives, and 'normalize' is prediction",
                where=where,
                expected="normalize: target",
            )
        self.self_weight, self.normalize, self.same_clip = self_weight, normalize, frozenset(same_clip)
        width = context_dim or dim
        self.contexts = nn.ModuleDict(
            {m: nn.LSTM(dim, width, num_layers=layers, batch_first=True) for m in modalities}
        )
        self.predictors = nn.ModuleDict(
            {m: nn.ModuleList(nn.Linear(width, dim) for _ in range(horizon)) for m in modalities}
        )

    def chance_loss(self, clips: int, time: int) -> float:
        """The loss where all clips of a batch, and all steps of a clip, look alike to it.

        Args:
            clips: Clips that are contrasted.
            time: Steps of a clip; a single one has no terms of a modality with itself.
        """

        def terms(modalities: int) -> float:
            return modalities * (modalities - 1 + (self.self_weight if time > 1 else 0.0))

        timed = terms(len(self.same_clip)) if time > 1 and self.same_clip else 0.0
        alone = terms(len(self.modalities)) - timed
        return alone * math.log(clips) + timed * math.log(clips + time - 1)

    def draw_step(self, time: int, generator: torch.Generator | None = None) -> int:
        """A random t for `time` steps, see the class; with a CPU generator no device has to wait."""
        steps = self._steps(time)
        if len(steps) == 1:
            return steps[0]
        device = None if generator is None else generator.device
        return int(torch.randint(steps.start, steps.stop, (), generator=generator, device=device))

    def _steps(self, time: int) -> range:
        """The steps t of a clip of `time` steps."""
        last = time - 1 - min(self.horizon, time - 1)
        return range(min(1, last), last + 1)

    def forward(
        self,
        features_by_modality: Mapping[str, Float[Tensor, "batch _ dim"]],
        step: int | None = None,
        masks: Mapping[str, Bool[Tensor, "batch _"]] | None = None,
    ) -> CPCResult:
        """The loss of one batch.

        Args:
            features_by_modality: `[B, T, D]` of at least two of the modalities, aligned in time; steps beyond
                the shortest T are not used.
            step: The step t; the mean over all of them if left out.
            masks: `[B, T]` by modality, True where a step is real. A clip takes part in a pair, as positive
                and as negative, if the whole context and the target are real.

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
            others = None
        else:
            steps = self._steps(time) if step is None else self._known(step, time)
            targets, predictions, valid, others = self._predict(features, real, steps)
        losses, accuracies = cpc_losses(targets, predictions, valid, self.normalize, others)
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
        steps: range,
    ) -> tuple[
        Float[Tensor, "rounds modalities batch dim"],
        Float[Tensor, "rounds modalities batch dim"],
        Bool[Tensor, "rounds modalities modalities batch"] | None,
        Float[Tensor, "rounds modalities modalities batch others"] | None,
    ]:
        """Targets, predictions, valid pairs and further negatives for `cpc_losses`; a round is (r, t)."""
        time = next(iter(features.values())).shape[1]
        ahead = range(1, min(self.horizon, time - 1) + 1)
        read = slice(steps.start, steps.stop)
        stacked = torch.stack(list(features.values()))
        targets = torch.cat([stacked[:, :, t + r].unsqueeze(0) for r in ahead for t in steps])
        contexts = [self.contexts[m](x[:, : steps.stop])[0][:, read] for m, x in features.items()]
        predictions = torch.cat(
            [
                torch.stack(
                    [
                        self.predictors[m].get_submodule(str(r - 1))(c)
                        for m, c in zip(features, contexts, strict=True)
                    ]
                ).movedim(2, 0)
                for r in ahead
            ]
        )
        valid = None
        if real is not None:
            whole = real.cumprod(-1).bool()[:, :, read].movedim(-1, 0).repeat(len(ahead), 1, 1)
            comes = torch.stack([real[:, :, t + r] for r in ahead for t in steps])
            valid = comes.unsqueeze(2) & whole.unsqueeze(1)
        return (
            targets,
            predictions,
            valid,
            self._other_steps(list(features), stacked, predictions, real, steps),
        )

    def _other_steps(
        self,
        names: Sequence[str],
        features: Float[Tensor, "modalities batch time dim"],
        predictions: Float[Tensor, "rounds modalities batch dim"],
        real: Bool[Tensor, "modalities batch time"] | None,
        steps: range,
    ) -> Float[Tensor, "rounds modalities modalities batch time"] | None:
        """Scores of each prediction with the steps of its own clip that it is not about; -inf elsewhere."""
        timed = torch.tensor([m in self.same_clip for m in names], device=features.device)
        if not self.same_clip.intersection(names):
            return None
        rounds, time = len(predictions), features.shape[2]
        about = torch.arange(rounds, device=features.device)
        about = about % len(steps) + steps.start + 1 + about // len(steps)
        with torch.autocast(features.device.type, enabled=False):
            scores = torch.einsum(
                "pmbd,nbtd->pnmbt", at_least_float32(predictions), at_least_float32(features)
            )
        negative = (timed.unsqueeze(1) & timed).view(1, len(names), len(names), 1, 1)
        negative = negative & (torch.arange(time, device=features.device) != about.view(-1, 1, 1, 1, 1))
        if real is not None:
            negative = negative & real.view(1, len(names), 1, *real.shape[1:])
        return scores.masked_fill(~negative, -torch.inf)

    def _known(self, step: int, time: int) -> range:
        """One step t, if it leaves something to predict."""
        ahead = min(self.horizon, time - 1)
        if not 0 <= step <= time - 1 - ahead:
            raise InputError(
                f"step is {step} of {time} with horizon {ahead}",
                where="CrossModalCPC",
                expected=f"0 to {time - 1 - ahead}",
            )
        return range(step, step + 1)

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
