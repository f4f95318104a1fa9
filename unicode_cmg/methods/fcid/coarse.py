"""The coarse half of FCID: what a clip means as a whole (FCID paper, section 4.2.2)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from unicode_cmg.losses import info_nce
from unicode_cmg.methods.base import prefixed
from unicode_cmg.methods.dcid import ModalityConfig
from unicode_cmg.methods.dcid.disentangler import Disentangled, Parting, build_critic
from unicode_cmg.methods.dcid.networks import Decoder
from unicode_cmg.methods.fcid.config import FCIDConfig


class CoarseStage(Parting):
    """Projectors, general and specific encoders, decoders and critics of clips.

    All fine modalities share one projector, one pair of encoders and one critic; each coarse modality has its
    own. Decoders are never shared. Without coarse modalities the stage does nothing.

    Args:
        config: Sizes and switches.
    """

    def __init__(self, config: FCIDConfig) -> None:
        super().__init__()
        self.config: FCIDConfig = config
        groups, dim = config.groups, config.dim
        self._group_of = {m: group for group, members in groups.items() for m in members}
        self.project = nn.ModuleDict({group: nn.Linear(dim, dim) for group in groups})
        self.general = nn.ModuleDict({group: _encoder(dim) for group in groups})
        self.specific = nn.ModuleDict({group: _encoder(dim) for group in groups})
        self.critic = nn.ModuleDict({group: build_critic(config, dim) for group in groups})
        self.decoder = nn.ModuleDict({m: Decoder(config, ModalityConfig(dim=dim)) for m in self._group_of})

    def part(
        self,
        steps: Mapping[str, Float[Tensor, "batch _ dim"]],
        masks: Mapping[str, Bool[Tensor, "batch _"]],
    ) -> Disentangled:
        """What the clips mean, parted (FCID paper eq. 14); a clip is a single step.

        Args:
            steps: `[B, T, D]` features of every modality; T may differ.
            masks: `[B, T]` likewise.

        Returns:
            `inputs` P(x), the clips before their parting, `general` c^m and `specific` cbar^m, each
            `[B, 1, D]`; the mask is True where a clip has a valid step.
        """
        projected = {m: self.project[g](clip_mean(steps[m], masks[m])) for m, g in self._group_of.items()}
        general = {m: self.general[g](projected[m]) for m, g in self._group_of.items()}
        specific = {m: self.specific[g](projected[m]) for m, g in self._group_of.items()}
        valid = {m: masks[m].any(dim=1, keepdim=True) for m in self._group_of}
        return Disentangled(projected, general, specific, summary=specific, masks=valid)

    def encode(
        self, modality: str, steps: Float[Tensor, "batch time dim"]
    ) -> Float[Tensor, "batch time dim"]:
        """c^m of every step, or of the mean over steps where that is given."""
        group = self._group_of[modality]
        general: Tensor = self.general[group](self.project[group](steps))
        return general

    def specific_steps(
        self, modality: str, steps: Float[Tensor, "batch time dim"]
    ) -> Float[Tensor, "batch time dim"]:
        """cbar^m of every step."""
        group = self._group_of[modality]
        specific: Tensor = self.specific[group](self.project[group](steps))
        return specific

    def training_losses(
        self,
        r: Disentangled,
        *,
        codes: Mapping[str, Float[Tensor, "batch _ dim"]],
        permutations: Mapping[str, Int64[Tensor, " _"]],
    ) -> dict[str, Float[Tensor, ""]]:
        """Terms of the coarse half.

        Args:
            r: What `part` returned.
            codes: `[B, 1, D]` what c^m was quantized to.
            permutations: Group -> order of its clips, modality after modality, for CLUB's negatives.

        Returns:
            `reconstruction/coarse/m` (eq 18) for each modality m, `club/coarse/g` (eq 15) for each group g of
            them, `info_nce/a-b` (eq 16) for each pair of modalities of different groups.
        """
        config = self.config
        targets = {m: x.detach() if config.detach_targets else x for m, x in r.inputs.items()}
        losses = {
            **prefixed("reconstruction/coarse/", self.reconstruction_losses(r, codes, targets)),
            **prefixed("club/coarse/", self.club_losses(r, r.general, permutations)),
        }
        for a, b in config.pairs:
            losses[f"info_nce/{a}-{b}"] = info_nce(
                r.general[a].flatten(0, 1),
                r.general[b].flatten(0, 1),
                config.temperature,
                symmetric=config.info_nce_symmetric,
                mask=(r.masks[a] & r.masks[b]).flatten(),
            )
        return losses

    def _clips(self, values: Mapping[str, Tensor], critic: str) -> Tensor:
        """The clips of a group without their axis of time, modality after modality."""
        return torch.cat([values[m] for m in self.config.groups[critic]]).flatten(0, 1)


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
