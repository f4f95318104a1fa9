"""The fine half of FCID: modalities whose steps happen together (FCID paper, section 4.2.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from unicode_cmg.losses import CLUB, CrossModalCPC, reconstruction_loss
from unicode_cmg.methods.dcid.networks import Decoder, SpecificEncoder
from unicode_cmg.methods.fcid.config import FCIDConfig


@dataclass(frozen=True)
class FineRepresentation:
    """The fine features of one batch; every mapping goes from fine modality to tensor.

    Attributes:
        general: `[B, T, D]` f^m.
        specific: `[B, T, S]` or `[B, T, h, w, S]` fbar^m.
        summary: `[B, T, S']` one vector a step of fbar^m, what CLUB's critic predicts.
        masks: `[B, T]` True where a step is valid.
    """

    general: Mapping[str, Float[Tensor, "batch time dim"]]
    specific: Mapping[str, Float[Tensor, "batch time ..."]]
    summary: Mapping[str, Float[Tensor, "batch time ..."]]
    masks: Mapping[str, Bool[Tensor, "batch time"]]


class FineStage(nn.Module):
    """Specific encoders, decoders, critics and predictors of the fine modalities; with none it does nothing.

    Args:
        config: Sizes and switches.
    """

    def __init__(self, config: FCIDConfig) -> None:
        super().__init__()
        self.config, self.modalities = config, config.fine
        specs = {m: config.modalities[m] for m in config.fine}
        self.specific = nn.ModuleDict({m: SpecificEncoder(config, spec) for m, spec in specs.items()})
        self.decoder = nn.ModuleDict({m: Decoder(config, spec) for m, spec in specs.items()})
        self.critic = nn.ModuleDict(
            {m: CLUB(config.dim, self._specific(m).summary_dim, config.critic_hidden) for m in specs}
        )
        self.cpc = CrossModalCPC(config.fine, config.dim, normalize=config.cpc_normalize) if specs else None

    def represent(
        self,
        inputs: Mapping[str, Float[Tensor, "batch _ ..."]],
        general: Mapping[str, Float[Tensor, "batch _ dim"]],
        masks: Mapping[str, Bool[Tensor, "batch _"]],
    ) -> FineRepresentation:
        """What the fine modalities know, parted (FCID paper, eq 10).

        Args:
            inputs: `[B, T, ...]` features, of the fine modalities at least.
            general: `[B, T, D]` f^m likewise.
            masks: `[B, T]` likewise.
        """
        specific = {m: self.specific[m](inputs[m]) for m in self.modalities}
        return FineRepresentation(
            general={m: general[m] for m in self.modalities},
            specific=specific,
            summary={m: self._specific(m).summarize(specific[m]) for m in self.modalities},
            masks={m: masks[m] for m in self.modalities},
        )

    def critic_losses(self, r: FineRepresentation) -> dict[str, Float[Tensor, ""]]:
        """Modality -> negative log-likelihood log q(fbar^m | f^m) of its critic, on constants."""
        return {
            m: -self._critic(m).log_likelihood(r.general[m].detach(), r.summary[m].detach(), mask=r.masks[m])
            for m in self.modalities
        }

    def draw_step(self, r: FineRepresentation, generator: torch.Generator) -> int:
        """The step that CPC predicts from."""
        if self.cpc is None:
            return 0
        return self.cpc.draw_step(r.general[self.modalities[0]].shape[1], generator)

    def training_losses(
        self,
        r: FineRepresentation,
        *,
        decoded: Mapping[str, Float[Tensor, "batch time dim"]],
        targets: Mapping[str, Float[Tensor, "batch time ..."]],
        permutations: Mapping[str, Int64[Tensor, " _"]],
        step: int,
    ) -> dict[str, Float[Tensor, ""]]:
        """Terms of the fine half.

        Args:
            r: What `represent` returned.
            decoded: What the decoders get beside the specific features: f^m, or its codes.
            targets: What they are to reconstruct: the inputs, or constants equal to them.
            permutations: Modality -> order of the clips that gives CLUB its negatives.
            step: The step that CPC predicts from.

        Returns:
            `reconstruction/fine/m` and `club/fine/m` (eq 12) for each modality m, and `cpc` (eq 13).
        """
        losses: dict[str, Tensor] = {}
        for m in self.modalities:
            prediction = self.decoder[m](decoded[m], r.specific[m])
            losses[f"reconstruction/fine/{m}"] = reconstruction_loss(prediction, targets[m], mask=r.masks[m])
        for m in self.modalities:
            losses[f"club/fine/{m}"] = self._critic(m).mutual_information(
                r.general[m],
                r.summary[m],
                permutation=permutations[m].to(r.general[m].device),
                mask=r.masks[m],
                form=self.config.club_form,
            )
        if self.cpc is not None:
            losses["cpc"] = self.cpc(r.general, step=step, masks=r.masks).loss
        return losses

    def _specific(self, modality: str) -> SpecificEncoder:
        return cast(SpecificEncoder, self.specific[modality])

    def _critic(self, modality: str) -> CLUB:
        return cast(CLUB, self.critic[modality])
