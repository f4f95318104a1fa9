"""Files that somebody made to run code, to read what they should not, to hang, or to fill the memory."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import sys
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
import yaml

from benchmarks.experiments.reliability.damage import read_safely
from benchmarks.report import build_report
from toc import find_codebooks
from unicode_cmg.checkpoints.native import load_pretrained
from unicode_cmg.checkpoints.released.load import load_published
from unicode_cmg.checkpoints.sums import write_sums
from unicode_cmg.config import load_yaml
from unicode_cmg.data.importing import import_features
from unicode_cmg.data.layouts.arrays import read_array
from unicode_cmg.data.layouts.zips import clip_zip, read_clip
from unicode_cmg.data.store import FeatureStore
from unicode_cmg.encoding import read_codes
from unicode_cmg.errors import InputError, printable
from unicode_cmg.files import csv_cell, read_json
from unicode_cmg.training import PretrainConfig, fit, load_regularizers

SECRET = "the-secret-of-the-user"
EVIL = "reliability_evil"
"""A module that leaves a file when it is imported."""

Attack = Callable[[Path], object]


class _Runs:
    """A pickled object that runs a command when it is unpickled as usual."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, (f"touch '{self.mark}'",))


def attacks() -> dict[str, Attack]:
    """Every attack by its name. Each writes into a copy of the whole files and opens what it has written."""
    found: dict[str, Attack] = {
        "report of a run that names a module": _report_with_module,
        "slots of a run that names a module": _slots_with_module,
        "pretraining with a module, without --trust-code": _pretrain_with_module,
        "model of a run that names a module": lambda at: load_pretrained(_with_module(at)),
        "configuration of a run that extends a secret file": _extends,
        "features outside of the run, named by its configuration": _store_outside,
        "HDF5 external link": _hdf5_external_link,
        "HDF5 external storage": _hdf5_external_storage,
        "HDF5 virtual data set": _hdf5_virtual,
        "HDF5 file that declares 8 GB": _hdf5_declared,
        "link in a feature store": _store_link,
        "clip name that leads out of the folder": lambda at: clip_zip(at, "../secret"),
        "modality name that leads out of the store": _store_name,
        "zip that inflates 1000 times": _zip_bomb,
        "npz that inflates 1000 times": _npz_bomb,
        "npy that declares 1 TB": _npy_declared,
        "YAML object": lambda at: _yaml(at, "a: !!python/object/apply:os.system ['touch mark']"),
        "YAML alias bomb": lambda at: _yaml(at, _bomb()),
        "YAML that holds itself": lambda at: _yaml(at, "a: &a {b: *a}"),
        "YAML of depth 2000": lambda at: _yaml(at, "a: " + "{b: " * 2000),
        "JSON of depth 100 000": lambda at: _json(at, "[" * 100_000),
        "JSON number of 100 000 digits": lambda at: _json(at, "1" * 100_000),
        "model of 10^12 codes": lambda at: _model(at, num_codes=10**12),
        "model of 10^7 layers": lambda at: _model(at, transformer_layers=10**7),
        "escape sequences in a message": _escapes,
        "formula in a csv cell": lambda at: _expect(csv_cell('=cmd|"/C calc"!A0').startswith("'")),
        "name of 300 characters": lambda at: read_json(at / ("a" * 300)),
    }
    for name in ("config.yaml", "metrics.jsonl", "evaluation/ave.json", "toc/toc.json", "codes/codes.json"):
        found[f"link in a run: {name}"] = partial(_run_link, name=name)
    pickled: dict[str, Callable[[Path], object]] = {
        "torch file": load_published,
        "codebook file": lambda path: find_codebooks(path).load(),
        "clip": read_clip,
    }
    for name, read in pickled.items():
        found[f"pickle that runs a command: {name}"] = partial(_pickled, read=read, name=name)
    opens: dict[str, Callable[[Path], object]] = {
        "configuration": load_yaml,
        "JSON": read_json,
        "codebook": find_codebooks,
        "released checkpoint": load_published,
        "clip": read_clip,
        "HDF5": lambda path: read_array(path, "data"),
        "table of codes": read_codes,
    }
    for name, read in opens.items():
        found[f"named pipe as {name}"] = partial(_open_pipe, read=read)
        found[f"/dev/zero as {name}"] = partial(_open_zero, read=read)
    return found


def try_attack(attack: Attack, folder: Path) -> str:
    """What came of an attack on a copy of the whole files: "read" and "refused" are both harmless.

    Anything else says what happened: code that ran, a secret that was read, a traceback, a hang.
    """
    mark = folder / "mark"
    (folder / "secret").write_text(f"password: {SECRET}\n", encoding="utf-8")
    (folder / f"{EVIL}.py").write_text(f"open({str(mark)!r}, 'w').close()\n", encoding="utf-8")
    with _importable(folder), contextlib.chdir(folder):
        result = read_safely(attack, folder)
    if mark.exists():
        return "code ran"
    pages = [*folder.rglob("report.html"), *folder.rglob("results.json")]
    if any(SECRET in page.read_text(encoding="utf-8") for page in pages):
        return "a secret was read"
    return result


@contextlib.contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Let the evil module be found, as it is in the working folder of a user."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop(EVIL, None)


def _with_module(folder: Path) -> Path:
    """The run, whose configuration and training state now name the evil module."""
    teachers = {"audio": {"module": f"{EVIL}:run"}}
    entry = {"name": "slot_alignment", "teachers": teachers}
    run = folder / "run"
    values = yaml.safe_load((run / "config.yaml").read_text())
    values["regularizers"] = [entry]
    (run / "config.yaml").write_text(yaml.safe_dump(values))
    for state in run.glob("checkpoints/*/training_state.json"):
        notes = read_json(state)
        notes["config"]["regularizers"] = [entry]
        state.write_text(json.dumps(notes))
        write_sums(state.parent)
    return run


