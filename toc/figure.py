"""Figures: of a selection in four panels, and of the heights at which codes merge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from scipy.cluster.hierarchy import leaves_list, linkage

from toc._shapes import Float, Int64
from toc.arrays import CodebookError, as_codebook
from toc.dimensions import automatic_size, best_dims
from toc.merging import CodeMerge
from toc.selection import TOCSelection
from toc.ward import WEAK_ELBOW, height_ratios

_KEPT, _DROPPED = "#1f6fb4", "#c4c4c4"
_BAND, _MEDIAN = "#e3c08a", "#a9772c"
_INK, _MUTED = "#222222", "#6b6b6b"
_MOST_CODES = 400
_RANDOM_CHOICES = 60
_CURVE_POINTS = 40
_LEGEND: dict[str, Any] = {"framealpha": 0.8, "edgecolor": "none"}


def draw_selection(codebook: ArrayLike, selection: TOCSelection, path: str | Path | None = None) -> Figure:
    """Draw the similarity of codes before and after, the scores, and the effect of the number of dimensions.

    The heat maps follow figure 8 of the FCID paper (figure 2 of the TOC paper), with similar codes side by
    side and one colour scale. Distinctiveness is measured as in the papers, by the mean cosine similarity
    between different codes (lower is more distinct); the band shows the middle 90 % of random choices of the
    same number of dimensions. Dotted lines mark the number that `n_dims="auto"` keeps. Of more than 400
    codes, 400 evenly spaced ones are drawn and measured. Zero codes have no direction and are omitted.

    Args:
        codebook: `[H, D]`, the codebook for which the selection was made.
        selection: The kept dimensions.
        path: Where to save the figure; the suffix chooses the format.

    Raises:
        CodebookError: The selection was made for another codebook, or fewer than two codes are nonzero.
    """
    selection.check(codebook)
    whole = as_codebook(codebook)
    total = len(whole)
    nonzero = np.flatnonzero([row.any() for row in whole])
    if len(nonzero) < 2:
        raise CodebookError("fewer than two codes are not zero, so there is no similarity to draw")
    drawn = np.unique(np.linspace(0, len(nonzero) - 1, _MOST_CODES).astype(np.int64))
    codes = whole[nonzero[drawn]].astype(np.float64)
    auto = automatic_size(whole, selection.scores, selection.normalize)
    figure = Figure(figsize=(10.5, 8.4), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.1)  # type: ignore[union-attr,call-arg]
    grid = figure.add_gridspec(2, 2, height_ratios=(1.3, 1))
    shown = f"{total} codes" if len(codes) == total else f"{len(codes)} of {total} codes"
    figure.suptitle(
        f"TOC keeps {len(selection.indices)} of {selection.n_dims} dimensions of {selection.layer}"
        f"  ({shown}, {selection.variant}{', centred' * selection.scores.centered}, λ = {selection.lam:g})",
        color=_INK,
    )
    _draw_similarities(figure, [figure.add_subplot(grid[0, column]) for column in range(2)], codes, selection)
    _draw_scores(_plain(figure.add_subplot(grid[1, 0])), selection, auto)
    _draw_curve(_plain(figure.add_subplot(grid[1, 1])), codes, selection, auto)
    if path is not None:
        figure.savefig(path, dpi=160)
    return figure


def draw_merge(merge: CodeMerge, path: str | Path | None = None) -> Figure:
    """Draw the height of each merge of codes, and its ratio to the height before, against the groups left.

    Args:
        merge: The groups; a dotted line marks their number.
        path: Where to save the figure; the suffix chooses the format.
    """
    figure = Figure(figsize=(10.5, 3.6), layout="constrained")
    figure.suptitle(
        f"{merge.n_codes} codes of {merge.layer} merged to {merge.n_groups}: ratio {merge.ratio:.2f}",
        color=_INK,
    )
    heights, ratios = (_plain(figure.add_subplot(1, 2, place)) for place in (1, 2))
    groups = np.arange(merge.n_codes - 1, 0, -1)
    heights.plot(groups, merge.heights, color=_KEPT, marker=".", markersize=4)
    heights.set(yscale="symlog" if merge.heights[0] == 0 else "log", ylabel="height of the merge")
    ratios.stem(
        groups[:-1], height_ratios(merge.heights), linefmt=_KEPT, markerfmt=".", basefmt=" ", bottom=1
    )
    ratios.axhline(WEAK_ELBOW, color=_MEDIAN, linestyle="--", linewidth=1, label=f"weak below {WEAK_ELBOW}")
    ratios.set(ylabel="next height / this height")
    for axes in (heights, ratios):
        axes.axvline(merge.n_groups, color=_INK, linewidth=1, linestyle=":", label=f"kept: {merge.n_groups}")
        axes.set(xlabel="groups left", xscale="log", xlim=(1, merge.n_codes))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.legend(**_LEGEND)
    if path is not None:
        figure.savefig(path, dpi=160)
    return figure


def mean_similarity(codes: Float[np.ndarray, "codes dim"]) -> float:
    """Mean cosine similarity between different codes; a zero code has similarity 0 to every other."""
    unit = _unit(codes)
    pairs = len(codes) * (len(codes) - 1)
    return float(((unit.sum(axis=0) ** 2).sum() - (unit**2).sum()) / pairs)


def _unit(codes: Float[np.ndarray, "codes dim"]) -> Float[np.ndarray, "codes dim"]:
    norms = np.linalg.norm(codes, axis=1, keepdims=True)
    return np.asarray(np.divide(codes, norms, out=np.zeros_like(codes), where=norms > 0))


def _cosines(codes: Float[np.ndarray, "codes dim"]) -> Float[np.ndarray, "codes codes"]:
    unit = _unit(codes)
    return np.asarray(unit @ unit.T)


def _neighbours(similarity: Float[np.ndarray, "codes codes"]) -> Int64[np.ndarray, " codes"]:
    """An order in which similar codes are neighbours: the leaves of average-linkage clustering."""
    upper = np.triu_indices(len(similarity), 1)
    distances = np.maximum(1 - similarity[upper], 0)
    return np.asarray(leaves_list(linkage(distances, "average", optimal_ordering=True)), dtype=np.int64)


def _draw_similarities(
    figure: Figure, panels: list[Axes], codes: Float[np.ndarray, "codes dim"], selection: TOCSelection
) -> None:
    before, after = _cosines(codes), _cosines(selection.select(codes))
    order = _neighbours(before)
    different = ~np.eye(len(codes), dtype=bool)
    limit = float(np.quantile(np.abs([before[different], after[different]]), 0.995)) or 1.0
    titles = (f"all {selection.n_dims} dimensions", f"the {len(selection.indices)} kept by TOC")
    for axes, values, title in zip(panels, (before, after), titles, strict=True):
        image = axes.imshow(
            values[np.ix_(order, order)], cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest"
        )
        axes.set_title(f"{title}: mean similarity {values[different].mean():z.3f}", fontsize=10, color=_INK)
        axes.set(xticks=[], yticks=[], xlabel="codes")
        axes.spines[:].set_color(_MUTED)
    panels[0].set_ylabel("codes, similar ones side by side")
    bar = figure.colorbar(image, ax=panels, shrink=0.9, pad=0.02, extend="both")
    bar.set_label("cosine similarity")
    bar.outline.set_visible(False)


def _draw_scores(axes: Axes, selection: TOCSelection, auto: int) -> None:
    ranked = _ranked(selection)
    score, kept = selection.scores.score[ranked], selection.mask[ranked]
    edges = np.arange(len(score) + 1)
    for chosen, label, colour in ((kept, "kept", _KEPT), (~kept, "dropped", _DROPPED)):
        label = f"{label} ({np.count_nonzero(chosen)})"
        axes.stairs(np.where(chosen, score, 0), edges, fill=True, color=colour, label=label)
    axes.axhline(0, color=_MUTED, linewidth=0.8)
    _mark_auto(axes, auto)
    axes.set(xlabel="dimensions, best first", ylabel=r"score $U_k=\lambda V_k-(1-\lambda)S_k$")
    axes.set_xlim(0, len(score))
    axes.locator_params(axis="x", integer=True)
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3), useMathText=True)
    axes.legend(**_LEGEND)


def _draw_curve(
    axes: Axes, codes: Float[np.ndarray, "codes dim"], selection: TOCSelection, auto: int
) -> None:
    dims = selection.n_dims
    sizes = np.unique(np.linspace(1, dims, _CURVE_POINTS).astype(np.int64))
    rng = np.random.default_rng(0)
    random = [_prefix_similarities(codes[:, rng.permutation(dims)], sizes) for _ in range(_RANDOM_CHOICES)]
    low, middle, high = np.quantile(random, (0.05, 0.5, 0.95), axis=0)
    axes.fill_between(sizes, low, high, color=_BAND, alpha=0.55, linewidth=0, label="random, middle 90 %")
    axes.plot(sizes, middle, color=_MEDIAN, linewidth=1, linestyle="--", label="random, median")
    chosen = _prefix_similarities(codes[:, _ranked(selection)], sizes)
    axes.plot(sizes, chosen, color=_KEPT, linewidth=2, label="best by TOC")
    _mark_auto(axes, auto)
    kept = len(selection.indices)
    here = mean_similarity(selection.select(codes))
    axes.plot(kept, here, "o", color=_KEPT, markersize=8, markeredgecolor="white", zorder=5, clip_on=False)
    side = "right" if kept > 0.6 * dims else "left"
    axes.annotate(
        f"{kept} kept: {here:z.3f}",
        (kept, here),
        (-9 if side == "right" else 9, -14),
        textcoords="offset points",
        horizontalalignment=side,
        color=_KEPT,
        fontsize=9,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1},
    )
    axes.set(xlabel="dimensions kept", ylabel="mean cosine similarity of codes", xlim=(0, dims))
    axes.locator_params(axis="x", integer=True)
    axes.legend(**_LEGEND)


def _ranked(selection: TOCSelection) -> Int64[np.ndarray, " dim"]:
    return best_dims(selection.scores.score, selection.n_dims)


def _prefix_similarities(
    codes: Float[np.ndarray, "codes dim"], sizes: Int64[np.ndarray, " sizes"]
) -> Float[np.ndarray, " sizes"]:
    """`mean_similarity` in the first `size` dimensions for each size; one matrix-vector product per size."""
    squares = np.cumsum(codes**2, axis=1)[:, sizes - 1].T
    scales = np.divide(1, np.sqrt(squares), out=np.zeros_like(squares), where=squares > 0)
    sums = [((scale @ codes[:, :size]) ** 2).sum() for scale, size in zip(scales, sizes, strict=True)]
    pairs = len(codes) * (len(codes) - 1)
    return np.asarray((sums - np.count_nonzero(scales, axis=1)) / pairs)


def _mark_auto(axes: Axes, auto: int) -> None:
    axes.axvline(auto, color=_INK, linewidth=1, linestyle=":", label=f"auto ({auto})")


def _plain(axes: Axes) -> Axes:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_MUTED)
    axes.tick_params(colors=_MUTED)
    return axes
