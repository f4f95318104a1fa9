"""Folders of models as hubs hand them out, and files that are something else than their names say."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from toc import CodebookError
from toc.codebooks import find_codebooks, load_codebook

CODES = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
STATE = {"vq.layers.0.codebook.embed": CODES}


def put(path: Path, scale: float = 1.0) -> Path:
    """The codebook in a file of the kind that its name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {key: value * np.float32(scale) for key, value in STATE.items()}
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save({key: torch.from_numpy(value) for key, value in state.items()}, path)
    return path


def codes_of(path: Path) -> float:
    """By what the codebook that was read is larger than the one that `put` writes."""
    return float((load_codebook(path).vectors / CODES).mean())


@pytest.mark.parametrize(
    "name",
    [
        "speech_tokenizer_v1.safetensors",
        "diffusion_pytorch_model.safetensors",
        "diffusion_pytorch_model.fp16.safetensors",
        "model.fp16.safetensors",
        "weights.pth",
        "pytorch_model.bin",
        "last.ckpt",
    ],
)
@pytest.mark.parametrize("config", [True, False])
def test_the_only_file_with_weights_of_a_folder_is_read(name: str, config: bool, tmp_path: Path) -> None:
    put(tmp_path / name)
    for other in ("optimizer.pt", "training_args.bin", "rng_state.pth", "scheduler.pt"):
        put(tmp_path / other, 7)
    (tmp_path / "README.md").write_text("words")
    if config:
        (tmp_path / "config.json").write_text("{}")
    assert codes_of(tmp_path) == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("model.safetensors", "model.fp16.safetensors"),
        ("model.safetensors", "pytorch_model.bin"),
        ("pytorch_model.bin", "other.safetensors"),
        ("codec.safetensors", "codec.pt"),
        ("weights.fp16.safetensors", "weights.bin"),
    ],
)
def test_of_several_files_one_goes_before_the_others(first: str, second: str, tmp_path: Path) -> None:
    put(tmp_path / first)
    put(tmp_path / second, 2)
    assert codes_of(tmp_path) == 1


def test_of_equal_files_one_must_be_named(tmp_path: Path) -> None:
    put(tmp_path / "a.pth"), put(tmp_path / "b.pth")
    with pytest.raises(CodebookError, match=r"several files with weights: a\.pth, b\.pth; name one of them"):
        find_codebooks(tmp_path)


def shards(folder: Path, stem: str, ending: str) -> Path:
    parts = [f"{stem}-0000{k}-of-00002{ending}" for k in (1, 2)]
    for part, key in zip(parts, ("vq.layers.0.codebook.embed", "vq.layers.1.codebook.embed"), strict=True):
        save_file({key: CODES}, put(folder / part))
    index = folder / f"{stem}{ending}.index.json"
    places = {f"vq.layers.{k}.codebook.embed": part for k, part in enumerate(parts)}
    index.write_text(json.dumps({"weight_map": places}))
    return index


@pytest.mark.parametrize("stem", ["model", "diffusion_pytorch_model", "codec"])
def test_shards_are_read_by_their_folder_and_by_their_index(stem: str, tmp_path: Path) -> None:
    index = shards(tmp_path / "m", stem, ".safetensors")
    for path in (index.parent, index):
        assert [codebook.name for codebook in find_codebooks(path).codebooks] == ["layer0", "layer1"]
    index.unlink()
    with pytest.raises(
        CodebookError, match=r"holds shards such as .* and no model\.safetensors\.index\.json"
    ):
        find_codebooks(tmp_path / "m")


def cache(folder: Path, *commits: str, main: str | None) -> Path:
    """A folder of the Hub's cache, with its links into `blobs`."""
    place = folder / "models--user--codec"
    for at, commit in enumerate(commits, 1):
        blob = put(place / "blobs" / f"{commit}.safetensors", at).rename(place / "blobs" / commit)
        (place / "snapshots" / commit).mkdir(parents=True)
        (place / "snapshots" / commit / "model.safetensors").symlink_to(
            os.path.relpath(blob, place / "snapshots" / commit)
        )
    if main is not None:
        (place / "refs").mkdir()
        (place / "refs" / "main").write_text(main)
    return place


