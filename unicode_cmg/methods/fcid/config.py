"""Settings of FCID: those of DCID, and which modalities are aligned step by step and which clip by clip."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from unicode_cmg.methods.dcid import DCIDConfig, ModalityConfig

_ROLES = (
    "name every modality once: two or more under 'fine' and the others under 'coarse', or two or more under "
    "one of them and none under the other, as with two modalities only the fine or the coarse half of FCID "
    "applies (FCID paper, limitations)"
)


class FCIDConfig(DCIDConfig):
    """Sizes and switches of FCID; the defaults of the sizes are those of the papers."""

    switches: ClassVar[Mapping[str, tuple[Any, Any, Any]]] = {
        **DCIDConfig.switches,
        "cmcm_form": ("corrected", "released", "none"),
        "commitment_cross": (0.125, 0.25, 0.0),
        "temperature": (0.1, 0.1, 1.0),
        "info_nce_symmetric": (True, False, True),
        "detach_targets": (True, False, False),
        "revive_noise": ((-1 / 1024, 1 / 1024), (-1 / 1024, -1 / 1024), (-1 / 1024, 1 / 1024)),
    }

    modalities: dict[str, ModalityConfig] = Field(
        description="name of a modality -> its features; two modalities or more, with any names"
    )
    fine: tuple[str, ...] = Field(
        default=(),
        description="modalities whose steps happen at the same time (released: video, audio); the order of "
        "these, then of `coarse`, is the order in which a released codebook is updated",
    )
    coarse: tuple[str, ...] = Field(
        default=(), description="modalities that describe the clip as a whole (released: text)"
    )
    transformer_layers: int = Field(
        default=1, ge=1, le=256, description="number of transformer layers of each general encoder"
    )
    level: Literal["segment", "clip"] = Field(
        default="segment",
        description="what `encode` returns by default: one code for each step, or one for the whole clip",
    )
    temperature: float = Field(
        gt=0,
        description="temperature of InfoNCE; with 1, as in the paper, far less is aligned",
    )
    info_nce_symmetric: bool = Field(
        description="whether InfoNCE is computed in both directions; as released, only the fine modalities "
        "are queries"
    )
    detach_targets: bool = Field(
        description="reconstruct the projected clips as constants; as released they are not, and the targets "
        "can shrink to zero"
    )
    revive_noise: tuple[float, float] = Field(
        description="bounds of the noise that the released rule adds to a revived code; as released they are "
        "equal, a constant"
    )

    @property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """Modalities that share coarse networks, by name: the fine ones together, each coarse one alone.

        Empty without coarse modalities, as there is no coarse half then.
        """
        if not self.coarse:
            return {}
        together = {self._fine_group: self.fine} if self.fine else {}
        return {**together, **{m: (m,) for m in self.coarse}}

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Pairs of modalities of different groups, in the order of the groups."""
        members = [(group, m) for group, names in self.groups.items() for m in names]
        return [(a, b) for (group_a, a), (group_b, b) in combinations(members, 2) if group_a != group_b]

    @property
    def _fine_group(self) -> str:
        return "+".join(self.fine)

    @model_validator(mode="after")
    def _every_modality_has_one_role(self) -> FCIDConfig:
        problem = next(self._wrong_roles(), None)
        if problem is not None:
            raise ValueError(f"{problem}; {_ROLES}")
        return self

    def _wrong_roles(self) -> Iterator[str]:
        named = (*self.fine, *self.coarse)
        for m in named:
            if m not in self.modalities:
                yield f"'{m}' is {'fine' if m in self.fine else 'coarse'} but not one of 'modalities'"
            if named.count(m) > 1:
                yield f"modality '{m}' is named {named.count(m)} times"
        for m in self.modalities:
            if m not in named:
                yield f"modality '{m}' is neither fine nor coarse"
        if len(self.fine) == 1 or len(named) < 2:
            yield f"'fine' is {list(self.fine)} and 'coarse' is {list(self.coarse)}"

    @model_validator(mode="after")
    def _coarse_modalities_have_no_specific_encoder(self) -> FCIDConfig:
        for m in self.coarse:
            for name in ("specific_dim", "summary_dim"):
                if getattr(self.modalities[m], name) is not None:
                    raise ValueError(
                        f"'modalities.{m}.{name}' is for fine modalities, but '{m}' is coarse; remove it"
                    )
            if m == self._fine_group:
                raise ValueError(
                    f"'{m}' is what the fine modalities are called together; choose another name"
                )
        return self
