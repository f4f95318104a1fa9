"""One layer of disentanglement: encoders, decoders, critics, predictors and the codebook they share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from unicode_cmg.batch import Encoding, FeatureBatch, StepView
from unicode_cmg.codebook import Quantized, Quantizer, build_quantizer
from unicode_cmg.losses import CLUB, CrossModalCPC, cmcm_loss, commitment_loss, reconstruction_loss
from unicode_cmg.methods.dcid.config import DCIDConfig, ModalityConfig
from unicode_cmg.methods.dcid.networks import Decoder, GeneralEncoder, SpecificEncoder


@dataclass(frozen=True)
class LayerRepresentation:
    """One encoder pass of one layer; every mapping goes from modality name to tensor.

    Attributes:
        inputs: `[B, T, ...]` features as they enter the encoders.
        general: `[B, T, D]` z^m.
        specific: `[B, T, S]` or `[B, T, h, w, S]` zbar^m.
        summary: `[B, T, S']` one vector a step of zbar^m, what CLUB's critic predicts.
        quantized: zhat^m, its indices and distances.
        masks: `[B, T]` True where a step is valid.
    """

    inputs: Mapping[str, Float[Tensor, "batch time ..."]]
    general: Mapping[str, Float[Tensor, "batch time dim"]]
    specific: Mapping[str, Float[Tensor, "batch time ..."]]
    summary: Mapping[str, Float[Tensor, "batch time ..."]]
    quantized: Mapping[str, Quantized]
    masks: Mapping[str, Bool[Tensor, "batch time"]]


@dataclass(frozen=True)
class Draws:
    """The random choices of the losses of one layer in one step.

    Attributes:
        permutations: Modality -> `[B]` order of the batch that gives CLUB its negatives.
        step: The step t that CPC predicts from.
    """

    permutations: Mapping[str, Int64[Tensor, " batch"]]
    step: int


class DisentanglingLayer(nn.Module):
    """General and specific encoders of every modality around one shared quantizer (TOC paper, appendix A).

    Args:
        config: Sizes and switches.
        modalities: The features that enter this layer, by modality.
    """

    def __init__(self, config: DCIDConfig, modalities: Mapping[str, ModalityConfig]) -> None:
        super().__init__()
        self.config, self.modalities = config, tuple(modalities)
        self.general = nn.ModuleDict({m: GeneralEncoder(config, spec) for m, spec in modalities.items()})
        self.specific = nn.ModuleDict({m: SpecificEncoder(config, spec) for m, spec in modalities.items()})
        self.decoder = nn.ModuleDict({m: Decoder(config, spec) for m, spec in modalities.items()})
        self.critic = nn.ModuleDict(
            {m: CLUB(config.dim, width, config.critic_hidden) for m, width in self.summary_dims().items()}
        )
        self.cpc = CrossModalCPC(self.modalities, config.dim, normalize=config.cpc_normalize)
        self.codebook = build_quantizer(
            config.codebook,
            num_codes=config.num_codes,
            dim=config.dim,
            modalities=self.modalities,
            rule=config.fidelity,
        )

    def summary_dims(self) -> dict[str, int]:
        """Width of each modality's summary."""
        return {m: self._specific(m).summary_dim for m in self.modalities}

    def represent(
        self,
        inputs: Mapping[str, Float[Tensor, "batch time ..."]],
        masks: Mapping[str, Bool[Tensor, "batch time"]],
    ) -> LayerRepresentation:
        """One pass of all encoders and the quantizer (TOC paper, appendix A, eqs 1 and 3)."""
        general = {m: self.general[m](inputs[m], masks[m]) for m in self.modalities}
        specific = {m: self.specific[m](inputs[m]) for m in self.modalities}
        return LayerRepresentation(
            inputs=inputs,
            general=general,
            specific=specific,
            summary={m: self._specific(m).summarize(specific[m]) for m in self.modalities},
            quantized={m: self.codebook.quantize(general[m]) for m in self.modalities},
            masks=masks,
        )

    def critic_losses(self, r: LayerRepresentation) -> dict[str, Float[Tensor, ""]]:
        """Modality -> negative log-likelihood log q(zbar^m | zhat^m) of its critic, on constants."""
        return {
            m: -self._critic(m).log_likelihood(
                r.quantized[m].codes.detach(), r.summary[m].detach(), mask=r.masks[m]
            )
            for m in self.modalities
        }

    def draw(self, r: LayerRepresentation, generator: torch.Generator) -> Draws:
        """Random choices for the losses of a batch."""
        batch_size, steps = r.general[self.modalities[0]].shape[:2]
        permutations = {m: torch.randperm(batch_size, generator=generator) for m in self.modalities}
        return Draws(permutations, self.cpc.draw_step(steps, generator))

    def training_losses(
        self,
        r: LayerRepresentation,
        *,
        draws: Draws,
        targets: Mapping[str, Float[Tensor, "batch time ..."]],
    ) -> dict[str, Float[Tensor, ""]]:
        """Terms of the objective (TOC paper, appendix A, eq 8).

        Args:
            r: What `represent` returned.
            draws: The random choices.
            targets: What the decoders are to reconstruct: the inputs, or constants equal to them.

        Returns:
            `reconstruction/m`, `commitment/m` and `club/m` for each modality m, `codebook/m` too if the
            quantizer learns by gradient, `cpc`, and `cmcm` unless its form is `none`.
        """
        losses: dict[str, Tensor] = {}
        for m in self.modalities:
            prediction = self.decoder[m](r.quantized[m].codes, r.specific[m])
            losses[f"reconstruction/{m}"] = reconstruction_loss(prediction, targets[m], mask=r.masks[m])
        commitment = commitment_loss(
            r.general,
            {m: q.codewords for m, q in r.quantized.items()},
            own_weight=self.config.commitment_own,
            cross_weight=self.config.commitment_cross,
            masks=r.masks,
        )
        losses |= {f"commitment/{m}": loss for m, loss in commitment.items()}
        vq = codebook_losses(self.codebook, r.general, r.masks)
        losses |= {f"codebook/{m}": loss for m, loss in vq.items()}
        for m in self.modalities:
            losses[f"club/{m}"] = self._critic(m).mutual_information(
                r.quantized[m].codes,
                r.summary[m],
                permutation=draws.permutations[m].to(r.general[m].device),
                mask=r.masks[m],
                form=self.config.club_form,
            )
        losses["cpc"] = self.cpc(r.general, step=draws.step, masks=r.masks).loss
        if self.config.cmcm_form != "none":
            losses["cmcm"] = code_matching(r.quantized, r.masks, self.config.cmcm_form)
        return losses

    def loss_terms(self) -> tuple[str, ...]:
        """Names of the terms of `training_losses`."""
        kinds = ["reconstruction", "commitment", "club"]
        if learns_by_gradient(self.codebook):
            kinds.append("codebook")
        shared = ("cpc",) if self.config.cmcm_form == "none" else ("cpc", "cmcm")
        return (*(f"{kind}/{m}" for kind in kinds for m in self.modalities), *shared)

    def summarize(
        self, modality: str, inputs: Float[Tensor, "batch time ..."]
    ) -> Float[Tensor, "batch time dim"]:
        """One vector a step of one modality's specific features."""
        encoder = self._specific(modality)
        return encoder.summarize(encoder(inputs))

    def encode(
        self,
        modality: str,
        inputs: Float[Tensor, "batch time ..."],
        mask: Bool[Tensor, "batch time"] | None,
    ) -> Encoding:
        """Codes of one modality."""
        general = self.general[modality](inputs, mask)
        quantized = self.codebook.quantize(general)
        return Encoding(
            general=general,
            codes=quantized.side_by_side,
            indices=quantized.indices,
            unquantized=quantized.unquantized,
        )

    def encoders(self) -> nn.ModuleList:
        """What turns features into codes."""
        return nn.ModuleList([self.general, self.specific, self.codebook])

    def _specific(self, modality: str) -> SpecificEncoder:
        return cast(SpecificEncoder, self.specific[modality])

    def _critic(self, modality: str) -> CLUB:
        return cast(CLUB, self.critic[modality])


