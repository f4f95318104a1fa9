"""Released checkpoints become models that compute what the released code computes."""

from __future__ import annotations

import argparse
import os
import pickle
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from released_files import (
    MODALITIES,
    RELEASED,
    content,
    features,
    golden_file,
    loaded,
    our_codes,
    released_codes,
    state_dicts,
    whole_state,
)
from safetensors.torch import save_file

from unicode_cmg import InputError, Method, load_pretrained, load_published
from unicode_cmg.batch import FeatureBatch
from unicode_cmg.checkpoints.released.file import read_released

Change = Callable[[dict[str, Any]], object]


def changed(tmp_path: Path, method: str, change: Change) -> Path:
    """A copy of a golden checkpoint with something else in it, and without its optimizers."""
    values = {k: v for k, v in content(golden_file(method)).items() if not k.startswith("optimizer")}
    change(values)
    path = tmp_path / "released.pt"
    torch.save(values, path)
    return path


def refusal(path: Path) -> str:
    """The one line that a file is refused with."""
    with pytest.raises(InputError) as caught:
        load_published(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("method", RELEASED)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-4)])
def test_codes_are_those_of_the_released_code(
    method: str, modality: str, dtype: torch.dtype, tolerance: float
) -> None:
    model = loaded(method, dtype)
    assert model.name == method
    assert not model.training
    codes = our_codes(model, method, modality)
    assert codes.dtype == dtype
    difference = (codes.double() - released_codes(method, modality)).abs().max()
    assert difference <= tolerance


@pytest.mark.parametrize("method", RELEASED)
def test_float32_is_the_default_although_released_files_hold_float64(method: str) -> None:
    ours = {p.dtype for p in load_published(golden_file(method)).parameters()}
    theirs = {t.dtype for t in state_dicts(golden_file(method))["Encoder_parameters"].values()}
    assert (ours, theirs) == ({torch.float32}, {torch.float64})


@pytest.mark.parametrize("method", RELEASED)
def test_every_size_is_read_off_the_tensors(method: str) -> None:
    with np.load(golden_file(method).with_name(f"{method}_params_public.npz")) as arrays:
        dims = dict(zip(arrays["meta/dims_names"], arrays["meta/dims"].tolist(), strict=True))
    config = loaded(method).config.model_dump()
    specs = config["modalities"]
    assert (config["dim"], config["num_codes"], config["feedforward"]) == (dims["D"], dims["M"], dims["ff"])
    assert [specs[m]["dim"] for m in MODALITIES] == [dims["A"], dims["V"], dims["R"]]
    assert [specs[m]["specific_dim"] for m in ("audio", "video")] == [dims["AO"], dims["VO"]]
    assert specs["text"]["context"] == (None if method == "fcid" else 2 * dims["L"])
    assert config["fidelity"] == "released"


@pytest.mark.parametrize("method", RELEASED)
def test_load_pretrained_takes_the_file_too(method: str) -> None:
    model = load_pretrained(golden_file(method), dtype=torch.float64)
    assert torch.equal(our_codes(model, method, "audio"), our_codes(loaded(method), method, "audio"))


@pytest.mark.parametrize("method", RELEASED)
def test_the_whole_training_state_leaves_nothing_fresh(method: str, tmp_path: Path) -> None:
    torch.save({**whole_state(method), "epoch": 3}, tmp_path / "whole.pt")
    model = load_published(tmp_path / "whole.pt", dtype=torch.float64)
    assert model.origin is not None
    assert model.origin.fresh == ()
    hidden = model.config.model_dump()["critic_hidden"]
    assert hidden == 2 * whole_state(method)["Video_mi_net_parameters"]["p_mu.0.weight"].shape[0]


@pytest.mark.parametrize("method", RELEASED)
def test_what_a_file_does_not_hold_is_fresh_reproducible_and_named(method: str, tmp_path: Path) -> None:
    keep = {"Encoder_parameters": state_dicts(golden_file(method))["Encoder_parameters"]}
    torch.save(keep, tmp_path / "encoder.pt")
    torch.manual_seed(1)
    first = load_published(tmp_path / "encoder.pt")
    state = torch.get_rng_state()
    torch.manual_seed(2)
    second = load_published(tmp_path / "encoder.pt")
    assert not torch.equal(torch.get_rng_state(), state)  # the seeds did make a difference outside
    assert first.origin is not None
    assert first.origin.modules == ("Encoder",)
    fresh = first.origin.fresh
    assert any("decoder" in part for part in fresh)
    assert any("critic" in part for part in fresh)
    assert any("cpc" in part for part in fresh)
    assert not any("general" in part or "codebook" in part for part in fresh)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_loading_leaves_the_random_state_alone() -> None:
    before = torch.get_rng_state()
    load_published(golden_file("dcid"))
    assert torch.equal(torch.get_rng_state(), before)


def _bare(values: dict[str, Any]) -> Any:
    return values["Encoder_parameters"]


