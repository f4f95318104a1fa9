"""A small convolutional VQ-VAE (van den Oord et al. 2017) with the codebook of FCID paper, table 3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.experiments.masking.photos import Photo, bands, random_crops
from unicode_cmg.config import Config

CODES, DIM = 128, 128
"""Size of the codebook (FCID paper, appendix A)."""


class Settings(Config):
    """How a VQ-VAE is built and trained."""

    channels: int = Field(default=32, ge=2, description="width of the network")
    centre: float = Field(default=0.5, description="what is subtracted from pixels, 0 to 1, and added again")
    decay: float = Field(default=0.99, gt=0, lt=1, description="of the codebook's moving averages")
    commitment: float = Field(default=0.25, ge=0, description="weight of the commitment loss")
    revive_below: float = Field(default=1.0, ge=0, description="uses in a batch below which a code is moved")
    lr: float = Field(default=2e-3, gt=0, description="learning rate of Adam at the start; it falls to 0")
    batch: int = Field(default=32, ge=1, description="crops of a step")
    steps: int = Field(default=2000, ge=1, description="steps of training")


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

    The network is channels last in memory, which is a third faster on a CPU.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        from vector_quantize_pytorch import VectorQuantize  # here, because it takes seconds

        self.centre, channels = settings.centre, settings.channels
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
            decay=settings.decay,
            commitment_weight=settings.commitment,
            threshold_ema_dead_code=settings.revive_below,
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
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

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


def train(photos: Sequence[Photo], settings: Settings, seed: int) -> VQVAE:
    """A model trained on random crops of the training bands, in eval mode.

    The seed decides everything: weights, codebook, revived codes and crops. The caller's random numbers
    are left as they were.
    """
    crops = random_crops(photos, "train", settings.batch, torch.Generator().manual_seed(seed))
    pixels = torch.cat([torch.from_numpy(b.copy()).flatten() for p in photos for b in bands(p, "train")])
    scale = float((pixels.double() / 255).var())  # errors are relative to it, as in the VQ-VAE's own code
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = VQVAE(settings)
        optimizer = torch.optim.Adam(model.parameters(), lr=settings.lr)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)
        for _ in range(settings.steps):
            images = next(crops)
            made = model(images)
            loss = functional.mse_loss(made.images, images) / scale + made.commitment
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()
