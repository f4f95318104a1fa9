"""Random numbers: a generator for each step, an order for each epoch, the global states as plain data.

What a step or an epoch draws depends on the seed and its number alone, so a run resumes without replaying.
`unicode_cmg.draws` makes what single clips draw of it. Methods may draw from the global generators all the
same: checkpoints keep their states.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

_STEP, _EPOCH, _VALIDATION, _SUBSET, _REGULARIZER, _MISSING, _CLIPS = 0, 1, 2, 3, 4, 5, 6


def _generator(*key: int) -> torch.Generator:
    state = np.random.SeedSequence(key).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))


def step_generator(seed: int, step: int) -> torch.Generator:
    """CPU generator of everything the losses and the codebook draw in one step; the same on every rank."""
    return _generator(seed, _STEP, step)


def clip_generator(seed: int, step: int) -> torch.Generator:
    """CPU generator of what the clips of one step draw, such as for dropout; the same on every rank."""
    return _generator(seed, _CLIPS, step)


def validation_generator(seed: int, batch: int) -> torch.Generator:
    """CPU generator of one validation batch; the same after every epoch, so that the figures compare."""
    return _generator(seed, _VALIDATION, batch)


def regularizer_generators(seed: int, step: int, count: int) -> list[torch.Generator]:
    """CPU generators of what each of `count` regularizers draws in a step, apart from the method's."""
    return [_generator(seed, _REGULARIZER, step, number) for number in range(count)]


@lru_cache(maxsize=2)
def subset(seed: int, clips: int, size: int) -> Int64[np.ndarray, " size"]:
    """Which `size` of the clips a run trains on, read-only; a smaller subset is part of a larger one."""
    chosen = np.sort(np.random.default_rng([seed, _SUBSET]).permutation(clips)[:size])
    chosen.flags.writeable = False
    return chosen


def missing_draws(seed: int, clips: int, modalities: int) -> Float[np.ndarray, "clips modalities"]:
    """U[0, 1) draws that say which modalities a run leaves out of which clips; the same on every rank."""
    return np.random.default_rng([seed, _MISSING]).random((clips, modalities))


@lru_cache(maxsize=2)
def epoch_order(seed: int, epoch: int, clips: int) -> Int64[np.ndarray, " clips"]:
    """The order in which an epoch visits the clips, read-only; the same on every rank."""
    order = np.random.default_rng([seed, _EPOCH, epoch]).permutation(clips)
    order.flags.writeable = False
    return order


def seed_everything(seed: int) -> None:
    """Seed the global generators of torch (all devices), numpy and Python."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - methods may draw from the global state
    torch.manual_seed(seed)


def capture() -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The global random states: torch's as tensors by name, numpy's and Python's as JSON values."""
    tensors = {"torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        tensors |= {f"cuda/{i}": state for i, state in enumerate(torch.cuda.get_rng_state_all())}
    kind, keys, position, has_gauss, cached = np.random.get_state(legacy=True)  # noqa: NPY002
    version, internal, gauss = random.getstate()
    return tensors, {
        "numpy": [kind, np.asarray(keys).tolist(), position, has_gauss, cached],
        "python": [version, list(internal), gauss],
    }


def restore(tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
    """Put back what `capture` returned; states of GPUs that this machine lacks are passed over."""
    torch.set_rng_state(tensors["torch"])
    for i in range(torch.cuda.device_count()):
        if f"cuda/{i}" in tensors:
            torch.cuda.set_rng_state(tensors[f"cuda/{i}"], i)
    kind, keys, position, has_gauss, cached = values["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), position, has_gauss, cached))  # noqa: NPY002
    version, internal, gauss = values["python"]
    random.setstate((version, tuple(internal), gauss))


@contextmanager
def preserved() -> Iterator[None]:
    """Leave the global random states as they were before the block."""
    tensors, values = capture()
    try:
        yield
    finally:
        restore(tensors, values)
