"""ViLT with the two heads it is pretrained by, and its frozen uni-modal teachers: a ViT and a BERT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from fitting import Recipe, fit, frozen, unpadded
from jaxtyping import Float
from pairs import KINDS, draw_scenes
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    BertConfig,
    BertForMaskedLM,
    ViltConfig,
    ViltForMaskedLM,
    ViTConfig,
    ViTForImageClassification,
)
from words import Words, hide, word_loss, write

from unicode_cmg.errors import InputError
from unicode_cmg.regularizers.slot_alignment import Tokens

TINY: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
}
TINY_IMAGE: dict[str, Any] = {"image_size": 32, "patch_size": 8}
WEIGHTS: dict[str, Any] = {"use_safetensors": True, "dtype": torch.float32}
"""How pretrained weights are loaded: from safetensors alone, in float32."""
TINY_LENGTH = 32
ITEMS = 2000
"""Scenes that a small teacher learns from."""


@dataclass(frozen=True)
class Fused:
    """What ViLT makes of images and texts.

    Attributes:
        text: Last hidden states of the text's tokens.
        image: Last hidden states of the patches, in the random order that ViLT takes them in.
        match: `[B]` logit of image and text belonging together.
    """

    text: Tokens
    image: Tokens
    match: Float[Tensor, " batch"]


class ViltForPretraining(ViltForMaskedLM):
    """ViLT with both heads of its pretraining.

    Its weights have the names of `ViltForMaskedLM` and of `ViltForImageAndTextRetrieval`: it starts from a
    checkpoint of either, and either can read what it saves.
    """

    def __init__(self, config: ViltConfig) -> None:
        super().__init__(config)
        self.rank_output = nn.Linear(config.hidden_size, 1)
        self.post_init()

    @property
    def image_size(self) -> int:
        """Height and width of the images it reads, in pixels."""
        return cast(int, self.config.image_size)

    def fuse(self, words: Words, images: Float[Tensor, "batch 3 height width"]) -> Fused:
        """Run the transformer over images of the size that it is configured for."""
        hidden = self.vilt(input_ids=words.ids, attention_mask=words.mask.long(), pixel_values=images)
        states, length = hidden.last_hidden_state, words.ids.shape[1]
        patches = states[:, length + 1 :]  # before them stands the token that sums up the image
        return Fused(
            Tokens(states[:, :length], words.mask),
            unpadded(patches),
            self.rank_output(hidden.pooler_output)[:, 0],
        )


def tiny_vilt(vocabulary: int) -> ViltForPretraining:
    """A small ViLT with random weights, for images of 32 x 32 pixels."""
    return ViltForPretraining(
        ViltConfig(**TINY, **TINY_IMAGE, vocab_size=vocabulary, max_position_embeddings=TINY_LENGTH)
    )


def load(kind: Any, name: str, option: str, **settings: Any) -> Any:
    """A pretrained model or tokenizer.

    Args:
        kind: A class of transformers.
        name: A repository on the Hub, or a folder.
        option: Where the name was given, for the error.
        **settings: For `from_pretrained`.

    Raises:
        InputError: There is nothing that can be loaded.
    """
    try:
        return kind.from_pretrained(name, **settings)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot load '{name}' ({str(error).splitlines()[0]})", where=option) from None


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
