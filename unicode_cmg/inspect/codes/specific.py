"""A probe of disentanglement: what specific features know of the label and of the code, and the reverse."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from numpy.typing import NDArray
from pydantic import Field

from unicode_cmg.config import Config
from unicode_cmg.data.labelled import UNKNOWN, Clips, classes_of
from unicode_cmg.encoding.stream import BATCH_CLIPS
from unicode_cmg.inspect.codes.readings import halves, usual_share
from unicode_cmg.model import Model, evaluating

_CLIPS = 400
Features = Float[np.ndarray, "steps dim"]
Classes = Int64[np.ndarray, " steps"]


class SpecificProbe(Config):
    """One modality's specific features. Fully disentangled: label and code at chance, nothing explained."""

    modality: str
    part: str = Field(description="Name of the part of the method that they come from, such as `layer0`.")
    label: float | None = Field(
        description="Share of event steps of held-out clips whose class a linear classifier reads from the "
        "specific features; none without labels."
    )
    label_chance: float | None = Field(description="Share of the most frequent class.")
    code: float = Field(
        description="Share of steps of held-out clips whose code a linear classifier reads from the specific "
        "features."
    )
    code_chance: float = Field(description="Share of the most frequent code.")
    explained: float = Field(
        description="Share of the variance of the specific features, on held-out clips, that their means by "
        "code explain; below 0 where these are worse than the mean of all."
    )


def probe_specific(
    model: Model, clips: Clips, *, code_layer: int, modalities: Sequence[str], level: str | None = None
) -> tuple[SpecificProbe, ...]:
    """Probe the specific features of each modality, on at most 400 clips, always the same.

    The clips are halved, clips of one id together. Classifiers are linear discriminants (scikit-learn) on
    standardised features, with the more shrinkage the more features there are for a step. Each half is judged
    by what the other has taught.

    Args:
        model: A trained model; without specific features the result is empty.
        clips: A feature store, or labelled clips.
        code_layer: Position of the code layer.
        modalities: Which to look at.
        level: How fine the codes are, of a model that offers a choice. Where a clip has one code, its
            specific features are averaged too.

    Raises:
        InputError: The features do not fit the model.
    """
    rows = np.sort(np.random.default_rng(0).permutation(len(clips))[:_CLIPS])
    ids, known = clips.ids, classes_of(clips)
    side = halves([ids[row] for row in rows])
    probes = []
    for modality in modalities:
        parts, codes, valid = _read(model, clips, rows, modality, code_layer, level)
        classes: NDArray[np.int64] | None = None
        if known is not None:
            classes = known.of(modality, rows, codes.shape[1])[valid]
        where = np.broadcast_to(side[:, None], valid.shape)[valid]
        if where.all() or not where.any():
            continue
        for part, x in parts.items():
            label = None
            if known is not None and classes is not None:
                label = _read_off(x, classes, where, (classes != len(known.names)) & (classes != UNKNOWN))
            code = _read_off(x, codes[valid], where, np.ones_like(where))
            if code is not None:
                probes.append(
                    SpecificProbe(
                        modality=modality,
                        part=part,
                        label=None if label is None else label[0],
                        label_chance=None if label is None else label[1],
                        code=code[0],
                        code_chance=code[1],
                        explained=explained_by(codes[valid], x, where),
                    )
                )
    return tuple(probes)


def _read(
    model: Model,
    clips: Clips,
    rows: Int64[np.ndarray, " clips"],
    modality: str,
    code_layer: int,
    level: str | None,
) -> tuple[dict[str, Features], Int64[np.ndarray, "clips time"], Bool[np.ndarray, "clips time"]]:
    """Specific features of the valid steps by part, codes of all steps, and which of them are valid."""
    parameter = next(model.parameters())
    options = {} if level is None else {"level": level}
    found: dict[str, list[Features]] = {}
    codes, masks = [], []
    for start in range(0, len(rows), BATCH_CLIPS):
        batch = clips.batch(rows[start : start + BATCH_CLIPS], modalities=[modality])
        batch = batch.to(parameter.device, parameter.dtype)
        x, mask = batch.features[modality], batch.masks[modality]
        with evaluating(model):
            indices = model.encode_batch(modality, x, mask, **options).indices[..., code_layer]
            specific = model.specific(modality, x, mask)
        if indices.shape[1] != mask.shape[1]:  # one code for a clip
            weight = mask.float() / mask.sum(1, keepdim=True).clamp(min=1)
            specific = {
                part: torch.einsum("bts,bt->bs", z.float(), weight)[:, None] for part, z in specific.items()
            }
            mask = mask.any(1, keepdim=True)
        codes.append(indices.cpu().numpy())
        masks.append(mask.cpu().numpy())
        for part, z in specific.items():
            found.setdefault(part, []).append(z[mask].float().cpu().numpy())
    return {p: np.concatenate(z) for p, z in found.items()}, np.concatenate(codes), np.concatenate(masks)


def _read_off(
    x: Features, classes: Classes, side: Bool[np.ndarray, " steps"], chosen: Bool[np.ndarray, " steps"]
) -> tuple[float, float] | None:
    """Share of the chosen steps whose class is read, each half by the other, and of the most frequent one."""
    right = 0
    for half in (side, ~side):
        train, test = chosen & ~half, chosen & half
        if not train.any() or not test.any():
            return None
        right += int((_linear_classes(x[train], classes[train], x[test]) == classes[test]).sum())
    return right / int(chosen.sum()), usual_share(classes[chosen])


def _linear_classes(x: Features, y: Classes, asked: Float[np.ndarray, "asked dim"]) -> NDArray[np.int64]:
    """Classes by a linear discriminant; a class of a single step is never named."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis  # takes a second to import

    values, counts = np.unique(y, return_counts=True)
    known = np.isin(y, values[counts > 1])
    deviation = x.std(0)
    varying = deviation > 1e-6 * max(float(deviation.max()), 1e-30)
    if len(np.unique(y[known])) < 2 or not varying.any() or not float(deviation.max()):
        return np.full(len(asked), values[counts.argmax()])
    scaled, asked = ((z[:, varying] - x.mean(0)[varying]) / deviation[varying] for z in (x, asked))
    shrinkage = scaled.shape[1] / (scaled.shape[1] + known.sum())
    classifier = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=float(shrinkage))
    named: NDArray[np.int64] = classifier.fit(scaled[known], y[known]).predict(asked)
    return named


def explained_by(codes: Classes, x: Features, side: Bool[np.ndarray, " steps"]) -> float:
    """Share of the variance of `x` that its means by code explain, each half by the means of the other.

    A code that the other half does not have gets the mean of all.
    """
    left = total = 0.0
    for half in (side, ~side):
        mean = x[~half].mean(0)
        sums = np.zeros((int(codes.max()) + 1, x.shape[1]))
        counts = np.bincount(codes[~half], minlength=len(sums))
        np.add.at(sums, codes[~half], x[~half] - mean)
        guess = mean + (sums / np.maximum(counts, 1)[:, None])[codes[half]]
        left += float(((x[half] - guess) ** 2).sum())
        total += float(((x[half] - mean) ** 2).sum())
    return 1 - left / total if total > 0 else 0.0
