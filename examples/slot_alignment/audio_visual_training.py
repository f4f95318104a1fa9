"""Training the late-fusion classifier, alone or guided by teachers, and its accuracy on clips held out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from audio_visual_model import LateFusion
from audio_visual_teachers import Teacher, teacher_tokens
from clips import LabelledClips
from fitting import Recipe, fit, guidance, kept_slots
from jaxtyping import Int64
from torch import Tensor
from torch.nn import functional as F

from unicode_cmg.regularizers.slot_alignment import SlotAligner

CHUNK = 256


@dataclass(frozen=True, eq=False)
class Guide:
    """What slot-guided alignment adds: frozen teachers, and slots that learn with the classifier."""

    teachers: Mapping[str, Teacher]
    aligner: SlotAligner


def train(
    model: LateFusion,
    clips: LabelledClips,
    recipe: Recipe,
    seed: int,
    guide: Guide | None,
    device: torch.device,
    title: str,
) -> list[float]:
    """Train the classifier; with and without a guide it sees the same batches.

    Returns:
        The loss of each step, the terms of the guide included.
    """
    batches, slots = (torch.Generator().manual_seed(2 * seed + k) for k in range(2))

    def objective(chosen: Int64[Tensor, " batch"]) -> dict[str, Tensor]:
        batch = clips.some(chosen, device)
        made = model(batch.inputs)
        terms = {"classes": F.cross_entropy(made.logits["fused"], batch.labels)}
        if guide is None:
            return terms
        return terms | guidance(guide.aligner, teacher_tokens(guide.teachers, batch), made.parts, slots)

    return fit(
        [model] if guide is None else [model, guide.aligner],
        objective,
        samples=len(clips),
        recipe=recipe,
        generator=batches,
        title=title,
    )


@torch.no_grad()
def accuracies(model: LateFusion, clips: LabelledClips, device: torch.device) -> dict[str, float]:
    """Share of clips whose class is told rightly: fused, and by each side alone."""
    model.eval()
    right: dict[str, int] = {}
    for start in range(0, len(clips), CHUNK):
        chunk = clips.some(slice(start, start + CHUNK), device)
        for name, logits in model(chunk.inputs).logits.items():
            right[name] = right.get(name, 0) + int((logits.argmax(1) == chunk.labels).sum())
    return {name: count / len(clips) for name, count in right.items()}


@torch.no_grad()
def kept(model: LateFusion, clips: LabelledClips, guide: Guide, device: torch.device) -> str:
    """How many slots the first clips keep on average, as text."""
    batch = clips.some(slice(CHUNK), device)
    return kept_slots(guide.aligner, teacher_tokens(guide.teachers, batch), model.eval()(batch.inputs).parts)
