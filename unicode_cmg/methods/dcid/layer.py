"""One layer of disentanglement: a disentangler, general encoders, and the codebook that modalities share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from unicode_cmg.batch import Encoding, FeatureBatch, StepView
from unicode_cmg.codebook import Quantized, Quantizer, build_quantizer
from unicode_cmg.draws import ClipDraws
from unicode_cmg.losses import cmcm_loss, commitment_loss, reconstruction_loss
from unicode_cmg.methods.base import prefixed
from unicode_cmg.methods.dcid.config import DCIDConfig, ModalityConfig
from unicode_cmg.methods.dcid.disentangler import Disentangled, Disentangler, Draws
from unicode_cmg.methods.dcid.networks import GeneralEncoder, encoded
from unicode_cmg.ranks import clips_of_batch


@dataclass(frozen=True)
class LayerRepresentation(Disentangled):
    """One encoder pass of one layer of disentanglement.

    Attributes:
        quantized: Modality -> zhat^m, the codes, with their indices and distances.
    """

    quantized: Mapping[str, Quantized]

    @property
    def codes(self) -> dict[str, Float[Tensor, "batch time dim"]]:
        """`[B, T, D]` zhat^m, with a gradient into z^m."""
        return {m: q.codes for m, q in self.quantized.items()}

    def view(self, batch: FeatureBatch) -> StepView:
        """z, zbar (what CLUB sees of it) and zhat of every modality."""
        return StepView(batch.features, batch.masks, self.general, self.summary, self.codes, self.masks)


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
            free=tuple(m for m, spec in modalities.items() if not spec.aligned),
        )

    def represent(
        self,
        inputs: Mapping[str, Float[Tensor, "batch time ..."]],
        masks: Mapping[str, Bool[Tensor, "batch time"]],
        draws: ClipDraws | None,
    ) -> LayerRepresentation:
        """One pass of all encoders and the quantizer (TOC paper eqs. A1 and A3)."""
        parted = self.part(inputs, encoded(self.general, inputs, masks, draws), masks)
        quantized = self.codebook.quantize_each(parted.general, distances=self.config.cmcm_form != "none")
        return LayerRepresentation(**vars(parted), quantized=quantized)

    def draw(self, r: LayerRepresentation, generator: torch.Generator) -> Draws:
        """Random choices for the losses of a batch."""
        clips = clips_of_batch(len(r.general[self.modalities[0]]))
        permutations = {m: torch.randperm(clips, generator=generator) for m in self.modalities}
        return Draws(permutations, self.draw_step(r, generator))

    def training_losses(
        self,
        r: LayerRepresentation,
        *,
        draws: Draws,
        targets: Mapping[str, Float[Tensor, "batch time ..."]],
    ) -> dict[str, Float[Tensor, ""]]:
        """Terms of the objective (TOC paper eqs. 14 and A8).

        Args:
            r: What `represent` returned.
            draws: The random choices.
            targets: What the decoders are to reconstruct: the inputs, or constants equal to them.

        Returns:
            `reconstruction/m`, `commitment/m` and `club/m` for each modality m, `codebook/m` too if the
            quantizer learns by gradient, `cpc`, and `cmcm` unless its form is `none`.
        """
        return {
            **prefixed("reconstruction/", self.reconstruction_losses(r, r.codes, targets)),
            **commitment_losses(self.config, self.codebook, r, r.quantized),
            **prefixed("club/", self.club_losses(r, self.club_input(r), draws.permutations)),
            **self.cpc_losses(r, draws.step),
            **code_matching(self.config, r, r.quantized),
        }

    def club_input(self, r: LayerRepresentation) -> Mapping[str, Float[Tensor, "batch time dim"]]:
        """What CLUB compares the specific features with."""
        return r.general if self.config.club_input == "general" else r.codes

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
        return self.codebook.encode(self.general[modality](inputs, mask))

    def encoders(self) -> nn.ModuleList:
        """What turns features into codes."""
        return nn.ModuleList([self.general, self.specific, self.codebook])


def commitment_losses(
    config: DCIDConfig, quantizer: Quantizer, r: Disentangled, quantized: Mapping[str, Quantized]
) -> dict[str, Float[Tensor, ""]]:
    """`commitment/m` of each modality m, and `codebook/m` if the quantizer learns by gradient.

    The latter is the VQ loss `||sg[z^m] - e^m||^2` (second term of TOC paper eq. A4). MM-EMA takes its place
    for codebooks. Without it nothing but reconstruction would tell finite scalars what to say of the
    features, and reconstruction can do without them.

    Args:
        config: Weights of the commitment.
        quantizer: What quantized the general features.
        r: The features; the general ones are drawn to the codewords.
        quantized: Modality -> what they were quantized to.
    """
    commitment = commitment_loss(
        r.general,
        quantizer.targets(r.general, quantized, r.masks),
        own_weight=config.commitment_own,
        cross_weight=config.commitment_cross,
        each=config.commitment_each,
        masks=r.masks,
    )
    if not learns_by_gradient(quantizer):
        return prefixed("commitment/", commitment)
    constants = {m: z.detach() for m, z in r.general.items()}
    return prefixed("commitment/", commitment) | {
        f"codebook/{m}": reconstruction_loss(quantizer.quantize(z).codes, z, mask=r.masks[m])
        for m, z in constants.items()
    }


def code_matching(
    config: DCIDConfig, r: Disentangled, quantized: Mapping[str, Quantized]
) -> dict[str, Float[Tensor, ""]]:
    """`cmcm`, averaged over the codebooks of the quantizer, unless its form is `none`."""
    if config.cmcm_form == "none":
        return {}
    lookups = zip(*(q.lookups for q in quantized.values()), strict=True)
    losses = [
        cmcm_loss(
            {m: lookup.squared_distances for m, lookup in zip(quantized, of_one, strict=True)},
            masks=r.masks,
            form=config.cmcm_form,
        )
        for of_one in lookups
    ]
    return {"cmcm": torch.stack(losses).mean()}


def learns_by_gradient(quantizer: Quantizer) -> bool:
    """Whether the codes follow the features by gradient and not by averages."""
    return any(True for _ in quantizer.parameters())
