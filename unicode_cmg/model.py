"""What encoding, checkpoints and benchmarks need of a model, whichever method trained it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, TypeVar, cast

import torch
from jaxtyping import Bool, Float
from pydantic import ConfigDict, Field
from torch import Tensor, nn

from unicode_cmg.arrays import Array, batches_of
from unicode_cmg.batch import Encoding
from unicode_cmg.codebook import Quantizer
from unicode_cmg.config import Config
from unicode_cmg.errors import at_least, unknown

ModelT = TypeVar("ModelT", bound="Model")


@contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients, after which each module is in the mode it was in."""
    training = [part for module in modules for part in module.modules() if part.training]
    try:
        with torch.no_grad():
            for part in training:
                part.training = False
            yield
    finally:
        for part in training:
            part.training = True


class ReleasedOrigin(Config):
    """What a model keeps of the released file it was read from, so that it can be written back whole.

    `config.json` of a model folder holds it under `extra.released`, without the tensors.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    modules: tuple[str, ...] = Field(description="modules that the file held")
    fresh: tuple[str, ...] = Field(
        default=(), description="beginnings of our keys that no module gave; fresh parameters of the method"
    )
    counters: dict[str, int] = Field(default_factory=dict, description="epoch and total_step of the file")
    unused: dict[str, Tensor] = Field(
        default_factory=dict,
        exclude=True,
        description="`<Module>/<key>` -> tensor without effect in the released code",
    )

    def with_unused(self, tensors: Mapping[str, Tensor], dtype: torch.dtype | None) -> ReleasedOrigin:
        """The same with these tensors without effect, in another floating type; None changes nothing."""
        unused = {key: tensor if dtype is None else tensor.to(dtype) for key, tensor in tensors.items()}
        return self.model_copy(update={"unused": unused})


class Model(nn.Module, ABC):
    """Encodes the features of each modality with quantizers that the modalities share.

    A subclass names its quantizers; the code layers, their codebooks and the places of the codebooks in the
    state dict follow from them.

    Args:
        config: The validated configuration.

    Attributes:
        name: Name of the method in the registry and in configurations.
        config_class: Class of its configuration.
        config: The configuration that built the model; with it the model can be rebuilt.
        levels: What `encode` and `encode_batch` take for the keyword `level`; empty for a method without
            that keyword.
        origin: What is kept of the released checkpoint the model was read from; None for all other models.
    """

    name: ClassVar[str]
    config_class: ClassVar[type[Config]]
    levels: ClassVar[tuple[str, ...]] = ()
    config: Config
    origin: ReleasedOrigin | None = None

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config

    @classmethod
    def from_values(cls: type[ModelT], values: Mapping[str, Any], *, where: object) -> ModelT:
        """A model with fresh parameters, in training mode.

        Args:
            values: Plain values of its configuration.
            where: The file or argument they came from, for error messages.

        Raises:
            InputError: The configuration is wrong.
        """
        return cls(cls.config_class.parse(values, where=where))

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities the model was built for: those of the field `modalities` of its config."""
        return tuple(vars(self.config)["modalities"])

    @property
    def default_level(self) -> str | None:
        """The level of `encode` where none is given; None for a method without `levels`."""
        return None

    @property
    def merged(self) -> Mapping[str, int]:
        """Code layer -> number of its codes before they were merged; empty for a model as it was trained."""
        return {}

    def encode(
        self,
        modality: str,
        features: Array,
        mask: Array | None = None,
        *,
        batch_size: int = 64,
        **options: Any,
    ) -> Encoding:
        """Codes of one modality, in evaluation mode and without gradient; the mode is restored.

        Args:
            modality: Its name in the config.
            features: `[B, T, C]`, or `[B, T, H, W, C]` for a modality with a grid: a NumPy array or a torch
                tensor of any float type, on any device.
            mask: `[B, T]` booleans, True where a step is valid; default: all.
            batch_size: Clips at a time.
            options: What `encode_batch` of the method takes beside these, such as `level` of FCID and
                `code_layers` of H-DCID.

        Returns:
            Tensors on the device of the model and in its dtype.

        Raises:
            InputError: The modality is unknown, or the features or the mask do not fit or are not finite.
        """
        if modality not in self.modalities:
            raise unknown("modality", modality, self.modalities, where="model")
        at_least("encode", 1, batch_size=batch_size)
        given = batches_of(modality, features, mask, next(self.parameters()), batch_size)
        with evaluating(self):
            made = [self.encode_batch(modality, x, valid, **options) for x, valid in given]
        if len(made) == 1:
            return made[0]
        return Encoding(
            general=torch.cat([each.general for each in made]),
            codes=torch.cat([each.codes for each in made]),
            indices=torch.cat([each.indices for each in made]),
            unquantized=torch.cat([each.unquantized for each in made]),
        )

    @abstractmethod
    def encode_batch(
        self,
        modality: str,
        features: Float[Tensor, "batch time ..."],
        mask: Bool[Tensor, "batch time"] | None = None,
    ) -> Encoding:
        """Codes of one batch, with gradients and in whatever mode (`train`/`eval`) the module is in.

        Args:
            modality: Its name in the config.
            features: `[B, T, C]`, or `[B, T, H, W, C]` for a modality with a grid, on the device of the model
                and in its dtype.
            mask: `[B, T]` True where a step is valid; default: all.

        Raises:
            InputError: The modality is unknown, or the features do not fit its configuration.
        """

    def __repr__(self) -> str:
        """One line, without the modules: `print(list(model.named_modules()))` has those."""
        layers = ", ".join(f"{layer} {size}" for layer, size in self.code_layers().items())
        count = sum(p.numel() for p in self.parameters())
        return f"{type(self).__name__}({', '.join(self.modalities)}; codes: {layers}; {count:,} parameters)"

    def specific(
        self,
        modality: str,
        features: Float[Tensor, "batch time ..."],
        mask: Bool[Tensor, "batch time"] | None = None,
    ) -> Mapping[str, Float[Tensor, "batch time _"]]:
        """What a modality keeps for itself (zbar), one vector a step, by the part of the method it is from.

        Empty unless a method says otherwise; the probe of disentanglement then has nothing to probe.

        Args:
            modality: As for `encode_batch`.
            features: As for `encode_batch`.
            mask: As for `encode_batch`.

        Returns:
            Such as `layer0` -> `[B, T, S]`. Specific features on a grid are averaged over it.

        Raises:
            InputError: As `encode_batch`.
        """
        return {}

    @abstractmethod
    def quantizers(self) -> Mapping[str, str]:
        """Name of a code layer -> attribute path of its quantizer, such as `layer0` -> `layer.codebook`.

        In the order of `Encoding.indices`. A quantizer of several codebooks makes a code layer of each of
        them: `layer0.0`, `layer0.1`, ...
        """

    def quantizer(self, name: str) -> Quantizer:
        """The quantizer of this name in `quantizers`."""
        return cast(Quantizer, self.get_submodule(self.quantizers()[name]))

    def code_layers(self) -> dict[str, int]:
        """Name of each of the K code layers, in the order of `Encoding.indices` -> number of its codes."""
        return {
            layer: size
            for name in self.quantizers()
            for layer, size in zip(self._code_layers(name), self.quantizer(name).sizes, strict=True)
        }

    def codebooks(self) -> dict[str, Float[Tensor, "_ _"]]:
        """Code layer -> codebook `[H, D]`, of the code layers whose codes are looked up in one."""
        return {
            layer: book
            for name in self.quantizers()
            for layer, book in zip(self._code_layers(name), self.quantizer(name).codebooks(), strict=False)
        }

    def codebook_keys(self) -> dict[str, str]:
        """Code layer -> key of its codebook in `state_dict()`."""
        return {
            layer: f"{path}.{key}"
            for name, path in self.quantizers().items()
            for layer, key in zip(self._code_layers(name), self.quantizer(name).codebook_keys(), strict=False)
        }

    def _code_layers(self, name: str) -> list[str]:
        count = len(self.quantizer(name).sizes)
        return [name] if count == 1 else [f"{name}.{k}" for k in range(count)]
