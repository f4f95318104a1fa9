"""The sections about codes, in words and drawings: who uses them, and for what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from benchmarks.evaluation.code_usage import Agreement, CodeUsage
from benchmarks.report.meaning import class_shares, draw_contingency
from benchmarks.report.sharing import draw_sharing
from unicode_cmg.inspect.codes.sharing import (
    BETWEEN,
    SHARED,
    SHARED_FROM,
    SINGLE,
    SINGLE_ABOVE,
    UNUSED,
    sharing_of,
)


@dataclass(frozen=True)
class Kind:
    """A part of the band: so many codes of one kind, and the CSS colour it has."""

    name: str
    codes: int
    colour: str


@dataclass(frozen=True)
class SharingView:
    """Who uses which code: a sentence, the band of kinds, the bars and their legend."""

    sentence: str
    kinds: list[Kind]
    svg: Markup
    legend: list[tuple[str, str]]

    @property
    def legend_of_kinds(self) -> list[tuple[str, str]]:
        """The band's legend."""
        return [(f"{kind.codes} {kind.name}", kind.colour) for kind in self.kinds]


@dataclass(frozen=True)
class MeaningView:
    """What the codes mean: a sentence, the heat maps, and how often two modalities choose the same code."""

    sentence: str
    svg: Markup
    agreement: tuple[Agreement, ...]


def sharing_view(usage: CodeUsage) -> SharingView:
    """Codes by how many modalities use them."""
    sharing = sharing_of({name: np.array(counts) for name, counts in usage.counts.items()})
    everyone = (
        "both modalities" if len(sharing.modalities) == 2 else f"all {len(sharing.modalities)} modalities"
    )
    kinds = [
        Kind(f"shared by {everyone}", sharing.count(SHARED), "var(--shared)"),
        Kind("shared by some", sharing.count(BETWEEN), "var(--between)"),
        Kind("of a single modality", sharing.count(SINGLE), "var(--single)"),
        Kind("unused", sharing.count(UNUSED), "var(--line)"),
    ]
    sentence = (
        f"Of {usage.num_codes} codes, {kinds[0].codes} are shared by {everyone} (each has at least "
        f"{100 * SHARED_FROM:.0f} % of its uses), {kinds[2].codes} belong to a single one (more than "
        f"{100 * SINGLE_ABOVE:.0f} %), {kinds[1].codes} are shared by some, and {kinds[3].codes} are "
        f"unused on the {usage.clips} {usage.split} clips."
    )
    svg, legend = draw_sharing(sharing)
    return SharingView(sentence, [kind for kind in kinds if kind.codes], svg, legend)


def meaning_view(usage: CodeUsage) -> MeaningView:
    """Codes by the classes they are used for."""
    purity = ", ".join(
        f"{100 * share:.0f} % of the {name} steps" for name, share in usage.mean_purity.items()
    )
    sentence = (
        "Each row is a code, each column a class. Where one row is lit in several panels, these modalities "
        "use the same code for the same class. Naming the class a code is used for most would be right for "
        f"{purity}."
    )
    columns = (*usage.classes, "background")
    tables = {name: np.array(table) for name, table in usage.contingency.items()}
    return MeaningView(sentence, draw_contingency(tables, columns), usage.agreement)


def telling_codes(usage: CodeUsage, modalities: Sequence[str]) -> list[tuple[int, int]]:
    """For each class the code that all `modalities` use most for it, as `(class, code)`.

    Codes used more for another class, or for background, do not count. What decides is the smallest of the
    modalities' shares, or, where no code is common, their sum. A class without a code of its own is left out.
    """
    tables = np.stack([np.array(usage.contingency[name]) for name in modalities])
    shares = np.stack([class_shares(table) for table in tables])
    main_class = tables.sum(axis=0).argmax(axis=1)
    chosen = []
    for number in range(len(usage.classes)):
        merit = shares[..., number].min(axis=0) + 1e-6 * shares[..., number].sum(axis=0)
        merit[main_class != number] = 0
        if merit.any():
            chosen.append((number, int(merit.argmax())))
    return chosen
