"""DCID for two or more modalities."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from unicode_cmg.batch import Encoding, FeatureBatch, StepView
from unicode_cmg.config import Config
from unicode_cmg.methods.base import Method, prefixed, with_parameters
from unicode_cmg.methods.dcid.config import DCIDConfig
from unicode_cmg.methods.dcid.disentangler import Draws
from unicode_cmg.methods.dcid.layer import DisentanglingLayer, LayerRepresentation
from unicode_cmg.methods.dcid.networks import FrontEnd


class DCID(Method[LayerRepresentation]):
    """Dual Cross-modal Information Disentanglement.

    A general and a specific encoder for each modality; the general features are quantized with one shared
    codebook and reconstruct the input together with the specific ones. CLUB pushes apart what the two know,
    cross-modal CPC and CMCM pull the modalities together (DCID paper; TOC paper eqs. A1 to A8 with one
    layer).

    Args:
        config: Sizes and switches.
    """

    name: ClassVar[str] = "dcid"
    config_class: ClassVar[type[Config]] = DCIDConfig
    config: DCIDConfig

    def __init__(self, config: DCIDConfig) -> None:
        super().__init__(config)
        self.front = FrontEnd(config.modalities, standardize=config.standardize)
        self.layer = DisentanglingLayer(config, config.modalities)

    def fit_inputs(self, batches: Iterable[FeatureBatch]) -> None:
        """Statistics of the features, if the config says `standardize`."""
        self.front.fit(batches)

    def represent(self, batch: FeatureBatch) -> LayerRepresentation:
        """One pass of all encoders and the quantizer.

        Raises:
            InputError: A modality is missing or unknown, or its features do not fit the config.
        """
        return self.layer.represent(*self.front.read_batch(batch), batch.draws)

    def critic_losses(self, representation: LayerRepresentation) -> dict[str, Float[Tensor, ""]]:
        """Negative log-likelihood log q(zbar^m | z^m) of each critic, on constants."""
        return prefixed(
            "critic/", self.layer.critic_losses(representation, self.layer.club_input(representation))
        )

    def training_losses(
        self,
        batch: FeatureBatch,
        *,
        generator: torch.Generator,
        representation: LayerRepresentation | None = None,
        draws: Draws | None = None,
    ) -> dict[str, Float[Tensor, ""]]:
        """Terms of the objective (TOC paper eq. A8).

        Args:
            draws: The random choices themselves, instead of drawing them; for the others see `Method`.

        Returns:
            `reconstruction/m`, `commitment/m` and `club/m` for each modality m, `cpc` and `cmcm`.
        """
        r = self.represent(batch) if representation is None else representation
        targets = self.front.targets(r.inputs, constant=self.config.detach_context)
        return self.layer.training_losses(r, draws=draws or self.layer.draw(r, generator), targets=targets)

    def chance_losses(self, clips: int, time: int) -> dict[str, float]:
        """Of CPC."""
        return self.layer.chance_losses(clips, time)

    def quantized_batches(self, representation: LayerRepresentation) -> dict[str, LayerRepresentation]:
        """The one shared codebook quantizes every modality."""
        return {"layer0": representation}

    def view(self, batch: FeatureBatch, representation: LayerRepresentation) -> StepView:
        """z, zbar (what CLUB sees of it) and zhat of every modality."""
        return representation.view(batch)

    def trained_modules(self) -> dict[str, nn.Module]:
        """The groups whose gradients the released code clips one by one."""
        layer = self.layer
        return with_parameters(
            {"context": self.front, "encoder": layer.encoders(), "cpc": layer.cpc, "decoder": layer.decoder}
        )

    def critic_modules(self) -> dict[str, nn.Module]:
        """CLUB's critics."""
        return dict(self.layer.critic.items())

    def encode_batch(
        self,
        modality: str,
        features: Float[Tensor, "batch time ..."],
        mask: Bool[Tensor, "batch time"] | None = None,
    ) -> Encoding:
        """Codes of one modality; arguments and errors are those of `Model.encode_batch`."""
        return self.layer.encode(modality, self.front.read(modality, features, mask), mask)

    def specific(
        self,
        modality: str,
        features: Float[Tensor, "batch time ..."],
        mask: Bool[Tensor, "batch time"] | None = None,
    ) -> dict[str, Float[Tensor, "batch time _"]]:
        """`layer0` -> zbar of one modality; arguments and errors are those of `Model.specific`."""
        return {"layer0": self.layer.specific_steps(modality, self.front.read(modality, features, mask))}

    def quantizers(self) -> dict[str, str]:
        """`layer0`."""
        return {"layer0": "layer.codebook"}
