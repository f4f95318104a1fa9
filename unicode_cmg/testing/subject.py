"""What a check works on: fresh models of the method under test, batches for them, and comparisons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from unicode_cmg.batch import Encoding, FeatureBatch, FeatureShape
from unicode_cmg.errors import InputError
from unicode_cmg.methods.base import Method

GARBAGE = (7.0, -300.0, 0.5)
NOT_FINITE = (torch.nan, torch.inf, 1e30)


class CheckFailure(Exception):
    """What a check found wrong."""


class Skipped(Exception):
    """Why a check does not apply to a method."""


def require(condition: object, what: str) -> None:
    """Fail unless `condition` holds; `what` says what is wrong, as a clause."""
    if not condition:
        raise CheckFailure(what)


@contextmanager
def refusing(what: str, name: str = "") -> Iterator[None]:
    """Fail unless the block raises an `InputError` whose message has `name` in it.

    Args:
        what: What should be refused, as a noun.
        name: What the message must name.
    """
    try:
        yield
    except InputError as error:
        require(name in str(error), f"the error about {what} does not name '{name}': {error}")
        return
    except Exception as error:
        raise CheckFailure(f"{what} raises {type(error).__name__} and not InputError: {error}") from error
    raise CheckFailure(f"{what} is accepted")


@dataclass(frozen=True)
class Subject:
    """The method under test, and what its features look like.

    Attributes:
        method: The class.
        values: Plain values of its configuration.
        shapes: Modality -> shape of one step: `(C,)`, or `(H, W, C)` on a grid.
    """

    method: type[Method[Any]]
    values: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]]

    @classmethod
    def of(
        cls,
        method: type[Method[Any]],
        values: Mapping[str, Any],
        shapes: Mapping[str, Sequence[int]] | None = None,
    ) -> Subject:
        """The subject; shapes are read from the field `modalities` of the configuration unless given.

        Raises:
            InputError: The configuration is wrong, or does not say what the features look like.
        """
        if shapes is None:
            config = method.config_class.parse(dict(values), where=method.__name__)
            shapes = {m: _shape(m, spec) for m, spec in dict(vars(config).get("modalities", {})).items()}
        return cls(method, dict(values), {m: tuple(shape) for m, shape in shapes.items()})

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities."""
        return tuple(self.shapes)

    def build(self, *, training: bool = False, seed: int = 0) -> Method[Any]:
        """A model with fresh parameters, in evaluation mode unless told otherwise."""
        torch.manual_seed(seed)
        return self.method.from_values(self.values, where=self.method.__name__).train(training)

    def batch(self, clips: int = 4, steps: int = 6, *, seed: int = 0) -> FeatureBatch:
        """Noise, all of it valid."""
        generator = torch.Generator().manual_seed(seed)
        return FeatureBatch.of(
            {m: torch.randn(clips, steps, *shape, generator=generator) for m, shape in self.shapes.items()}
        )

    def incomplete(self, *, garbage: Sequence[float] = (0.0,), clips: int = 6) -> FeatureBatch:
        """Clips of which each lacks one modality, in turn, with garbage in its place."""
        masks = {
            m: (torch.arange(clips) % len(self.shapes) != k).unsqueeze(1).expand(clips, 6)
            for k, m in enumerate(self.shapes)
        }
        return filled(self.batch(clips), masks, garbage)

    def padded(self, *, garbage: Sequence[float] = (0.0,)) -> FeatureBatch:
        """Clips of 6 steps, of which some are padding at the end, with garbage in their place."""
        valid = torch.arange(6) < torch.tensor([6, 4, 5, 3]).unsqueeze(1)
        return filled(self.batch(4), dict.fromkeys(self.shapes, valid), garbage)


def _shape(modality: str, spec: object) -> tuple[int, ...]:
    if isinstance(spec, int):
        return (spec,)
    if isinstance(spec, FeatureShape):
        return (*(spec.grid or ()), spec.dim)
    raise InputError(
        f"the configuration does not say what a step of '{modality}' looks like",
        where="check_method",
        expected="modalities that are numbers of channels, or have `dim` and `grid`",
        fix="give `shapes`, such as {'audio': (128,), 'video': (7, 7, 512)}",
    )


def filled(batch: FeatureBatch, masks: Mapping[str, Tensor], garbage: Sequence[float]) -> FeatureBatch:
    """The batch with these masks and with garbage, repeated, wherever they are False."""
    features = {}
    for m, x in batch.features.items():
        waste = torch.tensor(garbage, dtype=x.dtype).repeat(x.numel() // len(garbage) + 1)[: x.numel()]
        mask = masks[m].view(*masks[m].shape, *[1] * (x.ndim - 2))
        features[m] = torch.where(mask, x, waste.view_as(x))
    return FeatureBatch(features, {m: mask.clone() for m, mask in masks.items()})


def encoded(
    model: Method[Any], batch: FeatureBatch, modality: str, *, masked: bool = True, **options: Any
) -> Encoding:
    """One modality through `encode_batch`, without gradient."""
    with torch.no_grad():
        return model.encode_batch(
            modality, batch.features[modality], batch.masks[modality] if masked else None, **options
        )


def losses_of(
    model: Method[Any], batch: FeatureBatch, *, seed: int = 0, representation: Any = None
) -> dict[str, Float[Tensor, ""]]:
    """The loss terms of a batch, drawn by the seed."""
    generator = torch.Generator().manual_seed(seed)
    return model.training_losses(batch, generator=generator, representation=representation)


def backward(losses: Mapping[str, Float[Tensor, ""]]) -> None:
    """Gradients of the unweighted sum of some terms."""
    torch.autograd.backward(torch.stack(list(losses.values())).sum())


def gradients_of(model: Method[Any], batch: FeatureBatch) -> dict[str, Tensor]:
    """Gradients of the sum of all terms, by parameter; those that nothing reaches are left out."""
    model.zero_grad()
    backward(losses_of(model, batch))
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def state_of(model: torch.nn.Module) -> dict[str, Tensor]:
    """A copy of the parameters and buffers."""
    return {key: value.clone() for key, value in model.state_dict().items()}


def changed(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> str | None:
    """The first key whose tensor is not bit for bit the same; None if all are."""
    for key in dict.fromkeys((*before, *after)):
        if key not in before or key not in after:
            return key
        a, b = before[key], after[key]
        if a.shape != b.shape or not torch.equal(a.nan_to_num(nan=-1.0), b.nan_to_num(nan=-1.0)):
            return key
    return None


def close(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are the same to within float32's rounding."""
    return a.shape == b.shape and torch.allclose(a.float(), b.float(), rtol=1e-3, atol=1e-4)
