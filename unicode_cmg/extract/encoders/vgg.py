"""VGGish and VGG-19, whose published weights made the features of the papers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from pydantic import Field
from torch import Tensor, nn

from unicode_cmg.errors import InputError
from unicode_cmg.extract.encoders.base import Array, Encoder, EncoderConfig, in_batches, mean_per_step
from unicode_cmg.extract.encoders.weights import fill, read_weights, weights_file
from unicode_cmg.extract.front_ends import VGGISH_RATE, torchaudio, vggish_windows
from unicode_cmg.extract.media import Frames, Grid, Kind, Media, Sound

_VGG19 = (64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512, 512, 512, 0, 512, 512, 512, 512, 0)
_VGGISH = (64, 0, 128, 0, 256, 256, 0, 512, 512, 0)
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def _convolutions(channels: int, widths: Sequence[int]) -> nn.Sequential:
    """Convolutions of 3 x 3 with ReLU, at these widths; 0 halves height and width by their maximum."""
    layers: list[nn.Module] = []
    for width in widths:
        if width == 0:
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            channels = width
    return nn.Sequential(*layers)


class VGGish(nn.Module):
    """VGGish (Hershey et al. 2017), named as torchvggish names its parts: `features.N`, `embeddings.N`.

    The last layer has a ReLU, as in torchvggish and in the features of AVE, which are not negative.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = _convolutions(1, _VGGISH)
        self.embeddings = nn.Sequential(
            *(nn.Linear(512 * 6 * 4, 4096), nn.ReLU(inplace=True)),
            *(nn.Linear(4096, 4096), nn.ReLU(inplace=True)),
            *(nn.Linear(4096, 128), nn.ReLU(inplace=True)),
        )

    def forward(self, spectra: Float[Tensor, "windows 96 64"]) -> Float[Tensor, "windows 128"]:
        """Embeddings of log-mel spectra."""
        maps = self.features(spectra.unsqueeze(1))
        embeddings: Tensor = self.embeddings(maps.permute(0, 2, 3, 1).flatten(1))  # time, frequency, channel
        return embeddings


class VGG19(nn.Module):
    """VGG-19 (Simonyan and Zisserman 2015) up to its last pooling, `features.N` of torchvision's names."""

    def __init__(self) -> None:
        super().__init__()
        self.features = _convolutions(3, _VGG19)

    def forward(self, images: Float[Tensor, "images 3 224 224"]) -> Float[Tensor, "images 7 7 512"]:
        """Maps of pool5, channels last."""
        maps: Tensor = self.features(images)
        return maps.permute(0, 2, 3, 1)


class VGGishConfig(EncoderConfig):
    """Settings of `vggish`; `model` is the file of its weights."""

    places: ClassVar[tuple[str, ...]] = ("model", "pca")
    pca: str | None = Field(
        default=None,
        description="file of AudioSet's PCA, for its whitened 8-bit embeddings; null: the raw ones",
    )


