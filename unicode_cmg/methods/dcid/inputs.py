"""What happens to features before the first layer: checks, and a recurrent front end for words."""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Bool, Float
from torch import Tensor, nn

from unicode_cmg.layers import ContextLSTM
from unicode_cmg.methods.dcid.config import ModalityConfig


class Context(nn.ModuleDict):
    """The LSTMs in front of the modalities that have one (`context` in their settings).

    Args:
        modalities: Settings by modality.
    """

    def __init__(self, modalities: Mapping[str, ModalityConfig]) -> None:
        super().__init__(
            {
                m: ContextLSTM(spec.dim, spec.context)
                for m, spec in modalities.items()
                if spec.context is not None
            }
        )

    def read(
        self,
        modality: str,
        features: Float[Tensor, "batch time ..."],
        mask: Bool[Tensor, "batch time"] | None,
    ) -> Float[Tensor, "batch time ..."]:
        """Features as they enter the encoders."""
        if modality not in self:
            return features
        # A front end that sees only valid steps must know where they end; a full clip needs no packing.
        full = mask is None or bool(mask.all())
        contextual: Tensor = self[modality](features, None if full else mask)
        return contextual

    def target(
        self, modality: str, inputs: Float[Tensor, "batch time ..."], *, constant: bool
    ) -> Float[Tensor, "batch time ..."]:
        """What a decoder is to reconstruct; an LSTM's output can be a constant to it."""
        return inputs.detach() if constant and modality in self else inputs