def _parallel(values: dict[str, Any]) -> Any:
    return {
        entry: {f"module.{key}": tensor for key, tensor in value.items()}
        if entry.endswith("_parameters")
        else value
        for entry, value in values.items()
    }


def _bare_parallel(values: dict[str, Any]) -> Any:
    return _parallel(values)["Encoder_parameters"]


@pytest.mark.slow
@pytest.mark.parametrize("form", [_bare, _parallel, _bare_parallel])
@pytest.mark.parametrize("method", RELEASED)
def test_other_forms_of_the_file_encode_the_same(method: str, form: Change, tmp_path: Path) -> None:
    torch.save(form(content(golden_file(method))), tmp_path / "other.pt")
    model = load_published(tmp_path / "other.pt", dtype=torch.float64)
    for modality in ("audio", "video"):
        expected = released_codes(method, modality)
        assert (our_codes(model, method, modality) - expected).abs().max() <= 1e-6


def test_without_its_lstm_text_is_read_as_the_output_of_it(tmp_path: Path) -> None:
    path = changed(tmp_path, "dcid", lambda values: values.pop("Text_ar_lstm_parameters"))
    model = load_published(path, dtype=torch.float64)
    with np.load(golden_file("dcid").with_name("dcid_io_public.npz")) as arrays, torch.no_grad():
        codes = model.encode("text", torch.from_numpy(arrays["out/text_feature"])).codes
    assert (codes - released_codes("dcid", "text")).abs().max() <= 1e-6
    assert model.origin is not None
    assert not any("context" in part for part in model.origin.fresh)


def test_modules_may_be_missing_one_by_one(tmp_path: Path) -> None:
    path = changed(tmp_path, "dcid", lambda values: values.pop("Audio_mi_net_parameters"))
    model = load_published(path)
    assert model.origin is not None
    assert model.origin.fresh == ("layer.critic.audio",)


class Evil:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_code_in_a_file_does_not_run_and_the_tensors_beside_it_are_read(tmp_path: Path) -> None:
    path = changed(tmp_path, "fcid", lambda values: values.update(hook=Evil(tmp_path / "ran")))
    assert load_published(path).name == "fcid"
    assert read_released(path).dropped == ("hook",)
    path.write_bytes(pickle.dumps(Evil(tmp_path / "ran"), protocol=2))
    assert "no released method is recognised" in refusal(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "extra",
    [np.float64(0.5), np.arange(3.0), Path("a"), argparse.Namespace(lr=1), timedelta(1), {Evil: {"best": 1}}],
    ids=lambda extra: type(extra).__name__,
)
def test_what_lies_beside_the_modules_is_left_out_and_named(extra: Any, tmp_path: Path) -> None:
    path = changed(tmp_path, "fcid", lambda values: values.update(extra=extra, epoch=np.int64(3)))
    file = read_released(path)
    assert file.dropped == ("extra",)
    assert file.counters["epoch"] == 3
    expected = state_dicts(golden_file("fcid"))["Encoder_parameters"]
    assert all(torch.equal(file.tensors[f"Encoder/{key}"], value) for key, value in expected.items())


@pytest.mark.parametrize("wrap", ["model", "state_dict"])
def test_modules_one_level_deeper_are_found(wrap: str, tmp_path: Path) -> None:
    values = content(golden_file("fcid"))
    torch.save({wrap: values, "epoch": 7, "hparams": argparse.Namespace(lr=1)}, tmp_path / "deeper.pt")
    assert read_released(tmp_path / "deeper.pt").dropped == ("hparams",)
    torch.save({wrap: values["Encoder_parameters"], "best": 1.0}, tmp_path / "encoder.pt")
    assert read_released(tmp_path / "encoder.pt").dropped == ("best",)


def test_tensors_of_bfloat16_keep_their_bits(tmp_path: Path) -> None:
    encoder = {k: v.bfloat16() for k, v in state_dicts(golden_file("fcid"))["Encoder_parameters"].items()}
    torch.save(encoder, tmp_path / "half.pt")
    found = read_released(tmp_path / "half.pt").tensors
    assert all(torch.equal(found[f"Encoder/{key}"], value) for key, value in encoder.items())


