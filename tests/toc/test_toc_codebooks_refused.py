"""Files that hold no codebook, or not a whole one: one line, and no code of the file is run."""

from __future__ import annotations

import json
import os
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
MADE: list[tuple[Callable[[Path], Path], str]] = []


def case(message: str) -> Callable[[Callable[[Path], Path]], Callable[[Path], Path]]:
    """A file that is refused with this message; the function writes it into a folder."""

    def note(make: Callable[[Path], Path]) -> Callable[[Path], Path]:
        MADE.append((make, message))
        return make

    return note


def written(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def native(folder: Path, config: str | None = None) -> Path:
    folder.mkdir()
    save_file({KEY: CODES}, folder / "model.safetensors")
    written(folder / "config.json", config or json.dumps({"codebooks": {"layer0": KEY}}))
    return folder


def header_only(path: Path, **entry: object) -> Path:
    header = json.dumps({KEY: entry}).encode()
    return written(path, len(header).to_bytes(8, "little") + header + bytes(8))


def cut(path: Path, end: int) -> Path:
    return written(path, path.read_bytes()[:end])


@case("no such file or folder")
def nothing(folder: Path) -> Path:
    return folder / "absent"


@case(r"holds no checkpoint \(no config\.json\)")
def an_empty_folder(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"


@case(r"has config\.json but no weights; expected model\.safetensors or model\.safetensors\.index")
def a_folder_without_weights(folder: Path) -> Path:
    return written(folder / "bare" / "config.json", "{}").parent


@case(r"config\.json: not valid JSON; it may have been truncated")
def half_a_description(folder: Path) -> Path:
    return native(folder / "half", '{"codebooks": {"lay')


@case(r"has no tensor 'elsewhere', which config\.json names")
def a_description_of_other_weights(folder: Path) -> Path:
    return native(folder / "moved", '{"codebooks": {"layer0": "elsewhere"}}')


@case(
    r"holds no codebook that is recognised; quantizers by finite scalars \(FSQ\) or without look-up \(LFQ\)"
)
def a_model_without_codebooks(folder: Path) -> Path:
    model = native(folder / "scalars", '{"codebooks": {}}')
    save_file({"encoder.weight": CODES, "decoder.weight": CODES}, model / "model.safetensors")
    return model


@case("not a whole safetensors file, its header is longer than the file")
def a_cut_header(folder: Path) -> Path:
    return cut(native(folder / "cut") / "model.safetensors", 40).parent


@case(f"not a whole safetensors file, it ends before the tensor '{KEY}' does")
def cut_data(folder: Path) -> Path:
    return cut(native(folder / "cut") / "model.safetensors", -4)


@case("not a whole safetensors file, its header is longer than the file")
def an_empty_safetensors_file(folder: Path) -> Path:
    return written(folder / "none.safetensors", b"")


@case("its header cannot be read")
def a_header_that_is_no_json(folder: Path) -> Path:
    return written(folder / "odd.safetensors", (4).to_bytes(8, "little") + b"{{{{")


@case("its header cannot be read")
def a_header_without_places(folder: Path) -> Path:
    return header_only(folder / "odd.safetensors", dtype="F32", shape=[1, 2])


@case(f"the tensor '{KEY}' has not the bytes that its shape needs")
def a_header_that_contradicts_itself(folder: Path) -> Path:
    return header_only(folder / "odd.safetensors", dtype="F32", shape=[5, 5], data_offsets=[0, 8])


@case(rf"\({KEY}\): the tensor has dtype F8_E4M3; expected float64, float32, float16 or bfloat16")
def eight_bit_floats(folder: Path) -> Path:
    return header_only(folder / "tiny.safetensors", dtype="F8_E4M3", shape=[4, 2], data_offsets=[0, 8])


def sharded(folder: Path, weight_map: object) -> Path:
    folder.mkdir()
    written(folder / "config.json", "{}")
    save_file({KEY: CODES}, folder / "a.safetensors")
    written(folder / "model.safetensors.index.json", json.dumps({"weight_map": weight_map}))
    return folder


@case("names 'b.safetensors', and there is no such file beside it")
def a_missing_shard(folder: Path) -> Path:
    return sharded(folder / "hub", {KEY: "a.safetensors", "x": "b.safetensors"})


@case("names '../a.safetensors', and there is no such file beside it")
def a_shard_in_another_folder(folder: Path) -> Path:
    save_file({KEY: CODES}, folder / "a.safetensors")
    return sharded(folder / "hub", {KEY: "../a.safetensors"})


@case(r"has no tensor 'x', which model\.safetensors\.index\.json puts there")
def a_shard_that_lacks_a_tensor(folder: Path) -> Path:
    return sharded(folder / "hub", {"x": "a.safetensors"})


@case('has no "weight_map"')
def an_index_of_something_else(folder: Path) -> Path:
    return sharded(folder / "hub", [1, 2])


@case(r"shape \[5\]")
def one_axis(folder: Path) -> Path:
    np.save(folder / "flat.npy", np.ones(5))
    return folder / "flat.npy"


@case(r"shape \[2, 3, 4, 5\]")
def four_axes(folder: Path) -> Path:
    np.save(folder / "deep.npy", np.ones((2, 3, 4, 5)))
    return folder / "deep.npy"


@case(r"single\.npy \(single\): .*at least 2 codes")
def one_code(folder: Path) -> Path:
    np.save(folder / "single.npy", np.ones((1, 5)))
    return folder / "single.npy"


@case(r"indices\.npy \(indices\): the codebook holds integers: code indices")
def integers(folder: Path) -> Path:
    np.save(folder / "indices.npy", np.ones((5, 5), int))
    return folder / "indices.npy"


@case(r"objects\.npy: the array holds pickled objects")
def objects(folder: Path) -> Path:
    np.save(folder / "objects.npy", np.array([[1.0, None]], dtype=object), allow_pickle=True)
    return folder / "objects.npy"


@case(r"many\.npz \(a\): the array holds pickled objects")
def objects_in_an_archive(folder: Path) -> Path:
    np.savez(folder / "many.npz", a=np.array([[1.0, None]], dtype=object), allow_pickle=True)
    return folder / "many.npz"


@case(r"short\.npy: cannot be read as a NumPy file .*truncated")
def a_cut_array(folder: Path) -> Path:
    np.save(folder / "short.npy", CODES)
    return cut(folder / "short.npy", -8)


@case(r"short\.npz: cannot be read as a NumPy file")
def a_cut_archive(folder: Path) -> Path:
    np.savez(folder / "short.npz", CODES)
    return cut(folder / "short.npz", -30)


@case(r"spoilt\.npz: cannot be read as a NumPy file")
def an_archive_with_other_bytes(folder: Path) -> Path:
    np.savez(folder / "spoilt.npz", codes=np.ones((40, 40)))
    content = bytearray((folder / "spoilt.npz").read_bytes())
    content[4000:4100] = bytes(100)
    return written(folder / "spoilt.npz", bytes(content))


@case(r"broken\.npz: cannot be read as a NumPy file")
def no_archive(folder: Path) -> Path:
    return written(folder / "broken.npz", b"PK no zip")


@case(r"pickled\.npy: cannot be read as a NumPy file")
def a_pickle_for_an_array(folder: Path) -> Path:
    return written(folder / "pickled.npy", pickle.dumps([1.0]))


@case("holds no codebook that is recognised")
def an_archive_of_nothing(folder: Path) -> Path:
    np.savez(folder / "nothing.npz")
    return folder / "nothing.npz"


@case("not a whole file of torch.save; it may have been truncated")
def an_empty_torch_file(folder: Path) -> Path:
    return written(folder / "none.pt", b"")


@case("not a whole file of torch.save; it may have been truncated")
def a_cut_torch_file(folder: Path) -> Path:
    torch.save({KEY: torch.from_numpy(CODES)}, folder / "short.pt")
    return cut(folder / "short.pt", -200)


@case("not a whole file of torch.save")
def text_for_a_torch_file(folder: Path) -> Path:
    return written(folder / "text.pt", "plain words")


@case(r"is a torch\.sparse_coo tensor of torch\.float32; expected a dense one")
def a_sparse_tensor(folder: Path) -> Path:
    torch.save({KEY: torch.eye(5).to_sparse()}, folder / "sparse.pt")
    return folder / "sparse.pt"


@case("not a kind of file that holds codebooks; expected a folder with a checkpoint or .safetensors")
def a_text_file(folder: Path) -> Path:
    return written(folder / "notes.txt", "codes")


@pytest.mark.parametrize(("make", "message"), MADE, ids=lambda value: getattr(value, "__name__", ""))
@pytest.mark.filterwarnings("ignore:Sparse")
def test_it_is_refused_in_one_line(make: Callable[[Path], Path], message: str, tmp_path: Path) -> None:
    path = make(tmp_path)
    with pytest.raises(CodebookError, match=message) as error:
        load_codebook(path)
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_cut_file_is_not_listed_either(tmp_path: Path) -> None:
    with pytest.raises(CodebookError, match="not a whole safetensors file"):
        find_codebooks(cut_data(tmp_path))


class Malicious:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_torch_file_is_not_run(tmp_path: Path, zipped: bool) -> None:
    content = {KEY: torch.from_numpy(CODES), "callback": Malicious(tmp_path / "owned")}
    torch.save(content, tmp_path / "bad.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(CodebookError, match=r"holds a Python object \(posix\.mkdir\).* was not unpickled"):
        find_codebooks(tmp_path / "bad.pt")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("name", ["bad.pt", "bad.npy", "bad.npz", "bad.safetensors", "bad.ckpt"])
def test_a_bare_pickle_is_not_run(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(pickle.dumps(Malicious(tmp_path / "owned")))
    with pytest.raises(CodebookError):
        load_codebook(tmp_path / name)
    assert not (tmp_path / "owned").exists()
