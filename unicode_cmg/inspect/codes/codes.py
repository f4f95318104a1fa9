"""From a model and a feature store to what each code stands for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Int64

from unicode_cmg.checkpoints.tensors import state_fingerprint
from unicode_cmg.codebook.usage import perplexity_of_counts
from unicode_cmg.data.store import FeatureStore
from unicode_cmg.encoding import CodeBatch, common_modalities, iterate_codes
from unicode_cmg.inspect.codes.layer import CodeLayer, describe_layer, layer_name
from unicode_cmg.inspect.codes.nearest import NearestSteps, similar_codes
from unicode_cmg.inspect.codes.record import (
    CodeEntry,
    InterpretedCodes,
    ModalityUse,
    NearStep,
    SimilarCode,
    WordCount,
)
from unicode_cmg.inspect.codes.sharing import KINDS, UNUSED, Sharing, sharing_of
from unicode_cmg.inspect.codes.usage import UsageCounter
from unicode_cmg.inspect.codes.words import WordCounter, words_at
from unicode_cmg.model import Model

_MOST_WORDS = 8
_DIGITS = 4  # of distances and cosines


def interpret_codes(
    model: Model,
    store: FeatureStore,
    *,
    layer: str | None = None,
    modalities: Sequence[str] | None = None,
    level: str | None = None,
    raw: bool = False,
    nearest: int = 5,
    progress: bool | None = False,
) -> InterpretedCodes:
    """Who uses which code (FCID paper, section 5.2, figures 6 and 7), and what lies near it.

    The store is streamed; memory does not grow with its clips. A layer without a codebook is streamed twice,
    first to see which codes occur and what their vectors are.

    Args:
        model: A trained method.
        store: Features with at least one modality of the model.
        layer: One of `model.code_layers()`; the first by default.
        modalities: Which to look at; by default all that model and store have in common.
        level: How fine the codes are, of a model that offers a choice.
        raw: Take a code's shares of raw counts. By default they are corrected for the number of steps of each
            modality: if all had as many, which part of the code's uses would be whose.
        nearest: How many steps to list for each code and modality, and how many similar codes.
        progress: True for a bar, False for nothing, None for a bar on a terminal and plain lines elsewhere.

    Raises:
        InputError: A name is unknown, or features and model do not fit.
    """
    name = layer_name(model, layer)
    names = common_modalities(model, store, modalities)

    def stream() -> Iterator[CodeBatch]:
        return iterate_codes(model, store, modalities=names, level=level, progress=progress)

    found = _Findings(describe_layer(model, name, stream()), store, names, nearest)
    for batch in stream():
        found.add(batch)
    counts = found.usage.counts()
    sharing = sharing_of({m: n.numpy() for m, n in counts.items()}, raw=raw)
    kinds = {kind: sharing.count(kind) for kind in KINDS}
    kinds[UNUSED] += found.layer.num_codes - len(found.layer.numbers)
    return InterpretedCodes(
        method=model.name,
        checkpoint=state_fingerprint(model),
        features=store.fingerprint,
        clips=len(store),
        layer=name,
        level=level,
        num_codes=found.layer.num_codes,
        shares="raw" if raw else "per step",
        kinds=kinds,
        modalities={m: _use(n.numpy(), sharing) for m, n in counts.items()},
        agreement=found.usage.agreement(),
        codes=found.entries(sharing, nearest),
    )


class _Findings:
    """What is gathered while the codes of a store pass by."""

    def __init__(self, layer: CodeLayer, store: FeatureStore, names: Sequence[str], nearest: int) -> None:
        self.layer, self._store = layer, store
        codes = len(layer.numbers)
        worded = [m for m in names if m in store.tokenized]
        # the steps of a sentence are its words, which happen at no particular moment
        aligned = [(a, b) for a, b in combinations(names, 2) if (a in worded) == (b in worded)]
        self.usage = UsageCounter(names, codes, aligned)
        self._near = {m: NearestSteps(layer.vectors, nearest) for m in names}
        self._words = {m: WordCounter(store, m, codes) for m in worded}
        self._steps: dict[str, int] = {}

    def add(self, batch: CodeBatch) -> None:
        """Take note of the next clips."""
        codes = {m: self.layer.codes(encoding) for m, encoding in batch.encodings.items()}
        self.usage.add(codes, batch.masks)
        for m, encoding in batch.encodings.items():
            mask = batch.masks[m]
            self._steps[m] = mask.shape[1]
            clip, step = mask.nonzero(as_tuple=True)
            rows = torch.from_numpy(batch.rows).to(mask.device)[clip]
            keys = rows
            if m in self._words:
                numbers = self._words[m].add(codes[m].cpu().numpy(), mask.cpu().numpy())
                keys = rows if numbers is None else torch.from_numpy(numbers).to(mask.device)
            self._near[m].add(
                rows * mask.shape[1] + step, keys, self.layer.unquantized(encoding)[mask], codes[m][mask]
            )

    def entries(self, sharing: Sharing, similar: int) -> tuple[CodeEntry, ...]:
        """One for each code of the layer, in their order."""
        counts = {m: n.tolist() for m, n in self.usage.counts().items()}
        near = {
            m: _near_steps(self._store, m, found, self._steps[m], m in self._words)
            for m, found in self._near.items()
        }
        others, cosines = (values.tolist() for values in similar_codes(self.layer.vectors, similar))
        numbers = self.layer.numbers.tolist()
        return tuple(
            CodeEntry(
                code=number,
                kind=sharing.kinds[u],
                counts={m: n[u] for m, n in counts.items()},
                shares=dict(zip(sharing.modalities, sharing.parts[u].round(_DIGITS).tolist(), strict=True)),
                nearest={m: steps[u] for m, steps in near.items()},
                words={
                    m: tuple(WordCount(word=word, steps=n) for word, n in counter.telling(u, _MOST_WORDS))
                    for m, counter in self._words.items()
                },
                similar=tuple(
                    SimilarCode(code=numbers[other], cosine=round(cosine, _DIGITS))
                    for other, cosine in zip(others[u], cosines[u], strict=True)
                ),
            )
            for u, number in enumerate(numbers)
        )


def _near_steps(
    store: FeatureStore, modality: str, near: NearestSteps, steps: int, worded: bool
) -> list[tuple[NearStep, ...]]:
    """The steps near each codeword, with their words."""
    numbers, distances, chose = (values.T.tolist() for values in (near.number, near.distance, near.chose))
    places = {divmod(number, steps) for column in numbers for number in column if number >= 0}
    words = words_at(store, modality, places, steps) if worded else {}
    return [
        tuple(
            NearStep(
                clip=store.ids[number // steps],
                step=number % steps,
                distance=round(distance, _DIGITS),
                chosen=chosen,
                word=words.get(divmod(number, steps)),
            )
            for number, distance, chosen in zip(*column, strict=True)
            if number >= 0
        )
        for column in zip(numbers, distances, chose, strict=True)
    ]


def _use(counts: Int64[np.ndarray, " codes"], sharing: Sharing) -> ModalityUse:
    steps = int(counts.sum())
    kinds = np.array(sharing.kinds)
    return ModalityUse(
        steps=steps,
        codes=int((counts > 0).sum()),
        perplexity=float(perplexity_of_counts(torch.from_numpy(counts))),
        kinds={kind: float(counts[kinds == kind].sum() / steps) for kind in KINDS if kind != UNUSED},
    )
