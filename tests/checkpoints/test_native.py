from __future__ import annotations

import copy
import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import model_of, values_of

import unicode_cmg
from toc import CodebookError, load_codebook
from unicode_cmg import available_methods, load_pretrained, save_pretrained
from unicode_cmg.checkpoints import checkpoint_folders, newest_checkpoint
from unicode_cmg.checkpoints.native import write_model
from unicode_cmg.checkpoints.sums import write_sums
from unicode_cmg.checkpoints.tensors import read_tensors
from unicode_cmg.errors import InputError
from unicode_cmg.methods import method_class

MODALITIES = {
    "audio": {"dim": 6},
    "video": {"dim": 4, "grid": [2, 3]},
    "text": {"dim": 5, "context": 8},
}
CONFIG = values_of("dcid", MODALITIES)


@pytest.fixture(scope="module")
def model() -> Any:
    return model_of("dcid", MODALITIES).eval()


@pytest.fixture
def folder(model: Any, tmp_path: Path) -> Path:
    return save_pretrained(model, tmp_path / "model")


def change_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def change_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def test_a_model_comes_back_with_the_same_bits_and_encodes_the_same(model: Any, folder: Path) -> None:
    loaded = load_pretrained(folder)
    assert not loaded.training
    assert loaded.config == model.config
    state = loaded.state_dict()
    assert state.keys() == model.state_dict().keys()
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    for modality, shape in (("audio", (3, 7, 6)), ("video", (3, 7, 2, 3, 4)), ("text", (3, 7, 5))):
        x = torch.randn(shape)
        before, after = model.encode(modality, x), loaded.encode(modality, x)
        assert torch.equal(before.indices, after.indices)
        assert torch.equal(before.codes, after.codes)


def test_the_description_is_the_documented_one(folder: Path) -> None:
    description = json.loads((folder / "config.json").read_text())
    assert {k: v for k, v in description.items() if k != "config"} == {
        "format_version": 1,
        "library_version": unicode_cmg.__version__,
        "method": "dcid",
        "codebooks": {"layer0": description["codebooks"]["layer0"]},
    }
    assert load_file(folder / "model.safetensors")[description["codebooks"]["layer0"]].shape == (12, 8)
    assert sorted(p.name for p in folder.iterdir()) == ["SHA256SUMS", "config.json", "model.safetensors"]


def test_notes_on_the_origin_are_kept(model: Any, tmp_path: Path) -> None:
    save_pretrained(model, tmp_path / "m", extra={"step": 7})
    assert json.loads((tmp_path / "m/config.json").read_text())["extra"] == {"step": 7}
    load_pretrained(tmp_path / "m")


def test_a_dtype_can_be_asked_for(folder: Path) -> None:
    assert next(load_pretrained(folder, dtype=torch.float64).parameters()).dtype == torch.float64


def test_loading_leaves_the_random_state_alone(folder: Path) -> None:
    before = torch.get_rng_state()
    load_pretrained(folder)
    assert torch.equal(torch.get_rng_state(), before)


def test_saving_over_a_model_replaces_it(model: Any, folder: Path) -> None:
    change_config(folder, method="nonsense")
    save_pretrained(model, str(folder))
    load_pretrained(str(folder))


def test_tied_parameters_are_written_and_read(model: Any, tmp_path: Path) -> None:
    class Tied(type(model)):  # type: ignore[misc]
        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.twin = self.codebooks()["layer0"]

    twin = Tied(model.config)
    first = next(iter(dict(twin.named_parameters())))
    twin.register_parameter("alias", twin.get_parameter(first))
    save_pretrained(twin, tmp_path / "m")
    tensors = load_file(tmp_path / "m/model.safetensors")
    assert torch.equal(tensors["alias"], tensors[first])


def make_run(model: Any, run: Path, *, steps: tuple[int, ...]) -> None:
    for step in steps:
        checkpoint = save_pretrained(model, run / f"checkpoints/step-{step:08d}", extra={"step": step})
        for name in ("training_state.json", "training_state.safetensors"):
            (checkpoint / name).write_text("{}")


