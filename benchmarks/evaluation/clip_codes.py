"""The frozen encoder's part of an evaluation: run once per modality, everything later works on its codes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor

from benchmarks.evaluation.heads import LabelledCodes, LabelledVectors
from unicode_cmg.batch import FeatureBatch
from unicode_cmg.encoding.stream import BATCH_CLIPS, encode_batches
from unicode_cmg.errors import InputError, unknown
from unicode_cmg.model import Model


@dataclass(frozen=True)
class EncodedClips:
    """Codes of the needed clips of one modality.

    Attributes:
        tables: For each of K code layers, `[U_k, D_k]`: the vectors of the codes that occur; `[S, U_k, D_k]`
            where each of S heads sees others.
        used: For each code layer, `[U_k]`: their numbers in the code layer, ascending.
        indices: `[N, T, K]` rows of the tables; T = 1 where the model gives a clip one code.
        mask: `[N, T]`, True where a step is real.
        rows: `[N]` rows of the data set, ascending.
        unquantized: For each code layer, `[N, T, D_k]`: what was quantized; empty unless it was asked for.
        inputs: `[N, T', C]` the features of each step, of a grid their mean over it; None unless they were
            asked for. T' is not T where the model gives a clip one code.
        input_mask: `[N, T']`, True where a step of the features is real.
    """

    tables: tuple[Float[Tensor, "... _ _"], ...]
    used: tuple[Int64[Tensor, " _"], ...]
    indices: Int64[Tensor, "clips time layers"]
    mask: Bool[Tensor, "clips time"]
    rows: Int64[np.ndarray, " clips"]
    unquantized: tuple[Float[Tensor, "clips time _"], ...] = ()
    inputs: Float[Tensor, "clips steps channels"] | None = None
    input_mask: Bool[Tensor, "clips steps"] | None = None

    def labelled(
        self, rows: Int64[np.ndarray, " some"], labels: Shaped[np.ndarray, " some *axes"]
    ) -> LabelledCodes:
        """The codes of some of the encoded rows, with what is true of them.

        Steps that are not real repeat the first real one.
        """
        where = self._places(rows)
        indices = self.indices[where[:, None], _real_steps(self.mask[where])]
        return LabelledCodes(self.tables, indices, torch.from_numpy(labels).to(where.device))

    def labelled_unquantized(
        self, rows: Int64[np.ndarray, " some"], labels: Shaped[np.ndarray, " some *axes"]
    ) -> LabelledVectors:
        """What was quantized, code layers side by side, in place of the codes."""
        where = self._places(rows)
        steps = _real_steps(self.mask[where])
        parts = [part[where[:, None], steps].float() for part in self.unquantized]
        return LabelledVectors(torch.cat(parts, dim=-1), torch.from_numpy(labels).to(where.device))

    def labelled_inputs(
        self, rows: Int64[np.ndarray, " some"], labels: Shaped[np.ndarray, " some *axes"]
    ) -> LabelledVectors:
        """The features themselves in place of the codes."""
        if self.inputs is None or self.input_mask is None:
            raise RuntimeError("the clips were not encoded with their inputs")
        where = self._places(rows)
        values = self.inputs[where[:, None], _real_steps(self.input_mask[where])]
        return LabelledVectors(values, torch.from_numpy(labels).to(where.device))

    def _places(self, rows: Int64[np.ndarray, " some"]) -> Int64[Tensor, " some"]:
        return torch.from_numpy(np.searchsorted(self.rows, rows)).to(self.indices.device)


def encode_clips(
    model: Model,
    modality: str,
    rows: Int64[np.ndarray, " clips"],
    features: Callable[[str, Int64[np.ndarray, " some"]], Float[np.ndarray, "some time ..."]],
    mask: Callable[[str, Int64[np.ndarray, " some"]], Bool[np.ndarray, "some time"]],
    code_layers: Sequence[str] | None = None,
    *,
    with_unquantized: bool = False,
    with_inputs: bool = False,
    source: Path | None = None,
    level: str | None = None,
) -> EncodedClips:
    """Encode clips in evaluation mode, without gradient, on the model's device.

    Args:
        model: A trained method; its mode is restored afterwards.
        modality: Which of its modalities.
        rows: Rows of the data set, ascending and distinct.
        features: `(modality, rows)` -> features, read a batch at a time.
        mask: `(modality, rows)` -> valid steps.
        code_layers: Which code layers, in the model's order; all of them by default.
        with_unquantized: Also return what was quantized, which takes the memory of a vector for each step.
        with_inputs: Also return the features, with their mean over the grid if they have one.
        source: Where the features lie, to be named if they do not fit the model.
        level: How fine the codes are; the model's own default otherwise.

    Raises:
        InputError: The features do not fit the model, or a clip has no valid step.
    """

    def read(batch: Int64[np.ndarray, " batch"]) -> FeatureBatch:
        valid = np.asarray(mask(modality, batch), dtype=bool)
        if not valid.any(axis=1).all():
            row = int(batch[np.argmin(valid.any(axis=1))])
            raise InputError(f"row {row} has no valid {modality} step", expected="at least one")
        x = torch.from_numpy(features(modality, batch))
        if with_inputs:
            inputs.append(x.float().flatten(2, -2).mean(dim=2) if x.ndim > 3 else x.float())
            input_masks.append(torch.from_numpy(valid))
        return FeatureBatch({modality: x}, {modality: torch.from_numpy(valid)})

    names = tuple(model.code_layers())
    chosen = [k for k, name in enumerate(names) if code_layers is None or name in code_layers]
    codebooks = {name: book.detach().to(torch.float32) for name, book in model.codebooks().items()}
    tables = [CodeTable(codebooks.get(names[k])) for k in chosen]
    all_indices, masks, unquantized = [], [], []
    inputs: list[Tensor] = []
    input_masks: list[Tensor] = []
    batches = encode_batches(
        model,
        rows,
        read,
        files={} if source is None else {modality: source},
        level=level,
        batch_size=BATCH_CLIPS,
    )
    for batch in batches:
        encoding, indices = batch.encodings[modality], batch.encodings[modality].indices
        masks.append(batch.masks[modality])
        if indices.shape[-1] != len(names):
            raise RuntimeError(f"encode() returned {indices.shape[-1]} code layers, not {len(names)}")
        codes = encoding.codes.to(torch.float32).chunk(len(names), dim=-1)
        for k, table in zip(chosen, tables, strict=True):
            table.observe(indices[..., k].flatten(), codes[k].flatten(0, 1))
        all_indices.append(indices[..., chosen])
        if with_unquantized:
            quantized = encoding.unquantized.chunk(len(names), dim=-1)
            unquantized.append([quantized[k] for k in chosen])
    numbers = _of_equal_length(all_indices)
    used, positions = zip(
        *(torch.unique(numbers[..., k], return_inverse=True) for k in range(len(chosen))), strict=True
    )
    vectors = [table.vectors(u) for table, u in zip(tables, used, strict=True)]
    return EncodedClips(
        tables=tuple(vectors),
        used=used,
        indices=torch.stack(positions, dim=-1),
        mask=_of_equal_length(masks, real=False),
        rows=rows,
        unquantized=tuple(map(_of_equal_length, zip(*unquantized, strict=True))),
        inputs=_of_equal_length(inputs).to(numbers.device) if with_inputs else None,
        input_mask=_of_equal_length(input_masks, real=False).to(numbers.device) if with_inputs else None,
    )


def _real_steps(mask: Bool[Tensor, "clips time"]) -> Int64[Tensor, "clips time"]:
    """Each step, and in the place of one that is not real the first real one of its clip."""
    steps = torch.arange(mask.shape[1], device=mask.device)
    return torch.where(mask, steps, mask.int().argmax(dim=1, keepdim=True))


def _of_equal_length(
    parts: Sequence[Shaped[Tensor, "_ _ *rest"]], *, real: bool = True
) -> Shaped[Tensor, "clips time *rest"]:
    """The clips of all batches; where they are shorter than others their last step, or False, is repeated."""
    longest = max(part.shape[1] for part in parts)
    missing = [part[:, -1:].expand(-1, longest - part.shape[1], *part.shape[2:]) for part in parts]
    padding = [steps if real else torch.zeros_like(steps) for steps in missing]
    return torch.cat([torch.cat(pair, dim=1) for pair in zip(parts, padding, strict=True)])


def resolve_code_layers(wanted: Sequence[str] | None, known: Mapping[str, int]) -> tuple[str, ...]:
    """The wanted code layers, in the order of the model; all of them for None.

    Args:
        wanted: Names, such as `["layer1"]`.
        known: The model's `code_layers()`.

    Raises:
        InputError: A name is unknown, or there is none.
    """
    if wanted is None:
        return tuple(known)
    for name in wanted:
        if name not in known:
            raise unknown("code layer", name, known)
    if not wanted:
        raise InputError("no code layer to evaluate", expected=f"one or more of {', '.join(known)}")
    return tuple(layer for layer in known if layer in wanted)


class CodeTable:
    """The vectors of the codes of one code layer.

    Args:
        codebook: Its codebook; without one, as for finite scalars, the vector of a code is what comes with it
            first.
    """

    def __init__(self, codebook: Float[Tensor, "codes dim"] | None = None) -> None:
        self._codebook = codebook
        self._numbers: Int64[Tensor, " known"] | None = None
        self._vectors: Float[Tensor, "known dim"] | None = None

    def observe(self, numbers: Int64[Tensor, " steps"], codes: Float[Tensor, "steps dim"]) -> None:
        """Take note of what `encode` returned.

        Raises:
            RuntimeError: The vectors are not those the numbers name; heads look vectors up by number, so a
                method that returns something else would be misjudged.
        """
        if self._codebook is None:
            self._learn(numbers, codes)
        vectors = self.vectors(numbers)
        # Straight-through codes z + (e - z) carry the rounding of z, which is coarse in half precision.
        tolerance = 0.05 * vectors.abs().max().item()
        if codes.shape != vectors.shape or not torch.allclose(codes, vectors, rtol=0, atol=tolerance):
            raise RuntimeError("encode() returned codes that are not the codewords its indices name")

    def vectors(self, numbers: Int64[Tensor, " some"]) -> Float[Tensor, "some dim"]:
        """The vectors of codes that have been observed."""
        if self._codebook is not None:
            return self._codebook[numbers]
        if self._numbers is None or self._vectors is None:
            raise RuntimeError("no code has been observed")
        return self._vectors[torch.searchsorted(self._numbers, numbers.contiguous())]

    def _learn(self, numbers: Int64[Tensor, " steps"], codes: Float[Tensor, "steps dim"]) -> None:
        distinct, inverse = torch.unique(numbers, return_inverse=True)
        places = torch.arange(len(numbers), device=numbers.device)
        first = torch.full_like(distinct, len(numbers)).scatter_reduce_(0, inverse, places, "amin")
        if self._numbers is None or self._vectors is None:
            self._numbers, self._vectors = distinct, codes[first]
        else:
            new = ~torch.isin(distinct, self._numbers)
            self._numbers, order = torch.cat([self._numbers, distinct[new]]).sort()
            self._vectors = torch.cat([self._vectors, codes[first[new]]])[order]
