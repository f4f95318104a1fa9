"""Sentences through text models: a row per sentence, word or token."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Int64

from unicode_cmg.errors import InputError
from unicode_cmg.extract.encoders.base import Array
from unicode_cmg.extract.encoders.pretrained.encoder import Pool, Reading, same_shapes
from unicode_cmg.extract.encoders.pretrained.loading import cached, fetch, transformers
from unicode_cmg.extract.faults import MediaError
from unicode_cmg.extract.media import Grid, Text

_MOST_TOKENS = 512  # where neither tokenizer nor model says how many


@dataclass(frozen=True)
class Chunk:
    """A part of a sentence that fits a model.

    Attributes:
        inputs: What the model reads, `[tokens]` each.
        rows: The row of features to which each token belongs; -1: to none.
        words: Row -> the word or token that it stands for; empty where rows are sentences.
    """

    inputs: dict[str, Array]
    rows: Int64[np.ndarray, " tokens"]
    words: Mapping[int, str]


class TextReading(Reading):
    """Text; what is longer than the model can read goes through it in chunks, whose tokens are averaged."""

    def open(self) -> None:
        self._sentence_pool  # noqa: B018
        list(self._chunks("a", 0))  # how a tokenizer cuts is set once, before it works in several threads

    def prepare(self, media: Text, grid: Grid) -> list[Chunk]:
        """Tokens of all sentences, in chunks.

        Raises:
            MediaError: There is no word in it.
        """
        chunks: list[Chunk] = []
        first = 0
        for sentence in media.sentences:
            own = list(self._chunks(sentence, first))
            chunks += own
            first = max((int(chunk.rows.max()) + 1 for chunk in own), default=first)
        if first == 0:
            raise MediaError("empty", "a text without words")
        return chunks

    def encode(self, model: Any, prepared: Sequence[list[Chunk]]) -> list[Array]:
        """Rows `[rows, dim]` of each clip."""
        pool = self._pool(model)
        flat = [chunk for clip in prepared for chunk in clip]
        vectors = iter(
            same_shapes(model, [c.inputs for c in flat], lambda x: self._run(model, x, pool), most=64)
        )
        return [self._rows(clip, [next(vectors) for _ in clip]) for clip in prepared]

    def words(self, prepared: Sequence[Chunk]) -> Sequence[str] | None:
        """The words or tokens of a clip, row by row; None where rows are sentences."""
        if self.settings.per == "sentence":
            return None
        named = {row: word for chunk in prepared for row, word in chunk.words.items()}
        return [named.get(row, "") for row in range(max(named) + 1)][: self.settings.most]

    def provenance(self) -> dict[str, Any]:
        return {"longest": self._longest}

    def _pool(self, model: Any) -> Pool | None:
        """None: a vector for each token."""
        if self.settings.per != "sentence":
            return None
        chosen = self.settings.pool if self.settings.pool != "auto" else self._sentence_pool
        return chosen or self.pool(model) or "mean"

    def _run(self, model: Any, inputs: dict[str, Any], pool: Pool | None) -> Any:
        if pool == "pooled":
            return self.pooled(model, inputs)
        hidden = self.hidden(model, inputs).last_hidden_state
        if pool == "first":
            return hidden[:, 0]
        if pool == "mean":
            return hidden.mean(1)
        return hidden

    def _rows(self, chunks: list[Chunk], vectors: list[Array]) -> Array:
        """The mean of what belongs to each row: tokens, or whole chunks by their number of tokens."""
        count = 1 + max(int(chunk.rows.max()) for chunk in chunks)
        dim = vectors[0].shape[-1]
        sums, weights = np.zeros((count, dim)), np.zeros((count, 1))
        for chunk, vector in zip(chunks, vectors, strict=True):
            kept = chunk.rows >= 0
            rows = chunk.rows[kept]
            np.add.at(
                sums, rows, vector[kept] if vector.ndim == 2 else np.broadcast_to(vector, (len(rows), dim))
            )
            np.add.at(weights, rows, 1)
        features = (sums / weights)[: self.settings.most]
        if self.settings.per == "sentence" and self._normalize:
            features = features / np.maximum(np.linalg.norm(features, axis=-1, keepdims=True), 1e-12)
        return features.astype(np.float32)

    def _chunks(self, sentence: str, first: int) -> Iterator[Chunk]:
        """Chunks of a sentence whose rows are numbered from `first` on; none for a text without a token."""
        per = self.settings.per
        encoded = self._tokenizer(
            sentence,
            truncation=True,
            max_length=self._longest,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
            padding="max_length" if self._fixed_length else False,
        )
        words, row = _words(sentence), first
        for number in range(len(encoded["input_ids"])):
            spans = np.array(encoded["offset_mapping"][number])
            real = (np.array(encoded["special_tokens_mask"][number]) == 0) & (spans[:, 1] > spans[:, 0])
            rows = np.full(len(spans), -1, np.int64)
            named: dict[int, str] = {}
            if per == "word":
                of_word = _word_of(words, spans[real])
                rows[real] = np.where(of_word >= 0, of_word + first, -1)
                named = {first + word: sentence[slice(*words[word])] for word in set(of_word.tolist()) - {-1}}
            elif per == "token":
                rows[real] = row + np.arange(real.sum())
                named = {row + at: sentence[slice(*span)] for at, span in enumerate(spans[real].tolist())}
                row += int(real.sum())
            else:
                rows[real] = first
            if (rows >= 0).any():
                names = [name for name in self._tokenizer.model_input_names if name in encoded]
                yield Chunk({name: np.array(encoded[name][number], np.int64) for name in names}, rows, named)

    @cached_property
    def _tokenizer(self) -> Any:
        def load() -> Any:
            return transformers().AutoTokenizer.from_pretrained(self.place, trust_remote_code=False)

        found = fetch("tokenizer", self.place, load)
        if not found.is_fast:
            raise InputError(
                f"its tokenizer {type(found).__name__} does not say where tokens begin", where=self.place
            )
        return found

    @cached_property
    def _longest(self) -> int:
        """Most tokens of a chunk."""
        config = getattr(self.config, "text_config", self.config)
        positions = getattr(config, "max_position_embeddings", None) or _MOST_TOKENS
        said = self._tokenizer.model_max_length
        longest = min(said, positions) if said < 1 << 20 else min(positions, _MOST_TOKENS)
        return int(
            min(longest, _json(self.place, "sentence_bert_config.json").get("max_seq_length") or longest)
        )

    @cached_property
    def _fixed_length(self) -> bool:
        """SigLIP was trained on texts that are filled up to the longest, and reads its last token."""
        return str(self.config.model_type).startswith("siglip")

    @cached_property
    def _sentence_pool(self) -> Pool | None:
        """What the folder of a sentence encoder says; None where it does not matter."""
        if self.settings.per != "sentence" or self.settings.pool != "auto":
            return None
        modules = _json(self.place, "modules.json")
        types = [str(module.get("type", "")).rsplit(".", 1)[-1] for module in modules] if modules else []
        if unknown := set(types) - {"Transformer", "Pooling", "Normalize"}:
            raise InputError(
                f"it ends with {', '.join(sorted(unknown))}, which are layers of sentence-transformers",
                where=self.place,
                fix="set pool to mean or first to read the model without them",
            )
        pooling = _json(self.place, "1_Pooling/config.json")
        if pooling.get("pooling_mode_cls_token"):
            return "first"
        return "mean" if pooling.get("pooling_mode_mean_tokens") else None

    @cached_property
    def _normalize(self) -> bool:
        if self.settings.normalize is not None:
            return self.settings.normalize
        modules = _json(self.place, "modules.json")
        return bool(modules) and any(str(m.get("type", "")).endswith("Normalize") for m in modules)


def _words(sentence: str) -> Int64[np.ndarray, "words 2"]:
    """Start and end of each word: what stands between spaces, without punctuation at its ends."""
    spans = []
    for found in re.finditer(r"\S+", sentence):
        kept = [i for i, c in enumerate(found[0]) if unicodedata.category(c)[0] not in "PSC"]
        if kept:
            spans.append((found.start() + kept[0], found.start() + kept[-1] + 1))
    return np.array(spans, np.int64).reshape(-1, 2)


def _word_of(
    words: Int64[np.ndarray, "words 2"], spans: Int64[np.ndarray, "tokens 2"]
) -> Int64[np.ndarray, " tokens"]:
    """The word in which each token begins or lies; -1 for none."""
    found = np.searchsorted(words[:, 1], spans[:, 0], side="right")
    known = np.append(words, [[np.iinfo(np.int64).max] * 2], axis=0)
    return np.where(known[found, 0] < spans[:, 1], found, -1)


def _json(place: str, name: str) -> Any:
    """A JSON file beside a model; empty where there is none."""
    found = cached(place, name)
    try:
        return json.loads(found.read_text(encoding="utf-8")) if found else {}
    except (OSError, ValueError) as error:
        raise InputError(f"{name} cannot be read ({error})", where=place) from None
