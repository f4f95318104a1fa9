"""ViLT, the multi-modal model, with the two heads it is pretrained by, and what of it is aligned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from fitting import unpadded
from jaxtyping import Float
from torch import Tensor, nn
from transformers import ViltConfig, ViltForMaskedLM
from words import Words

from unicode_cmg.errors import InputError
from unicode_cmg.regularizers.slot_alignment import Tokens

TINY: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
}
TINY_IMAGE: dict[str, Any] = {"image_size": 32, "patch_size": 8}
TINY_LENGTH = 32


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


WEIGHTS: dict[str, Any] = {"use_safetensors": True, "dtype": torch.float32}
"""How pretrained weights are loaded: from safetensors alone, in float32."""


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
