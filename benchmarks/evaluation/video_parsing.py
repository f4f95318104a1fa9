"""F1 as audio-visual video parsing measures it: by seconds or by events of a class, averaged within a clip.

In a clip, each class that occurs or is predicted has an F1; their mean is the score of the clip, and a clip
in which nothing is and nothing is said scores 1. This is how the LLP benchmark is judged (Tian et al., ECCV
2020); the papers of unified codebooks do not report it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor


class Matches(NamedTuple):
    """What was found of what is there, for each head, clip and class.

    Attributes:
        found: `[S, N, C]`, how many of those claimed are there.
        claimed: `[S, N, C]`, how many are predicted.
        present: `[S, N, C]`, how many are there.
    """

    found: Int64[Tensor, "heads clips classes"]
    claimed: Int64[Tensor, "heads clips classes"]
    present: Int64[Tensor, "heads clips classes"]

    def clip_f1(self) -> Float64[Tensor, "heads clips"]:
        """The mean F1 of the classes that matter in a clip, in 0..1."""
        total = self.claimed + self.present
        scores = 2.0 * self.found.double() / total.clamp(min=1)
        classes = (total > 0).sum(dim=-1)
        return torch.where(classes > 0, scores.sum(dim=-1) / classes.clamp(min=1), 1.0)


def match_segments(
    predicted: Bool[Tensor, "heads clips time classes"], labels: Bool[Tensor, "clips time classes"]
) -> Matches:
    """Seconds of each class.

    Of two seconds one is found, and one is claimed too much:

    >>> true = torch.tensor([True, True, False])[None, :, None]
    >>> said = torch.tensor([True, False, True])[None, None, :, None]
    >>> match_segments(said, true).clip_f1().item()
    0.5
    """
    present = labels.sum(dim=1).expand(len(predicted), -1, -1)
    return Matches((predicted & labels).sum(dim=2), predicted.sum(dim=2), present)


def match_events(
    predicted: Bool[Tensor, "heads clips time classes"], labels: Bool[Tensor, "clips time classes"]
) -> Matches:
    """Events of each class: its unbroken runs of seconds.

    A predicted event is right if an event that is there covers it with an intersection of at least half of
    their union. As runs do not touch, that holds for one pair at most, so nothing has to be assigned.

    Two of four seconds are enough; the other event is not there:

    >>> true = torch.tensor([True, True, True, True, False, False])[None, :, None]
    >>> said = torch.tensor([True, True, False, False, False, True])[None, None, :, None]
    >>> [counts.item() for counts in match_events(said, true)]
    [1, 2, 1]
    """
    said = predicted.transpose(2, 3)
    true = labels.transpose(1, 2).expand_as(said)
    claimed, present = (_starts(active).sum(dim=-1) for active in (said, true))
    found = torch.zeros_like(claimed)
    touching = (said & true).any(dim=-1)  # few are, and nothing else can be found
    first, second = _runs(said[touching]), _runs(true[touching])
    both = torch.einsum("nit,njt->nij", first, second)
    union = first.sum(dim=2)[:, :, None] + second.sum(dim=2)[:, None, :] - both
    found[touching] = ((both > 0) & (2 * both >= union)).sum(dim=(1, 2))
    return Matches(found, claimed, present)


def parsing_f1(
    names: tuple[str, str],
    predicted: Sequence[Bool[Tensor, "heads clips time classes"]],
    labels: Sequence[Bool[Tensor, "clips time classes"]],
) -> dict[str, Float64[Tensor, "heads clips"]]:
    """The ten numbers of the LLP benchmark, for each clip, in 0..1.

    Args:
        names: Of the two modalities.
        predicted: What is said of each.
        labels: What is true of each.

    Returns:
        By seconds (`segment ...`) and by events (`event ...`): each modality, and `both`, what is in the two
        at the same time; `type`, the mean of these three (printed as Type@AV); and `all`, the matches of
        the two modalities counted together (printed as Event@AV).
    """
    both = predicted[0] & predicted[1], labels[0] & labels[1]
    scores: dict[str, Float64[Tensor, "heads clips"]] = {}
    for unit, match in (("segment", match_segments), ("event", match_events)):
        first, second = (match(p, y) for p, y in zip(predicted, labels, strict=True))
        three = [matches.clip_f1() for matches in (first, second, match(*both))]
        scores |= {f"{unit} {name}": f1 for name, f1 in zip((*names, "both"), three, strict=True)}
        scores[f"{unit} type"] = torch.stack(three).mean(dim=0)
        together = Matches(*(a + b for a, b in zip(first, second, strict=True)))
        scores[f"{unit} all"] = together.clip_f1()
    return scores


def _starts(active: Bool[Tensor, "*rows time"]) -> Bool[Tensor, "*rows time"]:
    """The first second of each unbroken run."""
    return active & ~torch.nn.functional.pad(active, (1, 0))[..., :-1]


def _runs(active: Bool[Tensor, "rows time"]) -> Float64[Tensor, "rows runs time"]:
    """The k-th unbroken run of a row as zeros and ones; a row of T steps has at most (T + 1) / 2."""
    number = torch.where(active, _starts(active).cumsum(dim=1), 0)
    places = torch.arange(1, (active.shape[1] + 1) // 2 + 1, device=active.device)
    return (number[:, None, :] == places[:, None]).double()
