"""The forward pass of each released method, number for number, and what each of its encoders hands out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from released_models import (
    from_released,
    golden,
    golden_batch,
    golden_parameters,
    relative_error,
    released_model,
)

from unicode_cmg.checkpoints.released import LAYOUTS
from unicode_cmg.methods.fcid import FCID

MODALITIES = ("audio", "video", "text")
SUFFIXES = ("", "_2")
SHORT = {"video": "v", "audio": "a", "text": "t"}
FINE = ("video", "audio")
TOLERANCE = 1e-6


def test_released_tensors_come_back_as_they_were() -> None:
    released, layout = golden_parameters("fcid"), LAYOUTS["fcid"]
    config, state = from_released("fcid", released)
    unused = {key: tensor for key, tensor in released.items() if layout.our_name(key) is None}
    written = layout.to_released(config, state, unused=unused)
    assert written.keys() == released.keys()
    assert all(torch.equal(tensor, released[key]) for key, tensor in written.items())


def test_a_released_file_holds_the_encoder_alone_and_that_is_enough_to_encode() -> None:
    whole = released_model("fcid")
    encoder = {key: t for key, t in golden_parameters("fcid").items() if key.startswith("Encoder/")}
    config, state = from_released("fcid", encoder)
    fresh = {key.split(".")[1] for key in FCID(config).state_dict() if key not in state}
    assert fresh == {"critic", "cpc", "decoder"}
    assert all(torch.equal(tensor, whole.state_dict()[key]) for key, tensor in state.items())


def test_representations_of_dcid_are_the_released_ones() -> None:
    io = golden("dcid_io_public")
    model = released_model("dcid").eval()
    with torch.no_grad():
        r = model.represent(golden_batch(io))
    for m in MODALITIES:
        assert relative_error(r.general[m], io[f"forward/{m}_semantic_result"]) < TOLERANCE
        assert relative_error(r.quantized[m].codes, io[f"forward/{m}_vq"]) < TOLERANCE
        assert np.array_equal(r.quantized[m].indices.flatten().numpy(), io[f"forward/indices_{m}"])
        specific = r.specific[m][:1] if m == "video" else r.specific[m]
        assert relative_error(specific, io[f"forward/{m}_encoder_result"]) < TOLERANCE
    assert relative_error(r.inputs["text"], io["out/text_feature"]) < TOLERANCE
    assert relative_error(r.summary["video"], io["forward/video_club_feature"]) < TOLERANCE
    reconstruction = model.layer.decoder["video"](r.quantized["video"].codes, r.specific["video"])
    assert relative_error(reconstruction[:1, :2], io["decoder/video_recon"]) < TOLERANCE


@pytest.mark.parametrize("layer", [0, 1])
def test_representations_of_hdcid_are_the_released_ones(layer: int) -> None:
    io = golden("hdcid_io_public")
    model = released_model("hdcid").eval()
    with torch.no_grad():
        r = model.represent(golden_batch(io))[layer]
        losses = model.training_losses(golden_batch(io), generator=torch.Generator())
    suffix = SUFFIXES[layer]
    for m in MODALITIES:
        assert relative_error(r.general[m], io[f"forward/{m}_semantic_result{suffix}"]) < TOLERANCE
        assert relative_error(r.quantized[m].codes, io[f"forward/{m}_vq{suffix}"]) < TOLERANCE
        assert np.array_equal(r.quantized[m].indices.flatten().numpy(), io[f"forward/indices_{m}{suffix}"])
        specific = r.specific[m][:1] if (m, layer) == ("video", 0) else r.specific[m]
        assert relative_error(specific, io[f"forward/{m}_encoder_result{suffix}"]) < TOLERANCE
        loss = losses[f"reconstruction/layer1/{m}" if layer else f"reconstruction/{m}"]
        assert relative_error(loss, io[f"decoder/{m}_recon_loss{suffix}"]) < TOLERANCE
    if layer == 0:
        assert relative_error(r.summary["video"], io["forward/video_club_feature"]) < TOLERANCE


def test_representations_of_fcid_are_the_released_ones() -> None:
    io = golden("fcid_io_public")
    model = released_model("fcid").eval()
    with torch.no_grad():
        r = model.represent(golden_batch(io))
    for m, s in SHORT.items():
        clip = {"gen": r.coarse.general, "spe": r.coarse.specific}
        assert relative_error(r.coarse.inputs[m][:, 0], io[f"forward/coarse_{s}_result"]) < TOLERANCE
        for kind, ours in clip.items():
            assert relative_error(ours[m][:, 0], io[f"forward/coarse_{s}_{kind}_result"]) < TOLERANCE
        assert relative_error(r.quantized[m].codes, io[f"forward/c_{s}_vq"]) < TOLERANCE
        assert np.array_equal(r.quantized[m].indices.flatten().numpy(), io[f"forward/indices_{m}"])
    for m in FINE:
        for released in (f"{SHORT[m]}_gen_result", f"f_{SHORT[m]}_vq"):  # fine features are not quantized
            assert relative_error(r.fine.general[m], io[f"forward/{released}"]) < TOLERANCE
    assert relative_error(r.fine.specific["audio"], io["forward/a_spe_result"]) < TOLERANCE
    assert relative_error(r.fine.specific["video"][:1], io["forward/v_spe_result"]) < TOLERANCE
    assert relative_error(r.fine.summary["video"], io["forward/v_club_feature"]) < TOLERANCE


def test_loss_terms_of_fcid_in_evaluation_are_the_released_ones() -> None:
    io = golden("fcid_io_public")
    model = released_model("fcid").eval()
    with torch.no_grad():
        losses = model.training_losses(golden_batch(io), generator=torch.Generator())
    for prefix, released in {
        "reconstruction/fine/": "decoder/fine_recon_loss",
        "reconstruction/coarse/": "decoder/coarse_recon_loss",
        "commitment/": "forward/c_embedding_loss",
        "info_nce/": "out/infonce_vt_plus_at",
        "cmcm": "forward/c_cmcm_loss",
    }.items():
        total = sum(loss for name, loss in losses.items() if name.startswith(prefix))
        assert relative_error(total, io[released]) < TOLERANCE, prefix


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("method", ["dcid", "hdcid"])
def test_encode_is_the_released_downstream_entry_point(method: str, modality: str) -> None:
    io = golden(f"{method}_io_public")
    model = released_model(method).eval()
    features = golden_batch(io).features[modality]
    with torch.no_grad():
        encoding = model.encode(modality, features)
    name = f"out/{modality.capitalize()}_VQ_Encoder"
    by_layer = method == "hdcid" and modality != "text"
    expected = np.concatenate([io[f"{name}/vq{s}"] for s in SUFFIXES], -1) if by_layer else io[name]
    assert relative_error(encoding.codes, expected) < TOLERANCE
    for layer, suffix in enumerate(SUFFIXES if by_layer else ()):
        assert np.array_equal(encoding.indices[..., layer].flatten(), io[f"{name}/indices{suffix}"])


@pytest.mark.parametrize("modality", SHORT)
@pytest.mark.parametrize(("level", "released"), [("clip", "C_ret"), ("segment", "C_split")])
def test_encode_of_fcid_is_the_released_downstream_entry_points(
    modality: str, level: str, released: str
) -> None:
    io = golden("fcid_io_public")
    model = released_model("fcid").eval()
    with torch.no_grad():
        encoding = model.encode(modality, golden_batch(io).features[modality], level=level)
    key = f"out/{modality.capitalize()}_VQ_Encoder_{released}"
    assert np.array_equal(encoding.indices.flatten().numpy(), io[f"{key}_indices"])
    codes = model.codebooks()["layer0"][io[f"{key}_indices"]]
    assert relative_error(encoding.codes.flatten(0, 1), codes.numpy()) < TOLERANCE
    if key in io:  # the released text encoder returns no codes of segments
        assert relative_error(encoding.codes.reshape(io[key].shape), io[key]) < TOLERANCE


@pytest.mark.parametrize("modality", FINE)
def test_fine_features_are_the_released_downstream_entry_point(modality: str) -> None:
    io = golden("fcid_io_public")
    with torch.no_grad():
        fine = released_model("fcid").eval().encode_fine(modality, golden_batch(io).features[modality])
    assert relative_error(fine, io[f"out/{modality.capitalize()}_VQ_Encoder_F"]) < TOLERANCE