def layer_view(batch: FeatureBatch, r: LayerRepresentation) -> StepView:
    """What a layer shows to regularizers."""
    return StepView(
        features=batch.features,
        masks=batch.masks,
        general=r.general,
        specific=r.summary,
        codes={m: q.codes for m, q in r.quantized.items()},
        code_masks=r.masks,
    )


def code_matching(
    quantized: Mapping[str, Quantized],
    masks: Mapping[str, Bool[Tensor, "batch _"]],
    form: Literal["corrected", "released"],
) -> Float[Tensor, ""]:
    """CMCM, averaged over the codebooks of the quantizer."""
    count = len(next(iter(quantized.values())).lookups)
    losses = [
        cmcm_loss({m: q.lookups[k].squared_distances for m, q in quantized.items()}, masks=masks, form=form)
        for k in range(count)
    ]
    return torch.stack(losses).mean()


def learns_by_gradient(quantizer: Quantizer) -> bool:
    """Whether the codes follow the features by gradient and not by averages."""
    return any(True for _ in quantizer.parameters())


def codebook_losses(
    quantizer: Quantizer,
    general: Mapping[str, Float[Tensor, "batch _ dim"]],
    masks: Mapping[str, Bool[Tensor, "batch _"]],
) -> dict[str, Float[Tensor, ""]]:
    """Modality -> VQ loss `||sg[z^m] - e^m||^2` (TOC paper, appendix A, eq 4).

    MM-EMA takes its place for codebooks, so for these there is none. Without it nothing but reconstruction
    would tell finite scalars what to say of the features, and reconstruction can do without them.
    """
    if not learns_by_gradient(quantizer):
        return {}
    constants = {m: z.detach() for m, z in general.items()}
    return {
        m: reconstruction_loss(quantizer.quantize(z).codes, z, mask=masks[m]) for m, z in constants.items()
    }
