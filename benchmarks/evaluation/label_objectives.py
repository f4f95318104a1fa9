"""What heads learn of labels of your own: several classes a clip, a class for each step, a number a clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor
from torch.nn import functional

from benchmarks.evaluation.heads import Heads, Indices, Tables
from benchmarks.evaluation.metrics import Weights, average_precision, event_scores, sum_over_clips
from benchmarks.evaluation.objectives import HeadMeasures, Objective
from benchmarks.evaluation.predictions import clip_details, tag_details
from unicode_cmg.results import ClipDetails, TagDetails

_TagLogits = Float[Tensor, "heads clips columns"]
_Tags = Float[Tensor, "clips columns"]
_StepLogits = Float[Tensor, "heads clips time columns"]
_Steps = Int64[Tensor, "clips time"]


@dataclass(frozen=True)
class TagClips(Objective):
    """Any number of classes a clip: Linear -> maximum over time -> Linear, a sigmoid each, threshold 0.5.

    Labels are `[N, C]` zeros and ones. The loss is binary cross-entropy; measures are micro and macro F1 and
    `mAP`, the mean over the classes that occur of the average precision.
    """

    metric: str = "f1_micro"

    def columns(self, classes: int) -> int:
        return classes

    def chance(self, classes: int) -> None:
        return None

    def logits(self, heads: Heads, tables: Tables, indices: Indices) -> _TagLogits:
        return heads.clip_logits(tables, indices)

    def losses(
        self, logits: _TagLogits, labels: Float[Tensor, "heads clips columns"]
    ) -> Float[Tensor, " heads"]:
        losses = functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
        return losses.mean(dim=(1, 2))

    def judge(self, logits: _TagLogits, labels: _Tags, weights: Weights | None = None) -> HeadMeasures:
        f1 = _tag_f1(logits > 0, labels > 0, weights)
        return f1 | {"mAP": 100 * _mean_precision(average_precision(logits, labels > 0, weights))}

    def choose(self, logits: _TagLogits, labels: _Tags) -> Float64[Tensor, " heads"]:
        return _tag_f1(logits > 0, labels > 0)[self.metric]

    def details(self, logits: _TagLogits, labels: _Tags, clips: Sequence[str]) -> TagDetails:
        return tag_details(average_precision(logits, labels > 0), labels > 0)

    def constant(
        self, train_labels: Float[Tensor, "_ columns"], labels: Float[Tensor, "_ columns"]
    ) -> dict[str, float]:
        """Always the k most frequent classes of the training labels; k is best there, for each F1."""
        order = train_labels.sum(dim=0).argsort(descending=True, stable=True)
        answers = torch.zeros(len(order), len(order), dtype=torch.bool, device=order.device)
        for k in range(len(order)):
            answers[k, order[: k + 1]] = True

        def reached(truth: Float[Tensor, "_ columns"]) -> HeadMeasures:
            return _tag_f1(answers[:, None].expand(-1, len(truth), -1), truth > 0)

        best = {name: int(values.argmax()) for name, values in reached(train_labels).items()}
        found = {name: values[best[name]].item() for name, values in reached(labels).items()}
        tied = torch.zeros(1, *labels.shape, device=labels.device)
        return found | {"mAP": 100 * _mean_precision(average_precision(tied, labels > 0)).item()}


def _tag_f1(
    predicted: Bool[Tensor, "heads clips columns"],
    labels: Bool[Tensor, "clips columns"],
    weights: Weights | None = None,
) -> HeadMeasures:
    """F1 of events in clips of one step; the column of a background, which `event_scores` leaves out, is
    added."""
    said = functional.pad(predicted, (0, 1))[:, :, None]
    true = functional.pad(labels, (0, 1))[:, None]
    scores = event_scores(said, true, weights)
    return {name: scores[name] for name in ("f1_micro", "f1_macro")}


def _mean_precision(
    values: Float64[Tensor, "*resamples heads columns"],
) -> Float64[Tensor, "*resamples heads"]:
    """The mean over the classes that occur, which are those with a number."""
    return values.nanmean(dim=-1).nan_to_num(0.0)


@dataclass(frozen=True)
class ClassifySteps(Objective):
    """One class a step: Linear -> Linear, cross-entropy, accuracy over the steps that have a label.

    Labels are `[N, T]` classes, -1 where a step has none.
    """

    metric: str = "accuracy"
    per_step = True

    def columns(self, classes: int) -> int:
        return classes

    def chance(self, classes: int) -> float:
        return 100.0 / classes

    def logits(self, heads: Heads, tables: Tables, indices: Indices) -> _StepLogits:
        return heads.step_logits(tables, indices)

    def losses(
        self, logits: _StepLogits, labels: Int64[Tensor, "heads clips time"]
    ) -> Float[Tensor, " heads"]:
        losses = functional.cross_entropy(
            logits.flatten(0, 2), labels.flatten(), ignore_index=-1, reduction="none"
        )
        known = (labels >= 0).sum(dim=(1, 2)).clamp(min=1)
        return losses.view(labels.shape).sum(dim=(1, 2)) / known

    def judge(self, logits: _StepLogits, labels: _Steps, weights: Weights | None = None) -> HeadMeasures:
        return {"accuracy": self._accuracy(logits.argmax(dim=-1), labels, weights)}

    def details(self, logits: _StepLogits, labels: _Steps, clips: Sequence[str]) -> ClipDetails:
        known, said = labels >= 0, logits.argmax(dim=-1)
        details = clip_details(said[:, known], labels[known], logits.shape[-1])
        return details.model_copy(update={"counted": "steps"})

    def constant(
        self, train_labels: Int64[Tensor, "_ time"], labels: Int64[Tensor, "_ time"]
    ) -> dict[str, float]:
        majority = torch.bincount(train_labels[train_labels >= 0]).argmax()
        return {"accuracy": self._accuracy(majority.expand(1, *labels.shape), labels, None).item()}

    @staticmethod
    def _accuracy(
        said: Int64[Tensor, "heads clips time"], labels: _Steps, weights: Weights | None
    ) -> Float64[Tensor, "*resamples heads"]:
        right = sum_over_clips(((said == labels) & (labels >= 0)).sum(dim=2), weights)
        known = sum_over_clips((labels >= 0).sum(dim=1)[None], weights)
        return 100.0 * right / known.clamp(min=1)


@dataclass(frozen=True)
class PredictNumber(Objective):
    """A number a clip: Linear -> maximum over time -> Linear, squared error, R2 and mean absolute error.

    Labels are `[N]` numbers. Heads learn them with the mean and deviation of the training clips taken out.
    `R2` is 1 minus the squared error over that of the mean of the judged clips; it can be below 0.

    Attributes:
        centre, scale: Mean and deviation.
    """

    centre: float
    scale: float
    metric: str = "R2"

    def columns(self, classes: int) -> int:
        return 1

    def chance(self, classes: int) -> None:
        return None

    def logits(self, heads: Heads, tables: Tables, indices: Indices) -> Float[Tensor, "heads clips"]:
        return heads.clip_logits(tables, indices)[..., 0]

    def losses(
        self, logits: Float[Tensor, "heads clips"], labels: Float[Tensor, "heads clips"]
    ) -> Float[Tensor, " heads"]:
        return (logits - (labels - self.centre) / self.scale).square().mean(dim=1)

    def judge(
        self,
        logits: Float[Tensor, "heads clips"],
        labels: Float[Tensor, " clips"],
        weights: Weights | None = None,
    ) -> HeadMeasures:
        return self._measures(logits.double() * self.scale + self.centre, labels, weights)

    def details(
        self, logits: Float[Tensor, "heads clips"], labels: Float[Tensor, " clips"], clips: Sequence[str]
    ) -> None:
        return None

    def constant(
        self, train_labels: Float[Tensor, " train"], labels: Float[Tensor, " clips"]
    ) -> dict[str, float]:
        """The mean of the training labels for R2, their median for the absolute error."""
        mean, median = train_labels.double().mean(), train_labels.double().median()
        by_mean, by_median = (
            self._measures(answer.expand(1, len(labels)), labels, None) for answer in (mean, median)
        )
        return {"R2": by_mean["R2"].item(), "MAE": by_median["MAE"].item()}

    @staticmethod
    def _measures(
        said: Float64[Tensor, "heads clips"], labels: Float[Tensor, " clips"], weights: Weights | None
    ) -> HeadMeasures:
        true = labels.double()[None]
        count = sum_over_clips(torch.ones_like(true), weights)
        total, squares, error, absolute = (
            sum_over_clips(values, weights)
            for values in (true, true.square(), (said - true).square(), (said - true).abs())
        )
        spread = squares - total.square() / count
        return {"R2": 1 - error / spread.clamp(min=1e-12), "MAE": absolute / count}
