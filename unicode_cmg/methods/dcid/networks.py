"""The networks of DCID: encoders and decoders of one modality, for one vector a step or for features on a
grid, and the recurrent front end of words.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from unicode_cmg.batch import FeatureBatch, check_batch, check_features, cleared
from unicode_cmg.draws import ClipDraws
from unicode_cmg.layers import (
    ContextLSTM,
    ConvPooling,
    GatedSum,
    GridDecoder,
    GridEncoder,
    InputStandardization,
    SpatialAttention,
    TemporalTransformer,
)
from unicode_cmg.methods.dcid.config import DCIDConfig, ModalityConfig


class GeneralEncoder(nn.Module):
    """Phi^m: modality-general features z^m (TOC paper eq. A1; f^m of FCID paper eq. 10).

    A grid is first pooled to one vector a step; the transformer then mixes the steps.
    """

    def __init__(self, config: DCIDConfig, modality: ModalityConfig) -> None:
        super().__init__()
        self.pool: ConvPooling | SpatialAttention | GatedSum | None = None
        width = modality.width
        if modality.grid is not None:
            match config.pooling:
                case "conv":
                    self.pool = ConvPooling(
                        modality.dim, modality.grid, hidden=config.pooling_dim, out_dim=config.dim
                    )
                case "attention":
                    self.pool = SpatialAttention(modality.dim)
                case "sum":
                    self.pool = GatedSum(modality.dim)
            width = self.pool.out_dim
        self.temporal = TemporalTransformer(
            width,
            config.dim,
            heads=config.heads,
            layers=config.transformer_layers,
            feedforward=config.feedforward,
            dropout=config.dropout,
            window=modality.window,
        )
        self.input_dropout = config.input_dropout

    def forward(
        self,
        x: Float[Tensor, "batch time ..."],
        mask: Bool[Tensor, "batch time"] | None,
        draws: ClipDraws | None = None,
    ) -> Float[Tensor, "batch time dim"]:
        """General features of every step.

        Args:
            x: What enters the encoder.
            mask: True where a step is real.
            draws: What dropout draws from; from torch's global generator if left out.
        """
        if self.training and draws is None:
            draws = ClipDraws.of(len(x), device=x.device)
        if self.training and self.input_dropout and draws is not None:
            x = draws.at(0).dropout(x, self.input_dropout)
        pooled = x if self.pool is None else self.pool(x)
        general: Tensor = self.temporal(pooled, mask, None if draws is None else draws.at(1))
        return general


def encoded(
    encoders: nn.ModuleDict,
    inputs: Mapping[str, Float[Tensor, "batch _ ..."]],
    masks: Mapping[str, Bool[Tensor, "batch _"]],
    draws: ClipDraws | None,
) -> dict[str, Float[Tensor, "batch _ dim"]]:
    """General features of every modality, each with draws of its own."""
    return {
        m: encoder(inputs[m], masks[m], None if draws is None else draws.at(number))
        for number, (m, encoder) in enumerate(encoders.items())
    }


class SpecificEncoder(nn.Module):
    """Psi^m: modality-specific features zbar^m, whole for the decoder and summarised for CLUB's critic."""

    def __init__(self, config: DCIDConfig, modality: ModalityConfig) -> None:
        super().__init__()
        width = modality.specific_width
        self.grid: GridEncoder | None = None
        self.summary: nn.Module = nn.Identity()
        self.summary_dim = width
        if modality.grid is None:
            self.linear = nn.Linear(modality.width, width)
            return
        self.grid = GridEncoder(modality.dim, width, modality.grid, relu_skip=config.relu_skip)
        if config.club_summary == "learned":
            self.summary_dim = modality.summary_dim or modality.dim
            self.summary = nn.Sequential(
                nn.Linear(width, width // 2), nn.ReLU(), nn.Linear(width // 2, self.summary_dim)
            )

    def forward(self, x: Float[Tensor, "batch time ..."]) -> Float[Tensor, "batch time ..."]:
        """Specific features: `[B, T, S]`, or `[B, T, h, w, S]` on the grid the convolutions leave."""
        return F.relu(self.linear(x)) if self.grid is None else self.grid(x)

    def summarize(self, specific: Float[Tensor, "batch time ..."]) -> Float[Tensor, "batch time dim"]:
        """One vector a step, whose information about the code CLUB bounds.

        The released code puts a network of its own between the mean over the grid and CLUB. Nothing else
        reads its output, so it can satisfy CLUB by being constant, and the encoder learns nothing from it.
        """
        summary: Tensor = self.summary(specific if self.grid is None else specific.mean(dim=(2, 3)))
        return summary


class Decoder(nn.Module):
    """D^m(zhat^m; zbar^m): the features from code and specific features (TOC paper eq. A4)."""

    def __init__(self, config: DCIDConfig, modality: ModalityConfig) -> None:
        super().__init__()
        specific = modality.specific_width
        self.grid: GridDecoder | None = None
        if modality.grid is None:
            self.code = nn.Linear(config.dim, specific)
            self.linear = nn.Linear(2 * specific, modality.width)
        else:
            self.code = nn.Linear(config.dim, config.dim)
            self.grid = GridDecoder(
                config.dim + specific, specific // 2, modality.dim, modality.grid, relu_skip=config.relu_skip
            )

    def forward(
        self, code: Float[Tensor, "batch time dim"], specific: Float[Tensor, "batch time ..."]
    ) -> Float[Tensor, "batch time ..."]:
        """Reconstruct the features; on a grid the same code stands at every position."""
        code = self.code(code)
        if self.grid is None:
            features: Tensor = self.linear(torch.cat([code, specific], dim=-1))
            return features
        code = code[:, :, None, None, :].expand(*specific.shape[:-1], -1)
        features = self.grid(torch.cat([code, specific], dim=-1))
        return features  # noqa: RET504 - the annotation above types both


class FrontEnd(nn.Module):
    """From the features of a batch to what enters the encoders: standardized (`standardize`), and through the
    LSTM of each modality that has one (`context`).

    Args:
        modalities: Settings by modality.
        standardize: Whether to standardize the features.
    """

    def __init__(self, modalities: Mapping[str, ModalityConfig], *, standardize: bool) -> None:
        super().__init__()
        self.standardization = nn.ModuleDict(
            {m: InputStandardization(spec.dim) for m, spec in modalities.items() if standardize}
        )
        self.context = nn.ModuleDict(
            {
                m: ContextLSTM(spec.dim, spec.context)
                for m, spec in modalities.items()
                if spec.context is not None
            }
        )
        self._shapes = modalities

    def fit(self, batches: Iterable[FeatureBatch]) -> None:
        """Take the statistics of the training data, in one pass; without `standardize` nothing is read."""
        if not self.standardization:
            return
        fitting = {m: cast(InputStandardization, s) for m, s in self.standardization.items()}
        for statistics in fitting.values():
            statistics.begin()
        for batch in batches:
            for m, statistics in fitting.items():
                statistics.add(batch.features[m], batch.masks[m])

    def read_batch(
        self, batch: FeatureBatch, *, aligned: Collection[str] | None = None
    ) -> tuple[dict[str, Float[Tensor, "batch _ ..."]], dict[str, Bool[Tensor, "batch _"]]]:
        """Features of every modality as they enter the encoders, and which of their steps are valid.

        Args:
            batch: Features by modality.
            aligned: Modalities that must have the same number of steps; default: all.

        Raises:
            InputError: A modality is missing or unknown, or its features do not fit the config.
        """
        check_batch(batch, self._shapes, aligned=aligned)
        masks = {m: batch.masks[m] for m in self._shapes}
        return {m: self.read(m, batch.features[m], masks[m]) for m in self._shapes}, masks

    def read(
        self,
        modality: str,
        features: Float[Tensor, "batch time ..."],
        mask: Bool[Tensor, "batch time"] | None,
    ) -> Float[Tensor, "batch time ..."]:
        """Features of one modality as they enter the encoders, with zeros where a step is not valid.

        Raises:
            InputError: The modality is unknown, or the features do not fit the config.
        """
        check_features(modality, features, self._shapes)
        features = cleared(features, mask)
        if modality in self.standardization:
            features = self.standardization[modality](features, mask)
        if modality not in self.context:
            return features
        contextual: Tensor = self.context[modality](features, mask)
        return contextual

    def targets(
        self, inputs: Mapping[str, Float[Tensor, "batch time ..."]], *, constant: bool
    ) -> dict[str, Float[Tensor, "batch time ..."]]:
        """What the decoders are to reconstruct; an LSTM's output can be a constant to them."""
        return {m: x.detach() if constant and m in self.context else x for m, x in inputs.items()}
