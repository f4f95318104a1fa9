"""Event localization: which events are in each second of a clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor
from torch.nn import functional

from benchmarks.evaluation.heads import Heads, Indices, Tables
from benchmarks.evaluation.metrics import Weights, event_scores, mean_over_clips, released_event_scores
from benchmarks.evaluation.objectives import HeadMeasures, Objective
from benchmarks.evaluation.predictions import second_details
from benchmarks.evaluation.video_parsing import match_events, match_segments, parsing_f1
from unicode_cmg.results import SecondDetails

_StepLogits = Float[Tensor, "heads clips time columns"]
_HeadLabels = Float[Tensor, "heads clips time columns"]
_StepLabels = Float[Tensor, "clips time columns"]
_Predicted = Bool[Tensor, "heads clips time columns"]
_Present = Bool[Tensor, "clips time columns"]

_FIRST_DISCOUNT = 0.1


@dataclass(frozen=True)
class LocalizeEvents(Objective):
    """Any number of events in every second: Linear -> Linear, a sigmoid for each column, threshold 0.5.

    Labels are `[N, T, C + 1]`, 1 where a class is present, and 1 in the last column, background, where none
    is. Every step must be real.

    The training loss is that of the released AVVP and AVE->AVVP scripts: binary cross-entropy over all
    columns, plus what `avvp.py` calls the ExpLog loss, in which the columns of a second compete,

        L = BCE(z, y) - mean_n sum_c y_nc log_softmax(z_n)_c exp(-a_c),

    over segments n and columns c. The discounts a_c are learned with the head, from 0.1; nothing holds them
    back, so they only grow and the second term fades, first in the columns that cost most.

    Measures are `event_scores` and, averaged over clips, the F1 of seconds and of events as `parsing` has it.
    Background is no class of theirs.
    """

    metric: str = "f1_micro"
    clips_loss_parameters: bool = False
    per_step = True

    def columns(self, classes: int) -> int:
        return classes + 1

    def chance(self, classes: int) -> None:
        return None

    def logits(self, heads: Heads, tables: Tables, indices: Indices) -> _StepLogits:
        return heads.step_logits(tables, indices)

    def losses(self, logits: _StepLogits, labels: _HeadLabels) -> Float[Tensor, " heads"]:
        losses = functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
        return losses.mean(dim=(1, 2, 3))

    def loss_parameters(self, heads: Heads) -> tuple[Float[Tensor, "heads columns"]]:
        return (torch.full_like(heads.class_bias, _FIRST_DISCOUNT),)

    def training_losses(
        self, logits: _StepLogits, labels: _HeadLabels, parameters: Sequence[Tensor]
    ) -> Float[Tensor, " heads"]:
        (discounts,) = parameters
        surprise = -labels * logits.log_softmax(dim=-1) * torch.exp(-discounts)[:, None, None]
        return self.losses(logits, labels) + surprise.sum(dim=-1).mean(dim=(1, 2))

    def judge(self, logits: _StepLogits, labels: _StepLabels, weights: Weights | None = None) -> HeadMeasures:
        return self._measures(logits > 0, labels > 0, weights)

    def choose(self, logits: _StepLogits, labels: _StepLabels) -> Float64[Tensor, " heads"]:
        return event_scores(logits > 0, labels > 0)[self.metric]

    def judge_together(
        self, targets: tuple[str, str], logits: Sequence[_StepLogits], labels: Sequence[_StepLabels]
    ) -> dict[str, Float64[Tensor, "heads clips"]]:
        """F1 of video parsing: of each modality, of what is in both at once, and of both together."""
        said, true = ([(values > 0)[..., :-1] for values in part] for part in (logits, labels))
        return {name: 100 * values for name, values in parsing_f1(targets, said, true).items()}

    def details(self, logits: _StepLogits, labels: _StepLabels, clips: Sequence[str]) -> SecondDetails:
        return second_details((logits > 0)[..., :-1], (labels > 0)[..., :-1], clips)

    def constant(
        self, train_labels: Float[Tensor, "_ time columns"], labels: Float[Tensor, "_ time columns"]
    ) -> dict[str, float]:
        """Always the k most frequent columns of the training labels; k is best there, for each measure."""
        order = train_labels.sum(dim=(0, 1)).argsort(descending=True, stable=True)
        answers = torch.ones(len(order), len(order), dtype=torch.bool, device=order.device).tril()
        answers = torch.zeros_like(answers).scatter(1, order.expand_as(answers), answers)
        chosen = {name: int(v.argmax()) for name, v in self._of_answers(answers, train_labels > 0).items()}
        reached = self._of_answers(answers, labels > 0)
        return {name: reached[name][k].item() for name, k in chosen.items()}

    def _of_answers(self, answers: Bool[Tensor, "answers columns"], labels: _Present) -> HeadMeasures:
        """The measures of each constant answer; one at a time, to spare memory."""
        rows = [self._measures(answer.expand(1, *labels.shape), labels) for answer in answers]
        return {name: torch.cat([row[name] for row in rows]) for name in rows[0]}

    def _measures(
        self, predicted: _Predicted, labels: _Present, weights: Weights | None = None
    ) -> HeadMeasures:
        events = predicted[..., :-1], labels[..., :-1]
        by_clip = {"f1_segment": match_segments(*events), "f1_event": match_events(*events)}
        return event_scores(predicted, labels, weights) | {
            name: 100 * mean_over_clips(matches.clip_f1(), weights) for name, matches in by_clip.items()
        }


@dataclass(frozen=True)
class LocalizeAsReleased(LocalizeEvents):
    """The same heads, judged as the released scripts do: see `released_event_scores`.

    Attributes:
        metric: "precision" or "f1".
    """

    metric: str = "precision"

    def choose(self, logits: _StepLogits, labels: _StepLabels) -> Float64[Tensor, " heads"]:
        return self.judge(logits, labels)[self.metric]

    def _measures(
        self, predicted: _Predicted, labels: _Present, weights: Weights | None = None
    ) -> HeadMeasures:
        """Nothing of resamples: averages over batches depend on which clips stand together."""
        if weights is not None:
            return {}
        measures = released_event_scores(predicted, labels)
        return {self.metric: measures.pop(self.metric)} | measures
