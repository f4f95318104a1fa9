"""Files and runs: a model saved and loaded, a run from a configuration, and one that was interrupted."""

from __future__ import annotations

import copy
import json
import math
import tempfile
from pathlib import Path
from typing import Any

import torch

from unicode_cmg.data import FeatureStore
from unicode_cmg.methods.base import Method
from unicode_cmg.testing.check import check
from unicode_cmg.testing.subject import (
    Skipped,
    Subject,
    backward,
    changed,
    encoded,
    losses_of,
    require,
    state_of,
)
from unicode_cmg.training import PretrainConfig, fit


@check(
    why="a checkpoint holds the state dict, and nothing else of the model",
    fix="keep everything that training changes in parameters and buffers",
)
def the_state_dict_holds_everything(subject: Subject) -> None:
    model, other = _moved(subject), subject.build(seed=9)
    other.load_state_dict(state_of(model))
    _encodes_alike(subject, model, other, "a model with the same state dict")


@check(
    why="models are published and evaluated as folders",
    fix="let the registry find the class, the configuration survive JSON, and the state dict hold everything",
)
def a_saved_model_is_loaded_as_it_was(subject: Subject) -> None:
    model = _moved(subject)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        loaded: Method[Any] = subject.method.from_pretrained(folder)
    require(type(loaded) is subject.method, f"it is loaded as a {type(loaded).__name__}")
    require(loaded.config == model.config, "it is loaded with another configuration")
    key = changed(state_of(model), state_of(loaded))
    require(key is None, f"'{key}' is another one after loading")
    _encodes_alike(subject, model, loaded, "the loaded model")


@check(
    why="evaluation copies models, and so do notebooks",
    fix="keep tensors with a graph, files and generators out of the attributes of the model",
)
def a_model_can_be_copied(subject: Subject) -> None:
    model = _moved(subject)
    _encodes_alike(subject, model, copy.deepcopy(model), "a copy")


@check(
    why="a step of the fit loop calls everything in its order",
    fix="see methods.base.Method for the order; the error says what went wrong",
)
def a_run_trains_and_logs_every_term(subject: Subject) -> None:
    model = subject.build(training=True)
    model.begin_step(step=0, epoch=0)
    terms = set(losses_of(model, subject.batch()))
    terms |= set(model.critic_losses(model.represent(subject.batch())))
    with tempfile.TemporaryDirectory() as folder:
        run = _fit(subject, Path(folder), "run", epochs=1)
        logged = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    found = set(logged[0]["loss"]) - {"total"}
    require(found == terms, f"the log lacks or adds {', '.join(sorted(found ^ terms)[:3])}")
    bad = [
        key
        for line in logged
        for key, value in line["loss"].items()
        if value is None or not math.isfinite(value)
    ]
    require(not bad, f"{', '.join(bad[:3])} became NaN or infinite")


@check(
    why="a run that is interrupted and resumed must end as one that was not",
    fix="keep everything that training changes in parameters and buffers, follow schedules by begin_step "
    "alone, and draw from the generators that are given",
)
def a_resumed_run_ends_with_the_same_bits(subject: Subject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        whole = _fit(subject, path, "whole", epochs=2)
        parted = _fit(subject, path, "parted", epochs=1)
        _fit(subject, path, "parted", epochs=2)
        states = [state_of(subject.method.from_pretrained(run / "model")) for run in (whole, parted)]
    key = changed(*states)
    require(key is None, f"'{key}' differs between a resumed run and one that was not interrupted")


@check(
    why="a run may read clips that lack modalities, and one in a batch of one",
    fix="let no batch give NaN: divide by at least 1",
)
def a_run_with_missing_modalities_ends(subject: Subject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _fit(subject, Path(folder), "run", epochs=1, missing=0.5)


@check(
    why="training runs on a GPU, and so does evaluation",
    fix="create tensors on the device of what they meet, and keep others in buffers",
)
def a_step_runs_on_a_gpu(subject: Subject) -> None:
    if not torch.cuda.is_available():
        raise Skipped("there is no GPU")
    model, batch = subject.build(training=True).to("cuda"), subject.incomplete().to("cuda")
    representation = model.represent(batch)
    backward(losses_of(model, batch, representation=representation))
    model.update_codebooks(representation, generator=torch.Generator())
    for m in subject.modalities:
        require(encoded(model, batch, m).codes.is_cuda, f"the codes of '{m}' are not on the GPU")


def _moved(subject: Subject) -> Method[Any]:
    """A model whose codebooks have left their start."""
    model = subject.build(training=True)
    model.update_codebooks(model.represent(subject.batch()), generator=torch.Generator().manual_seed(1))
    return model.eval()


def _encodes_alike(subject: Subject, model: Method[Any], other: Method[Any], what: str) -> None:
    for m in subject.modalities:
        one, two = (encoded(each.eval(), subject.batch(), m) for each in (model, other))
        require(torch.equal(one.codes, two.codes), f"{what} has other codes for '{m}'")


def _fit(subject: Subject, folder: Path, name: str, *, epochs: int, missing: float = 0.0) -> Path:
    """A run of 2 steps an epoch, continued if it is there."""
    if not (folder / "store").exists():
        features = {m: x.numpy() for m, x in subject.batch(8, 4).features.items()}
        FeatureStore.write(folder / "store", features, [f"clip{k}" for k in range(8)])
    values = {
        "method": {"name": subject.method.name, **subject.values},
        "data": {"store": str(folder / "store"), "missing": missing},
        "critics": {"steps": 1},
        "training": {"epochs": epochs, "batch_size": 4, "log_every": 1},
    }
    return fit(
        PretrainConfig.parse(values, where="check_method"), folder / name, resume="auto", progress=False
    ).run
