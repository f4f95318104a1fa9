"""Choose among refinements: on validation clips, or on the reported ones as printed numbers do."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from pydantic import Field

from benchmarks.refinement.comparison import ALL, RefinedResult
from unicode_cmg.config import Config
from unicode_cmg.errors import InputError


class Choice(Config):
    """The best of some refinements and all their sizes, for each direction of each run and task."""

    among: tuple[str, ...] = Field(
        min_length=1, description=f"names of refinements; '{ALL}' is one that is always there"
    )
    by: Literal["selection", "reported"] = Field(
        default="selection",
        description="what the heads reach on validation clips of the modality they learned on; or, a leak "
        "(P11), on the clips and in the modality that are reported",
    )


def check_choices(choices: Mapping[str, Choice], refinements: Collection[str]) -> None:
    """Refuse choices that cannot be made.

    Raises:
        ValueError: A choice has the name of a refinement, or chooses among something that there is not.
    """
    known = [ALL, *refinements]
    for name, choice in choices.items():
        if name in known:
            raise ValueError(f"'{name}' is the name of a choice and of a refinement; expected two names")
        for candidate in choice.among:
            if candidate not in known:
                raise ValueError(
                    f"the choice '{name}' is among '{candidate}'; expected some of {', '.join(known)}"
                )


def chosen(rows: Sequence[RefinedResult], choices: Mapping[str, Choice]) -> list[RefinedResult]:
    """A row for each choice and direction, with the numbers of the refinement that was chosen.

    Of equally good ones the largest is taken.

    Args:
        rows: All refinements of one run on one task.
        choices: Name -> choice.

    Raises:
        InputError: Nothing can be chosen by the selection clips, because there are none.
    """
    found = []
    for name, choice in choices.items():
        for source, target in dict.fromkeys((row.source, row.target) for row in rows):
            candidates = [
                row
                for row in rows
                if (row.source, row.target) == (source, target) and row.refinement in choice.among
            ]
            best = max(candidates, key=lambda row: (_value(row, name, choice), row.kept))
            found.append(best.model_copy(update={"refinement": name, "asked": None}))
    return found


def _value(row: RefinedResult, name: str, choice: Choice) -> float:
    if choice.by == "reported":
        return row.mean
    if row.selection is None:
        raise InputError(
            f"the choice '{name}' has no clips to choose by", expected="a task whose heads choose their epoch"
        )
    return row.selection
