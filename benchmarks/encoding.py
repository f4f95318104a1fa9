"""The frozen encoder's part of an evaluation: run once per modality, everything later works on its codes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from benchmarks.heads import LabelledCodes
from unicode_cmg.errors import InputError
from unicode_cmg.methods.base import Method

_BATCH_CLIPS = 64


@dataclass(frozen=True)
class EncodedClips:
    """Codes of the needed clips of one modality.

    Attributes:
        tables: For each of K codebook layers, `[U_k, D_k]`: the codewords that occur.
        used: For each layer, `[U_k]`: their numbers in the codebook, ascending.
        indices: `[N, T, K]` rows of the tables.
        mask: `[N, T]`, True where a step is real.
        rows: `[N]` rows of the data set, ascending.
    """

    tables: tuple[Float[Tensor, "_ _"], ...]
    used: tuple[Int64[Tensor, " _"], ...]
    indices: Int64[Tensor, "clips time layers"]
    mask: Bool[Tensor, "clips time"]
    rows: Int64[np.ndarray, " clips"]

    def labelled(self, rows: Int64[np.ndarray, " some"], labels: Int64[np.ndarray, " some"]) -> LabelledCodes:
        """The codes of some of the encoded rows, with their classes.

        Steps that are not real repeat the first real one.
        """
        device = self.indices.device
        where = torch.from_numpy(np.searchsorted(self.rows, rows)).to(device)
        steps = torch.arange(self.mask.shape[1], device=device)
        first = self.mask[where].int().argmax(dim=1, keepdim=True)
        steps = torch.where(self.mask[where], steps, first)
        indices = self.indices[where[:, None], steps]
        return LabelledCodes(self.tables, indices, torch.from_numpy(labels).to(device, torch.int64))


def encode_clips(
    model: Method[Any],
    modality: str,
    rows: Int64[np.ndarray, " clips"],
    features: Callable[[str, Int64[np.ndarray, " some"]], Float[np.ndarray, "some time ..."]],
    mask: Callable[[str, Int64[np.ndarray, " some"]], Bool[np.ndarray, "some time"]],
    keep: Sequence[Int64[np.ndarray, " _"]] | None = None,
) -> EncodedClips:
    """Encode clips in evaluation mode, without gradient, on the model's device.

    Args:
        model: A trained method; its mode is restored afterwards.
        modality: Which of its modalities.
        rows: Rows of the data set, ascending and distinct.
        features: `(modality, rows)` -> features, read a batch at a time.
        mask: `(modality, rows)` -> valid steps.
        keep: For each codebook layer, the dimensions to keep; all of them by default.

    Raises:
        InputError: The features do not fit the model, or a clip has no valid step.
    """
    reference = next(model.parameters())
    codebooks = [c.detach().to(torch.float32) for c in model.codebooks().values()]
    all_indices, masks = [], []
    was_training = model.training
    model.eval()
    try:
        for start in range(0, len(rows), _BATCH_CLIPS):
            batch = rows[start : start + _BATCH_CLIPS]
            valid = np.asarray(mask(modality, batch), dtype=bool)
            if not valid.any(axis=1).all():
                row = int(batch[np.argmin(valid.any(axis=1))])
                raise InputError(f"row {row} has no valid {modality} step", expected="at least one")
            x = torch.from_numpy(features(modality, batch)).to(reference.device, reference.dtype)
            masks.append(torch.from_numpy(valid).to(reference.device))
            with torch.inference_mode():
                encoding = model.encode(modality, x, masks[-1])
                if start == 0:
                    _require_codewords(encoding.codes, encoding.indices, codebooks)
            all_indices.append(encoding.indices.clone())
    finally:
        model.train(was_training)
    numbers = torch.cat(all_indices)
    used, positions = zip(
        *(torch.unique(numbers[..., k], return_inverse=True) for k in range(len(codebooks))), strict=True
    )
    tables = [codebook[u] for codebook, u in zip(codebooks, used, strict=True)]
    if keep is not None:
        tables = [t[:, torch.from_numpy(dims).to(t.device)] for t, dims in zip(tables, keep, strict=True)]
    return EncodedClips(tuple(tables), tuple(used), torch.stack(positions, dim=-1), torch.cat(masks), rows)


def _require_codewords(codes: Tensor, indices: Tensor, codebooks: Sequence[Tensor]) -> None:
    """Heads look codes up in the codebook; a method whose codes are something else would be misjudged."""
    looked_up = torch.cat([codebook[indices[..., k]] for k, codebook in enumerate(codebooks)], dim=-1)
    # Straight-through codes z + (e - z) carry the rounding of z, which is coarse in half precision.
    tolerance = 0.05 * looked_up.abs().max().item()
    if not torch.allclose(codes.float(), looked_up, rtol=0, atol=tolerance):
        raise RuntimeError("encode() returned codes that are not the codewords its indices name")


def state_fingerprint(model: Method[Any]) -> str:
    """SHA-256 over the names, shapes and bytes of all parameters and buffers, in the order of their names."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name}:{value.dtype}:{tuple(value.shape)};".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
