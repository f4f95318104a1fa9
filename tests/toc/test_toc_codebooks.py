"""Which codebooks a file holds, and how one is chosen."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_tensors

from toc import CodebookError
from toc.codebooks import find_codebooks, load_codebook

CODES = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)


def checkpoint(folder: Path, **layers: np.ndarray) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    keys = {name: f"quantizer.{name}" for name in layers}
    (folder / "config.json").write_text(json.dumps({"format_version": 1, "codebooks": keys}))
    save_file({keys[name]: values for name, values in layers.items()}, folder / "model.safetensors")
    return folder


def names(path: Path) -> list[str]:
    return [found.name for found in find_codebooks(path).codebooks]


def test_the_codebook_of_a_checkpoint_of_its_weights_and_of_its_run(tmp_path: Path) -> None:
    model = checkpoint(tmp_path / "run" / "model", layer0=CODES)
    for path in (tmp_path / "run", model, model / "model.safetensors"):
        found = load_codebook(path)
        assert found.name == "layer0"
        np.testing.assert_array_equal(found.vectors, CODES)


def test_a_run_without_a_model_gives_its_complete_checkpoint_with_the_most_steps(tmp_path: Path) -> None:
    steps = ("00000900", "100000000", "99999999", "100000001")  # the last one is not complete
    for at, step in enumerate(steps):
        folder = checkpoint(tmp_path / "checkpoints" / f"step-{step}", layer0=CODES + at)
        (folder / "training_state.json").touch()
        if step != "100000001":
            (folder / "training_state.safetensors").touch()
    np.testing.assert_array_equal(load_codebook(tmp_path).vectors, CODES + 1)


def test_of_several_codebooks_one_must_be_chosen(tmp_path: Path) -> None:
    checkpoint(tmp_path, layer0=CODES, layer1=2 * CODES)
    with pytest.raises(CodebookError, match=r"holds layer0, layer1; choose one .*--codebook NAME"):
        load_codebook(tmp_path)
    with pytest.raises(CodebookError, match=r"no codebook 'layer2'; did you mean 'layer[01]'"):
        load_codebook(tmp_path, "layer2")
    with pytest.raises(CodebookError, match="no codebook 'zz'; it holds layer0, layer1"):
        load_codebook(tmp_path, "zz")
    np.testing.assert_array_equal(load_codebook(tmp_path, "layer1").vectors, 2 * CODES)


def test_many_codebooks_are_counted_and_listed_in_their_order(tmp_path: Path) -> None:
    save_file({f"layers.{k}.codebook.embed": CODES for k in range(32)}, tmp_path / "deep.safetensors")
    assert names(tmp_path / "deep.safetensors") == [f"layer{k}" for k in range(32)]
    with pytest.raises(CodebookError, match=r"32 codebooks \(layer0, layer1, layer2, \.\.\. layer31\)"):
        load_codebook(tmp_path / "deep.safetensors")


def test_numpy_files_name_codebooks_by_file_and_key(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", CODES)
    assert load_codebook(tmp_path / "one.npy").name == "one"
    np.savez(tmp_path / "two.npz", a=CODES, b=CODES + 1, counts=np.arange(6))
    assert names(tmp_path / "two.npz") == ["a", "b"]
    np.testing.assert_array_equal(load_codebook(tmp_path / "two.npz", "b").vectors, CODES + 1)
    with pytest.raises(CodebookError, match="holds a, b; choose one"):
        load_codebook(tmp_path / "two.npz")
    np.savez_compressed(tmp_path / "single.npz", book=CODES, counts=np.arange(6))
    np.testing.assert_array_equal(load_codebook(tmp_path / "single.npz").vectors, CODES)


def test_the_matrices_of_an_array_with_three_axes_are_chosen_by_number(tmp_path: Path) -> None:
    np.save(tmp_path / "stack.npy", np.stack([CODES, CODES + 1]))
    with pytest.raises(CodebookError, match=r"holds stack\.0, stack\.1; choose one"):
        load_codebook(tmp_path / "stack.npy")
    with pytest.raises(
        CodebookError, match=r"shape \[2, 6, 4\] is 2 codebooks; choose one, such as stack\.0"
    ):
        load_codebook(tmp_path / "stack.npy", "stack")
    with pytest.raises(CodebookError, match=r"no codebook 'stack\.2'"):
        load_codebook(tmp_path / "stack.npy", "stack.2")
    found = load_codebook(tmp_path / "stack.npy", "stack.1")
    assert found.name == "stack.1"
    np.testing.assert_array_equal(found.vectors, CODES + 1)
    np.save(tmp_path / "lone.npy", CODES[None])
    np.testing.assert_array_equal(load_codebook(tmp_path / "lone.npy").vectors, CODES)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_every_float_type_is_read_alike_from_safetensors_and_torch(
    tmp_path: Path, dtype: torch.dtype
) -> None:
    codes = torch.from_numpy(CODES).to(dtype)
    save_tensors({"pad": torch.zeros(3), "codebook.embed": codes}, tmp_path / "codes.safetensors")
    torch.save({"codebook.embed": codes}, tmp_path / "codes.pt")
    for name in ("codes.safetensors", "codes.pt"):
        (found,) = find_codebooks(tmp_path / name).codebooks
        assert found.codes.dtype == str(dtype).removeprefix("torch.")
        vectors = load_codebook(tmp_path / name).vectors
        assert vectors.dtype == np.dtype("float32" if dtype is torch.bfloat16 else found.codes.dtype)
        np.testing.assert_array_equal(vectors.astype(np.float64), codes.double().numpy())


def test_safetensors_of_other_types_are_listed_with_their_shapes(tmp_path: Path) -> None:
    kinds = [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool]
    tensors = {str(kind): torch.ones((2, 3), dtype=kind) for kind in kinds}
    save_tensors(tensors, tmp_path / "mixed.safetensors")
    found = find_codebooks(tmp_path / "mixed.safetensors")
    assert not found.codebooks
    assert {key: (f"torch.{s.dtype}", s.shape) for key, s in found.tensors.items()} == {
        key: (key, (2, 3)) for key in tensors
    }
    for key in tensors:
        np.testing.assert_array_equal(found.tensors[key].read(), np.ones((2, 3)))


@pytest.mark.parametrize("wrap", ["state_dict", "model", "Encoder_parameters"])
@pytest.mark.parametrize("parallel", ["", "module."])
@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt", ".bin"])
def test_nested_state_dicts_are_looked_through(tmp_path: Path, wrap: str, parallel: str, suffix: str) -> None:
    path = tmp_path / f"nested{suffix}"
    state = {f"{parallel}vq.layers.{k}._codebook.embed": torch.full((6, 4), k + 1.0) for k in range(2)}
    optimizer = {"state": {0: {"exp_avg": torch.zeros(6, 4)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    torch.save({wrap: state, "optimizer": optimizer, "epoch": 3, "parts": [torch.zeros(2)]}, path)
    assert names(path) == ["layer0", "layer1"]
    for name in ("layer1", f"{wrap}.{parallel}vq.layers.1._codebook.embed", "vq.layers.1._codebook.embed"):
        found = load_codebook(path, name)
        assert found.name == "layer1"
        np.testing.assert_array_equal(found.vectors, np.full((6, 4), 2))


def test_a_torch_file_of_the_old_format_is_read(tmp_path: Path) -> None:
    torch.save(
        {"codebook.embed": torch.from_numpy(CODES)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False
    )
    np.testing.assert_array_equal(load_codebook(tmp_path / "old.pt").vectors, CODES)


def test_a_parameter_alone_is_the_codebook(tmp_path: Path) -> None:
    torch.save(torch.nn.Parameter(torch.from_numpy(CODES)), tmp_path / "book.pt")
    found = load_codebook(tmp_path / "book.pt")
    assert found.name == "book"
    np.testing.assert_array_equal(found.vectors, CODES)


def test_a_container_that_holds_itself_is_looked_through_once(tmp_path: Path) -> None:
    content: dict[str, object] = {"codebook.embed": torch.from_numpy(CODES)}
    content["again"] = content
    content["pairs"] = pairs = []
    for _ in range(60):
        pairs = [pairs, pairs]
    content["doubled"] = pairs
    torch.save(content, tmp_path / "loop.pt")
    assert names(tmp_path / "loop.pt") == ["layer0"]


def hugging_face(folder: Path, layout: str) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "codec", "codebooks": 2}')
    first, second = {"q.layers.0.codebook.embed": CODES}, {"q.layers.1.codebook.embed": 2 * CODES}
    tensors = {key: torch.from_numpy(value) for key, value in (first | second).items()}
    if layout == "safetensors":
        save_tensors(tensors, folder / "model.safetensors")
    elif layout == "bin":
        torch.save(tensors, folder / "pytorch_model.bin")
    else:
        suffix, stem = (
            (".safetensors", "model") if layout == "sharded safetensors" else (".bin", "pytorch_model")
        )
        files = [f"{stem}-{k:05d}-of-00002{suffix}" for k in (1, 2)]
        for file, (key, value) in zip(files, tensors.items(), strict=True):
            save_tensors({key: value}, folder / file) if suffix == ".safetensors" else torch.save(
                {key: value}, folder / file
            )
        index = {"metadata": {}, "weight_map": dict(zip(tensors, files, strict=True))}
        (folder / f"{stem}{suffix}.index.json").write_text(json.dumps(index))
    return folder


@pytest.mark.parametrize("layout", ["safetensors", "bin", "sharded safetensors", "sharded bin"])
def test_folders_in_the_layout_of_hugging_face(tmp_path: Path, layout: str) -> None:
    folder = hugging_face(tmp_path / "hub", layout)
    assert names(folder) == ["layer0", "layer1"]
    np.testing.assert_array_equal(load_codebook(folder, "layer1").vectors, 2 * CODES)


def test_tensors_of_no_known_convention_are_candidates_by_their_keys(tmp_path: Path) -> None:
    tensors = {
        "vq_proj.weight": CODES,
        "my_codebooks": np.stack([CODES, CODES + 1]),
        "net.quantizer_embed.table": CODES + 2,
        "embed_tokens.weight": CODES,
        "codebook_ema_avg": CODES,
        "bias": CODES[0],
    }
    save_file(tensors, tmp_path / "own.safetensors")
    found = find_codebooks(tmp_path / "own.safetensors")
    assert not found.codebooks
    assert {f.name for f in found.candidates} == {
        "my_codebooks.0",
        "my_codebooks.1",
        "net.quantizer_embed.table",
    }
    with pytest.raises(CodebookError, match=r"these may be some: .*my_codebooks\.0.*choose one by its key"):
        found.load()
    np.testing.assert_array_equal(found.load("my_codebooks.1").vectors, CODES + 1)
    np.testing.assert_array_equal(found.load("embed_tokens.weight").vectors, CODES)
    np.testing.assert_array_equal(found.load("table").vectors, CODES + 2)
    for name in ("able", "table.0", "bias.0", "weight"):
        with pytest.raises(CodebookError, match=f"no codebook '{name}'"):
            found.load(name)


def test_the_only_matrix_of_a_file_is_its_codebook(tmp_path: Path) -> None:
    save_file({"weird": CODES, "bias": CODES[0]}, tmp_path / "only.safetensors")
    assert load_codebook(tmp_path / "only.safetensors").name == "weird"


def test_what_is_found_is_listed_for_people_and_programs(tmp_path: Path) -> None:
    checkpoint(tmp_path / "run" / "model", layer0=CODES)
    found = find_codebooks(tmp_path / "run")
    assert found.to_json() == {
        "path": str(tmp_path / "run"),
        "kind": "unicode-cmg checkpoint",
        "codebooks": [
            {
                "name": "layer0",
                "shape": [6, 4],
                "dtype": "float32",
                "kind": "unicode-cmg",
                "key": "quantizer.layer0",
            }
        ],
        "candidates": [],
    }
    assert found.table().splitlines()[1:] == [
        "name    codes x dims  dtype    stored as    key",
        "layer0  6 x 4         float32  unicode-cmg  quantizer.layer0",
    ]


def test_no_file_needs_torch(tmp_path: Path) -> None:
    checkpoint(tmp_path / "model", layer0=CODES)
    np.savez(tmp_path / "codes.npz", a=CODES)
    torch.save(torch.from_numpy(CODES), tmp_path / "codes.pt")
    code = (
        "import sys\n"
        "sys.modules['torch'] = None\n"  # as if torch were not installed
        "from toc.codebooks import load_codebook\n"
        "names = 'model', 'model/model.safetensors', 'codes.npz', 'codes.pt'\n"
        "print([load_codebook(name).vectors.tolist() for name in names])\n"
        "others = 'safetensors sklearn scipy matplotlib unicode_cmg'.split()\n"
        "print([name for name in others if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    values, imported = done.stdout.splitlines()
    assert json.loads(values) == [CODES.tolist()] * 4
    assert imported == "[]"