def test_a_run_stands_for_its_model_else_for_its_newest_complete_checkpoint(
    model: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    make_run(model, run, steps=(5, 100, 20))
    incomplete = run / "checkpoints/step-00000300"
    shutil.copytree(run / "checkpoints/step-00000100", incomplete)
    (incomplete / "training_state.json").unlink()
    shutil.copytree(run / "checkpoints/step-00000100", run / "checkpoints/.step-00000400.x")
    assert newest_checkpoint(run) == run / "checkpoints/step-00000100"
    assert load_pretrained(run).name == "dcid"
    assert load_pretrained(run / "checkpoints/step-00000020").name == "dcid"
    capsys.readouterr()
    for step in (100, 20, 5):
        (run / f"checkpoints/step-{step:08d}/model.safetensors").write_bytes(b"")
        if step > 5:
            assert load_pretrained(run).name == "dcid"
            assert f"checkpoint {step} is passed over" in capsys.readouterr().err.splitlines()[-1]
            assert load_codebook(run).vectors.shape[0] == model.config.num_codes
            assert f"step-{step:08d} is passed over" in capsys.readouterr().err.splitlines()[-1]
    with pytest.raises(InputError, match=r"step-00000100/model.safetensors: the file is empty"):
        load_pretrained(run)
    with pytest.raises(CodebookError, match=r"step-00000100/model.safetensors"):
        load_codebook(run)
    save_pretrained(model, run / "model")
    load_pretrained(run)


def test_a_run_and_toc_stand_for_the_same_checkpoint_the_complete_one_with_the_largest_step(
    model: Any, tmp_path: Path
) -> None:
    """Steps are numbers: 10000 comes after 999, although its text comes before."""
    model, steps = copy.deepcopy(model), tmp_path / "checkpoints"
    make_run(model, tmp_path, steps=(999,))
    for step in (1000, 10000, 20000, 999):
        shutil.copytree(steps / "step-00000999", steps / f"step-{step}")
        model.layer.codebook.embedding.fill_(step)
        write_model(model, steps / f"step-{step}", extra={"step": step})
        write_sums(steps / f"step-{step}")
    (steps / "step-20000/training_state.json").unlink()
    shutil.rmtree(steps / "step-00000999")
    assert [step for step, _ in checkpoint_folders(tmp_path)] == [999, 1000, 10000]
    assert newest_checkpoint(tmp_path) == steps / "step-10000"
    assert (load_pretrained(tmp_path).codebooks()["layer0"] == 10000).all()
    assert (load_codebook(tmp_path).vectors == 10000).all()


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "SHA256SUMS"])
def test_one_flipped_bit_anywhere_is_noticed(model: Any, name: str, tmp_path: Path) -> None:
    whole = (save_pretrained(model, tmp_path / "m") / name).read_bytes()
    for place in np.random.default_rng(0).choice(8 * len(whole), 12, replace=False).tolist():
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        (tmp_path / "m" / name).write_bytes(damaged)
        with pytest.raises(InputError, match=r"m/(SHA256SUMS|config\.json|model\.safetensors): "):
            load_pretrained(tmp_path / "m")
        if name != "SHA256SUMS":
            with pytest.raises(CodebookError, match=r"m/(config\.json|model\.safetensors)|has no tensor"):
                load_codebook(tmp_path / "m")
    (tmp_path / "m" / name).write_bytes(whole)
    load_pretrained(tmp_path / "m")


def test_values_that_are_not_finite_are_refused(model: Any, tmp_path: Path) -> None:
    spoilt = copy.deepcopy(model)
    spoilt.layer.codebook.embedding[3, 1] = torch.nan
    save_pretrained(spoilt, tmp_path / "m")
    with pytest.raises(InputError, match=r"tensor 'layer.codebook.embedding' holds NaN or infinity"):
        load_pretrained(tmp_path / "m")


def test_a_checkpoint_of_another_step_than_it_says_is_refused(model: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    make_run(model, run, steps=(5,))
    (run / "checkpoints/step-00000005").rename(run / "checkpoints/step-00000007")
    with pytest.raises(InputError, match=r"the step is 7 by the name of the folder, 5 by config.json"):
        load_pretrained(run)


def test_files_have_the_mode_that_new_files_get(model: Any, tmp_path: Path) -> None:
    (tmp_path / "new").touch()
    save_pretrained(model, tmp_path / "m")
    assert {p.stat().st_mode for p in (tmp_path / "m").iterdir()} == {(tmp_path / "new").stat().st_mode}


@pytest.mark.parametrize("name", ["released.pt", "released.tar", "released"])
def test_a_file_of_any_name_is_read_as_a_released_checkpoint(name: str, tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / name)
    with pytest.raises(InputError, match=f"{name}: no released method is recognised in this file"):
        load_pretrained(tmp_path / name)


@pytest.mark.parametrize("kind", [torch.float64, torch.float16])
def test_a_folder_keeps_its_types_and_loads_as_float32_or_as_asked(kind: torch.dtype, tmp_path: Path) -> None:
    model = model_of("dcid", MODALITIES).to(kind)
    save_pretrained(model, tmp_path / "m")
    stored = load_file(tmp_path / "m/model.safetensors")
    assert stored["layer.cpc.predictors.audio.0.weight"].dtype == kind
    assert {p.dtype for p in load_pretrained(tmp_path / "m").parameters()} == {torch.float32}
    again = load_pretrained(tmp_path / "m", dtype=torch.float64).state_dict()
    assert all(torch.equal(again[key], tensor.to(again[key].dtype)) for key, tensor in stored.items())


def test_a_path_without_a_model_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none: no such folder; check the path"):
        load_pretrained(tmp_path / "none")
    with pytest.raises(InputError, match=r"there is no model here \(no config.json\)"):
        load_pretrained(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=r"file: a text: 'x'; expected a file of torch.save"):
        load_pretrained(tmp_path / "file")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match=r"this is a file; expected a folder with config.json"):
        load_pretrained(tmp_path / "config.json")


