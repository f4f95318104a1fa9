"""Merging of codewords: codes that mean the same become one, by Ward clustering of the codebook alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from operator import index
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from toc._shapes import Float, Int64
from toc.arrays import CodebookError, as_codebook, codebook_sha256
from toc.records import CodebookRecord, library_versions
from toc.scores import AUTO
from toc.ward import best_size, cut, height_ratios, is_weak, judged, variance_within, ward_tree

_MEND = "give the number of codes (toc merge --codes K)"
_MOST_CODES = 20_000  # their pairs take 1.6 GB, twice


@dataclass(frozen=True, eq=False)
class CodeMerge(CodebookRecord):
    """Groups of the codes of one codebook, in `merge.json`.

    Attributes:
        groups: `[H]` the group of each code, from 0, numbered in the order of their first codes.
        heights: `[H - 1]` ascending heights of all merges of Ward's method, whether carried out or not.
        asked: The requested number of groups, or `"auto"`.
        n_dims: D, the number of dimensions.
    """

    file_name, _what, _again = "merge.json", "record of merged codes", "merge the codes"

    groups: Int64[np.ndarray, " codes"]
    heights: Float[np.ndarray, " merges"]
    asked: int | str
    n_dims: int

    def __repr__(self) -> str:
        return f"CodeMerge({self.layer}: {self.n_codes} codes in {self.n_groups} groups)"

    @property
    def n_codes(self) -> int:
        """H, the number of codes before merging."""
        return len(self.groups)

    @property
    def _shape(self) -> tuple[int, int]:
        return self.n_codes, self.n_dims

    @property
    def n_groups(self) -> int:
        """K, the number of codes after merging."""
        return int(self.groups.max()) + 1

    @property
    def ratio(self) -> float:
        """Height of the first merge that was not carried out, divided by that of the last one that was."""
        return float(height_ratios(self.heights)[self.n_codes - 1 - self.n_groups])

    @property
    def within(self) -> float:
        """Share of the variance of the codewords that lies within groups, which merging hides."""
        return float(variance_within(self.heights)[self.n_codes - 1 - self.n_groups])

    @property
    def warning(self) -> str | None:
        """What to say of groups that are not well separated; None if they are."""
        if not is_weak(self.ratio, self.within):
            return None
        return (
            f"{self.layer}: the {self.n_groups} groups of {self.n_codes} codes are not well separated"
            f" ({judged(self.ratio, self.within)}); merging them can cost accuracy"
        )

    def merge(self, indices: Int64[np.ndarray, "*leading"]) -> Int64[np.ndarray, "*leading"]:
        """The groups of codes, for an array of indices of any shape.

        Raises:
            CodebookError: An index is not one of the H codes.
        """
        if indices.size and not (indices.min() >= 0 and indices.max() < self.n_codes):
            raise CodebookError(
                f"an index is not between 0 and {self.n_codes - 1}, the codes of {self.layer}"
            )
        found: Int64[np.ndarray, "*leading"] = self.groups[indices]
        return found

    def codewords(self, codebook: ArrayLike) -> Float[np.ndarray, "groups dim"]:
        """`[K, D]`, the mean codeword of each group, in the type of the codebook.

        Each code of a group counts once: the number of uses is not part of a codebook, and the mean is the
        centre from which Ward's method measures the spread of the group.

        Raises:
            CodebookError: As `check`.
        """
        self.check(codebook)
        codes = as_codebook(codebook)
        sums = np.zeros((self.n_groups, self.n_dims))
        np.add.at(sums, self.groups, codes)
        return np.asarray((sums / np.bincount(self.groups)[:, None]).astype(codes.dtype))

    def _values(self) -> dict[str, Any]:
        return {
            "n_codes": self.n_codes,
            "n_dims": self.n_dims,
            "asked": self.asked,
            "n_groups": self.n_groups,
            "ratio": self.ratio,
            "within": self.within,
            "groups": self.groups.tolist(),
            "heights": self.heights.tolist(),
        }

    @classmethod
    def _fields(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "groups": np.array([index(group) for group in values["groups"]], dtype=np.int64),
            "heights": np.array([float(height) for height in values["heights"]], dtype=np.float64),
            "asked": values["asked"] if values["asked"] == AUTO else index(values["asked"]),
            "n_dims": index(values["n_dims"]),
        }

    def _contradiction(self) -> str | None:
        groups, heights = self.groups, self.heights
        newest = np.maximum.accumulate(np.concatenate([[-1], groups]))
        if (
            not 1 < len(groups) == len(heights) + 1
            or groups.min() < 0
            or (groups > newest[:-1] + 1).any()
            or not 2 <= self.n_groups < self.n_codes
            or self.asked not in (AUTO, self.n_groups)
        ):
            return "its groups do not fit its codes"
        if (
            not np.isfinite(heights).all()
            or heights[0] < 0
            or (np.diff(heights) < 0).any()
            or not heights[-1]
        ):
            return "its heights do not ascend"
        return None


def merge_codes(
    codebook: ArrayLike,
    n_codes: int | np.integer[Any] | str = AUTO,
    *,
    force: bool = False,
    layer: str = "layer0",
) -> CodeMerge:
    """Merge codes whose codewords lie close together, by Ward's method on the codebook.

    Nothing else is needed: no data, no labels, no training. The two groups whose union increases the sum of
    squared distances to the group means least are merged again and again. The height of a merge is
    sqrt(2 |a| |b| / (|a| + |b|)) times the distance of the means of its groups a and b, as SciPy defines it.
    Codes that mean the same merge at small heights and different meanings at large ones, so the number of
    groups is where the next height is the largest multiple of the last one (`best_size`). Neither a
    common offset of the codewords, nor their scale, nor a rotation has an influence.

    Args:
        codebook: `[H, D]` floats; its codes are taken as they are, not scaled to unit length, because this is
            how they are compared in quantization. Time and memory grow with H^2: 3 s and 0.2 GB for 4096
            codes.
        n_codes: How many groups, or `"auto"`.
        force: Accept a weak elbow, see `toc.ward`. A given number of groups is always
            accepted. In both cases `CodeMerge.warning` says so.
        layer: Name of the codebook in its model, which is written to the record.

    Raises:
        CodebookError: The codebook is not a finite `[H, D]` array of floats, all codewords are equal, there
            are more than 20 000, `n_codes` is not between 2 and H - 1, or the elbow is weak.

    >>> merge_codes([[0.0, 0.1], [5.0, 5.0], [0.1, 0.0], [5.1, 5.0]]).groups
    array([0, 1, 0, 1])
    """
    codes = as_codebook(codebook)
    total = len(codes)
    if total > _MOST_CODES:
        raise CodebookError(
            f"the codebook has {total} codes; expected at most {_MOST_CODES}, because the distances of all"
            " pairs have to fit in memory"
        )
    asked: int | str = AUTO if isinstance(n_codes, str) and n_codes == AUTO else _number(n_codes, total)
    pairs, heights = ward_tree(codes)
    if asked == AUTO:
        n_groups = best_size(heights)
        if n_groups is None:
            raise CodebookError(f"{total} codes are too few to choose by the merge heights; {_MEND}")
        place = total - 1 - n_groups
        ratio, within = float(height_ratios(heights)[place]), float(variance_within(heights)[place])
        if is_weak(ratio, within) and not force:
            raise CodebookError(
                f"the elbow is weak: the largest ratio of successive merge heights of {total} codes is at"
                f" {n_groups} groups ({judged(ratio, within)}), and merging groups that are not well"
                f" separated costs accuracy; {_MEND}, or accept this one (--force)"
            )
    else:
        n_groups = int(asked)
    return CodeMerge(
        groups=cut(pairs, n_groups),
        heights=heights,
        asked=asked,
        n_dims=codes.shape[1],
        layer=layer,
        codebook_sha256=codebook_sha256(codes),
        versions=library_versions("scipy"),
    )


def _number(n_codes: object, total: int) -> int:
    if not isinstance(n_codes, (int, np.integer)) or isinstance(n_codes, bool) or not 2 <= n_codes < total:
        raise CodebookError(
            f"the number of codes after merging is {n_codes!r}; expected a whole number between 2 and"
            f" {total - 1}, or '{AUTO}'"
        )
    return int(n_codes)
