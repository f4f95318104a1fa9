"""H-DCID for two or more modalities."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from unicode_cmg.batch import Encoding, FeatureBatch, StepView
from unicode_cmg.config import Config
from unicode_cmg.errors import InputError
from unicode_cmg.methods.base import Method, with_parameters
from unicode_cmg.methods.dcid import Draws, LayerRepresentation, ModalityConfig
from unicode_cmg.methods.dcid.layer import DisentanglingLayer
from unicode_cmg.methods.dcid.networks import FrontEnd
from unicode_cmg.methods.hdcid.config import HDCIDConfig
from unicode_cmg.methods.hdcid.standardizer import Standardizer


class HDCID(Method[tuple[LayerRepresentation, ...]]):
    """Hierarchical Dual Cross-modal Information Disentanglement (TOC paper, section 4.2 and appendix A).

    A row of DCID layers. The first aligns the events that all modalities share; what it leaves to the
    specific features of each modality enters the next layer, which aligns what these still have in common in
    a codebook of its own: `x_{k+1}^m = zbar_k^m` (TOC paper eq. A2). They enter it as one vector a step, the
    summary that CLUB sees.

    Layer k joins the training once the layers before it have had their warm start, and its terms then count
    `deeper_weight`. Terms are named as DCID's, with `layerK` after the kind for all but the first:
    `reconstruction/audio`, `reconstruction/layer1/audio`, `cpc/layer1`.

    Args:
        config: Sizes and switches.
    """

    name: ClassVar[str] = "hdcid"
    config_class: ClassVar[type[Config]] = HDCIDConfig
    config: HDCIDConfig

    def __init__(self, config: HDCIDConfig) -> None:
        super().__init__(config)
        self.front = FrontEnd(config.modalities, standardize=config.standardize)
        layers = [DisentanglingLayer(config, config.modalities)]
        between: list[nn.ModuleDict] = []
        while len(layers) < config.code_layers:
            widths = layers[-1].summary_dims()
            scaled = widths.items() if config.standardize_deeper else ()
            between.append(nn.ModuleDict({m: Standardizer(width) for m, width in scaled}))
            layers.append(DisentanglingLayer(config, deeper_modalities(config, widths)))
        self.layers, self.between = nn.ModuleList(layers), nn.ModuleList(between)
        self._joined = len(layers)

    def begin_step(self, *, step: int, epoch: int) -> None:
        """Let layers join the training by schedule; before the first call all of them take part."""
        warm_steps = self.config.warm_start_steps
        done, each = (epoch, self.config.warm_start_epochs) if warm_steps is None else (step, warm_steps)
        self._joined = min(1 + done // each, len(self.layers)) if each else len(self.layers)

    def loss_factors(self) -> Mapping[str, float]:
        """`deeper_weight` for the terms of the deeper layers, and 0 until their layer has joined.

        With `mean_over_layers` those of CLUB and CPC are divided by K in every layer (TOC paper eqs. 12, 13).
        """
        means = ("club", "cpc") if self.config.mean_over_layers else ()
        deeper = [self.config.deeper_weight if k < self._joined else 0.0 for k in range(1, len(self.layers))]
        return {
            _term(name, k): weight / len(self.layers) if name.partition("/")[0] in means else weight
            for k, (layer, weight) in enumerate(zip(self._layers(), [1.0, *deeper], strict=True))
            for name in layer.loss_terms()
            if k or name.partition("/")[0] in means
        }

    @property
    def repeats_encoding(self) -> bool:
        """As the config says."""
        return self.config.repeat_encoding

    def fit_inputs(self, batches: Iterable[FeatureBatch]) -> None:
        """Statistics of the features, if the config says `standardize`."""
        self.front.fit(batches)

    def represent(self, batch: FeatureBatch) -> tuple[LayerRepresentation, ...]:
        """One pass of all encoders and quantizers, but of resting layers (TOC paper eqs. A1 to A3).

        Raises:
            InputError: A modality is missing or unknown, or its features do not fit the config.
        """
        inputs, masks = self.front.read_batch(batch)
        running = self._layers()[: self._joined if self.config.waiting_code_layers == "rest" else None]
        representations: list[LayerRepresentation] = []
        for k, layer in enumerate(running):
            if representations:
                summary = representations[-1].summary
                inputs = {m: self._next_input(k - 1, m, x) for m, x in summary.items()}
            draws = None if batch.draws is None else batch.draws.at(k)
            representations.append(layer.represent(inputs, masks, draws))
        return tuple(representations)

    def critic_losses(self, representation: tuple[LayerRepresentation, ...]) -> dict[str, Float[Tensor, ""]]:
        """Negative log-likelihood log q(zbar^m | z^m) of each critic of the layers that have joined."""
        return {
            _term(f"critic/{m}", k): loss
            for k, (layer, r) in enumerate(zip(self._layers()[: self._joined], representation, strict=False))
            for m, loss in layer.critic_losses(r, layer.club_input(r)).items()
        }

    def training_losses(
        self,
        batch: FeatureBatch,
        *,
        generator: torch.Generator,
        representation: tuple[LayerRepresentation, ...] | None = None,
        draws: Sequence[Draws] | None = None,
    ) -> dict[str, Float[Tensor, ""]]:
        """Terms of the objective (TOC paper eqs. 14 and A8) of every layer that runs.

        Args:
            draws: The random choices themselves, one for each layer, instead of drawing them; for the others
                see `Method`.
        """
        representation = self.represent(batch) if representation is None else representation
        return {
            _term(name, k): loss
            for k, (layer, r) in enumerate(zip(self._layers(), representation, strict=False))
            for name, loss in layer.training_losses(
                r,
                draws=draws[k] if draws else layer.draw(r, generator),
                targets=self._targets(k, r),
            ).items()
        }

    def update_codebooks(
        self, representation: tuple[LayerRepresentation, ...], *, generator: torch.Generator
    ) -> None:
        """One MM-EMA step of the codebook of every layer that runs, and of the statistics between layers."""
        super().update_codebooks(representation, generator=generator)
        for k, r in enumerate(representation[: len(self.between)]):
            for m, standardizer in self._standardizers(k).items():
                standardizer.update(r.summary[m], r.masks[m])

    def chance_losses(self, clips: int, time: int) -> dict[str, float]:
        """Of the CPC of each layer."""
        return {
            _term(name, k): value
            for k, layer in enumerate(self._layers())
            for name, value in layer.chance_losses(clips, time).items()
        }

    def quantized_batches(
        self, representation: tuple[LayerRepresentation, ...]
    ) -> dict[str, LayerRepresentation]:
        """The codebook of each layer that runs quantizes every modality."""
        return {f"layer{k}": r for k, r in enumerate(representation)}

    def view(self, batch: FeatureBatch, representation: tuple[LayerRepresentation, ...]) -> StepView:
        """z, zbar and zhat of the first layer, which aligns the events that all modalities share."""
        return representation[0].view(batch)

    def trained_modules(self) -> dict[str, nn.Module]:
        """The groups whose gradients the released code clips one by one."""
        return with_parameters(
            {
                "context": self.front,
                "encoder": nn.ModuleList(layer.encoders() for layer in self._layers()),
                **{f"cpc/layer{k}": layer.cpc for k, layer in enumerate(self._layers())},
                "decoder": nn.ModuleList(layer.decoder for layer in self._layers()),
            }
        )

    def critic_modules(self) -> dict[str, nn.Module]:
        """CLUB's critics of every layer."""
        return {f"layer{k}": layer.critic for k, layer in enumerate(self._layers())}

    def encode_batch(
        self,
        modality: str,
        features: Float[Tensor, "batch time ..."],
        mask: Bool[Tensor, "batch time"] | None = None,
        *,
        code_layers: Sequence[int] | None = None,
    ) -> Encoding:
        """Codes of one modality, those of all code layers side by side.

        Args:
            code_layers: Numbers of the code layers, from 0 and in this order; default: all. Table 1 of the
                TOC paper has the codes of the first alone, and those of both. For the others see `Model`.

        Returns:
            `general` is that of the first of these code layers.

        Raises:
            InputError: The modality or a code layer is unknown, or the features do not fit the config.
        """
        chosen = tuple(range(len(self.layers))) if code_layers is None else self._known(code_layers)
        inputs = self.front.read(modality, features, mask)
        encodings: dict[int, Encoding] = {}
        for k, layer in enumerate(self._layers()[: max(chosen) + 1]):
            if k in chosen:
                encodings[k] = layer.encode(modality, inputs, mask)
            if k < max(chosen):
                inputs = self._next_input(k, modality, layer.summarize(modality, inputs))
        return Encoding(
            general=encodings[chosen[0]].general,
            codes=torch.cat([encodings[k].codes for k in chosen], dim=-1),
            indices=torch.cat([encodings[k].indices for k in chosen], dim=-1),
            unquantized=torch.cat([encodings[k].unquantized for k in chosen], dim=-1),
        )

    def specific(
        self,
        modality: str,
        features: Float[Tensor, "batch time ..."],
        mask: Bool[Tensor, "batch time"] | None = None,
    ) -> dict[str, Float[Tensor, "batch time _"]]:
        """Code layer -> zbar of one modality in it; arguments and errors are those of `Model.specific`."""
        inputs, found = self.front.read(modality, features, mask), {}
        for k, layer in enumerate(self._layers()):
            found[f"layer{k}"] = layer.specific_steps(modality, inputs)
            if k < len(self.between):
                inputs = self._next_input(k, modality, layer.summarize(modality, inputs))
        return found

    def quantizers(self) -> dict[str, str]:
        """`layer0`, `layer1`, ..., one for each layer of disentanglement."""
        return {f"layer{k}": f"layers.{k}.codebook" for k in range(len(self.layers))}

    def _layers(self) -> list[DisentanglingLayer]:
        return [layer for layer in self.layers if isinstance(layer, DisentanglingLayer)]

    def _standardizers(self, k: int) -> dict[str, Standardizer]:
        """Modality -> what brings its summary in layer k to one scale; empty unless the config says so."""
        return {m: cast(Standardizer, s) for m, s in cast(nn.ModuleDict, self.between[k]).items()}

    def _next_input(
        self, k: int, modality: str, summary: Float[Tensor, "batch time channels"]
    ) -> Float[Tensor, "batch time channels"]:
        """The summary of one modality in layer k as it enters the next layer."""
        standardizer = self._standardizers(k).get(modality)
        inputs: Tensor = summary if standardizer is None else standardizer(summary)
        return inputs

    def _targets(self, k: int, r: LayerRepresentation) -> Mapping[str, Float[Tensor, "batch time ..."]]:
        if k == 0:
            return self.front.targets(r.inputs, constant=self.config.detach_context)
        return {m: x.detach() for m, x in r.inputs.items()} if self.config.detach_deeper else r.inputs

    def _known(self, layers: Sequence[int]) -> tuple[int, ...]:
        if not layers or len(set(layers)) < len(layers) or not set(layers) <= set(range(len(self.layers))):
            raise InputError(
                f"code_layers are {list(layers)}",
                where="encode",
                expected=f"one or more different of {', '.join(map(str, range(len(self.layers))))}",
            )
        return tuple(layers)


def deeper_modalities(config: HDCIDConfig, widths: Mapping[str, int]) -> dict[str, ModalityConfig]:
    """What enters a deeper layer: one vector a step, at the times of the modality it came from."""
    return {
        m: ModalityConfig(dim=width, window=config.modalities[m].window, aligned=config.modalities[m].aligned)
        for m, width in widths.items()
    }


def _term(name: str, layer: int) -> str:
    """The name of a layer's term: `cpc` and `cpc/layer1`, `club/audio` and `club/layer1/audio`."""
    if layer == 0:
        return name
    kind, slash, rest = name.partition("/")
    return f"{kind}/layer{layer}{slash}{rest}"
