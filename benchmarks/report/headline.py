"""The top of the page: what the data are, the main result in one sentence, and the headline numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report.run_files import RunFiles
from benchmarks.report.transfer import TransferTable
from unicode_cmg.results import DirectionResult

_NOUNS = {"audio": "sounds", "video": "pictures", "text": "texts"}


@dataclass(frozen=True)
class Tile:
    """One headline number, with lines below it that put it in place."""

    name: str
    value: str
    hints: list[str]
    spread: str = ""


def title(run: RunFiles) -> str:
    """The title of the page: what the data are, and the name of the run."""
    data = "embedded digits" if run.digits else f"features in {_store(run)}"
    return f"Unified codebook of the {data}: {run.path.resolve().name}"


def data_in_words(run: RunFiles) -> str:
    """What the features are."""
    if run.digits is None:
        return f"The data are the features in {_store(run)}."
    return (
        "The data are the embedded digits that come with the package: written digits as video, spoken digits "
        "as audio, and prompts that name a digit as text. They are stored in the layouts of the papers' data "
        "sets, whose names the tasks therefore have."
    )


def _store(run: RunFiles) -> str:
    return "/".join(Path(run.config.get("data", {}).get("store", "an unknown store")).parts[-2:])


def run_in_words(run: RunFiles) -> str:
    """Method, codebook, length and date of the run."""
    method = run.config.get("method", {})
    parts = [f"Method {method.get('name', 'unknown')}"]
    if run.modalities:
        parts.append(" · ".join(run.modalities))
    if "num_codes" in method:
        parts.append(f"{method['num_codes']} codes of {method['dim']} dimensions")
    if logged := run.last_loss:
        parts.append(f"{_thousands(logged['step'])} steps in {_duration(logged['seconds'])}")
    return ", ".join([*parts, f"{run.day.day} {run.day:%B %Y}"]) + "."


def arrow(tables: Sequence[TransferTable]) -> tuple[str, str]:
    """The direction that the page explains and shows first: video to audio where there is one."""
    pairs = tables[0].crossings() if tables else []
    return ("video", "audio") if ("video", "audio") in pairs or not pairs else pairs[0]


def conclusion(run: RunFiles, tables: Sequence[TransferTable]) -> str:
    """The main result in one sentence: the first transfer, or the first retrieval."""
    if tables and tables[0].crossings():
        first = tables[0].results[0]
        return transfer_in_words(first.direction(*arrow(tables)), first.chance)
    rows = [row for result in run.evaluations.values() for row in result.directions]
    for row in rows:
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
    claim = (
        f"recognises {row.mean:.1f} % of the {_noun(row.target)}"
        if row.metric == "accuracy"
        else f"reaches {row.mean:.1f} % {row.metric.replace('f1', 'F1')} on {_noun(row.target)}"
    )
    compared = "" if floor is None else f" ({floor_name} {floor:.1f} %)"
    sentence = f"A classifier trained on {_noun(row.source)} {claim}{compared}."
    if floor is not None and lowest <= floor:
        return f"No transfer beyond {floor_name} is shown. {sentence}"
    return sentence


def _noun(modality: str) -> str:
    return _NOUNS.get(modality, f"{modality} features")


def tiles(run: RunFiles, tables: Sequence[TransferTable]) -> list[Tile]:
    """The first task in both directions, and how long training took."""
    found = []
    if tables:
        table, (source, target) = tables[0], arrow(tables)
        for pair in [(source, target), (target, source)]:
            if pair in table.cells:
                score, *others = table.cells[pair]
                hints = [table.floors, *(f"{other.label}: {other.mean:.1f} %" for other in others)]
                spread = "" if score.std is None else f"± {score.std:.1f}"
                found.append(Tile(" → ".join(pair), f"{score.mean:.1f} %", hints, spread))
    if logged := run.last_loss:
        found.append(Tile("training", _duration(logged["seconds"]), [f"{_thousands(logged['step'])} steps"]))
    return found


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _thousands(number: int) -> str:
    return f"{number:,}".replace(",", "\u202f")
