"""Small whole files of every kind that the library reads, and the function that reads each of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import yaml
from numpy.typing import NDArray

from benchmarks.evaluation.results import TaskResult
from benchmarks.report.page import render
from benchmarks.report.run_files import read_run, results_of
from benchmarks.tasks.labels import LabelsTask
from toc import CodeMerge, TOCSelection, find_codebooks, load_codebook, merge_codes, optimize
from unicode_cmg.checkpoints.folders import STATE_FILES
from unicode_cmg.checkpoints.native import load_folder, load_pretrained, save_pretrained
from unicode_cmg.checkpoints.released.load import load_published
from unicode_cmg.config import load_yaml
from unicode_cmg.data.importing import import_features
from unicode_cmg.data.layouts.arrays import read_array, read_rows, write_array
from unicode_cmg.data.layouts.ave import Annotation, read_ave, write_ave
from unicode_cmg.data.layouts.avvp import Event, EventRow, read_avvp, write_avvp
from unicode_cmg.data.layouts.retrieval import read_retrieval, write_retrieval
from unicode_cmg.data.layouts.ucf_vgg import UCFVGGClip, read_ucf_vgg, write_ucf_vgg
from unicode_cmg.data.layouts.zips import read_clip, write_clip
from unicode_cmg.data.store import FeatureStore
from unicode_cmg.encoding import encode_store, read_codes
from unicode_cmg.extract.decoding import read_frames, read_picture, read_sentences, read_sound
from unicode_cmg.extract.sources import Wanted, open_media
from unicode_cmg.extract.sources.rows import table_at
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
    merge_codes(codebook.vectors, n_codes=4, layer=codebook.name).save(folder / "merge")
    torch.save(
        {"quantizer.embedding.weight": torch.from_numpy(codebook.vectors.copy())}, folder / "codebook.pt"
    )
    write_array(folder / "features.h5", "data", features["audio"])
    write_clip(folder / "clip.zip", features["audio"][0])
    _write_media(folder / "media")
    labels = np.zeros((9, 10, 3), np.float32)
    labels[:, :, 2] = 1
    labels[:, :5] = np.eye(3, dtype=np.float32)[np.arange(9) % 2][:, None]
    annotations = [Annotation("Dog" if row % 2 == 0 else "Car", f"id{row}", 0, 5) for row in range(9)]
    order = {"train": np.arange(5), "val": np.arange(5, 7), "test": np.arange(7, 9)}
    arrays = {"audio": rng.normal(size=(9, 10, 4)), "video": rng.normal(size=(9, 10, 2, 2, 3))}
    write_ave(
        folder / "AVE", {k: v.astype(np.float32) for k, v in arrays.items()}, labels, order, annotations
    )
    _write_other_layouts(folder, features["audio"])
    _write_own_features(folder / "own", features, ids)


def _write_other_layouts(folder: Path, values: NDArray[np.float32]) -> None:
    """AVVP, UCF101 with VGGSound, and Clotho, each of a few clips."""
    names = [f"aaaaaaaaaa{number}_0_10" for number in range(4)]
    clips = {name: np.repeat(clip, 3, axis=0)[:10] for name, clip in zip(names, values, strict=False)}
    rows = [EventRow(name, (Event("Dog", 0, 3), Event("Car", 2, 9))) for name in names]
    splits = {
        split: {name: ["Dog", "Car"] for name in names[at : at + 1]} for at, split in enumerate(_SPLITS)
    }
    modalities = ("audio", "video")
    write_avvp(
        folder / "AVVP",
        dict.fromkeys(modalities, clips),
        ("Dog", "Car"),
        dict.fromkeys(modalities, rows),
        splits,
    )
    seen = {
        UCFVGGClip(f"v_RingBell_g{at + 1:02}_c01", "RingBell", f"g{at + 1:02}"): values[at] for at in range(4)
    }
    heard = {
        UCFVGGClip(f"bbbbbbbbbb{at}", "bell ringing", split): values[at] for at, split in enumerate(_SPLITS)
    }
    write_ucf_vgg(folder / "across", [("RingBell", "bell ringing")], seen, heard)
    pairs = [(f"clip {item}.wav", f"caption {number}") for item in range(3) for number in range(5)]
    sounds = {f"clip {item}.wav": values[item] for item in range(3)}
    write_retrieval("clotho", folder / "retrieval", {"audio": sounds}, pairs)


def _write_own_features(folder: Path, features: Mapping[str, NDArray[np.float32]], ids: list[str]) -> None:
    """The features of some clips in three forms, and a table of them."""
    for form in ("npz", "parquet", "hdf5"):
        (folder / form).mkdir(parents=True)
        lines = [f"{clip},{'dog' if row % 2 else 'cat'},{_SPLITS[row % 3]}" for row, clip in enumerate(ids)]
        write_text(folder / form / "clips.csv", "\n".join(["id,label,split", *lines]) + "\n")
    arrays: dict[str, Any] = {"ids": np.array(ids), **features}
    np.savez(folder / "npz" / "features.npz", **arrays)
    columns = {name: values.reshape(len(ids), -1).tolist() for name, values in features.items()}
    pq.write_table(pa.table({"id": ids, **columns}), folder / "parquet" / "features.parquet")
    with h5py.File(folder / "hdf5" / "features.h5", "w") as file:
        file["ids"] = ids
        for name, values in features.items():
            file[name] = values


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
        "AVVP layout": Reader(
            tuple(f"AVVP/data/{name}" for name in _AVVP), lambda at: read_avvp(at / "AVVP")
        ),
        "UCF101 and VGGSound layout": Reader(_ACROSS, lambda at: read_ucf_vgg(at / "across")),
        "retrieval list": Reader((_CLOTHO,), lambda at: read_retrieval("clotho", at / "retrieval")),
        "merged codes": Reader(("merge/merge.json",), lambda at: CodeMerge.load(at / "merge")),
        "table of labels": Reader(
            ("own/npz/clips.csv",),
            lambda at: LabelsTask.read(at / "store", labels=at / "own/npz/clips.csv", split_column="split"),
        ),
        "imported features": Reader(_OWN, _import),
        "list of clips": Reader(("media/clips.csv", "media/clips.jsonl", "media/clips.parquet"), _read_lists),
        "sound, images and text": Reader(
            ("media/a.wav", "media/a.flac", "media/a.png", "media/a.jpg", "media/a.svg", "media/a.txt"),
            _read_media,
        ),
        "video": Reader(("media/a.mkv",), _read_video),
    }


_RECORDS = (
    *("config.yaml", "metrics.jsonl", "evaluation/ave.json", "codes/codes.json", "toc/toc.json"),
    *("quickstart.json", "verdict.json", "data.json"),
)
_CODEBOOKS = ("codebook.npy", "codebook.npz", "codebook.pt", "model/model.safetensors")
_AVE = ("Annotations.txt", "labels.h5", "test_order.h5", "audio_feature.h5")
_SPLITS = ("train", "val", "test")
_AVVP = (
    *("AVVP_Categories.txt", "AVVP_train.csv", "AVVP_val_pd.csv"),
    *(f"AVVP_eval_{kind}_checked_combined.csv" for kind in ("audio", "visual")),
)
_ACROSS = tuple(
    f"across/UCF101/data/{name}"
    for name in ("UCF101sameVGGSound.txt", "VGGSoundsameUCF101.txt", "ucf2vggsound.csv", "vggsound2ucf.csv")
)
_CLOTHO = "retrieval/clotho2.1/clotho_captions_evaluation.csv"
_OWN = tuple(
    f"own/{name}"
    for name in ("npz/features.npz", "npz/clips.csv", "parquet/features.parquet", "hdf5/features.h5")
)
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


_WANTED = {"audio": Wanted("audio"), "image": Wanted("image"), "text": Wanted("text")}


def _write_media(folder: Path) -> None:
    """A file of every kind, and lists of them."""
    import av
    import soundfile
    from PIL import Image

    folder.mkdir()
    rng = np.random.default_rng(0)
    for suffix in ("wav", "flac"):
        soundfile.write(folder / f"a.{suffix}", rng.normal(size=4000) / 9, 8000)
    image = Image.fromarray(rng.integers(0, 255, (12, 16, 3), np.uint8))
    for suffix in ("png", "jpg"):
        image.save(folder / f"a.{suffix}")
    drawing = '<path d="M0 0L4 4L0 4z" fill="red"/>'
    write_text(
        folder / "a.svg", f'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8">{drawing}</svg>'
    )
    write_text(folder / "a.txt", "a dog barks\n")
    with av.open(str(folder / "a.mkv"), "w") as container:
        stream: Any = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "yuv420p"
        for _ in range(5):
            frame = av.VideoFrame.from_ndarray(rng.integers(0, 255, (16, 16, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    rows = [
        {"id": f"c{n}", "audio": "a.wav", "image": "a.png", "text": "a dog", "start": n} for n in range(3)
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "clips.parquet")
    write_text(folder / "clips.jsonl", "\n".join(map(json.dumps, rows)))
    lines = [",".join(map(str, row.values())) for row in rows]
    write_text(folder / "clips.csv", "\n".join([",".join(rows[0]), *lines]))


def _read_lists(folder: Path) -> None:
    for suffix in ("csv", "jsonl", "parquet"):
        table_at.cache_clear()
        open_media(folder / f"media/clips.{suffix}", _WANTED)


def _read_media(folder: Path) -> None:
    media = folder / "media"
    for suffix in ("wav", "flac"):
        read_sound(media / f"a.{suffix}", media, 0.0, None)
    for suffix in ("png", "jpg", "svg"):
        read_picture(media / f"a.{suffix}", media)
    read_sentences(media / "a.txt", media)


def _read_video(folder: Path) -> None:
    read_frames(folder / "media/a.mkv", folder / "media", 0.0, np.array([0.1, 0.5, 0.9]))


def _read_hdf5(folder: Path) -> None:
    read_array(folder / "features.h5", "data")
    read_rows(folder / "features.h5", "data", np.array([3, 0, 1]))


def _import(folder: Path) -> None:
    for form in ("npz/features.npz", "parquet/features.parquet", "hdf5/features.h5"):
        import_features(folder / "own" / form, folder / "imported")
        shutil.rmtree(folder / "imported")


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
