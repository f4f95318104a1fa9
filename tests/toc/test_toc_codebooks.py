from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from toc import CodebookError, load_codebook

CODES = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)


def checkpoint(folder: Path, **layers: np.ndarray) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    keys = {name: f"quantizer.{name}" for name in layers}
    (folder / "config.json").write_text(json.dumps({"format_version": 1, "codebooks": keys}))
    save_file({keys[name]: values for name, values in layers.items()}, folder / "model.safetensors")
    return folder


def test_the_codebook_of_a_checkpoint_and_of_its_run(tmp_path: Path) -> None:
    checkpoint(tmp_path / "run" / "model", layer0=CODES)
    for path in (tmp_path / "run", tmp_path / "run" / "model"):
        found = load_codebook(path)
        assert found.name == "layer0"
        np.testing.assert_array_equal(found.vectors, CODES)


def test_of_several_codebooks_one_must_be_named(tmp_path: Path) -> None:
    checkpoint(tmp_path, layer0=CODES, layer1=2 * CODES)
    with pytest.raises(CodebookError, match="layer0, layer1; name one"):
        load_codebook(tmp_path)
    with pytest.raises(CodebookError, match="no codebook 'layer2'; it holds layer0, layer1"):
        load_codebook(tmp_path, "layer2")
    np.testing.assert_array_equal(load_codebook(tmp_path, "layer1").vectors, 2 * CODES)


def test_numpy_files(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", CODES)
    np.savez(tmp_path / "two.npz", a=CODES, b=CODES + 1)
    assert load_codebook(tmp_path / "one.npy").name == "one"
    np.testing.assert_array_equal(load_codebook(tmp_path / "two.npz", "b").vectors, CODES + 1)
    with pytest.raises(CodebookError, match="a, b; name one"):
        load_codebook(tmp_path / "two.npz")


def refusals(tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "empty").mkdir()
    cut = checkpoint(tmp_path / "cut", layer0=CODES) / "model.safetensors"
    cut.write_bytes(cut.read_bytes()[:40])
    foreign = checkpoint(tmp_path / "foreign", layer0=CODES)
    (foreign / "config.json").write_text('{"model_type": "bert"}')
    moved = checkpoint(tmp_path / "moved", layer0=CODES)
    (moved / "config.json").write_text('{"codebooks": {"layer0": "elsewhere"}}')
    bare = checkpoint(tmp_path / "bare")
    half = checkpoint(tmp_path / "half", layer0=CODES)
    (half / "config.json").write_text('{"codebooks": {"lay')
    brain = checkpoint(tmp_path / "brain", layer0=CODES) / "model.safetensors"
    header = json.dumps(
        {"quantizer.layer0": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]}}
    ).encode()
    brain.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    np.save(tmp_path / "flat.npy", np.ones(5))
    np.save(tmp_path / "indices.npy", np.ones((5, 5), int))
    (tmp_path / "broken.npz").write_bytes(b"PK no zip")
    (tmp_path / "pickled.npy").write_bytes(pickle.dumps([1.0]))
    (tmp_path / "released.pt").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("codes")
    return {
        "no such file or folder": tmp_path / "absent",
        r"config\.json: no such file": tmp_path / "empty",
        "truncated": cut.parent,
        'no "codebooks"': foreign,
        "elsewhere": moved,
        "holds no codebook to refine; a model that quantizes by finite scalars": bare,
        "config.json.*native": half,
        "bfloat16.*float32": brain.parent,
        r"shape \[5\]": tmp_path / "flat.npy",
        "code indices": tmp_path / "indices.npy",
        r"broken\.npz: cannot be read": tmp_path / "broken.npz",
        r"pickled\.npy: cannot be read": tmp_path / "pickled.npy",
        "never trusted": tmp_path / "released.pt",
        "not a codebook": tmp_path / "notes.txt",
    }


def test_what_is_no_codebook_is_refused_in_one_line(tmp_path: Path) -> None:
    for message, path in refusals(tmp_path).items():
        with pytest.raises(CodebookError, match=message) as error:
            load_codebook(path)
        assert "\n" not in str(error.value)
