"""Pretraining ViLT, alone or guided by teachers, and searching among pairs that it has not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from fitting import Recipe, fit, guidance, kept_slots
from jaxtyping import Float, Int64
from pair_file import Pairs
from torch import Tensor
from torch.nn import functional as F
from vilt_model import ViltForPretraining
from vilt_teachers import Teachers
from words import Words, hide, word_loss, write

from unicode_cmg.regularizers.slot_alignment import SlotAligner, Tokens


@dataclass(frozen=True, eq=False)
class Task:
    """What ViLT is trained and tested on.

    Attributes:
        train: Pairs to train on.
        held_out: Pairs to search in.
        tokenizer: What ViLT reads captions by.
        device: Where models and batches are.
    """

    train: Pairs
    held_out: Pairs
    tokenizer: Any
    device: torch.device


@dataclass(frozen=True, eq=False)
class Guide:
    """What slot-guided alignment adds: the frozen teachers, and the slots that are trained with ViLT."""

    teachers: Teachers
    aligner: SlotAligner


@dataclass(frozen=True)
class Retrieval:
    """R@1, the share of queries whose best match is the right one, for captions and for images."""

    text: float
    image: float


def train(
    model: ViltForPretraining, task: Task, recipe: Recipe, seed: int, guide: Guide | None, title: str
) -> list[float]:
    """Train ViLT; with and without a guide it sees the same batches.

    Returns:
        The loss of each step, the terms of the guide included.
    """
    batches, gaps, slots = (torch.Generator().manual_seed(3 * seed + k) for k in range(3))
    torch.manual_seed(seed)  # ViLT shuffles its patches

    def objective(chosen: Int64[Tensor, " batch"]) -> dict[str, Tensor]:
        captions = [task.train.captions[i] for i in chosen.tolist()]
        words = write(task.tokenizer, captions, model.config.max_position_embeddings).to(task.device)
        images = task.train.images(chosen.tolist()).to(task.device)
        terms, parts = own_terms(model, words, images, task.tokenizer.mask_token_id, gaps)
        if guide is None:
            return terms
        told = guide.teachers.tokens(images, captions)
        return terms | guidance(guide.aligner, told, parts, slots)

    return fit(
        [model] if guide is None else [model, guide.aligner],
        objective,
        samples=len(task.train.captions),
        recipe=recipe,
        generator=batches,
        title=title,
    )


def own_terms(
    model: ViltForPretraining,
    words: Words,
    images: Float[Tensor, "batch 3 size size"],
    mask_id: int,
    generator: torch.Generator,
) -> tuple[dict[str, Tensor], dict[str, Tokens]]:
    """The two losses that ViLT is pretrained by, in one forward pass.

    Image-text matching tells the caption of each image from that of another image of the batch; masked
    language modelling fills in words that are hidden from the caption.

    Returns:
        The losses, and the tokens of the true pairs by modality: `H^(m)` of the SGA paper, eq. 4.
    """
    count = len(images)
    others = words[torch.arange(count, device=images.device).roll(1)]
    gaps, hidden = hide(words, mask_id, generator)
    fused = model.fuse(Words.concatenate([words, others, gaps]), images.repeat(3, 1, 1, 1))
    matches = torch.cat([torch.ones_like(fused.match[:count]), (words.ids == others.ids).all(1).float()])
    terms = {
        "matching": F.binary_cross_entropy_with_logits(fused.match[: 2 * count], matches),
        "words": word_loss(model.mlm_score(fused.text.values[2 * count :][hidden]), words, hidden),
    }
    parts = {"text": fused.text, "image": fused.image}
    return terms, {name: Tokens(part.values[:count], part.mask[:count]) for name, part in parts.items()}


@torch.no_grad()
def retrieve(model: ViltForPretraining, task: Task) -> Retrieval:
    """Match every caption of the held-out pairs with every image, without training on any of them."""
    model.eval()
    captions = task.held_out.captions
    words = write(task.tokenizer, captions, model.config.max_position_embeddings).to(task.device)
    rows = []
    for index in range(len(captions)):
        image = task.held_out.images([index]).to(task.device)
        rows.append(model.fuse(words, image.expand(len(captions), -1, -1, -1)).match.cpu())
    scores, right = torch.stack(rows), torch.arange(len(captions))
    hits = [(scores.argmax(axis) == right).float().mean().item() for axis in (1, 0)]
    return Retrieval(text=hits[0], image=hits[1])


@torch.no_grad()
def kept(model: ViltForPretraining, task: Task, guide: Guide) -> str:
    """How many slots the first held-out pairs keep on average, as text."""
    model.eval()
    shown = range(min(len(task.held_out.captions), 64))
    captions = [task.held_out.captions[i] for i in shown]
    images = task.held_out.images(shown).to(task.device)
    words = write(task.tokenizer, captions, model.config.max_position_embeddings).to(task.device)
    fused = model.fuse(words, images)
    told = guide.teachers.tokens(images, captions)
    return kept_slots(guide.aligner, told, {"text": fused.text, "image": fused.image})
