"""One layer of disentanglement: a disentangler, general encoders, and the codebook that modalities share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from unicode_cmg.batch import Encoding, FeatureBatch, StepView
from unicode_cmg.codebook import Quantized, Quantizer, build_quantizer
from unicode_cmg.losses import cmcm_loss, commitment_loss, reconstruction_loss
from unicode_cmg.methods.dcid.config import DCIDConfig, ModalityConfig
from unicode_cmg.methods.dcid.disentangler import Disentangled, Disentangler
from unicode_cmg.methods.dcid.networks import GeneralEncoder


@dataclass(frozen=True)
class LayerRepresentation(Disentangled):
    """One encoder pass of one layer of disentanglement; every mapping goes from modality to tensor.

    Attributes:
        inputs: `[B, T, ...]` features as they enter the encoders.
        quantized: zhat^m, the codes, with their indices and distances.
    """

    inputs: Mapping[str, Float[Tensor, "batch time ..."]]
    quantized: Mapping[str, Quantized]

    @property
    def codes(self) -> dict[str, Float[Tensor, "batch time dim"]]:
        """`[B, T, D]` zhat^m, with a gradient into z^m."""
        return {m: q.codes for m, q in self.quantized.items()}


@dataclass(frozen=True)
class Draws:
    """The random choices of the losses of one layer in one step.

    Attributes:
        permutations: Modality -> `[B]` order of the batch that gives CLUB its negatives.
        step: The step t that CPC predicts from.
    """

    permutations: Mapping[str, Int64[Tensor, " batch"]]
    step: int


class DisentanglingLayer(Disentangler):
    """General and specific encoders of every modality around one shared quantizer (TOC paper, appendix A).

    Args:
        config: Sizes and switches.
        modalities: The features that enter this layer, by modality.
    """

    def __init__(self, config: DCIDConfig, modalities: Mapping[str, ModalityConfig]) -> None:
        general = nn.ModuleDict({m: GeneralEncoder(config, spec) for m, spec in modalities.items()})
        super().__init__(config, modalities)
        self.general = general
        self.codebook = build_quantizer(
            config.codebook,
            num_codes=config.num_codes,
            dim=config.dim,
            modalities=self.modalities,
            rule=config.fidelity,
        )

    def represent(
        self,
        inputs: Mapping[str, Float[Tensor, "batch time ..."]],
        masks: Mapping[str, Bool[Tensor, "batch time"]],
    ) -> LayerRepresentation:
        """One pass of all encoders and the quantizer (TOC paper, appendix A, eqs 1 and 3)."""
        parted = self.part(inputs, {m: self.general[m](inputs[m], masks[m]) for m in self.modalities}, masks)
        quantized = {m: self.codebook.quantize(z) for m, z in parted.general.items()}
        return LayerRepresentation(
            parted.general, parted.specific, parted.summary, parted.masks, inputs=inputs, quantized=quantized
        )

    def draw(self, r: LayerRepresentation, generator: torch.Generator) -> Draws:
        """Random choices for the losses of a batch."""
        clips = len(r.general[self.modalities[0]])
        permutations = {m: torch.randperm(clips, generator=generator) for m in self.modalities}
        return Draws(permutations, self.draw_step(r, generator))

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
        reconstruction = self.reconstruction_losses(r, r.codes, targets)
        commitment = commitment_loss(
            r.general,
            {m: q.codewords for m, q in r.quantized.items()},
            own_weight=self.config.commitment_own,
            cross_weight=self.config.commitment_cross,
            masks=r.masks,
        )
        vq = codebook_losses(self.codebook, r.general, r.masks)
        club = self.club_losses(r, r.codes, draws.permutations)
        losses = {
            **{f"reconstruction/{m}": loss for m, loss in reconstruction.items()},
            **{f"commitment/{m}": loss for m, loss in commitment.items()},
            **{f"codebook/{m}": loss for m, loss in vq.items()},
            **{f"club/{m}": loss for m, loss in club.items()},
            **self.cpc_losses(r, draws.step),
        }
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


def layer_view(batch: FeatureBatch, r: LayerRepresentation) -> StepView:
    """What a layer shows to regularizers."""
    return StepView(
        features=batch.features,
        masks=batch.masks,
        general=r.general,
        specific=r.summary,
        codes=r.codes,
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
