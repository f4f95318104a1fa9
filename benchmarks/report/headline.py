"""The top of the page: what the data are, the main result in one sentence, and the headline numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.evaluation.results import DirectionResult
from benchmarks.report.run_files import RunFiles
from benchmarks.report.transfer import TransferTable

_NOUNS = {"audio": "sounds", "video": "pictures", "text": "texts"}


@dataclass(frozen=True)
class Tile:
    """One headline number, with lines below it that put it in place."""

    name: str
    value: str
    hints: list[str]
    spread: str = ""


@dataclass(frozen=True)
class Headline:
    """What stands above the sections.

    Attributes:
        title: Of the page.
        conclusion: The main result in one sentence.
        data: What the features are.
        about: Method, codebook, length and date of the run.
        made_by: Whether `command` made the run; else it makes the same run again.
        command: A command line.
        tiles: Headline numbers.
    """

    title: str
    conclusion: str
    data: str
    about: str
    made_by: bool
    command: str
    tiles: list[Tile]


def headline(run: RunFiles, tables: Sequence[TransferTable]) -> Headline:
    """The top of the page of a run."""
    name = run.path.resolve().name
    if run.digits is not None:
        about_data = (
            "The data are the embedded digits that come with the package: written digits as video, spoken "
            "digits as audio, and prompts that name a digit as text. They are stored in the layouts of the "
            "papers' data sets, whose names the tasks therefore have."
        )
        title = f"Unified codebook of the embedded digits: {name}"
    else:
        store = "/".join(Path(run.config.get("data", {}).get("store", "an unknown store")).parts[-2:])
        about_data = f"The data are the features in {store}."
        title = f"Unified codebook of the features in {store}: {name}"
    again = f"unicode-cmg pretrain {run.path / 'config.yaml'} --to {run.path}-again"
    return Headline(
        title=title,
        conclusion=_conclusion(run, tables),
        data=about_data,
        about=_about(run),
        made_by=bool(run.command),
        command=run.command or again,
        tiles=_tiles(run, tables),
    )


def arrow(tables: Sequence[TransferTable]) -> tuple[str, str]:
    """The direction that the page explains and shows first: video to audio where there is one."""
    pairs = tables[0].crossings() if tables else []
    return ("video", "audio") if ("video", "audio") in pairs or not pairs else pairs[0]


def _conclusion(run: RunFiles, tables: Sequence[TransferTable]) -> str:
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


def _about(run: RunFiles) -> str:
    method = run.config.get("method", {})
    parts = [f"Method {method.get('name', 'unknown')}"]
    if run.modalities:
        parts.append(" · ".join(run.modalities))
    if "num_codes" in method:
        parts.append(f"{method['num_codes']} codes of {method['dim']} dimensions")
    if logged := run.last_loss:
        parts.append(f"{_thousands(logged['step'])} steps in {_duration(logged['seconds'])}")
    return ", ".join([*parts, f"{run.day.day} {run.day:%B %Y}"]) + "."


def _tiles(run: RunFiles, tables: Sequence[TransferTable]) -> list[Tile]:
    """The first task in both directions, and how long training took."""
    tiles = []
    if tables:
        table, (source, target) = tables[0], arrow(tables)
        for pair in [(source, target), (target, source)]:
            if pair in table.cells:
                score, *others = table.cells[pair]
                hints = [table.floors, *(f"{other.label}: {other.mean:.1f} %" for other in others)]
                spread = "" if score.std is None else f"± {score.std:.1f}"
                tiles.append(Tile(" → ".join(pair), f"{score.mean:.1f} %", hints, spread))
    if logged := run.last_loss:
        tiles.append(Tile("training", _duration(logged["seconds"]), [f"{_thousands(logged['step'])} steps"]))
    return tiles


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _thousands(number: int) -> str:
    return f"{number:,}".replace(",", "\u202f")
