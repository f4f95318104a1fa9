"""Released checkpoints to model folders and back: nothing is lost on the way, and nothing is made up."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from released_files import (
    MODALITIES,
    RELEASED,
    content,
    golden_file,
    our_codes,
    released_codes,
    same_tensors,
    state_dicts,
    whole_state,
)
from safetensors.torch import load_file

from unicode_cmg import InputError, Method, load_pretrained, load_published, save_pretrained
from unicode_cmg.checkpoints import convert
from unicode_cmg.checkpoints.native import load_folder
from unicode_cmg.checkpoints.sums import write_sums
from unicode_cmg.methods import method_class

SIZES = {"dim": 16, "num_codes": 32, "feedforward": 32, "critic_hidden": 32, "fidelity": "released"}


def native(method: str, **changes: Any) -> Method[Any]:
    """A model of ours with the sizes and the architecture of the golden checkpoints, never released."""
    torch.manual_seed(3)
    text = {"dim": 20} if method == "fcid" else {"dim": 20, "specific_dim": 20, "context": 24}
    values = {
        **SIZES,
        "modalities": {
            "audio": {"dim": 16, "specific_dim": 16},
            "video": {"dim": 24, "grid": [7, 7], "specific_dim": 32, "summary_dim": 24},
            "text": text,
        },
    }
    if method == "fcid":
        values |= {"transformer_layers": 1, "fine": ["video", "audio"], "coarse": ["text"]}
    for setting, value in changes.items():
        node: Any = values
        *sections, last = setting.split("__")
        for section in sections:
            node = node.setdefault(section, {})
        node[last] = value
    return method_class(method).from_values(values, where="test").eval()


@pytest.mark.parametrize("method", RELEASED)
def test_a_released_checkpoint_comes_back_bit_for_bit(method: str, tmp_path: Path) -> None:
    there = convert(golden_file(method), tmp_path / "model")
    back = convert(tmp_path / "model", tmp_path / "back.pt")
    same_tensors(state_dicts(tmp_path / "back.pt"), state_dicts(golden_file(method)))
    old, new = content(golden_file(method)), content(tmp_path / "back.pt")
    assert set(old) - set(new) == set(there.dropped) == {key for key in old if key.startswith("optimizer")}
    assert set(new) <= set(old)
    assert all(new[key] == old[key] for key in ("epoch", "total_step") if key in old)
    assert there.modules == back.modules
    assert (there.layout, back.layout) == ("native", "released")


@pytest.mark.slow
@pytest.mark.parametrize("method", RELEASED)
def test_the_whole_training_state_comes_back_bit_for_bit(method: str, tmp_path: Path) -> None:
    torch.save(whole_state(method), tmp_path / "whole.pt")
    assert convert(tmp_path / "whole.pt", tmp_path / "model").fresh == ()
    convert(tmp_path / "model", tmp_path / "back.pt")
    same_tensors(state_dicts(tmp_path / "back.pt"), whole_state(method))


def test_a_file_of_two_types_keeps_both(tmp_path: Path) -> None:
    values = state_dicts(golden_file("dcid"))
    values["CPC_parameters"] = {key: t.float() for key, t in values["CPC_parameters"].items()}
    torch.save(values, tmp_path / "mixed.pt")
    convert(tmp_path / "mixed.pt", tmp_path / "model")
    convert(tmp_path / "model", tmp_path / "back.pt")
    same_tensors(state_dicts(tmp_path / "back.pt"), values)


@pytest.mark.slow
@pytest.mark.parametrize("method", RELEASED)
def test_a_converted_model_encodes_as_the_released_code(method: str, tmp_path: Path) -> None:
    convert(golden_file(method), tmp_path / "model")
    kinds = {t.dtype for t in load_file(tmp_path / "model/model.safetensors").values()}
    assert torch.float64 in kinds
    assert torch.float32 not in kinds
    model = load_pretrained(tmp_path / "model", dtype=torch.float64)
    for modality in MODALITIES:
        difference = our_codes(model, method, modality) - released_codes(method, modality)
        assert difference.abs().max() <= 1e-6
    assert next(load_pretrained(tmp_path / "model").parameters()).dtype == torch.float32


def test_the_folder_says_where_the_model_is_from(tmp_path: Path) -> None:
    source = golden_file("hdcid")
    result = convert(source, tmp_path / "model")
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == [
        "SHA256SUMS",
        "config.json",
        "model.safetensors",
        "released.safetensors",
    ]
    extra = json.loads((tmp_path / "model/config.json").read_text())["extra"]
    assert extra == {
        "source": source.name,
        "released": {
            "modules": ["Encoder", "Text_ar_lstm"],
            "fresh": list(result.fresh),
            "counters": {"epoch": 3},
        },
    }
    assert all(key.split("/")[0] == "Encoder" for key in load_file(tmp_path / "model/released.safetensors"))


@pytest.mark.slow
@pytest.mark.parametrize("method", RELEASED)
def test_saving_a_loaded_checkpoint_again_loses_nothing(method: str, tmp_path: Path) -> None:
    save_pretrained(load_published(golden_file(method), dtype=torch.float64), tmp_path / "first")
    save_pretrained(load_pretrained(tmp_path / "first", dtype=torch.float64), tmp_path / "second")
    convert(tmp_path / "second", tmp_path / "back.pt")
    same_tensors(state_dicts(tmp_path / "back.pt"), state_dicts(golden_file(method)))


@pytest.mark.parametrize("method", RELEASED)
def test_a_model_of_ours_gets_every_released_key_and_shape(method: str, tmp_path: Path) -> None:
    save_pretrained(native(method), tmp_path / "model", extra={"step": 77})
    convert(tmp_path / "model", tmp_path / "ours.pt")
    ours, theirs = state_dicts(tmp_path / "ours.pt"), whole_state(method)
    assert set(ours) == set(theirs)
    for entry, state in theirs.items():
        assert {k: t.shape for k, t in ours[entry].items()} == {k: t.shape for k, t in state.items()}, entry
        assert {t.dtype for t in ours[entry].values()} == {torch.float32}
        assert all(torch.isfinite(t).all() for t in ours[entry].values())
    counters = {k: v for k, v in content(tmp_path / "ours.pt").items() if k not in ours}
    assert counters == ({"epoch": 0} if method == "hdcid" else {"epoch": 0, "total_step": 77})


@pytest.mark.slow
@pytest.mark.parametrize("method", RELEASED)
def test_a_model_of_ours_comes_back_exactly(method: str, tmp_path: Path) -> None:
    model = native(method)
    save_pretrained(model, tmp_path / "model")
    convert(tmp_path / "model", tmp_path / "ours.pt")
    convert(tmp_path / "ours.pt", tmp_path / "back")
    back = load_folder(tmp_path / "back", dtype=None).state_dict()
    assert back.keys() == model.state_dict().keys()
    for key, tensor in model.state_dict().items():
        assert back[key].dtype == tensor.dtype, key
        assert torch.equal(back[key], tensor), key


def test_the_file_of_a_model_of_ours_is_reproducible(tmp_path: Path) -> None:
    save_pretrained(native("fcid"), tmp_path / "model")
    for name in ("a.pt", "b.pt"):
        convert(tmp_path / "model", tmp_path / name)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


def test_a_run_and_its_checkpoints_can_be_converted(tmp_path: Path) -> None:
    save_pretrained(native("dcid"), tmp_path / "run/model", extra={"step": 5, "data": {}})
    convert(tmp_path / "run", tmp_path / "ours.pth")
    assert content(tmp_path / "ours.pth")["total_step"] == 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "changes", "says"),
    [
        ("dcid", {"fidelity": "corrected"}, "'pooling' is conv; expected sum, as in every released DCID"),
        ("dcid", {"relu_skip": False}, "'relu_skip' is false; expected true"),
        ("dcid", {"club_summary": "mean"}, "'club_summary' is mean; expected learned"),
        ("dcid", {"transformer_layers": 3}, "'transformer_layers' is 3; expected 2"),
        ("dcid", {"heads": 2}, "'heads' is 2; expected 4"),
        ("dcid", {"modalities__video__grid": [5, 6]}, "grid' is [5, 6]; expected [7, 7]"),
        ("dcid", {"modalities__video__grid": None}, "'modalities.video.grid' is null; expected [7, 7]"),
        ("dcid", {"modalities__text__context": None}, "'modalities.text.context' is null; expected a number"),
        ("dcid", {"modalities__audio__context": 4}, "'modalities.audio.context' is 4; expected null"),
        ("dcid", {"modalities__touch": {"dim": 3}}, "the modalities are audio, video, text, touch; expected"),
        (
            "dcid",
            {"codebook__quantizer": "rvq", "codebook__codebooks": 2},
            "'codebook.quantizer' is rvq; expected mm_ema",
        ),
        (
            "dcid",
            {"codebook__rule": "corrected", "codebook__init": "data"},
            "'layer.codebook.seeded' is False; expected True",
        ),
        ("hdcid", {"modalities__text__context": None}, "'modalities.text.context' is null"),
        ("hdcid", {"pooling": "attention"}, "'pooling' is attention; expected sum, as in every released H-"),
        (
            "fcid",
            {"transformer_layers": 2},
            "'transformer_layers' is 2; expected 1, as in every released FCID",
        ),
        ("fcid", {"modalities__text__context": 8}, "'modalities.text.context' is 8; expected null"),
    ],
)
def test_a_model_the_released_layout_cannot_express_is_refused_by_its_setting(
    method: str, changes: dict[str, Any], says: str, tmp_path: Path
) -> None:
    save_pretrained(native(method, **changes), tmp_path / "model")
    with pytest.raises(InputError) as caught:
        convert(tmp_path / "model", tmp_path / "ours.pt")
    assert str(caught.value).startswith(f"{tmp_path / 'model'}: ")
    assert says in str(caught.value)
    assert not (tmp_path / "ours.pt").exists()


def test_loss_settings_do_not_matter_to_the_released_layout(tmp_path: Path) -> None:
    save_pretrained(native("dcid", cmcm_form="corrected", codebook__rule="corrected"), tmp_path / "model")
    convert(tmp_path / "model", tmp_path / "ours.pt")
    assert set(state_dicts(tmp_path / "ours.pt")) == set(whole_state("dcid"))


def _refused(source: Path, target: Path) -> str:
    with pytest.raises(InputError) as caught:
        convert(source, target)
    return str(caught.value)


def test_the_model_of_a_run_becomes_a_folder_of_its_own(tmp_path: Path) -> None:
    save_pretrained(native("fcid"), tmp_path / "run/model", extra={"step": 7})
    done = convert(tmp_path / "run", tmp_path / "mine")
    assert (done.layout, done.method, done.dropped) == ("native", "fcid", ())
    weights = [(tmp_path / folder / "model.safetensors").read_bytes() for folder in ("run/model", "mine")]
    assert weights[0] == weights[1]
    assert json.loads((tmp_path / "mine/config.json").read_text())["extra"]["step"] == 7
    assert "this is the model itself" in _refused(tmp_path / "run", tmp_path / "run/model")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").write_text("mine")
    assert "holds other files ('notes.txt')" in _refused(tmp_path / "run", tmp_path / "full")


def test_an_exported_model_keeps_what_it_was_read_from(tmp_path: Path) -> None:
    convert(golden_file("dcid"), tmp_path / "model")
    convert(tmp_path / "model", tmp_path / "copy")
    convert(tmp_path / "copy", tmp_path / "back.pt")
    convert(tmp_path / "model", tmp_path / "straight.pt")
    assert (tmp_path / "back.pt").read_bytes() == (tmp_path / "straight.pt").read_bytes()


def test_paths_that_cannot_be_converted_are_refused(tmp_path: Path) -> None:
    assert "this is a released checkpoint already" in _refused(golden_file("fcid"), tmp_path / "x.pt")
    assert "none.pt: no such file or folder" in _refused(tmp_path / "none.pt", tmp_path / "x")
    assert "there is no model here" in _refused(tmp_path, tmp_path / "x.pt")


def test_a_folder_with_other_files_is_not_replaced(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "thesis.tex").write_text("years of work")
    assert "other files ('thesis.tex'), which would be lost" in _refused(golden_file("fcid"), target)
    assert (target / "thesis.tex").read_text() == "years of work"
    (target / "x.pt").mkdir()
    save_pretrained(native("fcid"), tmp_path / "model")
    assert "x.pt: this is a folder" in _refused(tmp_path / "model", target / "x.pt")


def test_a_model_folder_is_replaced_and_stays_whole_when_the_source_is_damaged(tmp_path: Path) -> None:
    convert(golden_file("fcid"), tmp_path / "model")
    damaged = tmp_path / "damaged.pt"
    damaged.write_bytes(golden_file("dcid").read_bytes()[:5000])
    assert "not a whole file of torch.save" in _refused(damaged, tmp_path / "model")
    assert load_pretrained(tmp_path / "model").name == "fcid"
    convert(golden_file("dcid"), tmp_path / "model")
    assert load_pretrained(tmp_path / "model").name == "dcid"


@pytest.mark.parametrize("damage", ["truncated", "missing"])
def test_a_damaged_file_of_unused_tensors_is_refused(damage: str, tmp_path: Path) -> None:
    convert(golden_file("fcid"), tmp_path / "model")
    path = tmp_path / "model/released.safetensors"
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:100])
    assert "released.safetensors: no" in _refused(tmp_path / "model", tmp_path / "x.pt")


def test_a_damaged_note_on_the_origin_is_refused(tmp_path: Path) -> None:
    convert(golden_file("fcid"), tmp_path / "model")
    path = tmp_path / "model/config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "extra": {"released": {"modules": 3}}}))
    assert "config.json: 'modules' is 3" in _refused(tmp_path / "model", tmp_path / "x.pt")


def test_unused_tensors_of_another_model_are_not_written(tmp_path: Path) -> None:
    for method in ("dcid", "fcid"):
        convert(golden_file(method), tmp_path / method)
    shutil.copy(tmp_path / "fcid/released.safetensors", tmp_path / "dcid/released.safetensors")
    write_sums(tmp_path / "dcid", ("config.json", "model.safetensors", "released.safetensors"))
    convert(tmp_path / "dcid", tmp_path / "back.pt")
    ours, theirs = state_dicts(tmp_path / "back.pt"), state_dicts(golden_file("dcid"))
    for entry, state in theirs.items():
        assert {k: t.shape for k, t in ours[entry].items()} == {k: t.shape for k, t in state.items()}
