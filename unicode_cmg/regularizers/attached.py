"""All regularizers of a run as one module: their terms, factors, parameters and state under their names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from unicode_cmg.batch import StepView
from unicode_cmg.regularizers.base import ParameterGroup, Regularizer, RegularizerConfig
from unicode_cmg.regularizers.registry import regularizer_class


class Regularizers(nn.Module):
    """The regularizers of a run, in the order of its configuration; there may be none.

    Args:
        members: Name -> regularizer.
    """

    def __init__(self, members: Mapping[str, Regularizer] | None = None) -> None:
        super().__init__()
        self.members = nn.ModuleDict(members or {})

    @classmethod
    def build(cls, entries: Iterable[Mapping[str, Any]], example: StepView, *, seed: int) -> Regularizers:
        """Fresh regularizers; the global random state is left alone, so the method trains as without them.

        Args:
            entries: `name` and settings of each.
            example: The view of one clip.
            seed: Seed of their parameters.

        Raises:
            InputError: A name is unknown, or settings are wrong or do not fit the view.
        """
        members = {}
        with torch.random.fork_rng(devices=[]):
            for number, entry in enumerate(entries):
                torch.manual_seed(int(np.random.SeedSequence([seed, number]).generate_state(1)[0]))
                kind, config = resolved(entry)
                members[kind.name] = kind(config, example)
        return cls(members)

    def __iter__(self) -> Iterator[Regularizer]:
        return iter(cast("Iterable[Regularizer]", self.members.values()))

    def __len__(self) -> int:
        return len(self.members)

    def losses(self, view: StepView, generators: Iterable[torch.Generator]) -> dict[str, Float[Tensor, ""]]:
        """The terms of all, as `NAME/term`.

        Args:
            view: What the step shows.
            generators: A generator for each.
        """
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


def columns(entries: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Columns of the feature store that regularizers read, each once; some may be modalities of the method.

    Raises:
        InputError: A name is unknown, or settings are wrong.
    """
    members = [resolved(entry) for entry in entries]
    return tuple(dict.fromkeys(column for kind, config in members for column in kind.columns(config)))


def resolved(
    entry: Mapping[str, Any], *, where: object = "regularizers"
) -> tuple[type[Regularizer], RegularizerConfig]:
    """Class and settings of one entry of the configuration.

    Raises:
        InputError: The name is unknown, or a setting is wrong.
    """
    kind = regularizer_class(entry["name"], where=where)
    settings = {key: value for key, value in entry.items() if key != "name"}
    return kind, kind.config_class.parse(settings, where=f"{where}: {kind.name}")
