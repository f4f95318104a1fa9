"""Files that hold no codebook, or not a whole one: one line, and no code of the file is run."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from toc import CodebookError
from toc.codebooks import find_codebooks, load_codebook

CODES = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
KEY = "vq.layers.0.codebook.embed"
NO_NUMPY_FILE = "cannot be read as a NumPy file"
NO_TORCH_FILE = (
    r"not a whole file of torch\.save \(the end of the zip is missing\); it may have been truncated"
)


def written(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def native(folder: Path, config: str | None = None, **tensors: np.ndarray) -> Path:
    folder.mkdir()
    save_file(tensors or {KEY: CODES}, folder / "model.safetensors")
    written(folder / "config.json", config or json.dumps({"codebooks": {"layer0": KEY}}))
    return folder


def header_only(path: Path, **entry: object) -> Path:
    header = json.dumps({KEY: entry}).encode()
    return written(path, len(header).to_bytes(8, "little") + header + bytes(8))


def cut(path: Path, end: int) -> Path:
    return written(path, path.read_bytes()[:end])


def cut_weights(folder: Path, end: int) -> Path:
    return cut(native(folder / "cut") / "model.safetensors", end).parent


def sharded(folder: Path, weight_map: object) -> Path:
    """A sharded checkpoint of one file, and the same file beside its folder."""
    written(folder / "config.json", "{}")
    for place in (folder, folder.parent):
        save_file({KEY: CODES}, place / "a.safetensors")
    written(folder / "model.safetensors.index.json", json.dumps({"weight_map": weight_map}))
    return folder


def array(path: Path, values: np.ndarray) -> Path:
    np.save(path, values, allow_pickle=True)
    return path


def archive(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)
    return path


def spoilt(path: Path, start: int, end: int) -> Path:
    content = bytearray(path.read_bytes())
    content[start:end] = bytes(end - start)
    return written(path, bytes(content))


def torch_file(path: Path, tensor: torch.Tensor) -> Path:
    torch.save({KEY: tensor}, path)
    return path


OBJECTS = np.array([[1.0, None]], dtype=object)
CASES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "nothing": (lambda at: at / "absent", "no such file or folder"),
    "an empty folder": (lambda at: at, r"holds no checkpoint \(no config\.json, no weights\)"),
    "a folder without weights": (
        lambda at: written(at / "config.json", "{}").parent,
        r"has config\.json but no weights; expected model\.safetensors or a file of torch\.save",
    ),
    "half a configuration": (
        lambda at: native(at / "half", '{"codebooks": {"lay'),
        r"config\.json: not valid JSON; it may have been truncated",
    ),
    "a configuration of other weights": (
        lambda at: native(at / "moved", '{"codebooks": {"layer0": "elsewhere"}}'),
        r"has no tensor 'elsewhere', which config\.json names",
    ),
    "a model without codebooks": (
        lambda at: native(at / "scalars", '{"codebooks": {}}', encoder=CODES, decoder=CODES),
        r"holds no codebook that is recognised; quantizers by finite scalars \(FSQ\) or without look-up",
    ),
    "a cut header": (
        lambda at: cut_weights(at, 40),
        "not a whole safetensors file, its header is longer than the file",
    ),
    "cut data": (
        lambda at: cut_weights(at, -4),
        f"not a whole safetensors file, it ends before the tensor '{KEY}' does",
    ),
    "an empty safetensors file": (
        lambda at: written(at / "none.safetensors", b""),
        r"none\.safetensors: the file is empty; copy or download it again",
    ),
    "a header that is no JSON": (
        lambda at: written(at / "odd.safetensors", (4).to_bytes(8, "little") + b"{{{{"),
        "its header cannot be read",
    ),
    "a header without places": (
        lambda at: header_only(at / "odd.safetensors", dtype="F32", shape=[1, 2]),
        "its header cannot be read",
    ),
    "a header that contradicts itself": (
        lambda at: header_only(at / "odd.safetensors", dtype="F32", shape=[5, 5], data_offsets=[0, 8]),
        f"the tensor '{KEY}' has not the bytes that its shape needs",
    ),
    "eight-bit floats": (
        lambda at: header_only(at / "t.safetensors", dtype="F8_E4M3", shape=[4, 2], data_offsets=[0, 8]),
        rf"\({KEY}\): the tensor has dtype F8_E4M3; expected float64, float32, float16 or bfloat16",
    ),
    "a missing shard": (
        lambda at: sharded(at / "hub", {KEY: "a.safetensors", "x": "b.safetensors"}),
        "names 'b.safetensors', and there is no such file beside it",
    ),
    "a shard in another folder": (
        lambda at: sharded(at / "hub", {KEY: "../a.safetensors"}),
        "names '../a.safetensors', and there is no such file beside it",
    ),
    "a shard that lacks a tensor": (
        lambda at: sharded(at / "hub", {"x": "a.safetensors"}),
        r"has no tensor 'x', which model\.safetensors\.index\.json puts there",
    ),
    "an index of something else": (lambda at: sharded(at / "hub", [1, 2]), 'has no "weight_map"'),
    "one axis": (lambda at: array(at / "flat.npy", np.ones(5)), r"shape \[5\]"),
    "features": (
        lambda at: array(at / "features.npy", np.ones((70, 3, 4))),
        r"holds features, not codebooks: 'features' of shape \[70, 3, 4\] looks like clips",
    ),
    "features with a grid": (
        lambda at: archive(at / "grid.npz", video=np.ones((70, 3, 2, 2, 4)), labels=np.arange(70)),
        r"holds features, not codebooks: 'video' of shape \[70, 3, 2, 2, 4\]",
    ),
    "four axes": (lambda at: array(at / "deep.npy", np.ones((2, 3, 4, 5))), r"shape \[2, 3, 4, 5\]"),
    "one code": (
        lambda at: array(at / "single.npy", np.ones((1, 5))),
        r"single\.npy \(single\): .*at least 2 codes",
    ),
    "integers": (
        lambda at: array(at / "indices.npy", np.ones((5, 5), int)),
        r"indices\.npy \(indices\): the codebook holds integers: code indices",
    ),
    "objects": (
        lambda at: array(at / "objects.npy", OBJECTS),
        r"objects\.npy: the array holds pickled objects",
    ),
    "objects in an archive": (
        lambda at: archive(at / "many.npz", a=OBJECTS),
        r"many\.npz \(a\): the array holds pickled objects",
    ),
    "a cut array": (
        lambda at: cut(array(at / "short.npy", CODES), -8),
        rf"short\.npy: {NO_NUMPY_FILE} .*truncated",
    ),
    "a cut archive": (lambda at: cut(archive(at / "s.npz", a=CODES), -30), rf"s\.npz: {NO_NUMPY_FILE}"),
    "an archive with other bytes": (
        lambda at: spoilt(archive(at / "spoilt.npz", codes=np.ones((40, 40))), 4000, 4100),
        rf"spoilt\.npz: {NO_NUMPY_FILE}",
    ),
    "no archive": (lambda at: written(at / "b.npz", b"PK\x03\x04 no zip"), rf"b\.npz: {NO_NUMPY_FILE}"),
    "a pickle for an array": (
        lambda at: written(at / "pickled.npy", pickle.dumps([1.0])),
        r"pickled\.npy: a pickle without any tensor or array in it",
    ),
    "an archive of nothing": (
        lambda at: archive(at / "nothing.npz"),
        "a NumPy archive without any tensor or array",
    ),
    "an empty torch file": (
        lambda at: written(at / "none.pt", b""),
        r"none\.pt: the file is empty; copy or download it again",
    ),
    "a cut torch file": (
        lambda at: cut(torch_file(at / "short.pt", torch.from_numpy(CODES)), -200),
        NO_TORCH_FILE,
    ),
    "text for a torch file": (
        lambda at: written(at / "text.pt", "plain words"),
        r"text\.pt: a text: 'plain words'; expected",
    ),
    "a sparse tensor": (
        lambda at: torch_file(at / "sparse.pt", torch.eye(5).to_sparse()),
        r"a sparse tensor of float32; expected a dense one",
    ),
    "other bytes": (
        lambda at: written(at / "noise.dat", bytes(range(7, 250))),
        "not a kind of file that holds codebooks; expected a file of torch.save or safetensors",
    ),
    "a text file": (
        lambda at: written(at / "notes.txt", "codes"),
        r"notes\.txt: a text: 'codes'; expected a file of torch\.save or safetensors",
    ),
}


@pytest.mark.parametrize(("make", "message"), CASES.values(), ids=CASES)
@pytest.mark.filterwarnings("ignore:Sparse")
def test_it_is_refused_in_one_line(make: Callable[[Path], Path], message: str, tmp_path: Path) -> None:
    path = make(tmp_path)
    with pytest.raises(CodebookError, match=message) as error:
        load_codebook(path)
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_cut_file_is_not_listed_either(tmp_path: Path) -> None:
    with pytest.raises(CodebookError, match="not a whole safetensors file"):
        find_codebooks(cut_weights(tmp_path, -4))
