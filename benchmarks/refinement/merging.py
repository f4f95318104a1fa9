"""Merged codes in use: groups of codes as heads see them, and a model that returns groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from benchmarks.refinement.matching import Merge, codebook_array, match_merges
from benchmarks.refinement.views import KeptDims, Merged
from toc import CodeMerge
from unicode_cmg.batch import Encoding
from unicode_cmg.model import Model


def merged_view(
    merge: CodeMerge, codebook: Float[Tensor, "codes dim"], inner: KeptDims | None = None
) -> Merged:
    """What heads see of a code layer whose codes are merged.

    Args:
        merge: The groups.
        codebook: `[H, D]`, the codebook that was merged.
        inner: What TOC leaves of it; it is applied to the means of the groups, and if it requantizes, to the
            codes before they are merged.
    """
    groups, means = _tensors(merge, codebook)
    return Merged(groups, means, inner)


class MergedModel(Model):
    """A model whose codes are groups of codes: each code layer that was merged has K codes instead of H.

    `encode` chooses the code as before, returns its group as index and the mean codeword of the group as
    code. Parameters and buffers are those of the model, and so is its fingerprint.

    Args:
        model: A trained model.
        merge: See `match_merges`.

    Attributes:
        merges: Code layer -> its groups.

    Raises:
        InputError: As `match_merges`.
    """

    def __init__(self, model: Model, merge: Merge | Sequence[Merge]) -> None:
        super().__init__(model.config)
        self.name, self.levels = model.name, model.levels  # type: ignore[misc]  # of the model that is inside
        self.model = model
        books = model.codebooks()
        self.merges = match_merges(merge, books, tuple(model.code_layers()))
        self._groups, self._means = {}, {}
        for layer, groups in self.merges.items():
            self._groups[layer], self._means[layer] = _tensors(groups, books[layer])

    @property
    def default_level(self) -> str | None:
        """That of the model that is inside."""
        return self.model.default_level

    @property
    def merged(self) -> Mapping[str, int]:
        """Code layer -> number of its codes before they were merged."""
        return {layer: merge.n_codes for layer, merge in self.merges.items()}

    def encode_batch(
        self,
        modality: str,
        features: Float[Tensor, "batch time ..."],
        mask: Bool[Tensor, "batch time"] | None = None,
        **options: str,
    ) -> Encoding:
        encoding = self.model.encode_batch(modality, features, mask, **options)
        indices = list(encoding.indices.unbind(-1))
        codes = list(encoding.codes.chunk(len(indices), dim=-1))
        for k, layer in enumerate(self.model.code_layers()):
            if layer in self._groups:
                indices[k] = self._groups[layer].to(indices[k].device)[indices[k]]
                codes[k] = self._means[layer].to(codes[k])[indices[k]]
        return Encoding(
            general=encoding.general,
            codes=torch.cat(codes, dim=-1),
            indices=torch.stack(indices, dim=-1),
            unquantized=encoding.unquantized,
        )

    def specific(
        self,
        modality: str,
        features: Float[Tensor, "batch time ..."],
        mask: Bool[Tensor, "batch time"] | None = None,
    ) -> Mapping[str, Float[Tensor, "batch time _"]]:
        return self.model.specific(modality, features, mask)

    def quantizers(self) -> Mapping[str, str]:
        return {name: f"model.{path}" for name, path in self.model.quantizers().items()}

    def code_layers(self) -> dict[str, int]:
        sizes = {layer: merge.n_groups for layer, merge in self.merges.items()}
        return {layer: sizes.get(layer, size) for layer, size in self.model.code_layers().items()}

    def codebooks(self) -> dict[str, Float[Tensor, "_ _"]]:
        return {
            layer: self._means[layer].to(book) if layer in self._means else book
            for layer, book in self.model.codebooks().items()
        }

    def state_dict(self, *args: Any, **options: Any) -> Any:
        """That of the model, so that results name the checkpoint they come from."""
        return self.model.state_dict(*args, **options)


def _tensors(
    merge: CodeMerge, codebook: Float[Tensor, "codes dim"]
) -> tuple[Int64[Tensor, " codes"], Float[Tensor, "groups dim"]]:
    """The group of each code and the mean codewords, where the codebook is."""
    means = torch.from_numpy(merge.codewords(codebook_array(codebook)))
    return torch.from_numpy(merge.groups).to(codebook.device), means.to(codebook)
