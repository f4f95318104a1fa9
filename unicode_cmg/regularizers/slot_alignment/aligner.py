"""Slot-guided alignment of joint tokens with the tokens of uni-modal teachers (SGA paper, section 3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unicode_cmg.errors import InputError, at_least
from unicode_cmg.losses import slot_contrast, slot_retrieval_loss, slot_similarity, top_pairs
from unicode_cmg.losses._masked import mean_of_clips
from unicode_cmg.regularizers.slot_alignment.config import AlignerConfig
from unicode_cmg.regularizers.slot_alignment.decomposer import Decomposer
from unicode_cmg.regularizers.slot_alignment.records import Alignment, Tokens


class SlotAligner(nn.Module):
    """Decomposes joint tokens and teachers into slots of one space, and says how far these are from agreeing.

    It knows neither methods nor stores: any model that has tokens can use it.

        aligner = SlotAligner(AlignerConfig(), joint_dim=768, teacher_dims={"image": 768, "text": 768})
        alignment = aligner(joint, teachers, generator=generator)
        terms = aligner.losses(alignment, joint, teachers, parts=parts, generator=generator)
        loss = task_loss + sum(factor * terms[name] for name, factor in aligner.config.factors().items())

    The contrastive term has a gradient in the joint tokens, and in those of a teacher that learns, through
    their slots; the retrieval term has one in `parts`. How well tokens are rebuilt and how many slots are
    kept moves the slots alone: tokens of a single concept would be the easiest to rebuild.

    Args:
        config: Sizes and switches.
        joint_dim: Channels of the joint tokens.
        teacher_dims: Teacher -> channels of its tokens.

    Raises:
        InputError: There is no teacher.
    """

    def __init__(self, config: AlignerConfig, joint_dim: int, teacher_dims: Mapping[str, int]) -> None:
        super().__init__()
        at_least("SlotAligner", 1, teachers=len(teacher_dims))
        self.config = config
        dim = config.dim or joint_dim
        self.joint = Decomposer(config, joint_dim, dim)
        self.teachers = nn.ModuleDict({m: Decomposer(config, c, dim) for m, c in teacher_dims.items()})

    def forward(
        self, joint: Tokens, teachers: Mapping[str, Tokens], *, generator: torch.Generator
    ) -> Alignment:
        """Slots of everything and the pairs among them (SGA paper eqs. 1, 2 and 5 to 9).

        Args:
            joint: Tokens H of all modalities.
            teachers: Teacher -> tokens h_m of the same samples.
            generator: CPU generator of the slots' start and, in training, of the selection.

        Raises:
            InputError: The teachers are not those it was built for, or tokens do not fit.
        """
        self._check(joint, teachers)
        whole = self.joint(joint, generator=generator)
        parts = {m: self._teacher(m)(teachers[m], generator=generator) for m in self.teachers}
        similarity = {m: slot_similarity(part.slots, whole.slots) for m, part in parts.items()}
        pairs = {
            m: top_pairs(similarity[m], part.keep, whole.keep, matching=self.config.matching)
            & teachers[m].mask.any(1)[:, None, None]  # a clip without tokens has slots, but nothing to align
            for m, part in parts.items()
        }
        return Alignment(whole, parts, similarity, pairs)

    def losses(
        self,
        alignment: Alignment,
        joint: Tokens,
        teachers: Mapping[str, Tokens],
        *,
        parts: Mapping[str, Tokens] | None = None,
        generator: torch.Generator,
    ) -> dict[str, Float[Tensor, ""]]:
        """The terms whose factor is not 0, unweighted.

        Args:
            alignment: What `aligner(joint, teachers)` returned.
            joint: The tokens it was given.
            teachers: The tokens it was given.
            parts: Modality -> its share of the joint tokens, `H^(m)` of eq. 4.
            generator: CPU generator of the directions of `distance: sliced`.

        Returns:
            `contrastive` (eq. 3); `retrieval` (eq. 4), if there are two parts or more; and from AdaSlot, as
            nothing in the SGA paper ties slots to what they are made of, `reconstruction`, the error of the
            tokens rebuilt from their slots, and `keep`, the share of slots that are kept, both averaged over
            the joint tokens and the teachers. A clip that lacks the tokens of a teacher has no term for it.

        Raises:
            InputError: POT is not installed, and `distance` needs it.
        """
        wanted = self.config.factors()
        terms: dict[str, Tensor] = {}
        if "contrastive" in wanted:
            terms["contrastive"] = self._contrast(alignment)
        if "retrieval" in wanted and parts is not None and len(parts) > 1:
            terms["retrieval"] = self._retrieval(parts, generator)
        if "reconstruction" in wanted:
            errors = [self.joint.reconstruction(joint, alignment.joint)]
            errors += [
                self._teacher(m).reconstruction(teachers[m], part) for m, part in alignment.teachers.items()
            ]
            terms["reconstruction"] = torch.stack(errors).mean()
        if "keep" in wanted:
            kept = [alignment.joint.keep, *(part.keep for part in alignment.teachers.values())]
            real = [joint.mask, *(teachers[m].mask for m in alignment.teachers)]
            there = torch.stack([mask.any(1) for mask in real], 1).unsqueeze(2)
            terms["keep"] = mean_of_clips(torch.stack(kept, 1), there.expand(-1, -1, kept[0].shape[1]))
        return terms

    def _contrast(self, alignment: Alignment) -> Float[Tensor, ""]:
        """Eq. 3, to which it is a fact which slots are kept: with one on each side it would be lowest.

        With `selection_gradient` it trains the selection too.
        """
        joint, teachers = alignment.joint, alignment.teachers
        parts = {"": joint, **teachers}
        keep = {m: p.keep if self.config.selection_gradient else p.keep.detach() for m, p in parts.items()}
        return slot_contrast(
            alignment.similarity,
            alignment.pairs,
            {m: part.slots for m, part in teachers.items()},
            {m: keep[m] for m in teachers},
            joint.slots,
            keep[""],
            form=self.config.contrast,
            temperature=self.config.contrast_temperature,
        )

    def _retrieval(self, parts: Mapping[str, Tokens], generator: torch.Generator) -> Float[Tensor, ""]:
        config = self.config
        return slot_retrieval_loss(
            {m: part.values for m, part in parts.items()},
            {m: part.mask for m, part in parts.items()},
            distance=config.distance,
            queries=config.queries,
            temperature=config.retrieval_temperature,
            directions=config.directions,
            entropy=config.entropy,
            generator=generator,
        )

    def _teacher(self, name: str) -> Decomposer:
        return cast(Decomposer, self.teachers[name])

    def _check(self, joint: Tokens, teachers: Mapping[str, Tokens]) -> None:
        if set(teachers) != set(self.teachers):
            raise InputError(
                f"teachers {_listed(teachers)}", where="SlotAligner", expected=_listed(self.teachers)
            )
        fitting = {"joint": self.joint, **{f"teacher '{m}'": self._teacher(m) for m in self.teachers}}
        given = {"joint": joint, **{f"teacher '{m}'": tokens for m, tokens in teachers.items()}}
        for name, decomposer in fitting.items():
            shape, width = list(given[name].values.shape), decomposer.token_dim
            if shape[0] != len(joint.mask) or shape[2] != width:
                raise InputError(
                    f"tokens {shape}",
                    where=f"SlotAligner: {name}",
                    expected=f"[{len(joint.mask)}, N, {width}]",
                )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in sorted(names)) or "none"
