"""What the fit loop needs of a method, and nothing more."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from unicode_cmg.batch import FeatureBatch, StepView
from unicode_cmg.checkpoints.hub import HubModel
from unicode_cmg.codebook import Quantized, code_counts, usage_statistics
from unicode_cmg.errors import InputError
from unicode_cmg.ranks import gather, total

RepresentationT = TypeVar("RepresentationT")
ValueT = TypeVar("ValueT")


@runtime_checkable
class QuantizedBatch(Protocol):
    """What one quantizer made of a batch."""

    @property
    def quantized(self) -> Mapping[str, Quantized]:
        """Modality -> its codes."""

    @property
    def masks(self) -> Mapping[str, Bool[Tensor, "batch _"]]:
        """Modality -> `[B, T]` True where a code is valid."""


class Method(HubModel, Generic[RepresentationT]):
    """A way to pretrain a unified codebook.

    One training step of the fit loop is:

        method.begin_step(step=n, epoch=e)                       # what changes in the course of training
        representation = method.represent(batch)                 # the only encoder pass
        for _ in range(critic_steps):                            # critics learn on constants
            sum(method.critic_losses(representation).values()).backward(); critic_optimizer.step()
        losses = method.training_losses(batch, generator=g, representation=representation)
        losses |= regularizer.losses(method.view(batch, representation))  # of each, if there are any
        sum(weight[name] * factor[name] * losses[name]).backward()  # method.loss_factors()
        clip each of method.trained_modules(); optimizer.step()
        method.update_codebooks(representation, generator=g)           # EMA, no gradient
    """

    def fit_inputs(self, batches: Iterable[FeatureBatch]) -> None:
        """Shown clips of the training data before the first step of a run, for statistics of the features.

        Args:
            batches: The clips; nothing is read unless the method iterates.
        """

    def begin_step(self, *, step: int, epoch: int) -> None:
        """Told by the fit loop before each step, so that a method can follow a schedule.

        Args:
            step: Steps done so far.
            epoch: Passes over the data done so far.
        """

    def loss_factors(self) -> Mapping[str, float]:
        """Factors beside the weights of the config, at this point of training.

        Keys are beginnings of names of terms up to a `/`; the longest match counts, other terms have factor
        1. A term of factor 0 is logged but not trained on. Terms that come only later in training are named
        with factor 0 until then, so that weights for them are known from the first step.
        """
        return {}

    def chance_losses(self, clips: int, time: int) -> Mapping[str, float]:
        """Contrastive term -> its value where all clips of a batch look alike to it; none by default.

        A run whose terms stay there learns nothing from them, which `training.diagnosis` says.

        Args:
            clips: Clips of a batch.
            time: Steps of a clip.
        """
        return {}

    @property
    def repeats_encoding(self) -> bool:
        """Whether the fit loop encodes the batch and updates the codebooks anew before every critic step.

        The released H-DCID does; it costs as many encoder passes as there are critic steps.
        """
        return False

    @abstractmethod
    def represent(self, batch: FeatureBatch) -> RepresentationT:
        """Run the encoders once; the result carries the graph and every named intermediate tensor."""

    @abstractmethod
    def critic_losses(self, representation: RepresentationT) -> dict[str, Float[Tensor, ""]]:
        """Losses of the variational critics on detached representations; empty if there are none."""

    @abstractmethod
    def training_losses(
        self,
        batch: FeatureBatch,
        *,
        generator: torch.Generator,
        representation: RepresentationT | None = None,
    ) -> dict[str, Float[Tensor, ""]]:
        """Raw, unweighted, named loss terms, such as `reconstruction/audio` or `cpc`.

        Args:
            batch: Features by modality.
            generator: CPU generator of every random draw of the losses.
            representation: What `represent(batch)` returned, to spare a second encoder pass.
        """

    @abstractmethod
    def quantized_batches(self, representation: RepresentationT) -> Mapping[str, QuantizedBatch]:
        """Name of a quantizer, as in `quantizers` -> what it made of the batch; idle ones are left out."""

    def update_codebooks(self, representation: RepresentationT, *, generator: torch.Generator) -> None:
        """Move the codebooks by exponential moving averages; without gradient, in training only."""
        for name, batch in self.quantized_batches(representation).items():
            self.quantizer(name).update(
                {m: q.lookups[0].unquantized.detach() for m, q in batch.quantized.items()},
                {m: q.indices for m, q in batch.quantized.items()},
                batch.masks,
                generator=generator,
            )

    def codebook_statistics(self, representation: RepresentationT) -> dict[str, float]:
        """Usage of each code layer in this batch, such as `layer0/perplexity/audio`, as plain floats.

        Perplexity by modality, active and shared codes, agreement between modalities.
        """
        result: dict[str, float] = {}
        for name, batch in self.quantized_batches(representation).items():
            sizes, masks = self.quantizer(name).sizes, {m: gather(mask) for m, mask in batch.masks.items()}
            for k, (layer, size) in enumerate(zip(self._code_layers(name), sizes, strict=True)):
                indices = {m: gather(q.lookups[k].indices) for m, q in batch.quantized.items()}
                usage = usage_statistics(indices, size, masks)
                result |= {f"{layer}/{key}": value for key, value in usage.items()}
        return result

    def chosen_codes(self, representation: RepresentationT) -> dict[str, Int64[Tensor, " codes"]]:
        """Code layer -> how often all modalities together chose each of its codes in this batch."""
        result: dict[str, Int64[Tensor, " codes"]] = {}
        for name, batch in self.quantized_batches(representation).items():
            valid = torch.cat([batch.masks[m].flatten() for m in batch.quantized])
            for k, (layer, size) in enumerate(
                zip(self._code_layers(name), self.quantizer(name).sizes, strict=True)
            ):
                indices = torch.cat([q.lookups[k].indices.flatten() for q in batch.quantized.values()])
                result[layer] = code_counts(indices, size, valid)
        return dict(zip(result, total(*result.values()), strict=True)) if result else result

    def view(self, batch: FeatureBatch, representation: RepresentationT) -> StepView:
        """The named tensors of a step that regularizers may work on.

        A method that does not say what they are trains as ever, but takes no regularizers.

        Args:
            batch: Features by modality.
            representation: What `represent(batch)` returned.

        Raises:
            InputError: The method shows nothing to regularizers.
        """
        raise InputError(
            f"the method '{self.name}' takes no regularizers",
            where="regularizers",
            fix="remove them, or let the method define 'view'",
        )

    @abstractmethod
    def trained_modules(self) -> dict[str, nn.Module]:
        """The modules the main optimizer trains, by name; gradients are clipped for each of them alone."""

    @abstractmethod
    def critic_modules(self) -> dict[str, nn.Module]:
        """The modules the critics' optimizer trains, by name; empty if there are none."""

    def critic_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters of all critics."""
        for module in self.critic_modules().values():
            yield from module.parameters()

    def trained_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters of all modules of the main optimizer."""
        for module in self.trained_modules().values():
            yield from module.parameters()


def prefixed(prefix: str, values: Mapping[str, ValueT]) -> dict[str, ValueT]:
    """The same values, their names behind a prefix: `audio` becomes `club/audio`."""
    return {prefix + name: value for name, value in values.items()}


def with_parameters(modules: Mapping[str, nn.Module | None]) -> dict[str, nn.Module]:
    """The modules that have something to train."""
    return {
        name: module
        for name, module in modules.items()
        if module is not None and any(True for _ in module.parameters())
    }
