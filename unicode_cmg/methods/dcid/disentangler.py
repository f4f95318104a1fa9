"""What parts general from specific features: encoders, decoders, critics, predictors, and their losses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from unicode_cmg.losses import CLUB, CrossModalCPC, reconstruction_loss
from unicode_cmg.methods.dcid.config import DCIDConfig, ModalityConfig
from unicode_cmg.methods.dcid.networks import Decoder, SpecificEncoder


@dataclass(frozen=True)
class Disentangled:
    """General and specific features of one batch; every mapping goes from modality to tensor.

    Attributes:
        inputs: `[B, T, ...]` features as they enter the encoders.
        general: `[B, T, D]` general features z^m (f^m in the FCID paper).
        specific: `[B, T, S]` or `[B, T, h, w, S]` specific features zbar^m.
        summary: `[B, T, S']` one vector a step of zbar^m, what CLUB's critic predicts.
        masks: `[B, T]` True where a step is valid.
    """

    inputs: Mapping[str, Float[Tensor, "batch time ..."]]
    general: Mapping[str, Float[Tensor, "batch time dim"]]
    specific: Mapping[str, Float[Tensor, "batch time ..."]]
    summary: Mapping[str, Float[Tensor, "batch time ..."]]
    masks: Mapping[str, Bool[Tensor, "batch time"]]


@dataclass(frozen=True)
class Draws:
    """The random choices of the losses in one step.

    Attributes:
        permutations: Critic -> `[B]` order of the clips that gives CLUB its negatives.
        step: The step t that CPC predicts from; None for all of them.
    """

    permutations: Mapping[str, Int64[Tensor, " _"]]
    step: int | None


class Parting(nn.Module):
    """Decoders and critics, which part general from specific features whatever has encoded them.

    Attributes:
        config: Sizes and switches.
        decoder: Modality -> its decoder.
        critic: Name -> CLUB's critic; each modality has its own here.
    """

    config: DCIDConfig
    decoder: nn.ModuleDict
    critic: nn.ModuleDict

    def critic_losses(
        self, r: Disentangled, shared: Mapping[str, Float[Tensor, "batch time dim"]]
    ) -> dict[str, Float[Tensor, ""]]:
        """Critic -> its negative log-likelihood log q(zbar | shared), on constants."""
        return {
            name: -critic.log_likelihood(
                self._clips(shared, name).detach(),
                self._clips(r.summary, name).detach(),
                mask=self._clips(r.masks, name),
            )
            for name, critic in self._critics()
        }

    def reconstruction_losses(
        self,
        r: Disentangled,
        decoded: Mapping[str, Float[Tensor, "batch time dim"]],
        targets: Mapping[str, Float[Tensor, "batch time ..."]],
    ) -> dict[str, Float[Tensor, ""]]:
        """Modality -> error of its decoder (TOC paper eq. A4; FCID paper eq. 18).

        Args:
            r: The features, parted.
            decoded: What the decoders get beside the specific features: codes, or general features.
            targets: What the decoders are to reconstruct: the inputs, or constants equal to them.
        """
        return {
            m: reconstruction_loss(self.decoder[m](decoded[m], x), targets[m], mask=r.masks[m])
            for m, x in r.specific.items()
        }

    def club_losses(
        self,
        r: Disentangled,
        shared: Mapping[str, Float[Tensor, "batch time dim"]],
        permutations: Mapping[str, Int64[Tensor, " _"]],
    ) -> dict[str, Float[Tensor, ""]]:
        """Critic -> upper bound on I(shared; zbar) (TOC paper eqs. 12 and A6; FCID paper eqs. 12 and 15).

        Args:
            r: The features, parted.
            shared: What the critics predict from: codes, or general features.
            permutations: Critic -> order of its clips that gives CLUB its negatives.
        """
        losses = {}
        for name, critic in self._critics():
            given = self._clips(shared, name)
            if self.config.club_gradient == "specific":
                given = given.detach()
            losses[name] = critic.mutual_information(
                given,
                self._clips(r.summary, name),
                permutation=permutations[name].to(given.device),
                mask=self._clips(r.masks, name),
                form="released" if self.config.club_form == "released" else "paper",
                negatives=self.config.club_negatives,
            )
        return losses

    def _critics(self) -> list[tuple[str, CLUB]]:
        return [(name, cast(CLUB, critic)) for name, critic in self.critic.items()]

    def _clips(self, values: Mapping[str, Tensor], critic: str) -> Tensor:
        """What a critic sees of the values of its modalities."""
        return values[critic]


def build_critic(config: DCIDConfig, width: int) -> CLUB:
    """A critic that predicts specific features of this width."""
    return CLUB(config.dim, width, config.critic_hidden, scale_free=config.club_form == "scale_free")


class Disentangler(Parting):
    """Specific encoders, decoders, critics and predictors of modalities whose steps happen together.

    Args:
        config: Sizes and switches.
        modalities: The features of each modality; with none, the module does nothing.
    """

    def __init__(self, config: DCIDConfig, modalities: Mapping[str, ModalityConfig]) -> None:
        super().__init__()
        self.config, self.modalities = config, tuple(modalities)
        self.specific = nn.ModuleDict({m: SpecificEncoder(config, spec) for m, spec in modalities.items()})
        self.decoder = nn.ModuleDict({m: Decoder(config, spec) for m, spec in modalities.items()})
        self.critic = nn.ModuleDict(
            {m: build_critic(config, width) for m, width in self.summary_dims().items()}
        )
        self.cpc: CrossModalCPC | None = None
        if modalities:
            aligned = tuple(m for m, spec in modalities.items() if spec.aligned)
            self.cpc = CrossModalCPC(
                self.modalities,
                config.dim,
                layers=config.cpc_layers,
                horizon=config.cpc_horizon,
                self_weight=config.cpc_self_weight,
                normalize=config.cpc_normalize,
                same_clip=aligned if config.cpc_negatives == "steps" else (),
            )

    def summary_dims(self) -> dict[str, int]:
        """Width of each modality's summary."""
        return {m: self._specific(m).summary_dim for m in self.modalities}

    def summarize(
        self, modality: str, inputs: Float[Tensor, "batch time ..."]
    ) -> Float[Tensor, "batch time dim"]:
        """One vector a step of one modality's specific features."""
        encoder = self._specific(modality)
        return encoder.summarize(encoder(inputs))

    def specific_steps(
        self, modality: str, inputs: Float[Tensor, "batch time ..."]
    ) -> Float[Tensor, "batch time dim"]:
        """zbar of one modality, the mean over its grid if it has one."""
        specific: Tensor = self.specific[modality](inputs)
        return specific.flatten(2, -2).mean(dim=2) if specific.ndim > 3 else specific

    def part(
        self,
        inputs: Mapping[str, Float[Tensor, "batch _ ..."]],
        general: Mapping[str, Float[Tensor, "batch _ dim"]],
        masks: Mapping[str, Bool[Tensor, "batch _"]],
    ) -> Disentangled:
        """The specific features beside the general ones (TOC paper eq. A1; FCID paper eq. 10).

        Args:
            inputs: `[B, T, ...]` features as they enter the encoders; other modalities are left out.
            general: `[B, T, D]` general features likewise.
            masks: `[B, T]` likewise.
        """
        specific = {m: self.specific[m](inputs[m]) for m in self.modalities}
        return Disentangled(
            inputs={m: inputs[m] for m in self.modalities},
            general={m: general[m] for m in self.modalities},
            specific=specific,
            summary={m: self._specific(m).summarize(specific[m]) for m in self.modalities},
            masks={m: masks[m] for m in self.modalities},
        )

    def draw_step(self, r: Disentangled, generator: torch.Generator) -> int | None:
        """The step t that CPC predicts from; None for all of them."""
        if self.cpc is None or self.config.cpc_steps == "all":
            return None
        return self.cpc.draw_step(r.general[self.modalities[0]].shape[1], generator)

    def cpc_losses(self, r: Disentangled, step: int | None) -> dict[str, Float[Tensor, ""]]:
        """`cpc`, cross-modal CPC on the general features; nothing without modalities."""
        return {} if self.cpc is None else {"cpc": self.cpc(r.general, step=step, masks=r.masks).loss}

    def chance_losses(self, clips: int, time: int) -> dict[str, float]:
        """See `Method.chance_losses`."""
        return {} if self.cpc is None else {"cpc": self.cpc.chance_loss(clips, time)}

    def _specific(self, modality: str) -> SpecificEncoder:
        return cast(SpecificEncoder, self.specific[modality])
