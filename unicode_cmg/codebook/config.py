"""The configuration of a quantizer, and the quantizer it describes."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Literal

from pydantic import Field, model_validator

from unicode_cmg.codebook.finite_scalar import MOST_GRID_POINTS, FiniteScalar
from unicode_cmg.codebook.paper_rule import PaperSharedCodebook
from unicode_cmg.codebook.quantizer import Quantizer
from unicode_cmg.codebook.released_rule import ReleasedSharedCodebook
from unicode_cmg.codebook.residual import ResidualCodebook
from unicode_cmg.codebook.shared import SharedCodebook
from unicode_cmg.config import Config
from unicode_cmg.errors import InputError

Fidelity = Literal["corrected", "released", "paper"]
"""Ours, as in the released code, or as printed in the papers."""


class CodebookConfig(Config):
    """The discrete space all modalities share."""

    quantizer: Literal["mm_ema", "rvq", "fsq"] = Field(
        default="mm_ema",
        description="kind of quantizer: one MM-EMA codebook, residual MM-EMA codebooks in a row, or finite "
        "scalars",
    )
    codebooks: int | None = Field(
        default=None, ge=2, le=256, description="`rvq`: number of residual codebooks"
    )
    levels: tuple[int, ...] | None = Field(
        default=None, description="`fsq`: levels of each scalar; their product takes the place of `num_codes`"
    )
    rule: Fidelity | None = Field(
        default=None,
        description="update rule of the codebook; under that of the `paper` each modality chooses for itself "
        "unless `assignment` says otherwise, cross-attention weights the pulls, and a code stays only "
        "while every modality uses it; null: as `fidelity`",
    )
    decay: float = Field(default=0.99, gt=0, lt=1, description="decay of the moving averages")
    own_weight: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="weight of a code's own modality; 1 switches the cross-modal terms off",
    )
    assignment: Literal["joint", "own"] | None = Field(
        default=None,
        description="`mm_ema`: whether the modalities of a step choose their code together, or each for "
        "itself, as in the papers; null: together under the corrected rule, if `own_weight` is below 1",
    )
    separation: float = Field(
        default=0.0,
        ge=0,
        lt=2,
        description="`mm_ema`: least distance between two codewords, as a share of the spread of the "
        "features; codewords that come closer become one code, and others stay unused; 0: any",
    )
    revive_after: int | None = Field(
        default=300, ge=1, description="steps without use after which a code is revived; null: never"
    )
    init: Literal["uniform", "data"] = Field(
        default="uniform", description="how the first codewords are drawn: uniformly, or from the data"
    )

    @model_validator(mode="after")
    def _settings_belong_to_the_quantizer(self) -> CodebookConfig:
        for name, owner, example in (("codebooks", "rvq", "4"), ("levels", "fsq", "[8, 8, 6] (384 codes)")):
            given = getattr(self, name) is not None
            if self.quantizer == owner and not given:
                raise ValueError(
                    f"'quantizer' is {owner} and '{name}' is missing; give it, such as {example}"
                )
            if self.quantizer != owner and given:
                raise ValueError(
                    f"'{name}' is for the quantizer {owner}, but 'quantizer' is {self.quantizer}; "
                    "change one of them"
                )
        if self.levels is not None and (not self.levels or min(self.levels) < 3):
            raise ValueError(f"'levels' is {list(self.levels)}; give one or more, each at least 3")
        if self.levels is not None and math.prod(self.levels) > MOST_GRID_POINTS:
            raise ValueError(
                f"'levels' is {list(self.levels)}, which makes more than {MOST_GRID_POINTS} codes (their"
                " product); give fewer or smaller ones"
            )
        return self


def build_quantizer(
    config: CodebookConfig,
    *,
    num_codes: int,
    dim: int,
    modalities: Sequence[str],
    rule: Fidelity,
    revive_noise: tuple[float, float] = (-1 / 1024, 1 / 1024),
    free: Collection[str] = (),
) -> Quantizer:
    """A new quantizer as the configuration describes it.

    Args:
        config: Kind of quantizer and how it learns.
        num_codes: H of each codebook.
        dim: Width D of features and codes.
        modalities: Names of the modalities in the order of the `released` updates.
        rule: Update rule if the configuration names none.
        revive_noise: Noise of a `released` revival, see `ReleasedSharedCodebook`.
        free: Modalities whose steps are not those of the others, see `SharedCodebook`.

    Raises:
        InputError: Two settings exclude each other.
    """
    if config.quantizer == "fsq":
        return FiniteScalar(config.levels or (), dim)
    rule = config.rule or rule
    released = rule == "released"
    if released and config.init == "data":
        raise InputError(
            "'init' is data under the released rule",
            where="codebook",
            expected="init: uniform, as released, or rule: corrected",
        )

    alone = released or config.quantizer != "mm_ema" or config.own_weight == 1
    if alone and (config.assignment == "joint" or config.separation):
        raise InputError(
            "'assignment' is joint"
            if config.assignment == "joint"
            else f"'separation' is {config.separation}",
            where="codebook",
            expected="quantizer: mm_ema, rule: corrected or paper, and an own_weight below 1 with it",
            fix="set separation to 0 and assignment to own, or change the others",
        )
    kind: Callable[..., SharedCodebook] = (
        partial(ReleasedSharedCodebook, revive_noise=revive_noise)
        if released
        else partial(
            PaperSharedCodebook if rule == "paper" else SharedCodebook,
            init=config.init,
            assignment=config.assignment or ("own" if alone or rule == "paper" else "joint"),
            free=free,
            separation=config.separation,
        )
    )
    learning = {"decay": config.decay, "own_weight": config.own_weight, "revive_after": config.revive_after}
    books = [kind(num_codes, dim, modalities, **learning) for _ in range(config.codebooks or 1)]
    return ResidualCodebook(books) if config.codebooks else books[0]
