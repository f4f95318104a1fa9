"""What can be told before the first step: lengths of warm-ups, sizes of batches, scales of features."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from torch import Tensor

from unicode_cmg.batch import FeatureBatch
from unicode_cmg.training.diagnosis.verdict import Finding

_OFFSET = 0.5  # of the squared length; at most 0.34 in the embedded digits, 0.77 in pooled Whisper features
_DEVIATIONS = (0.1, 10.0)
_SPREAD = 100.0


@dataclass(frozen=True)
class Course:
    """What is known of a run before its first step.

    Attributes:
        steps: Steps in all.
        steps_per_epoch: Steps of an epoch.
        clips: Clips of a full batch, over all ranks.
        warmup_steps: Steps over which the learning rate rises.
        clip_norm: Largest gradient norm of a module after clipping; None without clipping.
        weight_of: The weight that a loss term has in the sum.
        chance: Contrastive term -> its value where all clips look alike, averaged over the batches.
        never: Loss terms that would join only after the last step.
        codes: Code layer -> number of its codes.
        rare: Modalities that most clips lack, so that few of them are in a batch.
    """

    steps: int
    steps_per_epoch: int
    clips: int
    warmup_steps: int
    clip_norm: float | None
    weight_of: Callable[[str], float]
    chance: Mapping[str, float] = field(default_factory=dict)
    never: tuple[str, ...] = ()
    codes: Mapping[str, int] = field(default_factory=dict)
    rare: tuple[str, ...] = ()


def course_findings(course: Course) -> Iterator[Finding]:
    """What is wrong with the settings of a run for its data."""
    steps, warmup = course.steps, course.warmup_steps
    if 2 * warmup > steps:
        whole = steps <= warmup
        epochs = math.ceil(10 * warmup / course.steps_per_epoch)
        yield Finding(
            kind="short-warm-up",
            bad=whole,
            what=f"all {steps} steps of the run are inside its warm-up of {warmup} steps, so the learning "
            "rate never reaches optimizer.lr"
            if whole
            else f"{warmup} of the {steps} steps of the run are its warm-up",
            fix=f"optimizer.warmup_steps={steps // 10}, or training.epochs={epochs}",
        )
    if course.never:
        yield Finding(
            kind="late-terms",
            bad=True,
            what=f"the run ends before {len(course.never)} of its loss terms join the training, such as "
            f"{course.never[0]}: the code layer they train stays as it was initialized",
            fix="a larger training.epochs, or a smaller method.warm_start_epochs or method.warm_start_steps",
        )
    if course.clips == 1 and course.chance:
        yield Finding(
            kind="single-clip-batches",
            bad=True,
            what=f"a batch is a single clip, so that {' and '.join(course.chance)} cannot contrast it with "
            "others",
            fix="a training.batch_size of 16 or more",
        )


@dataclass(frozen=True)
class Scale:
    """How the features of one modality are distributed.

    Attributes:
        deviation: Median over the channels of their standard deviations.
        spread: The 95th percentile of these over the 5th; 1 for a modality with one channel.
        offset: Squared length of the mean vector over the mean squared length.
    """

    deviation: float
    spread: float
    offset: float


def scale_of(values: Float[Tensor, "steps channels"]) -> Scale:
    """How these features are distributed; channels that never change are left out of the spread."""
    rows = values.double()
    deviations = rows.std(dim=0, correction=0).numpy()
    changing = deviations[deviations > 1e-12]
    low, high = np.quantile(changing, [0.05, 0.95]) if len(changing) else (1.0, 1.0)
    length = float(rows.square().sum(1).mean())
    return Scale(
        deviation=float(np.median(changing)) if len(changing) else 0.0,
        spread=float(high / low),
        offset=float(rows.mean(0).square().sum()) / length if length else 0.0,
    )


def feature_findings(batch: FeatureBatch, *, standardized: bool) -> Iterator[Finding]:
    """What is wrong with features.

    Args:
        batch: Clips of the data to train on, in the modalities of the method.
        standardized: Whether the method brings its inputs to one scale itself.
    """
    scales = {}
    for name, features in batch.features.items():
        steps = features[batch.masks[name]]
        if len(steps):
            scales[name] = scale_of(steps.reshape(-1, steps.shape[-1]).cpu())
    constant = [f"'{name}'" for name, scale in scales.items() if scale.deviation == 0]
    if constant:
        yield Finding(
            kind="constant-features",
            bad=True,
            what=f"the features of {' and '.join(constant)} are the same in every step of every clip",
            fix="to extract them again: nothing can be learned from them",
        )
    found = [f"'{name}' {told}" for name, scale in scales.items() if (told := _unscaled(scale))]
    if found and not standardized:
        yield Finding(
            kind="unscaled-features",
            bad=False,
            what=f"features are not standardized: {'; '.join(found)}",
            fix="to bring each channel to mean 0 and deviation 1 over the training clips",
        )


def _unscaled(scale: Scale) -> str | None:
    """What is unusual about the scale of a modality."""
    if scale.deviation == 0:
        return None
    low, high = _DEVIATIONS
    if not low <= scale.deviation <= high:
        return f"has a median deviation of {scale.deviation:.3g}"
    if scale.spread > _SPREAD:
        return f"has channels whose deviations differ {scale.spread:.0f}-fold"
    return (
        f"has {100 * scale.offset:.0f} % of its squared length in its mean"
        if scale.offset > _OFFSET
        else None
    )
