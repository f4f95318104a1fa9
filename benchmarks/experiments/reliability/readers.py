"""Small whole files of every kind that the library reads, and the function that reads each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml

from benchmarks.evaluation.results import TaskResult
from benchmarks.report.page import render
from benchmarks.report.run_files import read_run, results_of
from toc import TOCSelection, find_codebooks, load_codebook, optimize
from unicode_cmg.checkpoints.folders import STATE_FILES
from unicode_cmg.checkpoints.native import load_folder, load_pretrained, save_pretrained
from unicode_cmg.checkpoints.released.load import load_published
from unicode_cmg.config import load_yaml
from unicode_cmg.data.layouts.arrays import read_array, read_rows, write_array
from unicode_cmg.data.layouts.ave import Annotation, read_ave, write_ave
from unicode_cmg.data.layouts.zips import read_clip, write_clip
from unicode_cmg.data.store import FeatureStore
from unicode_cmg.encoding import encode_store, read_codes
from unicode_cmg.files import write_json, write_text
from unicode_cmg.inspect.codes.describe import write_codes
from unicode_cmg.training import PretrainConfig, fit
from unicode_cmg.training.run_folder import find_start, read_state

SIZES: dict[str, Any] = {
    "name": "dcid",
    "modalities": {"audio": {"dim": 6, "specific_dim": 4}, "video": {"dim": 5, "specific_dim": 4}},
    "dim": 8,
    "num_codes": 12,
    "heads": 2,
    "transformer_layers": 1,
    "feedforward": 8,
    "critic_hidden": 8,
}


REPORT = "report"
"""A reader that takes over a second, because it draws."""


class Reader(NamedTuple):
    """Files that are read together.

    Attributes:
        files: Those that are damaged, one at a time, relative to the folder of all files.
        read: Reads everything in the folder it is given.
    """

    files: tuple[str, ...]
    read: Callable[[Path], object]


def write_whole(folder: Path) -> None:
    """Write the whole files of all readers: a store, a short run on it, and single files."""
    rng = np.random.default_rng(0)
    store = folder / "store"
    features = {
        "audio": rng.normal(size=(9, 4, 6)).astype(np.float32),
        "video": rng.random((9, 4, 5), np.float32),
    }
    mask = np.ones((9, 4), bool)
    mask[3, 2:] = False
    words = [["word"] * int(row.sum()) for row in mask]
    ids = [f"clip-{number}" for number in range(9)]
    FeatureStore.write(store, features, ids, masks={"audio": mask}, tokens={"audio": words})
    values = {
        "method": SIZES,
        "data": {"store": str(store)},
        "critics": {"steps": 1},
        "training": {"epochs": 2, "batch_size": 4, "log_every": 1, "checkpoint_every": 3},
    }
    write_text(folder / "pretrain.yaml", yaml.safe_dump(values))
    run = folder / "run"
    fit(PretrainConfig.parse(values, where="reliability"), run, progress=False)
    model = load_pretrained(run)
    write_codes(model, FeatureStore.open(store), run / "codes", progress=False)
    codebook = load_codebook(run)
    optimize(codebook.vectors, n_dims=4, layer=codebook.name).save(run / "toc")
    write_json(run / "evaluation" / "ave.json", _evaluation())
    write_json(run / "quickstart.json", {"stages": [{"name": "data", "seconds": 1.5}], "day": "2026-11-27"})
    save_pretrained(model, folder / "model")
    encode_store(model, FeatureStore.open(store), folder / "codes.parquet", vectors=True)
    np.save(folder / "codebook.npy", codebook.vectors)
    np.savez(folder / "codebook.npz", codebook=codebook.vectors)
    torch.save(
        {"quantizer.embedding.weight": torch.from_numpy(codebook.vectors.copy())}, folder / "codebook.pt"
    )
    write_array(folder / "features.h5", "data", features["audio"])
    write_clip(folder / "clip.zip", features["audio"][0])
    labels = np.zeros((9, 10, 3), np.float32)
    labels[:, :, 2] = 1
    labels[:, :5] = np.eye(3, dtype=np.float32)[np.arange(9) % 2][:, None]
    annotations = [Annotation("Dog" if row % 2 == 0 else "Car", f"id{row}", 0, 5) for row in range(9)]
    order = {"train": np.arange(5), "val": np.arange(5, 7), "test": np.arange(7, 9)}
    arrays = {"audio": rng.normal(size=(9, 10, 4)), "video": rng.normal(size=(9, 10, 2, 2, 3))}
    write_ave(
        folder / "AVE", {k: v.astype(np.float32) for k, v in arrays.items()}, labels, order, annotations
    )


def readers() -> Mapping[str, Reader]:
    """Every reader by a name for people."""
    run = tuple(f"run/{name}" for name in _RECORDS)
    return {
        "configuration": Reader(("pretrain.yaml",), _read_config),
        "model": Reader(("model/config.json", "model/model.safetensors", "model/SHA256SUMS"), _read_model),
        "model without sums": Reader(("model/config.json", "model/model.safetensors"), _read_bare_model),
        "checkpoint": Reader(
            tuple(f"run/checkpoints/step-00000006/{name}" for name in (*STATE_FILES, "SHA256SUMS")),
            _read_checkpoint,
        ),
        "records of a run": Reader(run, lambda at: results_of(read_run(at / "run"), None)),
        REPORT: Reader(run, _read_run),
        "feature store": Reader(
            ("store/features.json", *(f"store/part-00000/{name}" for name in _PART)), _read_store
        ),
        "TOC selection": Reader(("run/toc/toc.json",), lambda at: TOCSelection.load(at / "run/toc")),
        "codebook files": Reader(_CODEBOOKS, _read_codebooks),
        "released checkpoint": Reader(("codebook.pt",), lambda at: load_published(at / "codebook.pt")),
        "table of codes": Reader(("codes.parquet",), _read_table),
        "HDF5 file": Reader(("features.h5",), _read_hdf5),
        "zip of a clip": Reader(("clip.zip",), lambda at: read_clip(at / "clip.zip")),
        "AVE layout": Reader(tuple(f"AVE/data/{name}" for name in _AVE), lambda at: read_ave(at / "AVE")),
    }


_RECORDS = (
    *("config.yaml", "metrics.jsonl", "evaluation/ave.json", "codes/codes.json", "toc/toc.json"),
    *("quickstart.json", "verdict.json", "data.json"),
)
_CODEBOOKS = ("codebook.npy", "codebook.npz", "codebook.pt", "model/model.safetensors")
_AVE = ("Annotations.txt", "labels.h5", "test_order.h5", "audio_feature.h5")
_PART = ("part.json", "ids.txt", "audio.npy", "audio.mask.npy", "audio.tokens.jsonl")


def _read_config(folder: Path) -> None:
    PretrainConfig.parse(load_yaml(folder / "pretrain.yaml"), where=folder / "pretrain.yaml")


def _read_model(folder: Path) -> None:
    load_pretrained(folder / "model")
    load_codebook(folder / "model")


def _read_bare_model(folder: Path) -> None:
    (folder / "model/SHA256SUMS").unlink(missing_ok=True)
    load_folder(folder / "model", dtype=None)


def _read_checkpoint(folder: Path) -> None:
    found = find_start(folder / "run", "auto")
    if found is not None:
        read_state(found)


def _read_run(folder: Path) -> None:
    found = read_run(folder / "run")
    render(found, results_of(found, None), None)


def _read_store(folder: Path) -> None:
    store = FeatureStore.open(folder / "store")
    store.batch(range(len(store)))
    for modality in store.tokenized:
        list(store.tokens(modality))


def _read_codebooks(folder: Path) -> None:
    for name in _CODEBOOKS:
        found = find_codebooks(folder / name)
        found.table()
        for codebook in found.codebooks:
            found.load(codebook.name)


def _read_table(folder: Path) -> None:
    table = read_codes(folder / "codes.parquet")
    for modality in table.modalities:
        table.indices(modality)


def _read_hdf5(folder: Path) -> None:
    read_array(folder / "features.h5", "data")
    read_rows(folder / "features.h5", "data", np.array([3, 0, 1]))


def _evaluation() -> dict[str, Any]:
    """The result of an evaluation, written by hand."""
    row = {"kind": "transfer", "mean": 61.5, "std": 2.1, "per_seed": [60.0, 63.0], "epochs_selected": [3, 4]}
    pairs = (("audio", "video"), ("video", "audio"))
    sha256 = "0" * 64
    values = {
        "task": "ave",
        "protocol": "held-out",
        "leaks": [],
        "departures": [],
        "seeds": [0, 1],
        "classes": ["Dog", "Car"],
        "chance": 50.0,
        "majority": 55.0,
        "directions": [{"source": a, "target": b, **row} for a, b in pairs],
        "code_layers": ["layer0"],
        "toc": None,
        "head": {"lr": 0.0004, "epochs": 5},
        "data": {"root": "AVE", "fingerprint": sha256, "counts": {"train": 5, "test": 2}, "dropped": {}},
        "checkpoint": {"method": "dcid", "fingerprint": sha256, "code_layers": {"layer0": 12}},
        "seconds": {"encode": 0.1, "heads": 0.2, "total": 0.3},
    }
    return TaskResult.from_json(values).to_json()
