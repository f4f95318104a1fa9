"""Training and measurement for each kind of input and seed; results on disk are read instead of repeated."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Float64
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.experiments.masking.masks import (
    SHARES,
    Masked,
    automatic_dims,
    kept_dims,
    measure_masked,
    reconstruction_error,
)
from benchmarks.experiments.masking.photos import Photo, grid_crops
from benchmarks.experiments.masking.vqvae import CODES, VQVAE, Settings, train
from unicode_cmg.codebook import perplexity
from unicode_cmg.errors import InputError
from unicode_cmg.files import atomic_file, read_json, write_json

INPUTS = {"centred": 0.5, "0 to 1": 0.0}
"""Kinds of input: name -> what is subtracted from the pixels."""


@dataclass(frozen=True)
class Outcome:
    """What one trained model gives on test crops.

    Attributes:
        inputs: Its kind of input, of `INPUTS`.
        seed: Of training and of the random masks.
        seconds: Processor time of training, on one thread.
        mse: Mean squared error with nothing masked, pixels between 0 and 1.
        perplexity: Of the codes in use.
        offset: The common mean of the codewords, as a share of their mean squared length, 0 to 1.
        directions: Effective number of directions in which the codewords differ, 1 to 128.
        alignment: |Cosine| of the common mean and the direction in which the codewords differ most.
        automatic: Number of dimensions that TOC keeps with `n_dims="auto"`.
        masked: Errors with dimensions masked.
    """

    inputs: str
    seed: int
    seconds: float
    mse: float
    perplexity: float
    offset: float
    directions: float
    alignment: float
    automatic: int
    masked: Sequence[Masked]

    def at(self, kept: int, fill: str) -> Masked:
        """The errors for this number of kept dimensions and this fill."""
        return next(entry for entry in self.masked if (entry.kept, entry.fill) == (kept, fill))


def run_all(
    photos: Mapping[str, Photo], settings: Settings, seeds: Sequence[int], to: Path
) -> Iterator[Outcome]:
    """Every kind of input with every seed.

    Raises:
        InputError: `to` holds runs with other settings, or cannot be written.
    """
    for inputs in INPUTS:
        for seed in seeds:
            yield _outcome(list(photos.values()), settings, inputs, seed, to)


def trained_model(
    photos: Sequence[Photo], settings: Settings, inputs: str, seed: int, to: Path
) -> tuple[VQVAE, float]:
    """A model read from `to`, or trained and saved there, and the processor seconds of its training.

    Raises:
        InputError: The folder holds a model with other settings, or a broken one.
    """
    settings = settings.model_copy(update={"centre": INPUTS[inputs]})
    folder = _folder(to, inputs, seed)
    record = folder / "training.json"
    if record.exists():
        kept = read_json(record)
        if kept["settings"] != settings.model_dump():
            raise InputError("holds a model with other settings", where=folder, fix="choose another --to")
        model = VQVAE(settings)
        try:
            model.load_state_dict(load_file(folder / "model.safetensors"))
        except (OSError, SafetensorError, RuntimeError) as error:
            raise InputError(
                f"the model cannot be read ({error})", where=folder, fix="remove the folder and run again"
            ) from None
        return model.eval(), kept["seconds"]
    started = time.process_time()
    model = train(photos, settings, seed)
    seconds = time.process_time() - started
    with atomic_file(folder / "model.safetensors") as scratch:
        save_file({name: value.contiguous() for name, value in model.state_dict().items()}, scratch)
    write_json(record, {"settings": settings.model_dump(), "seconds": seconds})
    return model, seconds


def _outcome(photos: Sequence[Photo], settings: Settings, inputs: str, seed: int, to: Path) -> Outcome:
    model, seconds = trained_model(photos, settings, inputs, seed, to)
    file = _folder(to, inputs, seed) / "result.json"
    if not file.exists():
        write_json(file, _measure(model, grid_crops(photos, "test"), seed))
    values = read_json(file)
    try:
        masked = [Masked(**entry) for entry in values.pop("masked")]
        return Outcome(inputs=inputs, seed=seed, seconds=seconds, masked=masked, **values)
    except (AttributeError, KeyError, TypeError):
        raise InputError("not a result of this version", where=file, fix="remove it and run again") from None


def _measure(model: VQVAE, images: Float[Tensor, "n 3 height width"], seed: int) -> dict[str, Any]:
    with torch.inference_mode():
        indices = model(images).indices
    automatic = automatic_dims(model.codebook)
    sizes = sorted({*(kept_dims(share) for share in SHARES), automatic})
    return {
        "mse": reconstruction_error(model, images, indices, model.codebook),
        "perplexity": perplexity(indices, CODES).item(),
        **_geometry(model.codebook.double()),
        "automatic": automatic,
        "masked": [asdict(entry) for entry in measure_masked(model, images, indices, sizes, seed)],
    }


def _geometry(codebook: Float64[Tensor, "codes dim"]) -> dict[str, float]:
    """Where the codewords lie; see `Outcome`."""
    mean = codebook.mean(dim=0)
    _, lengths, directions = torch.linalg.svd(codebook - mean, full_matrices=False)
    spread = lengths.square()
    return {
        "offset": 1 - float(spread.sum() / codebook.square().sum()),
        "directions": float(spread.sum() ** 2 / spread.square().sum()),
        "alignment": float((directions[0] @ mean).abs() / mean.norm()),
    }


def _folder(to: Path, inputs: str, seed: int) -> Path:
    return to / inputs.replace(" ", "-") / f"seed-{seed}"