def _report_with_module(folder: Path) -> None:
    build_report(_with_module(folder), features=folder / "store")


def _slots_with_module(folder: Path) -> None:
    load_regularizers(_with_module(folder), FeatureStore.open(folder / "store"))


def _pretrain_with_module(folder: Path) -> None:
    config = _with_module(folder) / "config.yaml"
    fit(PretrainConfig.parse(load_yaml(config), where=config), folder / "new", progress=False)


def _extends(folder: Path) -> None:
    (folder / "run/config.yaml").write_text("extends: ../secret\n")
    build_report(folder / "run")


def _store_outside(folder: Path) -> None:
    outside = folder / "store/part-00000/audio.tokens.jsonl"
    outside.write_text(outside.read_text().replace("word", SECRET))
    config = folder / "run/config.yaml"
    values = yaml.safe_load(config.read_text()) | {"regularizers": [{"name": "slot_alignment"}]}
    config.write_text(yaml.safe_dump(values))
    build_report(folder / "run")


def _run_link(folder: Path, name: str) -> None:
    (folder / "run" / name).unlink()
    (folder / "run" / name).symlink_to(folder / "secret")
    build_report(folder / "run")


def _hdf5_external_link(folder: Path) -> None:
    with h5py.File(folder / "x.h5", "w") as file:
        file["data"] = h5py.ExternalLink(str(folder / "features.h5"), "data")
    _refused_both_ways(folder)


def _hdf5_external_storage(folder: Path) -> None:
    with h5py.File(folder / "x.h5", "w") as file:
        file.create_dataset("data", (10,), "u1", external=[(str(folder / "secret"), 0, 10)])
    _refused_both_ways(folder)


def _hdf5_virtual(folder: Path) -> None:
    layout = h5py.VirtualLayout((9, 4, 6), "f4")
    layout[:] = h5py.VirtualSource(str(folder / "features.h5"), "data", (9, 4, 6))
    with h5py.File(folder / "x.h5", "w") as file:
        file.create_virtual_dataset("data", layout)
    _refused_both_ways(folder)


def _hdf5_declared(folder: Path) -> None:
    with h5py.File(folder / "x.h5", "w") as file:
        file.create_dataset("data", (10**9,), "f8", chunks=(1024,))
    _refused_both_ways(folder)


def _refused_both_ways(folder: Path) -> None:
    _refused(read_array, folder / "x.h5", "data")
    _refused(import_features, folder / "x.h5", folder / "imported")


def _store_link(folder: Path) -> None:
    file = folder / "store/part-00000/audio.npy"
    (folder / "outside.npy").write_bytes(file.read_bytes())
    file.unlink()
    file.symlink_to(folder / "outside.npy")
    _refused(FeatureStore.open, folder / "store")


def _store_name(folder: Path) -> None:
    file = folder / "store/part-00000/part.json"
    file.write_text(file.read_text().replace('"audio"', '"../../../codebook"'))
    _refused(FeatureStore.open, folder / "store")


def _zip_bomb(folder: Path) -> None:
    with zipfile.ZipFile(folder / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.pkl", bytes(200_000_000))
    _refused(read_clip, folder / "x.zip")


def _npz_bomb(folder: Path) -> None:
    np.savez_compressed(folder / "x.npz", codebook=np.zeros((20_000, 1000)))
    _refused(find_codebooks, folder / "x.npz")


def _npy_declared(folder: Path) -> None:
    with (folder / "x.npy").open("wb") as file:
        header = {"descr": "<f8", "fortran_order": False, "shape": (10**8, 1250)}
        np.lib.format.write_array_header_1_0(file, header)
    _refused(find_codebooks, folder / "x.npy")


def _yaml(folder: Path, text: str) -> None:
    (folder / "x.yaml").write_text(text)
    _refused(load_yaml, folder / "x.yaml")


def _bomb() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    return "\n".join(lines)


def _json(folder: Path, text: str) -> None:
    (folder / "x.json").write_text(text)
    _refused(read_json, folder / "x.json")


def _model(folder: Path, **sizes: int) -> None:
    (folder / "model/SHA256SUMS").unlink()
    values = read_json(folder / "model/config.json")
    values["config"] |= sizes
    (folder / "model/config.json").write_text(json.dumps(values))
    _refused(load_pretrained, folder / "model")


def _pickled(folder: Path, read: Callable[[Path], object], name: str) -> None:
    value = _Runs(folder / "mark")
    if name == "clip":
        with zipfile.ZipFile(folder / "x.zip", "w") as archive:
            archive.writestr("x.pkl", pickle.dumps(value))
        read(folder / "x.zip")
    else:
        torch.save({"Encoder_parameters": value, "codebook": value}, folder / "x.pt")
        read(folder / "x.pt")


def _open_pipe(folder: Path, read: Callable[[Path], object]) -> None:
    os.mkfifo(folder / "pipe")
    _refused(read, folder / "pipe")


def _open_zero(folder: Path, read: Callable[[Path], object]) -> None:
    _refused(read, Path("/dev/zero"))


def _escapes(folder: Path) -> None:
    text = str(InputError("unknown key '\x1b]0;owned\x07\x1b[2J'", where="a\u202eb"))
    stream = io.StringIO(text + printable("\x9b2J"))
    _expect(all(letter.isprintable() for letter in stream.getvalue()))


def _expect(harmless: bool) -> None:
    if not harmless:
        raise AssertionError("not made harmless")


def _refused(read: Callable[..., object], *arguments: object) -> None:
    """Read what must not be readable."""
    read(*arguments)
    raise AssertionError("it was read")
