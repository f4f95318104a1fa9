"""Models are shared by huggingface_hub's own methods, over our own files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard, constants
from released_files import golden_file
from small_hub import SmallHub
from tiny_models import model_of

from unicode_cmg import InputError, Method, load_pretrained, load_published, save_pretrained
from unicode_cmg.checkpoints import convert
from unicode_cmg.methods.dcid import DCID
from unicode_cmg.methods.hdcid import HDCID


@pytest.fixture(scope="module")
def model() -> Method[Any]:
    return model_of("dcid", {"audio": {"dim": 6}, "video": {"dim": 4, "grid": [2, 3]}}).eval()


def same(a: Method[Any], b: Method[Any]) -> bool:
    left, right = a.state_dict(), b.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


def test_a_folder_comes_back_through_the_base_class_as_its_method(model: Method[Any], tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "model")
    for cls in (Method, DCID):
        loaded = cls.from_pretrained(tmp_path / "model")
        assert type(loaded) is DCID
        assert not loaded.training
        assert same(loaded, model)
    assert same(load_pretrained(tmp_path / "model"), model)


def test_what_is_saved_is_the_native_checkpoint_and_a_card(model: Method[Any], tmp_path: Path) -> None:
    model.save_pretrained(str(tmp_path / "shared"))
    save_pretrained(model, tmp_path / "native")
    names = {path.name for path in (tmp_path / "shared").iterdir()}
    assert names == {"config.json", "model.safetensors", "SHA256SUMS", "README.md"}
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "shared" / name).read_bytes() == (tmp_path / "native" / name).read_bytes()


def test_saving_leaves_the_other_files_of_a_folder_alone(model: Method[Any], tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("written by hand")
    (tmp_path / "notes.txt").write_text("keep")
    load_published(golden_file("fcid")).save_pretrained(tmp_path)
    assert (tmp_path / "released.safetensors").is_file()
    model.save_pretrained(tmp_path)
    assert not (tmp_path / "released.safetensors").exists()
    assert (tmp_path / "README.md").read_text() == "written by hand"
    assert (tmp_path / "notes.txt").read_text() == "keep"
    assert same(Method.from_pretrained(tmp_path), model)


def test_half_a_model_is_not_taken_for_one(
    model: Method[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.save_pretrained(tmp_path)
    monkeypatch.setattr("unicode_cmg.checkpoints.native.write_tensors", _no_space)
    with pytest.raises(InputError, match="the disk is full"):
        model.save_pretrained(tmp_path)
    with pytest.raises(InputError, match="there is no model here"):
        Method.from_pretrained(tmp_path)


def _no_space(path: Path, tensors: object) -> None:
    raise OSError(28, "No space left on device", str(path))


def test_runs_released_files_types_and_devices_are_taken(model: Method[Any], tmp_path: Path) -> None:
    save_pretrained(model, tmp_path / "run/model")
    assert same(Method.from_pretrained(tmp_path / "run"), model)
    released = Method.from_pretrained(golden_file("hdcid"), dtype=torch.float64, map_location="cpu")
    assert type(released) is HDCID
    assert next(released.parameters()).dtype == torch.float64


def test_a_model_of_another_method_is_refused(model: Method[Any], tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "model")
    with pytest.raises(InputError, match=r"a model of the method 'dcid'; expected one of 'hdcid'; load it"):
        HDCID.from_pretrained(tmp_path / "model")


def test_a_damaged_folder_is_refused_in_one_line(model: Method[Any], tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "model")
    (tmp_path / "model/config.json").write_text('{"format_version": 1, "met')
    with pytest.raises(InputError, match=r"config.json: not valid JSON at line 1"):
        Method.from_pretrained(tmp_path / "model")


def test_a_misspelt_argument_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="dtipe"):
        Method.from_pretrained(tmp_path, dtipe=torch.float64)  # type: ignore[call-arg]


def test_a_model_goes_to_the_hub_and_comes_back(model: Method[Any], hub: SmallHub) -> None:
    url = model.push_to_hub("someone/model", token="hf_test", model_card_kwargs={"license": "cc-by-4.0"})
    assert str(url).startswith(hub.url)
    files = hub.models["someone/model"]
    assert set(files) == {"config.json", "model.safetensors", "SHA256SUMS", "README.md"}
    assert json.loads(files["config.json"])["method"] == "dcid"
    assert ModelCard(files["README.md"].decode()).data.license == "cc-by-4.0"
    files["large.bin"] = b"not ours"
    loaded = Method.from_pretrained("someone/model", token=False)
    assert type(loaded) is DCID
    assert same(loaded, model)
    assert not any("someone" in request for request in hub.unknown)
    cached = {path.name for path in Path(constants.HF_HUB_CACHE).rglob("*") if path.is_symlink()}
    assert cached == {"config.json", "model.safetensors", "SHA256SUMS"}


@pytest.mark.slow
def test_a_released_model_comes_back_from_the_hub_whole(hub: SmallHub, tmp_path: Path) -> None:
    load_published(golden_file("fcid"), dtype=torch.float64).push_to_hub("someone/released", token="hf_test")
    assert "released.safetensors" in hub.models["someone/released"]
    loaded = Method.from_pretrained("someone/released", dtype=torch.float64, token=False)
    save_pretrained(loaded, tmp_path / "model")
    convert(tmp_path / "model", tmp_path / "back.pt")
    convert(golden_file("fcid"), tmp_path / "direct")
    convert(tmp_path / "direct", tmp_path / "direct.pt")
    assert (tmp_path / "back.pt").read_bytes() == (tmp_path / "direct.pt").read_bytes()


def test_a_name_that_is_not_on_the_hub_is_refused(hub: SmallHub) -> None:
    with pytest.raises(InputError, match="someone/none: no such file or folder, and no model of this name"):
        Method.from_pretrained("someone/none", token=False)
    assert any("someone/none" in request for request in hub.unknown)


@pytest.mark.parametrize("name", ["folder/of/nothing", "./none", "none.pt", "a folder"])
def test_a_path_to_nothing_is_refused(name: str, hub: SmallHub) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        Method.from_pretrained(name, token=False)


def test_without_a_connection_the_cache_is_enough_and_a_missing_model_is_refused(
    model: Method[Any], hub: SmallHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.push_to_hub("someone/model", token="hf_test")
    Method.from_pretrained("someone/model", token=False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert same(Method.from_pretrained("someone/model", local_files_only=True), model)
    with pytest.raises(InputError, match="the Hub cannot be asked for it; check the path"):
        Method.from_pretrained("someone/other", local_files_only=True)
