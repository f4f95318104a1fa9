"""Regularizers by their names: ours, those of installed packages, and all regularizers of a run together."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint
from typing import cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from unicode_cmg.batch import StepView
from unicode_cmg.config import NamedConfig
from unicode_cmg.entry_points import load_offered, offered, wrong_offer
from unicode_cmg.errors import InputError, printable, unknown
from unicode_cmg.regularizers.base import ParameterGroup, Regularizer, RegularizerConfig

GROUP = "unicode_cmg.regularizers"
"""The group of entry points under which a package offers regularizers: `NAME = "module:Class"`."""

OURS = {
    "gram": ("unicode_cmg.regularizers.gram", "Gram"),
    "slot_alignment": ("unicode_cmg.regularizers.slot_alignment", "SlotAlignment"),
    "structure": ("unicode_cmg.regularizers.structure", "Structure"),
}
"""Name -> module and class, imported when first asked for."""


def available_regularizers() -> tuple[str, ...]:
    """Names that `regularizers` in a configuration accepts: ours first, then those of other packages."""
    return (*OURS, *sorted(set(offered(GROUP)) - set(OURS)))


def regularizer_class(name: str, *, where: object = "regularizers") -> type[Regularizer]:
    """The class of a regularizer.

    Args:
        name: Its name; ours come before those of other packages.
        where: The file or argument the name came from, for the error message.

    Raises:
        InputError: There is none of this name, or the package that offers it cannot be used.
    """
    if name in OURS:
        module, attribute = OURS[name]
        found: type[Regularizer] = getattr(import_module(module), attribute)
        return found
    points = offered(GROUP)
    if name in points:
        return _loaded(points[name], where)
    raise unknown("regularizer", name, available_regularizers(), where=where)


class Regularizers(nn.Module):
    """The regularizers of a run, in the order of its configuration; there may be none.

    Args:
        members: Name -> regularizer.
    """

    def __init__(self, members: Mapping[str, Regularizer] | None = None) -> None:
        super().__init__()
        self.members = nn.ModuleDict(members or {})

    @classmethod
    def build(cls, entries: Iterable[NamedConfig], example: StepView, *, seed: int) -> Regularizers:
        """Fresh regularizers; the global random state is left alone, so the method trains as without them.

        Args:
            entries: Name and settings of each.
            example: The view of one clip.
            seed: Seed of their parameters.

        Raises:
            InputError: A name is unknown, or settings do not fit the view.
        """
        members = {}
        with torch.random.fork_rng(devices=[]):
            for number, entry in enumerate(entries):
                torch.manual_seed(int(np.random.SeedSequence([seed, number]).generate_state(1)[0]))
                members[entry.name] = regularizer_class(entry.name)(entry.settings, example)
        return cls(members)

    def __iter__(self) -> Iterator[Regularizer]:
        return iter(cast("Iterable[Regularizer]", self.members.values()))

    def __len__(self) -> int:
        return len(self.members)

    def losses(self, view: StepView, generators: Iterable[torch.Generator]) -> dict[str, Float[Tensor, ""]]:
        """The terms of all, as `NAME/term`.

        What stands in padding, or in the place of a modality that a clip lacks, reaches no regularizer.

        Args:
            view: What the step shows.
            generators: A generator for each.
        """
        view = view.cleared()
        return {
            f"{member.name}/{term}": loss
            for member, generator in zip(self, generators, strict=False)
            for term, loss in member.losses(view, generator=generator).items()
        }

    def loss_factors(self) -> dict[str, float]:
        """Factor by the beginning of a term's name, as `Method.loss_factors`."""
        factors = {}
        for member in self:
            weight = member.config.weight
            factors[member.name] = weight
            factors |= {f"{member.name}/{term}": weight * f for term, f in member.loss_factors().items()}
        return factors

    def parameter_groups(self) -> list[ParameterGroup]:
        """Those of all."""
        return [group for member in self for group in member.parameter_groups()]

    def trained_modules(self) -> dict[str, nn.Module]:
        """Each by its name; gradients are clipped for each alone."""
        return {member.name: member for member in self if member.parameter_groups()}


def columns(entries: Iterable[NamedConfig]) -> tuple[str, ...]:
    """Columns of the feature store that regularizers read, each once; some may be modalities of the method.

    Raises:
        InputError: A name is unknown.
    """
    read = (column for entry in entries for column in regularizer_class(entry.name).columns(entry.settings))
    return tuple(dict.fromkeys(read))


def check_trusted(entries: Iterable[NamedConfig], trust_code: bool, *, where: object) -> None:
    """Refuse regularizers whose settings name code to run, unless the user trusts it; then name it first.

    Args:
        entries: Name and settings of each.
        trust_code: Whether the user said so.
        where: The file that names it, for the error message.

    Raises:
        InputError: Settings name code, and the user has not said that it may run.
    """
    named = [code for entry in entries for code in cast("RegularizerConfig", entry.settings).code()]
    if named and not trust_code:
        raise InputError(
            f"it names code to import and run: {', '.join(named)}",
            where=where,
            fix="read that code; if you trust it, add --trust-code (in Python trust_code=True)",
        )
    if named and os.environ.get("RANK", "0") == "0":
        print(printable(f"importing {', '.join(named)}, named by {where}"), file=sys.stderr, flush=True)


def _loaded(point: EntryPoint, where: object) -> type[Regularizer]:
    found: type[Regularizer] = load_offered(point, "regularizer", Regularizer, where=where)
    settings = getattr(found, "config_class", None)
    if not (isinstance(settings, type) and issubclass(settings, RegularizerConfig)):
        what = "has no 'config_class' derived from RegularizerConfig"
        raise wrong_offer(point, "regularizer", what, where=where)
    return found
