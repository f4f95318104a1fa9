"""What the codes of a finished model tell: whether clips that belong together have codes that do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, permutations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from unicode_cmg.batch import FeatureBatch
from unicode_cmg.codebook import code_counts, perplexity_of_counts
from unicode_cmg.model import Model, evaluating
from unicode_cmg.training.diagnosis.verdict import Finding

UNRELATED = 0.7
RELATED = 0.9
FEW = 0.25


@dataclass(frozen=True)
class CodeFigures:
    """How the modalities use the codes of a few clips.

    Attributes:
        related: Pair of modalities -> how often the codes of a clip in one are nearer to those of the same
            clip in the other than to those of another clip: 1 is always, 0.5 is what unrelated codes reach.
            Pairs with fewer than two clips in common are not named.
        perplexity: Ordered pair of modalities -> effective number of codes of the first code layer that the
            first of them uses in clips that have both, so that a rare modality is compared on its own clips.
    """

    related: Mapping[tuple[str, str], float]
    perplexity: Mapping[tuple[str, str], float]


def code_figures(model: Model, batches: Iterable[FeatureBatch]) -> CodeFigures:
    """Encode clips and compare their codes.

    Args:
        model: The model; left in the mode it was in.
        batches: Clips on the model's device, in its modalities.
    """
    size = next(iter(model.code_layers().values()))
    vectors: dict[str, list[Tensor]] = {m: [] for m in model.modalities}
    present: dict[str, list[Tensor]] = {m: [] for m in model.modalities}
    counts = dict.fromkeys(permutations(model.modalities, 2), torch.zeros(size, dtype=torch.int64))
    with evaluating(model):
        for batch in batches:
            for m in model.modalities:
                mask = batch.masks[m]
                encoding = model.encode_batch(m, batch.features[m], mask)
                if encoding.codes.shape[1] != mask.shape[1]:  # a code for the clip as a whole
                    mask = mask.any(1, keepdim=True)
                total = torch.where(mask.unsqueeze(-1), encoding.codes.float(), 0).sum(1)
                vectors[m].append(functional.normalize(total, dim=-1).cpu())
                present[m].append(mask.any(1).cpu())
                for other in (n for n in model.modalities if n != m):
                    there = mask & batch.masks[other].any(1, keepdim=True)
                    used = code_counts(encoding.indices[..., 0], size, there).cpu()
                    counts[m, other] = counts[m, other] + used
    related = {}
    for a, b in combinations(model.modalities, 2):
        both = torch.cat(present[a]) & torch.cat(present[b])
        if both.sum() > 1:
            related[a, b] = how_related(torch.cat(vectors[a])[both], torch.cat(vectors[b])[both])
    return CodeFigures(related, {pair: float(perplexity_of_counts(count)) for pair, count in counts.items()})


def how_related(a: Float[Tensor, "clips dim"], b: Float[Tensor, "clips dim"]) -> float:
    """The share of pairs of clips where the own partner is nearer, see `CodeFigures`; ties count half.

    Args:
        a: Unit vectors, one a clip.
        b: The same clips in another modality.
    """
    similarity = (a @ b.t()).double()
    own = similarity.diagonal()
    others = ~torch.eye(len(a), dtype=torch.bool)
    shares = []
    for mine in (own.unsqueeze(1), own.unsqueeze(0)):
        gap = (mine - similarity)[others]
        tie = gap.abs() < 1e-6
        shares.append(((gap > 0) & ~tie).double().mean() + 0.5 * tie.double().mean())
    return float(torch.stack(shares).mean())


def code_findings(figures: CodeFigures, less_club: str = "") -> Iterator[Finding]:
    """What is wrong with codes.

    Args:
        figures: The codes.
        less_club: The advice to weigh CLUB less, if it takes part.
    """
    unrelated = {pair: value for pair, value in figures.related.items() if value < UNRELATED}
    if unrelated:
        worst = min(unrelated, key=lambda pair: unrelated[pair])
        more = f"; {len(unrelated) - 1} more pairs likewise" if len(unrelated) > 1 else ""
        yield Finding(
            kind="unrelated-codes",
            bad=True,
            what=f"the codes of {' and '.join(worst)} have little to do with each other: the same clip is "
            f"nearer than another one in {100 * unrelated[worst]:.0f} %, by guessing in 50 %{more}",
            fix=f"{less_club}a longer run; check that row i of every modality is the same clip",
        )
    names = dict.fromkeys(name for pair in figures.related for name in pair)
    for name in names:
        pairs = {pair: value for pair, value in figures.related.items() if name in pair}
        partners = {a if b == name else b: value for (a, b), value in pairs.items()}
        most, codes = max((figures.perplexity[m, name], figures.perplexity[name, m]) for m in partners)
        if codes < FEW * most and max(partners.values()) < RELATED:
            yield Finding(
                kind="few-codes",
                bad=True,
                what=f"the codes of {name} have collapsed: it uses {codes:.1f} codes effectively, another "
                f"modality {most:.1f}",
                fix=f"{less_club}standardized features, or a longer run",
            )
            return
