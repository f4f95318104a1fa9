"""The coarse half of FCID: what a clip means as a whole (FCID paper, section 4.2.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from unicode_cmg.losses import CLUB, info_nce, reconstruction_loss
from unicode_cmg.methods.dcid import ModalityConfig
from unicode_cmg.methods.dcid.networks import Decoder
from unicode_cmg.methods.fcid.config import FCIDConfig


@dataclass(frozen=True)
class CoarseRepresentation:
    """The clips of one batch; every mapping goes from modality to tensor. A clip is a single step.

    Attributes:
        projected: `[B, 1, D]` P(x), the clip before its parting.
        general: `[B, 1, D]` c^m.
        specific: `[B, 1, D]` cbar^m.
        masks: `[B, 1]` True where the clip has a valid step.
    """

    projected: Mapping[str, Float[Tensor, "batch 1 dim"]]
    general: Mapping[str, Float[Tensor, "batch 1 dim"]]
    specific: Mapping[str, Float[Tensor, "batch 1 dim"]]
    masks: Mapping[str, Bool[Tensor, "batch 1"]]


class CoarseStage(nn.Module):
    """Projectors, general and specific encoders, decoders and critics of clips.

    All fine modalities share one projector, one pair of encoders and one critic; each coarse modality has its
    own. Decoders are never shared. Without coarse modalities the stage does nothing.

    Args:
        config: Sizes and switches.
    """

    def __init__(self, config: FCIDConfig) -> None:
        super().__init__()
        self.config, self.groups = config, config.groups
        self._group_of = {m: group for group, members in self.groups.items() for m in members}
        dim = config.dim
        self.project = nn.ModuleDict({group: nn.Linear(dim, dim) for group in self.groups})
        self.general = nn.ModuleDict({group: _encoder(dim) for group in self.groups})
        self.specific = nn.ModuleDict({group: _encoder(dim) for group in self.groups})
        self.critic = nn.ModuleDict({group: CLUB(dim, dim, config.critic_hidden) for group in self.groups})
        self.decoder = nn.ModuleDict({m: Decoder(config, ModalityConfig(dim=dim)) for m in self._group_of})

    def represent(
        self,
        steps: Mapping[str, Float[Tensor, "batch _ dim"]],
        masks: Mapping[str, Bool[Tensor, "batch _"]],
    ) -> CoarseRepresentation:
        """What the clips mean, parted (FCID paper, eq 14).

        Args:
            steps: `[B, T, D]` features of every modality; T may differ.
            masks: `[B, T]` likewise.
        """
        projected = {m: self.project[g](clip_mean(steps[m], masks[m])) for m, g in self._group_of.items()}
        return CoarseRepresentation(
            projected=projected,
            general={m: self.general[g](projected[m]) for m, g in self._group_of.items()},
            specific={m: self.specific[g](projected[m]) for m, g in self._group_of.items()},
            masks={m: masks[m].any(dim=1, keepdim=True) for m in self._group_of},
        )

    def encode(
        self, modality: str, steps: Float[Tensor, "batch time dim"]
    ) -> Float[Tensor, "batch time dim"]:
        """c^m of every step, or of the mean over steps where that is given."""
        group = self._group_of[modality]
        general: Tensor = self.general[group](self.project[group](steps))
        return general

    def critic_losses(self, r: CoarseRepresentation) -> dict[str, Float[Tensor, ""]]:
        """Group -> negative log-likelihood log q(cbar | c) of its critic, on constants."""
        losses = {}
        for group in self.groups:
            general, specific, mask = self._stacked(r, group)
            losses[group] = -self._critic(group).log_likelihood(
                general.detach(), specific.detach(), mask=mask
            )
        return losses

    def training_losses(
        self,
        r: CoarseRepresentation,
        *,
        codes: Mapping[str, Float[Tensor, "batch _ dim"]],
        permutations: Mapping[str, Int64[Tensor, " _"]],
    ) -> dict[str, Float[Tensor, ""]]:
        """Terms of the coarse half.

        Args:
            r: What `represent` returned.
            codes: `[B, 1, D]` what c^m was quantized to.
            permutations: Group -> order of its clips, modality after modality, for CLUB's negatives.

        Returns:
            `reconstruction/coarse/m` (eq 18) for each modality m, `club/coarse/g` (eq 15) for each group g of
            them, `info_nce/a-b` (eq 16) for each pair of modalities of different groups.
        """
        losses: dict[str, Tensor] = {}
        for m, target in r.projected.items():
            prediction = self.decoder[m](codes[m], r.specific[m])
            target = target.detach() if self.config.detach_targets else target
            losses[f"reconstruction/coarse/{m}"] = reconstruction_loss(prediction, target, mask=r.masks[m])
        for group in self.groups:
            general, specific, mask = self._stacked(r, group)
            losses[f"club/coarse/{group}"] = self._critic(group).mutual_information(
                general,
                specific,
                permutation=permutations[group].to(general.device),
                mask=mask,
                form=self.config.club_form,
            )
        for a, b in self.config.pairs:
            losses[f"info_nce/{a}-{b}"] = info_nce(
                r.general[a].flatten(0, 1),
                r.general[b].flatten(0, 1),
                self.config.temperature,
                symmetric=self.config.info_nce_symmetric,
                mask=(r.masks[a] & r.masks[b]).flatten(),
            )
        return losses

    def _stacked(
        self, r: CoarseRepresentation, group: str
    ) -> tuple[Float[Tensor, "clips dim"], Float[Tensor, "clips dim"], Bool[Tensor, " clips"]]:
        """c, cbar and which count, of the clips of a group, modality after modality."""
        members = self.groups[group]
        return (
            torch.cat([r.general[m] for m in members]).flatten(0, 1),
            torch.cat([r.specific[m] for m in members]).flatten(0, 1),
            torch.cat([r.masks[m] for m in members]).flatten(),
        )

    def _critic(self, group: str) -> CLUB:
        return cast(CLUB, self.critic[group])


def clip_mean(
    steps: Float[Tensor, "batch time dim"], mask: Bool[Tensor, "batch time"] | None
) -> Float[Tensor, "batch 1 dim"]:
    """Mean over the valid steps; zero for a clip without any."""
    if mask is None:
        return steps.mean(dim=1, keepdim=True)
    count = mask.sum(dim=1).clamp(min=1).view(-1, 1, 1)
    return torch.where(mask.unsqueeze(-1), steps, 0).sum(dim=1, keepdim=True) / count


def _encoder(dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(dim, dim), nn.ReLU())
