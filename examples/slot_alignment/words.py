"""Captions as tokens, and hiding some of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedTokenizerFast

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
HIDDEN_SHARE = 0.15


@dataclass(frozen=True, eq=False)
class Words:
    """Captions as a tokenizer writes them.

    Attributes:
        ids: `[B, T]` places in the vocabulary.
        mask: `[B, T]` True where there is a token and not padding.
        special: `[B, T]` True for tokens that stand for no word.
    """

    ids: Int64[Tensor, "batch tokens"]
    mask: Bool[Tensor, "batch tokens"]
    special: Bool[Tensor, "batch tokens"]

    def __getitem__(self, rows: Tensor | slice) -> Words:
        return Words(self.ids[rows], self.mask[rows], self.special[rows])

    def to(self, device: torch.device) -> Words:
        """The same captions on another device."""
        return Words(self.ids.to(device), self.mask.to(device), self.special.to(device))

    @classmethod
    def concatenate(cls, parts: Sequence[Words]) -> Words:
        """The captions of all parts, in order."""
        return cls(
            *(torch.cat([getattr(part, name) for part in parts]) for name in ("ids", "mask", "special"))
        )


def word_tokenizer(words: Sequence[str]) -> PreTrainedTokenizerFast:
    """A tokenizer for a handful of words, one token each, framed by [CLS] and [SEP]."""
    vocabulary = {word: index for index, word in enumerate([*SPECIAL, *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")]
    )
    names = {f"{name.strip('[]').lower()}_token": name for name in SPECIAL}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def write(tokenizer: Any, captions: Sequence[str], longest: int) -> Words:
    """Captions as tokens, padded to the longest of them, which is cut at `longest`."""
    encoded = tokenizer(
        list(captions), padding=True, truncation=True, max_length=longest, return_tensors="pt"
    )
    ids: Tensor = encoded["input_ids"]
    special = torch.isin(ids, torch.tensor(tokenizer.all_special_ids))
    return Words(ids, encoded["attention_mask"].bool(), special)


def hide(
    words: Words, mask_id: int, generator: torch.Generator
) -> tuple[Words, Bool[Tensor, "batch tokens"]]:
    """Captions in which 15 % of the words, chosen by a CPU generator, are replaced by the mask token.

    Returns:
        The captions, and where a word is hidden.
    """
    drawn = torch.rand(words.ids.shape, generator=generator).to(words.ids.device)
    hidden = (drawn < HIDDEN_SHARE) & ~words.special
    return Words(words.ids.masked_fill(hidden, mask_id), words.mask, words.special), hidden


def word_loss(
    logits: Float[Tensor, "hidden vocabulary"], words: Words, hidden: Bool[Tensor, "batch tokens"]
) -> Float[Tensor, ""]:
    """Cross-entropy of the words that were hidden, given logits in their places; 0 if none was."""
    return F.cross_entropy(logits, words.ids[hidden], reduction="sum") / hidden.sum().clamp(min=1)
