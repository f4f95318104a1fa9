"""Slot-guided alignment as a regularizer: joint tokens and teachers from what a step of a method shows."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unicode_cmg.batch import StepView
from unicode_cmg.errors import InputError, unknown
from unicode_cmg.regularizers.base import ParameterGroup, Regularizer
from unicode_cmg.regularizers.slot_alignment.aligner import SlotAligner
from unicode_cmg.regularizers.slot_alignment.config import SlotAlignmentConfig, TeacherConfig
from unicode_cmg.regularizers.slot_alignment.records import Alignment, TokenLayout, TokenLayouts, Tokens
from unicode_cmg.regularizers.slot_alignment.teachers import build_teacher


class SlotAlignment(Regularizer):
    """Aligns what a method makes of all modalities with uni-modal teachers, slot by slot (SGA paper).

    H are the modality-general tokens of every step and modality, side by side; the share of each modality in
    it is `H^(m)` of eq. 4. A teacher is a column of the feature store, or a module that runs on one.

    Args:
        config: Settings.
        example: The view of one clip.

    Raises:
        InputError: The method shows no modality-general features, a teacher's column is not there, or its
            module does not work.
    """

    name: ClassVar[str] = "slot_alignment"
    config_class: ClassVar[type[SlotAlignmentConfig]] = SlotAlignmentConfig
    config: SlotAlignmentConfig

    def __init__(self, config: SlotAlignmentConfig, example: StepView) -> None:
        super().__init__(config, example)
        if not example.general:
            raise InputError("the method shows no modality-general features", where=self.name)
        self._sources = config.teachers or {m: TeacherConfig() for m in example.general}
        self.teachers = nn.ModuleDict({m: build_teacher(m, source) for m, source in self._sources.items()})
        self.teachers.eval()
        with torch.no_grad():
            tokens = self._teacher_tokens(_on_cpu(example))
        self.teachers.train()
        self.aligner = SlotAligner(
            config, self._joint(example).values.shape[2], {m: t.values.shape[2] for m, t in tokens.items()}
        )

    @classmethod
    def columns(cls, config: SlotAlignmentConfig) -> tuple[str, ...]:
        """The columns of the teachers that are named in the settings."""
        return tuple(dict.fromkeys(source.column or m for m, source in config.teachers.items()))

    def align(self, view: StepView, *, generator: torch.Generator) -> Alignment:
        """Slots of the joint tokens and of every teacher, and the pairs among them.

        Args:
            view: What a step shows.
            generator: CPU generator; in evaluation mode a clip has the same slots in any batch.
        """
        alignment: Alignment = self.aligner(
            self._joint(view), self._teacher_tokens(view), generator=generator
        )
        return alignment

    def losses(self, view: StepView, *, generator: torch.Generator) -> dict[str, Float[Tensor, ""]]:
        """`contrastive`, `retrieval`, `reconstruction` and `keep`; see `SlotAligner.losses`."""
        joint, teachers = self._joint(view), self._teacher_tokens(view)
        alignment = self.aligner(joint, teachers, generator=generator)
        return self.aligner.losses(alignment, joint, teachers, parts=_parts(view), generator=generator)

    def loss_factors(self) -> dict[str, float]:
        """Those of the settings."""
        return self.config.factors()

    def parameter_groups(self) -> list[ParameterGroup]:
        """Slots, selections and decoders at `lr`; each teacher that learns at its own."""
        decay, warmup = self.config.weight_decay, self.config.warmup
        groups = [ParameterGroup(tuple(self.aligner.parameters()), self.config.lr, decay, warmup)]
        for m, source in self._sources.items():
            learned = tuple(p for p in self.teachers[m].parameters() if p.requires_grad)
            if learned:
                groups.append(ParameterGroup(learned, source.lr, decay, warmup))
        return groups

    def token_layout(self, view: StepView) -> TokenLayouts:
        """What each token of `align(view)` stands for, the same for every clip.

        `columns` are columns of the feature store for a teacher, and modalities of the method for the joint
        tokens.
        """
        with torch.no_grad():
            tokens = self._teacher_tokens(view)
        columns = {m: self._column(m) for m in tokens}
        return TokenLayouts(
            TokenLayout.of_steps(view.general),
            {
                m: TokenLayout.of_column(columns[m], view.features[columns[m]], t.mask.shape[1])
                for m, t in tokens.items()
            },
        )

    def _joint(self, view: StepView) -> Tokens:
        parts = _parts(view).values()
        return Tokens(
            torch.cat([part.values for part in parts], 1), torch.cat([part.mask for part in parts], 1)
        )

    def _teacher_tokens(self, view: StepView) -> dict[str, Tokens]:
        tokens = {}
        for m, teacher in self.teachers.items():
            column = self._column(m)
            if column not in view.features:
                raise unknown("column", column, view.features, where=f"{self.name}: teachers.{m}")
            tokens[m] = teacher(view.features[column], view.masks[column])
        return tokens

    def _column(self, teacher: str) -> str:
        return self._sources[teacher].column or teacher


def _parts(view: StepView) -> dict[str, Tokens]:
    """The general tokens of each modality; one token for the whole clip is real if any step is."""
    return {
        m: Tokens(z, view.masks[m] if z.shape[1] > 1 else view.masks[m].any(1, keepdim=True))
        for m, z in view.general.items()
    }


def _on_cpu(view: StepView) -> StepView:
    """The features and masks where a module is before it is moved to the device."""
    return replace(
        view,
        features={m: x.cpu() for m, x in view.features.items()},
        masks={m: x.cpu() for m, x in view.masks.items()},
    )