class VGGishEncoder(Encoder):
    """`vggish`: 128 channels for the 0.96 s of sound with which each step begins."""

    name = "vggish"
    kinds = ("audio",)
    config_class = VGGishConfig

    def __init__(self, kind: Kind, settings: EncoderConfig) -> None:
        super().__init__(kind, settings)
        self.file = weights_file(settings.model, self.name, "the weights of torchvggish")
        pca = cast("VGGishConfig", settings).pca
        self.pca_file = None if pca is None else weights_file(pca, self.name, "AudioSet's PCA")
        torchaudio()  # before the first clip
        self._pca: tuple[Tensor, Tensor] | None = None

    def load(self, device: str = "cpu") -> None:
        """Read the weights, and the PCA if there is one."""
        self.model = fill(VGGish, read_weights(self.file), where=self.file).to(device)
        if self.pca_file is not None:
            self._pca = _read_pca(self.pca_file, device)

    def prepare(self, media: Media, grid: Grid) -> Tensor:
        """Log-mel spectra `[steps, windows, 96, 64]`."""
        return vggish_windows(cast("Sound", media), grid)

    def encode(self, prepared: Sequence[Any]) -> list[Array]:
        """Embeddings `[steps, 128]`, averaged over the windows of a step."""
        embeddings = in_batches(self._embed, [spectra.flatten(0, 1) for spectra in prepared], most=64)
        return [
            rows.reshape(len(spectra), -1, 128).mean(1).numpy()
            for rows, spectra in zip(embeddings, prepared, strict=True)
        ]

    def _embed(self, spectra: Tensor) -> Tensor:
        embeddings: Tensor = self.model(spectra.to(next(self.model.parameters()).device))
        if self._pca is not None:
            vectors, means = self._pca
            whitened = ((embeddings - means) @ vectors.T).clamp(-2, 2)
            embeddings = ((whitened + 2) * (255 / 4)).round()
        return embeddings.cpu()

    def provenance(self) -> dict[str, Any]:
        return {**super().provenance(), "rate": VGGISH_RATE, "window": 0.96}


def _read_pca(path: Path, device: str) -> tuple[Tensor, Tensor]:
    found = read_weights(path)
    vectors, means = found.get("pca_eigen_vectors"), found.get("pca_means")
    if vectors is None or means is None or vectors.shape != (128, 128) or means.numel() != 128:
        shapes = {key: list(value.shape) for key, value in found.items()}
        raise InputError(
            f"it holds {shapes}",
            where=path,
            expected="'pca_eigen_vectors' [128, 128] and 'pca_means' [128, 1]",
        )
    return vectors.float().to(device), means.float().flatten().to(device)


class VGG19Config(EncoderConfig):
    """Settings of `vgg19`; `model` is the file of its weights."""

    frames: int = Field(
        default=1, ge=1, le=64, description="images of each step of a video, which are averaged"
    )


class VGG19Encoder(Encoder):
    """`vgg19`: the maps of pool5, [7, 7, 512] per step, of images stretched to 224 x 224."""

    name = "vgg19"
    kinds = ("video", "image")
    config_class = VGG19Config

    def __init__(self, kind: Kind, settings: EncoderConfig) -> None:
        super().__init__(kind, settings)
        self.file = weights_file(settings.model, self.name, "torchvision's weights of VGG-19")

    @property
    def frames_per_step(self) -> int:
        return cast("VGG19Config", self.settings).frames

    def load(self, device: str = "cpu") -> None:
        """Read the weights; those of the classifier are not needed."""
        self.model = fill(VGG19, read_weights(self.file), where=self.file).to(device)

    def prepare(self, media: Media, grid: Grid) -> tuple[Tensor, Array, int]:
        """Images `[N, 3, 224, 224]` in bytes, the step of each, and the number of steps."""
        frames = cast("Frames", media)
        images = [_stretched(image) for image in frames.images]
        return (
            torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2),
            grid.step_of(frames.seconds),
            grid.steps,
        )

    def encode(self, prepared: Sequence[Any]) -> list[Array]:
        """Maps `[steps, 7, 7, 512]`, averaged over the images of a step; 0 for a step without an image."""
        maps = in_batches(self._maps, [images for images, _, _ in prepared], most=32)
        return [
            mean_per_step(m.numpy(), rows, steps) for m, (_, rows, steps) in zip(maps, prepared, strict=True)
        ]

    def _maps(self, images: Tensor) -> Tensor:
        device = next(self.model.parameters()).device
        mean, std = (torch.tensor(v, device=device).view(3, 1, 1) for v in (_IMAGENET_MEAN, _IMAGENET_STD))
        maps: Tensor = self.model((images.to(device) / 255 - mean) / std)
        return maps.cpu()


def _stretched(image: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "224 224 3"]:
    return np.asarray(Image.fromarray(image).resize((224, 224), Image.Resampling.BILINEAR))
