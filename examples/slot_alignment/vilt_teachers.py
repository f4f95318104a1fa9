"""The frozen uni-modal teachers of ViLT: a ViT for the image and a BERT for the caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from fitting import Recipe, fit, frozen, unpadded
from jaxtyping import Float
from scenes import KINDS, draw_scenes
from torch import Tensor
from torch.nn import functional as F
from transformers import BertConfig, BertForMaskedLM, ViTConfig, ViTForImageClassification
from vilt_model import TINY, TINY_IMAGE, TINY_LENGTH
from words import hide, word_loss, write

from unicode_cmg.regularizers.slot_alignment import Tokens

ITEMS = 2000


@dataclass(frozen=True, eq=False)
class Teachers:
    """Both teachers, frozen.

    Attributes:
        vit: A `ViTModel`.
        bert: A `BertModel`.
        tokenizer: What BERT reads captions by.
    """

    vit: Any
    bert: Any
    tokenizer: Any

    def to(self, device: torch.device) -> Teachers:
        """The same teachers, moved to a device."""
        return Teachers(self.vit.to(device), self.bert.to(device), self.tokenizer)

    @property
    def dims(self) -> dict[str, int]:
        """Teacher -> width of its tokens."""
        return {"image": self.vit.config.hidden_size, "text": self.bert.config.hidden_size}

    @torch.no_grad()
    def tokens(
        self, images: Float[Tensor, "batch 3 height width"], captions: Sequence[str]
    ) -> dict[str, Tokens]:
        """h_m of the SGA paper: the last hidden states of the patches and of the words."""
        size = self.vit.config.image_size
        if images.shape[-1] != size:
            images = F.interpolate(images, (size, size), mode="bilinear", antialias=True)
        patches = self.vit(images).last_hidden_state[:, 1:]  # the first one sums up the image
        words = write(self.tokenizer, captions, self.bert.config.max_position_embeddings).to(images.device)
        text = self.bert(input_ids=words.ids, attention_mask=words.mask.long()).last_hidden_state
        return {"image": unpadded(patches), "text": Tokens(text, words.mask)}


def tiny_vit(steps: int, unlike: Sequence[str], generator: torch.Generator) -> Any:
    """A small ViT that has learned, from images without captions, to name the kinds of objects in them.

    Args:
        steps: Training steps; 0 leaves it random.
        unlike: Captions whose scenes it is not shown.
        generator: Of its images.
    """
    sizes = TINY | TINY_IMAGE | {"num_labels": len(KINDS)}
    model = ViTForImageClassification(ViTConfig(**sizes))
    scenes = draw_scenes(ITEMS, generator, unlike=unlike)

    def name_objects(chosen: Tensor) -> dict[str, Tensor]:
        logits = model(scenes.pixels[chosen]).logits
        return {"objects": F.binary_cross_entropy_with_logits(logits, scenes.kinds[chosen].float())}

    fit([model], name_objects, samples=ITEMS, recipe=_recipe(steps), generator=generator, title="ViT")
    return frozen(model.vit)


def tiny_bert(tokenizer: Any, steps: int, unlike: Sequence[str], generator: torch.Generator) -> Any:
    """A small BERT that has learned, from captions without images, to fill in words.

    Args:
        tokenizer: Whose words it knows.
        steps: Training steps; 0 leaves it random.
        unlike: Captions that it does not read.
        generator: Of its captions.
    """
    config = BertConfig(**TINY, vocab_size=len(tokenizer), max_position_embeddings=TINY_LENGTH)
    model = BertForMaskedLM(config)
    captions = write(tokenizer, draw_scenes(ITEMS, generator, unlike=unlike).captions, TINY_LENGTH)

    def fill_in(chosen: Tensor) -> dict[str, Tensor]:
        words = captions[chosen]
        gaps, hidden = hide(words, tokenizer.mask_token_id, generator)
        logits = model(input_ids=gaps.ids, attention_mask=gaps.mask.long()).logits
        return {"words": word_loss(logits[hidden], words, hidden)}

    fit([model], fill_in, samples=ITEMS, recipe=_recipe(steps), generator=generator, title="BERT")
    return frozen(model.bert)


def _recipe(steps: int) -> Recipe:
    return Recipe(steps, batch_size=32, lr=1e-3)
