"""FCID for modalities that happen together, modalities that mean a clip as a whole, or both."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from unicode_cmg.batch import Encoding, FeatureBatch, StepView
from unicode_cmg.codebook import Quantized, build_quantizer
from unicode_cmg.config import Config
from unicode_cmg.errors import InputError, unknown
from unicode_cmg.methods.base import Method, prefixed, with_parameters
from unicode_cmg.methods.dcid.disentangler import Disentangled, Disentangler, Draws
from unicode_cmg.methods.dcid.layer import code_matching, commitment_losses
from unicode_cmg.methods.dcid.networks import FrontEnd, GeneralEncoder, encoded
from unicode_cmg.methods.fcid.coarse import CoarseStage, clip_mean
from unicode_cmg.methods.fcid.config import FCIDConfig
from unicode_cmg.ranks import clips_of_batch


@dataclass(frozen=True)
class FCIDRepresentation:
    """One encoder pass.

    Attributes:
        steps: Modality -> `[B, T, D]` general features of every step.
        fine: The fine modalities, step by step; empty without the fine half.
        coarse: All modalities, clip by clip, T = 1; empty without the coarse half.
        quantized: Modality -> codes of the clips, or of the steps where there is no coarse half.
    """

    steps: Mapping[str, Float[Tensor, "batch _ dim"]]
    fine: Disentangled
    coarse: Disentangled
    quantized: Mapping[str, Quantized]

    @property
    def coded(self) -> Disentangled:
        """The half whose general features are quantized."""
        return self.coarse if self.coarse.general else self.fine

    @property
    def masks(self) -> Mapping[str, Bool[Tensor, "batch _"]]:
        """Modality -> True where a code is valid."""
        return self.coded.masks


class FCID(Method[FCIDRepresentation]):
    """Fine and Coarse cross-modal Information Disentangling (FCID paper eqs. 10 to 19).

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
        self.front = FrontEnd(config.modalities, standardize=config.standardize)
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
    def default_level(self) -> str:
        """As the config says."""
        return self.config.level

    def fit_inputs(self, batches: Iterable[FeatureBatch]) -> None:
        """Statistics of the features, if the config says `standardize`."""
        self.front.fit(batches)

    def represent(self, batch: FeatureBatch) -> FCIDRepresentation:
        """One pass of all encoders and the quantizer.

        Clips may have another number of steps in each coarse modality; the fine ones share theirs.

        Raises:
            InputError: A modality is missing or unknown, or its features do not fit the config.
        """
        inputs, masks = self.front.read_batch(batch, aligned=self.config.fine)
        steps = encoded(self.general, inputs, masks, batch.draws)
        halves = self.fine.part(inputs, steps, masks), self.coarse.part(steps, masks)
        coded = halves[1] if self.config.coarse else halves[0]
        quantized = self.codebook.quantize_each(coded.general, distances=self.config.cmcm_form != "none")
        return FCIDRepresentation(steps, *halves, quantized)

    def critic_losses(self, representation: FCIDRepresentation) -> dict[str, Float[Tensor, ""]]:
        """Negative log-likelihood of each critic, on constants: `critic/fine/m` and `critic/coarse/g`."""
        fine, coarse = representation.fine, representation.coarse
        return {
            **prefixed("critic/fine/", self.fine.critic_losses(fine, fine.general)),
            **prefixed("critic/coarse/", self.coarse.critic_losses(coarse, coarse.general)),
        }

    def training_losses(
        self,
        batch: FeatureBatch,
        *,
        generator: torch.Generator,
        representation: FCIDRepresentation | None = None,
        draws: Draws | None = None,
    ) -> dict[str, Float[Tensor, ""]]:
        """Terms of the objective (FCID paper eq. 19), and CMCM, which the released code adds.

        Args:
            draws: The random choices themselves, instead of drawing them. Critics are the fine modalities
                and the groups of clips, `[modalities * B]` in each, modality after modality. For the others
                see `Method`.

        Returns:
            `reconstruction/fine/m`, `club/fine/m` (eq 12) for each fine modality m; `cpc` (eq 13); those of
            `CoarseStage.training_losses`; `commitment/m` for each modality m (eq 18), and `codebook/m` if
            the quantizer learns by gradient; `cmcm`, unless its form is `none`.
        """
        r = self.represent(batch) if representation is None else representation
        draws = self._draw(clips_of_batch(len(batch)), r, generator) if draws is None else draws
        codes = {m: q.codes for m, q in r.quantized.items()}
        decoded = r.fine.general if self.config.coarse else codes
        targets = self.front.targets(r.fine.inputs, constant=self.config.detach_context)
        reconstruction = self.fine.reconstruction_losses(r.fine, decoded, targets)
        club = self.fine.club_losses(r.fine, r.fine.general, draws.permutations)
        return {
            **prefixed("reconstruction/fine/", reconstruction),
            **prefixed("club/fine/", club),
            **self.fine.cpc_losses(r.fine, draws.step),
            **self.coarse.training_losses(r.coarse, codes=codes, permutations=draws.permutations),
            **commitment_losses(self.config, self.codebook, r.coded, r.quantized),
            **code_matching(self.config, r.coded, r.quantized),
        }

    def chance_losses(self, clips: int, time: int) -> dict[str, float]:
        """Of CPC, and of InfoNCE between each pair of modalities that it joins."""
        pairs = {f"info_nce/{a}-{b}": math.log(clips) for a, b in self.config.pairs}
        return {**self.fine.chance_losses(clips, time), **pairs}

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
        return with_parameters(
            {
                "context": self.front,
                "encoder": nn.ModuleList([*encoders, self.coarse.specific, self.codebook]),
                "cpc": self.fine.cpc,
                "decoder": nn.ModuleList([self.fine.decoder, self.coarse.decoder]),
            }
        )

    def critic_modules(self) -> dict[str, nn.Module]:
        """CLUB's critics."""
        return {"fine": self.fine.critic, "coarse": self.coarse.critic}

    def encode_batch(
        self,
        modality: str,
        features: Float[Tensor, "batch time ..."],
        mask: Bool[Tensor, "batch time"] | None = None,
        *,
        level: str | None = None,
    ) -> Encoding:
        """Codes of one modality.

        Args:
            level: `segment` for a code of every step, `clip` for one of the mean over the valid steps, T = 1;
                default: as the config says. The released code calls these `C_split` and `C_ret`. For
                the others see `Model`.

        Raises:
            InputError: The modality or level is unknown, or the features do not fit the config.
        """
        level = self.default_level if level is None else level
        if level not in self.levels:
            raise unknown("level", level, self.levels, where="encode")
        steps = self._steps(modality, features, mask)
        if level == "clip":
            steps = clip_mean(steps, mask)
        general = self.coarse.encode(modality, steps) if self.config.coarse else steps
        return self.codebook.encode(general)

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

    def specific(
        self,
        modality: str,
        features: Float[Tensor, "batch time ..."],
        mask: Bool[Tensor, "batch time"] | None = None,
    ) -> dict[str, Float[Tensor, "batch time _"]]:
        """`fine` -> zbar of a fine modality, `coarse` -> cbar of every step, where the model has that half.

        Arguments and errors are those of `Model.specific`.
        """
        found = {}
        if modality in self.config.fine:
            found["fine"] = self.fine.specific_steps(modality, self.front.read(modality, features, mask))
        if self.config.coarse:
            found["coarse"] = self.coarse.specific_steps(modality, self._steps(modality, features, mask))
        return found

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
        inputs = self.front.read(modality, features, mask)
        steps: Tensor = self.general[modality](inputs, mask)
        return steps

    def _draw(self, clips: int, r: FCIDRepresentation, generator: torch.Generator) -> Draws:
        """Random choices for the losses of a batch."""
        critics = dict.fromkeys(self.config.fine, clips)
        critics |= {group: clips * len(members) for group, members in self.config.groups.items()}
        permutations = {name: torch.randperm(n, generator=generator) for name, n in critics.items()}
        return Draws(permutations, self.fine.draw_step(r.fine, generator))
