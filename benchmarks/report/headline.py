"""The top of the page: which direction it explains, the main result in one sentence, numbers in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.evaluation.results import TaskResult, decimal
from benchmarks.report.transfer import TransferTable
from unicode_cmg.results import DirectionResult, in_percent

_NOUNS = {"audio": "sounds", "video": "pictures", "text": "texts"}


def arrow(tables: Sequence[TransferTable]) -> tuple[str, str]:
    """The direction that the page explains and shows first: video to audio where there is one."""
    pairs = tables[0].crossings() if tables else []
    return ("video", "audio") if ("video", "audio") in pairs or not pairs else pairs[0]


def conclusion(evaluations: Iterable[TaskResult], tables: Sequence[TransferTable]) -> str:
    """The main result in one sentence: the first transfer, or the first retrieval."""
    if tables and tables[0].crossings():
        first = tables[0].results[0]
        return transfer_in_words(first.direction(*arrow(tables)), first.chance)
    for row in (row for result in evaluations for row in result.directions):
        if row.metric.startswith("R@"):
            blind = "" if row.constant is None else f" ({row.constant:.1f} % if all candidates tied)"
            return (
                f"For {row.mean:.1f} % of the {_noun(row.source)}, one of the right {_noun(row.target)} is "
                f"among the first {row.metric.removeprefix('R@')}{blind}."
            )
    return "Transfer between modalities has not been evaluated yet."


def transfer_in_words(row: DirectionResult, chance: float | None) -> str:
    """One transfer in a sentence, which claims nothing where the score may be chance.

    Args:
        row: The transfer.
        chance: Percent right when guessing; None where `row.constant` is the comparison.
    """
    floor, floor_name = (row.constant, "always the same answer") if chance is None else (chance, "chance")
    lowest = row.mean - 2 * (row.std or 0) if row.interval is None else row.interval[0]
    percent = " %" if in_percent(row.metric) else ""
    claim = (
        f"recognises {row.mean:.1f} % of the {_noun(row.target)}"
        if row.metric == "accuracy"
        else f"reaches {decimal(row.mean, row.metric)}{percent} {row.metric.replace('f1', 'F1')} on"
        f" {_noun(row.target)}"
    )
    compared = "" if floor is None else f" ({floor_name} {decimal(floor, row.metric)}{percent})"
    sentence = f"A classifier trained on {_noun(row.source)} {claim}{compared}."
    if floor is not None and lowest <= floor:
        return f"No transfer beyond {floor_name} is shown. {sentence}"
    return sentence


def _noun(modality: str) -> str:
    return _NOUNS.get(modality, f"{modality} features")


def duration(seconds: float) -> str:
    """Such as "2 min 24 s"."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def thousands(number: int) -> str:
    """With a narrow space between groups of three digits."""
    return f"{number:,}".replace(",", "\u202f")