def _set(entry: str, key: str, value: Any) -> Change:
    return lambda values: values[entry].update({key: value})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda v: v["Encoder_parameters"].pop("Cross_quantizer.ema_weight"),
            "tensor 'Encoder/Cross_quantizer.ema_weight' is missing; expected every tensor of each module",
        ),
        (
            lambda v: v["Encoder_parameters"].pop("Audio_encoder.audio_linear.weight"),
            "tensor 'Encoder/Audio_encoder.audio_linear.weight' is missing",
        ),
        (
            lambda v: [v["Decoder_parameters"].pop(k) for k in list(v["Decoder_parameters"])[1:]],
            "is missing (and 28 more)",
        ),
        (
            lambda v: v["Encoder_parameters"].pop("video_self_att.encoder_layer.norm1.bias"),
            "tensor 'Encoder/video_self_att.encoder_layer.norm1.bias' is missing",
        ),
        (
            _set("Encoder_parameters", "Cross_quantizer.more", torch.zeros(1)),
            "tensor 'Encoder/Cross_quantizer.more' does not belong to a released DCID",
        ),
        (_set("CPC_parameters", "more", torch.zeros(1)), "unknown key 'CPC/more'"),
        (
            _set("Encoder_parameters", "Cross_quantizer.embedding", torch.zeros(32, 15)),
            "tensor 'Encoder/Cross_quantizer.embedding' has shape [32, 15]; expected [32, 16]",
        ),
        (
            _set("Encoder_parameters", "Audio_encoder.audio_linear.weight", torch.tensor(0.0)),
            "tensor 'Encoder/Audio_encoder.audio_linear.weight' has shape []",
        ),
        (
            _set("Encoder_parameters", "video_semantic_encoder.ave_v_att.bias", torch.zeros(2)),
            "'Encoder/video_semantic_encoder.ave_v_att.bias' has shape [2]; expected [1]",
        ),
        (
            _set("Encoder_parameters", "Cross_quantizer.ema_count", torch.zeros(32, dtype=torch.int64)),
            "'Cross_quantizer.ema_count' of 'Encoder_parameters' is torch.int64; expected a dense tensor",
        ),
        (
            _set("Encoder_parameters", "Cross_quantizer.ema_count", 3),
            "'Cross_quantizer.ema_count' of 'Encoder_parameters' is int",
        ),
        (lambda v: v.update(Slot_parameters={"a": torch.zeros(1)}), "unknown module 'Slot'"),
        (lambda v: v.pop("Encoder_parameters"), "no released method is recognised in this file"),
        (lambda v: v.update(Encoder_parameters={}), "no released method is recognised in this file"),
    ],
)
def test_a_file_with_other_tensors_is_refused(change: Change, says: str, tmp_path: Path) -> None:
    assert says in refusal(changed(tmp_path, "dcid", change))


@pytest.mark.parametrize("method", RELEASED)
def test_tensors_all_over_the_encoder_are_asked_for_and_compared(method: str, tmp_path: Path) -> None:
    path, encoder = tmp_path / "encoder.pt", state_dicts(golden_file(method))["Encoder_parameters"]
    for key in list(encoder)[:: len(encoder) // 2]:
        torch.save({k: v for k, v in encoder.items() if k != key}, path)
        assert f"'Encoder/{key}' is missing" in refusal(path)
        torch.save({**encoder, key: torch.cat([encoder[key], encoder[key]])}, path)
        assert "has shape" in refusal(path)


def _truncate(share: float) -> Callable[[bytes], bytes]:
    return lambda data: data[: int(len(data) * share)]


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_truncate(0), "the file is empty; it may have been truncated"),
        (_truncate(0.001), "not a whole file of torch.save"),
        (_truncate(0.5), "not a whole file of torch.save"),
        (_truncate(0.999), "not a whole file of torch.save"),
        (lambda data: b"\x80", "not a whole file of torch.save"),
        (lambda data: b"PK\x03\x04", "not a whole file of torch.save (the end of the zip is missing)"),
        (lambda data: b"hello world\n" * 100, "a text: 'hello world"),
        (lambda data: bytes(1000), "zeros only"),
        (lambda data: b"\x89PNG\r\n\x1a\n" + bytes(100), "a PNG picture"),
    ],
)
def test_a_damaged_file_is_refused(damage: Callable[[bytes], bytes], says: str, tmp_path: Path) -> None:
    path = tmp_path / "released.pt"
    path.write_bytes(damage(golden_file("fcid").read_bytes()))
    assert says in refusal(path)


def test_a_safetensors_file_by_another_name_is_refused(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / "model.pt")
    assert "this is a safetensors file" in refusal(tmp_path / "model.pt")


@pytest.mark.parametrize(
    "value", [{}, [1, 2], torch.zeros(3), {"a": torch.zeros(2)}, {"Encoder_parameters": 3}, "text"]
)
def test_another_checkpoint_is_refused(value: Any, tmp_path: Path) -> None:
    torch.save(value, tmp_path / "other.pt")
    message = refusal(tmp_path / "other.pt")
    assert message.startswith("no released method is recognised in this file; expected a checkpoint of the")
    assert "DCID" in message


def test_a_path_without_a_file_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path) == "this is a folder; expected a file"
    assert refusal(tmp_path / "none.pt") == "no such file; check the path"


def test_an_old_form_of_torchs_files_is_read(tmp_path: Path) -> None:
    torch.save(content(golden_file("fcid")), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert load_published(tmp_path / "old.pt").name == "fcid"


@pytest.mark.parametrize("method", RELEASED)
def test_a_batch_goes_through_a_loaded_model_in_training(method: str) -> None:
    model: Method[Any] = load_published(golden_file(method)).train()
    batch = FeatureBatch.of({m: x.float() for m, x in features(method).items()})
    losses = model.training_losses(batch, generator=torch.Generator())
    assert all(torch.isfinite(loss) for loss in losses.values())
