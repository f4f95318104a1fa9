"""DCID for two or more modalities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from unicode_cmg.batch import Encoding, FeatureBatch
from unicode_cmg.codebook import Quantized, SharedCodebook, usage_statistics
from unicode_cmg.errors import InputError
from unicode_cmg.layers import ContextLSTM
from unicode_cmg.losses import CLUB, CrossModalCPC, cmcm_loss, commitment_loss, reconstruction_loss
from unicode_cmg.methods.base import Method
from unicode_cmg.methods.dcid.config import DCIDConfig
from unicode_cmg.methods.dcid.networks import Decoder, GeneralEncoder, SpecificEncoder


@dataclass(frozen=True)
class DCIDRepresentation:
    """One encoder pass; every mapping goes from modality name to tensor.

    Attributes:
        inputs: `[B, T, ...]` features as they enter the encoders (after the context LSTM where there is one).
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
    """The random choices of one step's losses.

    Attributes:
        permutations: Modality -> `[B]` order of the batch that gives CLUB its negatives.
        step: The step t that CPC predicts from.
    """

    permutations: Mapping[str, Int64[Tensor, " batch"]]
    step: int


class DCID(Method[DCIDRepresentation]):
    """Dual Cross-modal Information Disentanglement.

    A general and a specific encoder for each modality; the general features are quantized with one shared
    codebook and reconstruct the input together with the specific ones. CLUB pushes apart what the two know,
    cross-modal CPC and CMCM pull the modalities together (DCID paper; TOC paper, appendix A, eqs 1-8 with
    one layer).

    Args:
        config: Sizes and switches.
    """

    name: ClassVar[str] = "dcid"
    config: DCIDConfig

    def __init__(self, config: DCIDConfig) -> None:
        super().__init__()
        self.config = config
        specs = config.modalities
        self.context = nn.ModuleDict(
            {m: ContextLSTM(spec.dim, spec.context) for m, spec in specs.items() if spec.context is not None}
        )
        self.general = nn.ModuleDict({m: GeneralEncoder(config, spec) for m, spec in specs.items()})
        self.specific = nn.ModuleDict({m: SpecificEncoder(config, spec) for m, spec in specs.items()})
        self.decoder = nn.ModuleDict({m: Decoder(config, spec) for m, spec in specs.items()})
        self.critic = nn.ModuleDict(
            {m: CLUB(config.dim, self._specific(m).summary_dim, config.critic_hidden) for m in specs}
        )
        self.cpc = CrossModalCPC(self.modalities, config.dim, normalize=config.cpc_normalize)
        settings = config.codebook
        self.codebook = SharedCodebook(
            config.num_codes,
            config.dim,
            self.modalities,
            rule=settings.rule or config.fidelity,
            decay=settings.decay,
            own_weight=settings.own_weight,
            revive_after=settings.revive_after,
            init=settings.init,
        )

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities, in the order of the config."""
        return tuple(self.config.modalities)

    def represent(self, batch: FeatureBatch) -> DCIDRepresentation:
        """One pass of all encoders and the quantizer.

        Raises:
            InputError: A modality is missing or unknown, or its features do not fit the config.
        """
        self._check_batch(batch)
        inputs = {m: self._input(m, batch.features[m], batch.masks[m]) for m in self.modalities}
        general = {m: self.general[m](inputs[m], batch.masks[m]) for m in self.modalities}
        specific = {m: self.specific[m](inputs[m]) for m in self.modalities}
        return DCIDRepresentation(
            inputs=inputs,
            general=general,
            specific=specific,
            summary={m: self._specific(m).summarize(specific[m]) for m in self.modalities},
            quantized={m: self.codebook.quantize(general[m]) for m in self.modalities},
            masks={m: batch.masks[m] for m in self.modalities},
        )

    def critic_losses(self, representation: DCIDRepresentation) -> dict[str, Float[Tensor, ""]]:
        """Negative log-likelihood log q(zbar^m | zhat^m) of each critic, on constants."""
        r = representation
        return {
            f"critic/{m}": -self._critic(m).log_likelihood(
                r.quantized[m].codes.detach(), r.summary[m].detach(), mask=r.masks[m]
            )
            for m in self.modalities
        }

    def draw(self, batch_size: int, steps: int, generator: torch.Generator) -> Draws:
        """Random choices for the losses of a batch of `batch_size` clips of `steps` steps."""
        permutations = {m: torch.randperm(batch_size, generator=generator) for m in self.modalities}
        return Draws(permutations, self.cpc.draw_step(steps, generator))

    def training_losses(
        self,
        batch: FeatureBatch,
        *,
        generator: torch.Generator,
        representation: DCIDRepresentation | None = None,
        draws: Draws | None = None,
    ) -> dict[str, Float[Tensor, ""]]:
        """Terms of the objective (TOC paper, appendix A, eq 8).

        Args:
            batch: Features by modality.
            generator: CPU generator of the random choices.
            representation: What `represent(batch)` returned, to spare a second encoder pass.
            draws: The random choices themselves, instead of drawing them.

        Returns:
            `reconstruction/m`, `commitment/m` and `club/m` for each modality m, `cpc` and `cmcm`.
        """
        r = self.represent(batch) if representation is None else representation
        first = r.general[self.modalities[0]]
        draws = draws or self.draw(first.shape[0], first.shape[1], generator)
        losses: dict[str, Tensor] = {}
        for m in self.modalities:
            prediction = self.decoder[m](r.quantized[m].codes, r.specific[m])
            constant = m in self.context and self.config.detach_context
            target = r.inputs[m].detach() if constant else r.inputs[m]
            losses[f"reconstruction/{m}"] = reconstruction_loss(prediction, target, mask=r.masks[m])
        commitment = commitment_loss(
            r.general,
            {m: q.codewords for m, q in r.quantized.items()},
            own_weight=self.config.commitment_own,
            cross_weight=self.config.commitment_cross,
            masks=r.masks,
        )
        losses |= {f"commitment/{m}": loss for m, loss in commitment.items()}
        for m in self.modalities:
            losses[f"club/{m}"] = self._critic(m).mutual_information(
                r.quantized[m].codes,
                r.summary[m],
                permutation=draws.permutations[m].to(first.device),
                mask=r.masks[m],
                form=self.config.club_form,
            )
        losses["cpc"] = self.cpc(r.general, step=draws.step, masks=r.masks).loss
        losses["cmcm"] = cmcm_loss(
            {m: q.squared_distances for m, q in r.quantized.items()},
            masks=r.masks,
            form=self.config.cmcm_form,
        )
        return losses

    def update_codebooks(self, representation: DCIDRepresentation, *, generator: torch.Generator) -> None:
        """One MM-EMA step of the shared codebook."""
        r = representation
        self.codebook.update(
            {m: z.detach() for m, z in r.general.items()},
            {m: q.indices for m, q in r.quantized.items()},
            r.masks,
            generator=generator,
        )

    def codebook_statistics(self, representation: DCIDRepresentation) -> dict[str, float]:
        """Perplexity, active codes and agreement between modalities in this batch."""
        statistics = usage_statistics(
            {m: q.indices for m, q in representation.quantized.items()},
            self.config.num_codes,
            representation.masks,
        )
        return {f"layer0/{key}": value for key, value in statistics.items()}

    def trained_modules(self) -> dict[str, nn.Module]:
        """The groups whose gradients the released code clips one by one."""
        modules: dict[str, nn.Module] = {
            "context": self.context,
            "encoder": nn.ModuleList([self.general, self.specific]),
            "cpc": self.cpc,
            "decoder": self.decoder,
        }
        return {name: module for name, module in modules.items() if any(True for _ in module.parameters())}

    def critic_modules(self) -> dict[str, nn.Module]:
        """CLUB's critics."""
        return dict(self.critic.items())

    def encode(
        self,
        modality: str,
        features: Float[Tensor, "batch time ..."],
        mask: Bool[Tensor, "batch time"] | None = None,
    ) -> Encoding:
        """Codes of one modality.

        Args:
            modality: Its name in the config.
            features: `[B, T, C]`, or `[B, T, H, W, C]` for a modality with a grid.
            mask: `[B, T]` True where a step is valid; default: all.

        Raises:
            InputError: The modality is unknown or the features do not fit its config.
        """
        self._check_features(modality, features)
        general = self.general[modality](self._input(modality, features, mask), mask)
        quantized = self.codebook.quantize(general)
        return Encoding(general=general, codes=quantized.codes, indices=quantized.indices.unsqueeze(-1))

    def codebooks(self) -> dict[str, Float[Tensor, "_ _"]]:
        """The one layer, `layer0`."""
        return {"layer0": self.codebook.embedding}

    def codebook_keys(self) -> dict[str, str]:
        """Where `layer0` stands in the state dict."""
        return {"layer0": "codebook.embedding"}

    def _input(
        self,
        modality: str,
        features: Float[Tensor, "batch time ..."],
        mask: Bool[Tensor, "batch time"] | None,
    ) -> Float[Tensor, "batch time ..."]:
        if modality not in self.context:
            return features
        # A front end that sees only valid steps must know where they end; a full clip needs no packing.
        full = mask is None or bool(mask.all())
        contextual: Tensor = self.context[modality](features, None if full else mask)
        return contextual

    def _specific(self, modality: str) -> SpecificEncoder:
        return cast(SpecificEncoder, self.specific[modality])

    def _critic(self, modality: str) -> CLUB:
        return cast(CLUB, self.critic[modality])

    def _check_batch(self, batch: FeatureBatch) -> None:
        given, known = set(batch.features), set(self.modalities)
        if given != known:
            name = sorted(given ^ known)[0]
            raise InputError(
                f"modality '{name}' is {'unknown to the model' if name in given else 'missing'}",
                where="batch",
                expected=f"exactly {', '.join(sorted(known))}",
            )
        for m, x in batch.features.items():
            self._check_features(m, x)
        lengths = {m: x.shape[1] for m, x in batch.features.items()}
        if len(set(lengths.values())) > 1:
            raise InputError(
                f"clips have different lengths: {', '.join(f'{m} {n}' for m, n in lengths.items())} steps",
                where="batch",
                expected="the same number of steps in every modality",
                fix="pad the shorter ones and mask the padding",
            )

    def _check_features(self, modality: str, features: Tensor) -> None:
        if modality not in self.config.modalities:
            raise InputError(
                f"unknown modality '{modality}'",
                where="model",
                expected=f"one of {', '.join(self.modalities)}",
            )
        spec = self.config.modalities[modality]
        want = (*(spec.grid or ()), spec.dim)
        if features.ndim != 2 + len(want) or tuple(features.shape[2:]) != want or features.shape[1] == 0:
            raise InputError(
                f"'{modality}' features of shape {list(features.shape)}",
                where="model",
                expected=f"[batch, time >= 1, {', '.join(map(str, want))}]",
                fix="use the features the model was configured for",
            )