def test_a_folder_of_the_cache_of_the_hub_is_what_its_main_branch_names(tmp_path: Path) -> None:
    assert codes_of(cache(tmp_path / "a", "c0ffee", "beef", main="beef")) == 2
    assert codes_of(cache(tmp_path / "b", "c0ffee", main=None)) == 1
    assert codes_of(cache(tmp_path / "b2", "c0ffee", main="gone")) == 1
    with pytest.raises(CodebookError, match=r"holds 2 snapshots, and refs/main names none of them"):
        find_codebooks(cache(tmp_path / "c", "c0ffee", "beef", main="gone"))
    (tmp_path / "models--x--y" / "snapshots").mkdir(parents=True)
    with pytest.raises(CodebookError, match="a cache of the Hub without a model in it"):
        find_codebooks(tmp_path / "models--x--y")


def test_the_name_of_a_model_of_the_hub_gives_the_line_that_downloads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CodebookError, match="hf download kyutai/mimi --local-dir mimi"):
        find_codebooks("kyutai/mimi")
    (tmp_path / "models").mkdir()
    with pytest.raises(CodebookError, match="models/mimi: no such file or folder; check the path"):
        find_codebooks("models/mimi")


def test_a_folder_of_models_names_those_inside(tmp_path: Path) -> None:
    put(tmp_path / "vae" / "diffusion_pytorch_model.safetensors"), put(tmp_path / "vq" / "model.bin")
    with pytest.raises(CodebookError, match="holds no weights; name one of its folders: vae, vq"):
        find_codebooks(tmp_path)
    (tmp_path / "keras").mkdir()
    (tmp_path / "keras" / "model.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(CodebookError, match=r"holds model\.h5, which is not read"):
        find_codebooks(tmp_path / "keras")


@pytest.mark.parametrize("name", ["a.pkl", "a.tar", "a.ckpt", "a", "a.weights", "a.safetensors", "a.npy"])
@pytest.mark.parametrize("kind", ["now.pt", "old.pt", "x.safetensors", "x.npz"])
def test_the_content_of_a_file_tells_its_kind(kind: str, name: str, tmp_path: Path) -> None:
    if kind == "old.pt":
        state = {key: torch.from_numpy(value) for key, value in STATE.items()}
        torch.save(state, tmp_path / kind, _use_new_zipfile_serialization=False)
    elif kind == "x.npz":
        np.savez(tmp_path / kind, **STATE)
    else:
        put(tmp_path / kind)
    (tmp_path / kind).rename(tmp_path / name)
    np.testing.assert_array_equal(load_codebook(tmp_path / name).vectors, CODES)


def zipped(name: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(name, "words")
    return content.getvalue()


def tarred(*names: str) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    return content.getvalue()


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
OTHERS: dict[str, tuple[bytes, str]] = {
    "a Git LFS pointer": (POINTER, "a Git LFS pointer, not the file itself; .*git lfs pull"),
    "a web page": (b"\n<!DOCTYPE html><html><body>Sign in", r"a web page \(HTML\)"),
    "a bare web page": (b"<html><head>", r"a web page \(HTML\)"),
    "a message": (b"Invalid username or password.", "a text: 'Invalid username or password"),
    "an error of an interface": (b'{"error": "gated"}', "a JSON file"),
    "nothing": (b"", "the file is empty"),
    "zeros": (bytes(4096), "zeros only: a download that was not finished"),
    "a GGUF file": (b"GGUF\x03\0\0\0", "a GGUF file"),
    "an ONNX file": (b"\x08\x07\x12\x07pytorch\x1a\x031.1", "an ONNX file"),
    "an HDF5 file": (b"\x89HDF\r\n\x1a\n" + bytes(20), "an HDF5 file"),
    "a gzip archive": (gzip.compress(b"words"), "a gzip archive.*unpack it first"),
    "a zip of a checkpoint": (zipped("model.pt"), r"a zip archive that holds model\.pt"),
    "a tar archive": (tarred("model.pt"), r"a tar archive that holds model\.pt"),
    "torch's file of 2016": (
        tarred("sys_info", "pickle", "storages", "tensors"),
        "a file of torch.save of before 2017",
    ),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(9), "a PNG picture"),
}


@pytest.mark.parametrize("name", ["model.pt", "model.safetensors", "model.npy", "model"])
@pytest.mark.parametrize(("content", "says"), OTHERS.values(), ids=OTHERS)
def test_the_message_says_what_a_file_is(content: bytes, says: str, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CodebookError, match=says) as error:
        load_codebook(tmp_path / name)
    assert str(tmp_path / name) in str(error.value)
    assert "truncated" not in str(error.value)


SPECIAL: dict[str, Callable[[Path], None]] = {
    "a pipe": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("make", SPECIAL.values(), ids=SPECIAL)
def test_what_is_no_regular_file_is_not_opened(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "x.pt")
    with pytest.raises(CodebookError, match="a pipe or a device; expected a file"):
        find_codebooks(tmp_path / "x.pt")
