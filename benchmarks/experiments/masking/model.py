"""A small convolutional VQ-VAE (van den Oord et al. 2017) with the codebook of FCID paper, table 3."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Float, Int64
from torch import Tensor, nn

CODES, DIM = 128, 128
"""Size of the codebook (FCID paper, appendix A)."""

STRIDE = 4
"""Pixels between neighbouring codewords, in both directions."""


class Reconstructed(NamedTuple):
    """What a forward pass gives.

    Attributes:
        images: `[n, 3, height, width]`, about 0 to 1, not clipped.
        indices: `[n, height / 4, width / 4]` codes.
        commitment: The commitment loss, weighted.
    """

    images: Float[Tensor, "n 3 height width"]
    indices: Int64[Tensor, "n rows columns"]
    commitment: Float[Tensor, ""]


class VQVAE(nn.Module):
    """Two strided convolutions and a residual block to 128 dimensions, EMA codebook, and the way back.

    Args:
        channels: Width of the network before and after the codebook.
        centre: What is subtracted from the pixels (0 to 1) before the first layer and added after the last.
            The authors of the VQ-VAE take 1/2.
        decay: Of the moving averages that the codebook is made of.
        commitment: Weight of the commitment loss.
        revive_below: A code whose moving average of uses in a batch is smaller gets a new place.
    """

    def __init__(
        self, channels: int, centre: float, decay: float, commitment: float, revive_below: float
    ) -> None:
        super().__init__()
        from vector_quantize_pytorch import VectorQuantize  # here, because it takes seconds

        self.centre = centre
        self.encoder = nn.Sequential(
            nn.Conv2d(3, channels // 2, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels // 2, channels, 4, stride=2, padding=1),
            Residual(channels),
            nn.ReLU(),
            nn.Conv2d(channels, DIM, 1),
        )
        self.quantizer = VectorQuantize(
            dim=DIM,
            codebook_size=CODES,
            decay=decay,
            commitment_weight=commitment,
            threshold_ema_dead_code=revive_below,
            rotation_trick=False,  # straight-through gradients, as in the VQ-VAE paper
            accept_image_fmap=True,
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(DIM, channels, 3, padding=1),
            Residual(channels),
            nn.ReLU(),
            nn.ConvTranspose2d(channels, channels // 2, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(channels // 2, 3, 4, stride=2, padding=1),
        )

    @property
    def codebook(self) -> Float[Tensor, "codes dim"]:
        """The codewords."""
        codebook: Tensor = self.quantizer.codebook
        return codebook

    def forward(self, images: Float[Tensor, "n 3 height width"]) -> Reconstructed:
        """Encode, quantize and decode images whose sides are multiples of 4."""
        codewords, indices, commitment = self.quantizer(self.encoder(images - self.centre))
        return Reconstructed(self.decoder(codewords) + self.centre, indices, commitment.sum())

    def decode(
        self, indices: Int64[Tensor, "n rows columns"], codebook: Float[Tensor, "codes dim"]
    ) -> Float[Tensor, "n 3 height width"]:
        """Images of codes, with the codewords taken from any codebook, such as a masked one."""
        codewords = codebook[indices].permute(0, 3, 1, 2)  # channels last in memory, which is faster here
        decoded: Tensor = self.decoder(codewords) + self.centre
        return decoded


class Residual(nn.Module):
    """ReLU, 3 x 3 convolution, ReLU, 1 x 1 convolution, added to the input (VQ-VAE paper, section 4.1)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 1),
        )

    def forward(self, x: Float[Tensor, "n dim rows columns"]) -> Float[Tensor, "n dim rows columns"]:
        """As many channels and positions as came in."""
        changed: Tensor = x + self.layers(x)
        return changed
