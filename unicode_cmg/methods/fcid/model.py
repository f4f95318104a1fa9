"""FCID for modalities that happen together, modalities that mean a clip as a whole, or both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from unicode_cmg.batch import Encoding, FeatureBatch, StepView, check_batch, check_features
from unicode_cmg.codebook import Quantized, build_quantizer
from unicode_cmg.config import Config
from unicode_cmg.errors import InputError, unknown
from unicode_cmg.losses import commitment_loss
from unicode_cmg.methods.base import Method, with_parameters
from unicode_cmg.methods.dcid.disentangler import Disentangled, Disentangler
from unicode_cmg.methods.dcid.layer import code_matching, codebook_losses
from unicode_cmg.methods.dcid.networks import Context, GeneralEncoder
from unicode_cmg.methods.fcid.coarse import CoarseRepresentation, CoarseStage, clip_mean
from unicode_cmg.methods.fcid.config import FCIDConfig


@dataclass(frozen=True)
class FCIDRepresentation:
    """One encoder pass.

    Attributes:
        inputs: Modality -> `[B, T, ...]` features as they enter the encoders.
        steps: Modality -> `[B, T, D]` general features of every step.
        fine: The fine modalities, step by step; empty without the fine half.
        coarse: All modalities, clip by clip; empty without the coarse half.
        quantized: Modality -> codes of the clips, or of the steps where there is no coarse half.
    """

    inputs: Mapping[str, Float[Tensor, "batch _ ..."]]
    steps: Mapping[str, Float[Tensor, "batch _ dim"]]
    fine: Disentangled
    coarse: CoarseRepresentation
    quantized: Mapping[str, Quantized]

    @property
    def coded(self) -> Disentangled | CoarseRepresentation:
        """The half whose general features are quantized."""
        return self.coarse if self.coarse.general else self.fine

    @property
    def masks(self) -> Mapping[str, Bool[Tensor, "batch _"]]:
        """Modality -> True where a code is valid."""
        return self.coded.masks


@dataclass(frozen=True)
class Draws:
    """The random choices of the losses of one step.

    Attributes:
        fine: Fine modality -> `[B]` order of its clips, which gives CLUB its negatives.
        coarse: Group -> `[modalities * B]` order of its clips, likewise.
        step: The step t that CPC predicts from.
    """

    fine: Mapping[str, Int64[Tensor, " _"]]
    coarse: Mapping[str, Int64[Tensor, " _"]]
    step: int


class FCID(Method[FCIDRepresentation]):
    """Fine and Coarse cross-modal Information Disentangling (FCID paper, section 4.2, eqs 10-19).

    Fine modalities are disentangled by CLUB and aligned by cross-modal CPC step by step. Their mean over time
    is then disentangled and aligned once more, by InfoNCE, with the coarse modalities, and only these clips
    are quantized, with one codebook for all.

    With fine modalities alone the fine half runs by itself: the codebook quantizes their steps, and decoders
    read the codes. With coarse modalities alone the coarse half does. The paper aligns two fine modalities,
    audio and video, with one coarse one, text; here there may be any number, and InfoNCE joins each pair of
    modalities that CPC does not.

    Args:
        config: Sizes and switches.

    Attributes:
        levels: How fine the codes of `encode` can be.
    """

    name: ClassVar[str] = "fcid"
    levels: ClassVar[tuple[str, ...]] = ("segment", "clip")
    config_class: ClassVar[type[Config]] = FCIDConfig
    config: FCIDConfig

    def __init__(self, config: FCIDConfig) -> None:
        super().__init__(config)
        self.context = Context(config.modalities)
        self.general = nn.ModuleDict({m: GeneralEncoder(config, s) for m, s in config.modalities.items()})
        self.fine = Disentangler(config, {m: config.modalities[m] for m in config.fine})
        self.coarse = CoarseStage(config)
        self.codebook = build_quantizer(
            config.codebook,
            num_codes=config.num_codes,
            dim=config.dim,
            modalities=(*config.fine, *config.coarse),
            rule=config.fidelity,
            revive_noise=config.revive_noise,
        )

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities, in the order of the config."""
        return tuple(self.config.modalities)

    def represent(self, batch: FeatureBatch) -> FCIDRepresentation:
        """One pass of all encoders and the quantizer.

        Clips may have another number of steps in each coarse modality; the fine ones share theirs.

        Raises:
            InputError: A modality is missing or unknown, or its features do not fit the config.
        """
        shapes = self.config.modalities
        check_batch(batch, shapes, aligned=False)
        fine = {m: batch.features[m] for m in self.config.fine}
        check_batch(FeatureBatch(fine, {}), {m: shapes[m] for m in fine}, aligned=True)
        masks = {m: batch.masks[m] for m in shapes}
        inputs = {m: self.context.read(m, batch.features[m], masks[m]) for m in shapes}
        steps = {m: self.general[m](inputs[m], masks[m]) for m in shapes}
        halves = self.fine.part(inputs, steps, masks), self.coarse.represent(steps, masks)
        coded = halves[1] if self.config.coarse else halves[0]
        quantized = {m: self.codebook.quantize(z) for m, z in coded.general.items()}
        return FCIDRepresentation(inputs, steps, *halves, quantized)

    def critic_losses(self, representation: FCIDRepresentation) -> dict[str, Float[Tensor, ""]]:
        """Negative log-likelihood of each critic, on constants: `critic/fine/m` and `critic/coarse/g`."""
        fine = self.fine.critic_losses(representation.fine, representation.fine.general)
        coarse = self.coarse.critic_losses(representation.coarse)
        return {
            **{f"critic/fine/{m}": loss for m, loss in fine.items()},
            **{f"critic/coarse/{group}": loss for group, loss in coarse.items()},
        }

    def training_losses(
        self,
        batch: FeatureBatch,
        *,
        generator: torch.Generator,
        representation: FCIDRepresentation | None = None,
        draws: Draws | None = None,
    ) -> dict[str, Float[Tensor, ""]]:
        """Terms of the objective (FCID paper, eq 19), and CMCM, which the released code adds.

        Args:
            batch: Features by modality.
            generator: CPU generator of the random choices.
            representation: What `represent(batch)` returned, to spare a second encoder pass.
            draws: The random choices themselves, instead of drawing them.

        Returns:
            `reconstruction/fine/m`, `club/fine/m` (eq 12) for each fine modality m; `cpc` (eq 13); those of
            `CoarseStage.training_losses`; `commitment/m` for each modality m (eq 18), and `codebook/m` if
            the quantizer learns by gradient; `cmcm`, unless its form is `none`.
        """
        r = self.represent(batch) if representation is None else representation
        draws = self._draw(len(batch), r, generator) if draws is None else draws
        codes = {m: q.codes for m, q in r.quantized.items()}
        constant = self.config.detach_context
        reconstruction = self.fine.reconstruction_losses(
            r.fine,
            r.fine.general if self.config.coarse else codes,
            {m: self.context.target(m, r.inputs[m], constant=constant) for m in self.config.fine},
        )
        club = self.fine.club_losses(r.fine, r.fine.general, draws.fine)
        cpc = self.fine.cpc_losses(r.fine, draws.step)
        coarse = self.coarse.training_losses(r.coarse, codes=codes, permutations=draws.coarse)
        commitment = commitment_loss(
            r.coded.general,
            {m: q.codewords for m, q in r.quantized.items()},
            own_weight=self.config.commitment_own,
            cross_weight=self.config.commitment_cross,
            masks=r.masks,
        )
        vq = codebook_losses(self.codebook, r.coded.general, r.masks)
        losses = {
            **{f"reconstruction/fine/{m}": loss for m, loss in reconstruction.items()},
            **{f"club/fine/{m}": loss for m, loss in club.items()},
            **cpc,
            **coarse,
            **{f"commitment/{m}": loss for m, loss in commitment.items()},
            **{f"codebook/{m}": loss for m, loss in vq.items()},
        }
        if self.config.cmcm_form != "none":
            losses["cmcm"] = code_matching(r.quantized, r.masks, self.config.cmcm_form)
        return losses

    def quantized_batches(self, representation: FCIDRepresentation) -> dict[str, FCIDRepresentation]:
        """The one shared codebook quantizes every modality."""
        return {"layer0": representation}

    def view(self, batch: FeatureBatch, representation: FCIDRepresentation) -> StepView:
        """General features of every step, before clips are averaged, and the codes, which may be of clips."""
        r = representation
        return StepView(
            features=batch.features,
            masks=batch.masks,
            general=r.steps,
            specific=r.fine.summary,
            codes={m: q.codes for m, q in r.quantized.items()},
            code_masks=r.masks,
        )

    def trained_modules(self) -> dict[str, nn.Module]:
        """The groups whose gradients the released code clips one by one."""
        encoders = (self.general, self.fine.specific, self.coarse.project, self.coarse.general)
        modules: dict[str, nn.Module | None] = {
            "context": self.context,
            "encoder": nn.ModuleList([*encoders, self.coarse.specific, self.codebook]),
            "cpc": self.fine.cpc,
            "decoder": nn.ModuleList([self.fine.decoder, self.coarse.decoder]),
        }
        return with_parameters(modules)

    def critic_modules(self) -> dict[str, nn.Module]:
        """CLUB's critics."""
        return {"fine": self.fine.critic, "coarse": self.coarse.critic}

    def encode(
        self,
        modality: str,
        features: Float[Tensor, "batch time ..."],
        mask: Bool[Tensor, "batch time"] | None = None,
        *,
        level: str | None = None,
    ) -> Encoding:
        """Codes of one modality.

        Args:
            modality: Its name in the config.
            features: `[B, T, C]`, or `[B, T, H, W, C]` for a modality with a grid.
            mask: `[B, T]` True where a step is valid; default: all.
            level: `segment` for a code of every step, `clip` for one of the mean over the valid steps, T = 1;
                default: as the config says. The released code calls these `C_split` and `C_ret`.

        Raises:
            InputError: The modality or level is unknown, or the features do not fit the config.
        """
        level = self.config.level if level is None else level
        if level not in self.levels:
            raise unknown("level", level, self.levels, where="encode")
        steps = self._steps(modality, features, mask)
        if level == "clip":
            steps = clip_mean(steps, mask)
        general = self.coarse.encode(modality, steps) if self.config.coarse else steps
        quantized = self.codebook.quantize(general)
        return Encoding(
            general=general,
            codes=quantized.side_by_side,
            indices=quantized.indices,
            unquantized=quantized.unquantized,
        )

    def encode_fine(
        self,
        modality: str,
        features: Float[Tensor, "batch time ..."],
        mask: Bool[Tensor, "batch time"] | None = None,
    ) -> Float[Tensor, "batch time dim"]:
        """f^m, the general features of a fine modality step by step, before the coarse half.

        Args:
            modality: Its name in the config.
            features: As for `encode`.
            mask: As for `encode`.

        Raises:
            InputError: The modality is not a fine one, or the features do not fit the config.
        """
        if modality not in self.config.fine:
            raise InputError(
                f"'{modality}' is not a fine modality",
                where="encode_fine",
                expected=f"one of {', '.join(self.config.fine) or 'none, the model has no fine half'}",
            )
        return self._steps(modality, features, mask)

    def quantizers(self) -> dict[str, str]:
        """`layer0`."""
        return {"layer0": "codebook"}

    def _steps(
        self,
        modality: str,
        features: Float[Tensor, "batch time ..."],
        mask: Bool[Tensor, "batch time"] | None,
    ) -> Float[Tensor, "batch time dim"]:
        """General features of every step."""
        check_features(modality, features, self.config.modalities)
        steps: Tensor = self.general[modality](self.context.read(modality, features, mask), mask)
        return steps

    def _draw(self, clips: int, r: FCIDRepresentation, generator: torch.Generator) -> Draws:
        """Random choices for the losses of a batch."""
        groups = self.config.groups.items()
        return Draws(
            fine={m: torch.randperm(clips, generator=generator) for m in self.config.fine},
            coarse={g: torch.randperm(len(ms) * clips, generator=generator) for g, ms in groups},
            step=self.fine.draw_step(r.fine, generator),
        )
