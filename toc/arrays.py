"""A codebook as an array: what is accepted, how it is read in blocks, its fingerprint."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from toc._shapes import Float

_BLOCK_VALUES = 1 << 17  # float64 values of one block: 1 MiB, so that a block stays in the cache

_ROUNDING = 1e-12  # differences of this share of a code's length are rounding errors of float64


_LONGEST = 1000  # characters of a message; a value from a file can be endless


class CodebookError(ValueError):
    """A codebook, or an option of a function of this package, is wrong; the message is one line."""

    def __init__(self, message: str) -> None:
        text = " ".join(message.split())
        super().__init__(
            text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 3 :]}"
        )


def without_torch(values: Any) -> Any:
    """A tensor of torch as an array: detached, on the CPU, bfloat16 as float32. All else is left as it is."""
    torch = sys.modules.get("torch")  # without it there is no tensor
    if torch is None or not isinstance(values, torch.Tensor):
        return values
    plain = values.detach().cpu()
    return (plain.float() if plain.dtype == torch.bfloat16 else plain).numpy()


def as_codebook(values: ArrayLike) -> Float[np.ndarray, "codes dim"]:
    """`values` as an array, refused unless it is `[H, D]` floats with H >= 2 and D >= 1.

    Tensors of torch are taken too, also parameters, and `[1, H, D]` as vector-quantize-pytorch stores it.

    Raises:
        CodebookError: It is something else. The values themselves are not checked here.
    """
    try:
        codes = np.asarray(without_torch(values))
    except (TypeError, ValueError, RuntimeError) as error:
        raise CodebookError(f"the codebook cannot be read as an array ({error})") from None
    if codes.dtype.kind != "f":
        kind = "integers: code indices?" if codes.dtype.kind in "iub" else f"dtype {codes.dtype}"
        raise CodebookError(f"the codebook holds {kind}; expected floats [codes, dimensions]")
    if codes.ndim == 3 and len(codes) == 1:
        codes = codes[0]
    if codes.ndim != 2:
        raise CodebookError(f"the codebook has shape {list(codes.shape)}; expected [codes, dimensions]")
    if len(codes) < 2 or codes.shape[1] < 1:
        raise CodebookError(
            f"the codebook has shape {list(codes.shape)}; expected at least 2 codes (one sample has no"
            " pairs) of at least 1 dimension"
        )
    return codes


def blocks(
    codes: Float[np.ndarray, "codes dim"],
    normalize: bool,
    at_least: int = 1,
    minus: Float[np.ndarray, " dim"] | None = None,
) -> Iterator[Float[np.ndarray, "block dim"]]:
    """Consecutive blocks of at least `at_least` rows as new float64 arrays; scaled to unit length if asked.

    `minus` is subtracted before. A code that is equal to it up to rounding has no direction and stays zero.

    Raises:
        CodebookError: A code is not finite, or it is zero and has to be scaled to unit length.
    """
    rows = max(at_least, _BLOCK_VALUES // codes.shape[1])
    for start in range(0, len(codes), rows):
        block = codes[start : start + rows].astype(np.float64)
        with np.errstate(over="ignore"):
            norms = np.sqrt(np.vecdot(block, block))
        if not np.isfinite(norms).all():
            row = int(np.argmin(np.isfinite(norms)))
            large = np.isfinite(block[row]).all()
            fault = "is too large to be squared; scale it down" if large else "holds NaN or infinity"
            raise CodebookError(f"code {start + row} of the codebook {fault}")
        if minus is not None:
            block -= minus
            lengths = np.sqrt(np.vecdot(block, block))
            lengths[lengths <= _ROUNDING * norms] = np.inf
            block *= (1 / lengths if normalize else np.isfinite(lengths))[:, None]
        elif normalize:
            if not norms.all():
                code = start + int(np.argmin(norms))
                raise CodebookError(
                    f"code {code} is zero and has no direction; drop it, or use normalize=False"
                )
            block *= 1 / norms[:, None]
        yield block


def mean_and_offset(codes: Float[np.ndarray, "codes dim"]) -> tuple[Float[np.ndarray, " dim"], float]:
    """The mean codeword, and its squared length as a share of the mean squared length of the codewords.

    Raises:
        CodebookError: A code is not finite.
    """
    mean, square = np.zeros(codes.shape[1]), 0.0
    for block in blocks(codes, normalize=False):
        mean += block.sum(axis=0) / len(codes)
        square += float(np.vdot(block, block)) / len(codes)
    return mean, min(1.0, float(mean @ mean) / square) if square else 0.0


def codebook_sha256(codebook: ArrayLike) -> str:
    """SHA-256 of "HxD" in ASCII, then of the values of the codebook as little-endian float32, row by row.

    The fingerprint does not depend on the precision, byte order or memory layout in which the codebook is
    stored.
    """
    codes = as_codebook(codebook)
    digest = hashlib.sha256("x".join(map(str, codes.shape)).encode())
    rows = max(1, _BLOCK_VALUES // codes.shape[1])
    with np.errstate(over="ignore"):  # values beyond the range of float32 become infinite here only
        for start in range(0, len(codes), rows):
            digest.update(np.ascontiguousarray(codes[start : start + rows], dtype="<f4").data)
    return digest.hexdigest()
