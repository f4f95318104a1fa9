"""What heads are trained to say about a clip, and how that is judged; one class for each kind of answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64, Shaped
from torch import Tensor
from torch.nn import functional

from benchmarks.evaluation.heads import Heads, Indices, Tables
from benchmarks.evaluation.metrics import Weights, clip_accuracy
from benchmarks.evaluation.predictions import clip_details
from unicode_cmg.results import ClipDetails, Details

Logits = Float[Tensor, "heads clips *axes"]
Labels = Shaped[Tensor, " clips *_"]
HeadLabels = Shaped[Tensor, "heads clips *_"]
HeadMeasures = dict[str, Float64[Tensor, "*resamples heads"]]

_ClipLogits = Float[Tensor, "heads clips columns"]
_ClipLabels = Int64[Tensor, " clips"]


class Objective(ABC):
    """The loss and the measures of a stack of S heads.

    Labels are `[N, ...]` when they belong to clips, and `[S, N, ...]` when each head looks at its own clips.

    Attributes:
        metric: The measure that is reported first, and that chooses the epoch.
        clips_loss_parameters: Whether the gradient of `loss_parameters` is clipped as the heads' is.
        per_step: Whether each step has labels, and not each clip.
    """

    metric: str
    clips_loss_parameters: bool = False
    per_step: bool = False

    @abstractmethod
    def columns(self, classes: int) -> int:
        """How many logits a head needs."""

    @abstractmethod
    def chance(self, classes: int) -> float | None:
        """Percent of the metric when guessing blindly; None where the answer is no choice of one class."""

    @abstractmethod
    def logits(self, heads: Heads, tables: Tables, indices: Indices) -> Logits:
        """Scores of the columns, for each clip or for each of its steps."""

    @abstractmethod
    def losses(self, logits: Logits, labels: HeadLabels) -> Float[Tensor, " heads"]:
        """The loss of each head; of equally good epochs the one with the least counts."""

    def loss_parameters(self, heads: Heads) -> tuple[Shaped[Tensor, " heads *_"], ...]:
        """What the training loss learns beside the heads; nothing, unless a subclass says otherwise."""
        return ()

    def training_losses(
        self, logits: Logits, labels: HeadLabels, parameters: Sequence[Tensor]
    ) -> Float[Tensor, " heads"]:
        """What training minimises: `losses`, unless a subclass says otherwise."""
        return self.losses(logits, labels)

    @abstractmethod
    def judge(self, logits: Logits, labels: Labels, weights: Weights | None = None) -> HeadMeasures:
        """Measures of each head in percent, `metric` first.

        With weights they are those of resamples, and empty if they depend on more than which clips there are.
        """

    def choose(self, logits: Logits, labels: Labels) -> Float64[Tensor, " heads"]:
        """The metric alone, by which an epoch is chosen."""
        return self.judge(logits, labels)[self.metric]

    def judge_together(
        self, targets: tuple[str, str], logits: Sequence[Logits], labels: Sequence[Labels]
    ) -> dict[str, Float64[Tensor, "heads clips"]]:
        """Scores of each clip, in percent, that take what is said about two modalities of it.

        None, unless a subclass has such measures.

        Args:
            targets: The two modalities.
            logits: Of each.
            labels: Of each; the clips are the same, in the same order.
        """
        return {}

    @abstractmethod
    def details(self, logits: Logits, labels: Labels, clips: Sequence[str]) -> Details | None:
        """What the heads say, class by class; None without classes.

        Args:
            logits, labels: As for `judge`.
            clips: Name of each clip.
        """

    @abstractmethod
    def constant(self, train_labels: Labels, labels: Labels) -> dict[str, float]:
        """The measures, in percent, of saying always the same: what is best on the training labels."""


@dataclass(frozen=True)
class ClassifyClips(Objective):
    """One class a clip: Linear -> maximum over time -> Linear, cross-entropy, accuracy.

    Labels are `[N]` classes. The DCID paper calls the accuracy precision.
    """

    metric = "accuracy"

    def columns(self, classes: int) -> int:
        return classes

    def chance(self, classes: int) -> float:
        return 100.0 / classes

    def logits(self, heads: Heads, tables: Tables, indices: Indices) -> _ClipLogits:
        return heads.clip_logits(tables, indices)

    def losses(self, logits: _ClipLogits, labels: Int64[Tensor, "heads clips"]) -> Float[Tensor, " heads"]:
        losses = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
        return losses.view(labels.shape).mean(dim=1)

    def judge(self, logits: _ClipLogits, labels: _ClipLabels, weights: Weights | None = None) -> HeadMeasures:
        return {"accuracy": clip_accuracy(logits.argmax(dim=-1), labels, weights)}

    def details(self, logits: _ClipLogits, labels: _ClipLabels, clips: Sequence[str]) -> ClipDetails:
        return clip_details(logits.argmax(dim=-1), labels, logits.shape[-1])

    def constant(self, train_labels: Int64[Tensor, " train"], labels: _ClipLabels) -> dict[str, float]:
        majority = torch.bincount(train_labels).argmax().expand(1, len(labels))
        return {"accuracy": clip_accuracy(majority, labels).item()}
