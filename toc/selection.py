"""The record of a TOC run: which dimensions of which codebook are kept, and by which options."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped
from numpy.typing import ArrayLike

from toc._files import write_atomically
from toc.errors import CodebookError
from toc.ranking import best_dims
from toc.scores import DIVISORS, VARIANTS, TOCScores, as_codebook, toc_scores

FILE_NAME = "toc.json"
_FORMAT_VERSION = 1


def codebook_sha256(codebook: ArrayLike) -> str:
    """SHA-256 of "HxD" in ASCII, then of the values of the codebook as little-endian float32, row by row."""
    codes = as_codebook(codebook)
    digest = hashlib.sha256("x".join(map(str, codes.shape)).encode())
    digest.update(np.ascontiguousarray(codes, dtype="<f4").tobytes())
    return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class TOCSelection:
    """The kept dimensions of one codebook.

    Attributes:
        indices: Kept dimensions, best first.
        scores: The criteria of all D dimensions, kept or not.
        lam: Weight of the variance.
        normalize: Whether the codes were scaled to unit length before scoring.
        divisor: What the sum over pairs was divided by.
        ddof: 0 for the biased variance, 1 for the unbiased one.
        layer: Name of the codebook in its model.
        n_codes: H, the number of codes.
        codebook_sha256: Fingerprint of the codebook, see `codebook_sha256`.
        versions: Versions of the libraries that made it.
    """

    indices: tuple[int, ...]
    scores: TOCScores
    lam: float
    normalize: bool
    divisor: str
    ddof: int
    layer: str
    n_codes: int
    codebook_sha256: str
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def n_dims(self) -> int:
        """D, the number of dimensions before selection."""
        return len(self.scores.score)

    @property
    def mask(self) -> Bool[np.ndarray, " dim"]:
        """`[D]`, True where a dimension is kept."""
        mask = np.zeros(self.n_dims, dtype=bool)
        mask[list(self.indices)] = True
        return mask

    @property
    def variant(self) -> str:
        """`"paper"`, `"released"`, or `"custom"` for any other combination of options."""
        options = {"normalize": self.normalize, "divisor": self.divisor, "ddof": self.ddof}
        return next((name for name, known in VARIANTS.items() if known == options), "custom")

    def select(self, values: Shaped[np.ndarray, "... dim"]) -> Shaped[np.ndarray, "... kept"]:
        """The kept dimensions of the last axis, best first.

        Raises:
            CodebookError: The last axis does not have D entries.
        """
        if values.shape[-1] != self.n_dims:
            raise CodebookError(f"the last axis has {values.shape[-1]} dimensions; expected {self.n_dims}")
        return values[..., list(self.indices)]

    def check(self, codebook: ArrayLike) -> None:
        """Refuse a codebook other than the one the selection was made for.

        Raises:
            CodebookError: Its shape or its values differ.
        """
        codes = as_codebook(codebook)
        if codes.shape != (self.n_codes, self.n_dims):
            raise CodebookError(
                f"the codebook has shape {list(codes.shape)}, the TOC selection was made for"
                f" {[self.n_codes, self.n_dims]}; run TOC on this codebook"
            )
        if codebook_sha256(codes) != self.codebook_sha256:
            raise CodebookError(
                f"the TOC selection was made for another codebook ({self.layer}, sha256"
                f" {self.codebook_sha256[:12]}…); run TOC on this one"
            )

    def save(self, folder: str | Path) -> Path:
        """Write `folder/toc.json`, whole or not at all, and return its path.

        Raises:
            CodebookError: The folder cannot be written.
        """
        path = Path(folder) / FILE_NAME
        try:
            write_atomically(path, json.dumps(self.to_json(), indent=2, allow_nan=False) + "\n")
        except OSError as error:
            raise CodebookError(f"{path}: cannot be written ({error.strerror})") from error
        return path

    @classmethod
    def load(cls, path: str | Path) -> TOCSelection:
        """Read a `toc.json`, or the one in a folder.

        Raises:
            CodebookError: The file is missing, truncated, or not a TOC selection.
        """
        path = Path(path)
        path = path / FILE_NAME if path.is_dir() else path
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise CodebookError(f"{path}: cannot be read ({error.strerror})") from None
        except ValueError:
            raise CodebookError(f"{path}: not valid JSON; it may have been truncated") from None
        try:
            return cls.from_json(values)
        except CodebookError as error:
            raise CodebookError(f"{path}: {error}") from None

    def to_json(self) -> dict[str, Any]:
        """Plain values, as `toc.json` holds them."""
        return {
            "format_version": _FORMAT_VERSION,
            "layer": self.layer,
            "codebook_sha256": self.codebook_sha256,
            "n_codes": self.n_codes,
            "n_dims": self.n_dims,
            "kept": len(self.indices),
            "indices": list(self.indices),
            "variant": self.variant,
            "lam": self.lam,
            "normalize": self.normalize,
            "divisor": self.divisor,
            "ddof": self.ddof,
            "scores": {
                "score": self.scores.score.tolist(),
                "similarity": self.scores.similarity.tolist(),
                "variance": self.scores.variance.tolist(),
            },
            "versions": dict(self.versions),
        }

    @classmethod
    def from_json(cls, values: Any) -> TOCSelection:
        """The inverse of `to_json`.

        Raises:
            CodebookError: Keys are missing, or values contradict each other.
        """
        if not isinstance(values, dict) or values.get("format_version") != _FORMAT_VERSION:
            found = values.get("format_version") if isinstance(values, dict) else None
            raise CodebookError(
                f"not a TOC selection of format {_FORMAT_VERSION} (format_version is {found!r})"
            )
        try:
            selection = cls(
                indices=tuple(int(i) for i in values["indices"]),
                scores=TOCScores(
                    **{name: np.array(values["scores"][name], dtype=np.float64) for name in _SCORE_NAMES}
                ),
                lam=float(values["lam"]),
                normalize=bool(values["normalize"]),
                divisor=str(values["divisor"]),
                ddof=int(values["ddof"]),
                layer=str(values["layer"]),
                n_codes=int(values["n_codes"]),
                codebook_sha256=str(values["codebook_sha256"]),
                versions=dict(values["versions"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CodebookError(f"not a TOC selection ({type(error).__name__}: {error})") from None
        shapes = {getattr(selection.scores, name).shape for name in _SCORE_NAMES}
        if selection.divisor not in DIVISORS or selection.ddof not in (0, 1):
            raise CodebookError(f"divisor is '{selection.divisor}' and ddof {selection.ddof}")
        kept = set(selection.indices)
        if (
            len(shapes) != 1
            or not kept
            or len(kept) != len(selection.indices)
            or not kept <= set(range(selection.n_dims))
        ):
            raise CodebookError("not a TOC selection: its indices do not fit its scores")
        return selection


_SCORE_NAMES = ("similarity", "variance", "score")


def optimize(
    codebook: ArrayLike,
    n_dims: int | float | np.integer[Any] = 0.5,
    lam: float = 0.3,
    normalize: bool = True,
    *,
    divisor: str = "H^2",
    ddof: int = 0,
    layer: str = "layer0",
) -> TOCSelection:
    """Training-free optimization of a codebook: score its dimensions and keep the best.

    Args:
        codebook: `[H, D]` floats.
        n_dims: How many dimensions to keep: an int, or a fraction of D.
        lam, normalize, divisor, ddof: See `toc_scores`.
        layer: Name of the codebook in its model, kept in the record.

    Raises:
        CodebookError: As `toc_scores`, or `n_dims` is out of range.
    """
    codes = as_codebook(codebook)
    scores = toc_scores(codes, lam, normalize, divisor=divisor, ddof=ddof)
    return TOCSelection(
        indices=tuple(best_dims(scores.score, n_dims).tolist()),
        scores=scores,
        lam=float(lam),
        normalize=normalize,
        divisor=divisor,
        ddof=ddof,
        layer=layer,
        n_codes=len(codes),
        codebook_sha256=codebook_sha256(codes),
        versions={"numpy": np.__version__, "unicode-cmg": _library_version()},
    )


def _library_version() -> str:
    try:
        return version("unicode-cmg")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "unknown"