def test_a_file_cannot_become_a_model_folder(model: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="this is a file; expected a folder to write the model to"):
        save_pretrained(model, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "x"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty"),
        ('{"format_version": 1, "met', "not valid JSON at line 1"),
        ("[1]", "a list at the top level; expected keys and values"),
        ("{}", "'format_version' is missing"),
        ('{"format_version": 1, "library_version": "0", "config": {}}', "'method' is missing"),
    ],
)
def test_a_damaged_description_is_an_input_error(content: str, message: str, folder: Path) -> None:
    (folder / "config.json").write_text(content)
    with pytest.raises(InputError, match=message):
        load_pretrained(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 2}, "format version 2, written by a newer version of unicode-cmg; .*update"),
        ({"format_version": "x"}, "format version 'x'; expected format version 1"),
        ({"method": "dcdi"}, r"unknown method 'dcdi'; expected one of dcid.*; did you mean 'dcid'\?"),
        ({"method": ["dcid"]}, r"'method' is \['dcid'\]; expected a valid string"),
        ({"config": {**CONFIG, "num_cods": 3}}, r"unknown key 'num_cods'; did you mean 'num_codes'\?"),
        ({"config": 3}, "'config' is 3; expected a group of settings"),
    ],
)
def test_a_description_that_does_not_fit_is_an_input_error(
    changes: dict[str, Any], message: str, folder: Path
) -> None:
    change_config(folder, **changes)
    with pytest.raises(InputError, match=message) as caught:
        load_pretrained(folder)
    assert "config.json" in str(caught.value)


def test_missing_weights_are_an_input_error(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"model.safetensors: no such file"):
        load_pretrained(folder)


@pytest.mark.parametrize("keep", [0, 4, 8, 200, -1, -100])
def test_truncated_weights_are_an_input_error(keep: int, folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(
        InputError, match=r"model.safetensors: (the file is empty|not a whole safetensors file)"
    ):
        load_pretrained(folder)


@pytest.mark.parametrize(
    "content", [b"\x80\x04pickle" * 20, struct.pack("<Q", 1 << 62) + b"{}", struct.pack("<Q", 5) + b"hello"]
)
def test_weights_that_are_no_safetensors_are_an_input_error(content: bytes, folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(InputError, match="not a whole safetensors file"):
        load_pretrained(folder)


def test_a_missing_tensor_is_named(folder: Path) -> None:
    key = json.loads((folder / "config.json").read_text())["codebooks"]["layer0"]
    change_tensors(folder, lambda tensors: tensors.pop(key))
    with pytest.raises(InputError, match=rf"tensor '{key}' is missing; its config.json"):
        load_pretrained(folder)


def test_a_surplus_tensor_is_named(folder: Path) -> None:
    change_tensors(folder, lambda tensors: tensors.update(more=torch.zeros(1), most=torch.zeros(1)))
    with pytest.raises(InputError, match=r"tensor 'more' does not belong to this model \(and 1 more\)"):
        load_pretrained(folder)


def test_a_tensor_of_another_shape_is_named(folder: Path) -> None:
    key = json.loads((folder / "config.json").read_text())["codebooks"]["layer0"]
    change_tensors(folder, lambda tensors: tensors.update({key: torch.zeros(11, 8)}))
    with pytest.raises(InputError, match=rf"tensor '{key}' has shape \[11, 8\]; expected \[12, 8\]"):
        load_pretrained(folder)


def test_the_registry_knows_its_methods() -> None:
    assert available_methods() == unicode_cmg.available_methods()
    for name in available_methods():
        assert method_class(name).config_class.model_fields
    with pytest.raises(InputError, match=r"unknown method 'dicd'.*did you mean 'dcid'\?"):
        method_class("dicd", where="here")


def test_the_public_names_are_there_and_importing_them_does_not_load_torch() -> None:
    assert set(unicode_cmg.__all__) <= set(dir(unicode_cmg))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = unicode_cmg.nonsense
    code = (
        "import sys, unicode_cmg; unicode_cmg.available_methods(); unicode_cmg.__version__; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_folder_of_the_cache_of_the_hub_and_the_name_of_a_model_there(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "models--user--name"
    save_pretrained(model, cache / "snapshots" / "c0ffee")
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("c0ffee\n")
    assert load_pretrained(cache).name == model.name
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="hf download user/name --local-dir name"):
        load_pretrained("user/name")


def test_a_pointer_of_git_lfs_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n"
    )
    with pytest.raises(
        InputError, match="a Git LFS pointer, not the file itself; fetch the file: git lfs pull"
    ):
        read_tensors(tmp_path / "model.safetensors")
