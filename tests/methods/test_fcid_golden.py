"""The released FCID, number for number: outputs, loss terms, gradients and one full training step."""

from __future__ import annotations

from typing import Any

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
    released_step,
)

from unicode_cmg.checkpoints.released import LAYOUTS
from unicode_cmg.methods.dcid import Draws
from unicode_cmg.methods.fcid import FCID

SHORT = {"video": "v", "audio": "a", "text": "t"}
FINE = ("video", "audio")
CRITICS = {
    "fine/video": "video",
    "fine/audio": "audio",
    "coarse/video+audio": "audiovisual",
    "coarse/text": "text",
}
MODULES = {
    "Video_mi_net": "fine/video",
    "Audio_mi_net": "fine/audio",
    "AudioVisual_mi_net": "coarse/video+audio",
    "Text_mi_net": "coarse/text",
}
TOLERANCE = 1e-6

our_name = LAYOUTS["fcid"].our_name


def test_released_tensors_come_back_as_they_were() -> None:
    released = golden_parameters("fcid")
    config, state = from_released("fcid", released)
    unused = {key: tensor for key, tensor in released.items() if our_name(key) is None}
    written = LAYOUTS["fcid"].to_released(config, state, unused=unused)
    assert written.keys() == released.keys()
    assert all(torch.equal(tensor, released[key]) for key, tensor in written.items())


def test_a_released_file_holds_the_encoder_alone_and_that_is_enough_to_encode() -> None:
    whole = released_model("fcid")
    encoder = {key: t for key, t in golden_parameters("fcid").items() if key.startswith("Encoder/")}
    config, state = from_released("fcid", encoder)
    fresh = {key.split(".")[1] for key in FCID(config).state_dict() if key not in state}
    assert fresh == {"critic", "cpc", "decoder"}
    assert all(torch.equal(tensor, whole.state_dict()[key]) for key, tensor in state.items())


def test_representations_match_the_released_forward_pass() -> None:
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


def test_loss_terms_match_those_of_the_released_forward_pass() -> None:
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


@pytest.mark.parametrize("modality", SHORT)
@pytest.mark.parametrize(("level", "released"), [("clip", "C_ret"), ("segment", "C_split")])
def test_encode_matches_the_released_downstream_entry_points(
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
def test_fine_features_match_the_released_downstream_entry_point(modality: str) -> None:
    io = golden("fcid_io_public")
    with torch.no_grad():
        fine = released_model("fcid").eval().encode_fine(modality, golden_batch(io).features[modality])
    assert relative_error(fine, io[f"out/{modality.capitalize()}_VQ_Encoder_F"]) < TOLERANCE


@pytest.fixture(scope="module")
def step() -> dict[str, Any]:
    """One released training step."""
    arrays = golden("fcid_train_step_public")
    video, audio, text, audiovisual = (torch.from_numpy(arrays[f"epoch0/draw/randperm{i}"]) for i in range(4))
    draws = Draws(
        permutations={"video": video, "audio": audio, "video+audio": audiovisual, "text": text},
        step=int(arrays["epoch0/draw/randint0"][0]) + 1,
    )
    return released_step(released_model("fcid").train(), arrays, draws)


@pytest.mark.parametrize(
    ("prefix", "released"),
    [
        ("reconstruction/fine/", "fine_recon_loss"),
        ("reconstruction/coarse/", "coarse_recon_loss"),
        ("commitment/", "c_embedding_loss"),
        ("info_nce/", "infonce_loss"),
        ("cpc", "cpc_loss"),
        ("cmcm", "c_cmcm_loss"),
        ("", "total"),
    ],
)
def test_every_sum_of_terms_is_the_released_one(step: dict[str, Any], prefix: str, released: str) -> None:
    total = sum(loss for name, loss in step["losses"].items() if name.startswith(prefix))
    assert relative_error(total, step["arrays"][f"epoch0/loss/{released}"]) < TOLERANCE


@pytest.mark.parametrize(("ours", "released"), CRITICS.items())
def test_every_club_term_and_critic_is_the_released_one(
    step: dict[str, Any], ours: str, released: str
) -> None:
    arrays = step["arrays"]
    assert (
        relative_error(step["losses"][f"club/{ours}"], arrays[f"epoch0/loss/mi_{released}_loss"]) < TOLERANCE
    )
    expected = arrays[f"epoch0/loss/lld_{released}_loss"]
    assert step["log_likelihoods"][ours] == pytest.approx(expected, rel=TOLERANCE)


def test_gradient_norms_before_clipping_are_the_released_ones(step: dict[str, Any]) -> None:
    arrays = step["arrays"]
    theirs = dict(
        zip(arrays["epoch0/grad/module_names"], arrays["epoch0/grad/module_norm_before_clip"], strict=True)
    )
    pairs = {"encoder": "Encoder", "cpc": "CPC", "decoder": "Decoder"}
    assert set(step["norms"]) == set(pairs)
    for ours, module in pairs.items():
        assert step["norms"][ours] == pytest.approx(theirs[module], rel=TOLERANCE), module


@pytest.mark.parametrize("module", ["Encoder", "CPC", "Decoder"])
def test_every_parameter_has_the_released_gradient_and_update(step: dict[str, Any], module: str) -> None:
    arrays, before = step["arrays"], step["before"]
    after = dict(step["model"].named_parameters())
    compared = set()
    for i, key in enumerate(arrays[f"param_keys/{module}"]):
        ours = our_name(f"{module}/{key}")
        gradient = arrays[f"epoch0/grad/per_param_norm_before_clip/{module}"][i]
        if ours is None:
            assert np.isnan(gradient) or gradient == 0, key
            continue
        assert step["gradients"][ours] == pytest.approx(gradient, rel=TOLERANCE, abs=1e-12), key
        change = (after[ours] - before[ours]).norm().item()
        # where the gradient is zero but for rounding, Adam's step is rounding too, hence the 1e-10
        assert change == pytest.approx(
            arrays[f"epoch0/after/delta_norm/{module}"][i], rel=TOLERANCE, abs=1e-10
        ), key
        assert after[ours].sum().item() == pytest.approx(
            arrays[f"epoch0/after/sum/{module}"][i], rel=TOLERANCE, abs=1e-9
        ), key
        compared.add(ours)
    ours_there = set(
        _names(step["model"], {"Encoder": "encoder", "CPC": "cpc", "Decoder": "decoder"}[module])
    )
    assert compared == ours_there


def _names(model: FCID, group: str) -> list[str]:
    ids = {id(p) for p in model.trained_modules()[group].parameters()}
    return [name for name, p in model.named_parameters() if id(p) in ids]


@pytest.mark.parametrize("module", MODULES)
def test_critics_end_where_the_released_inner_steps_end(step: dict[str, Any], module: str) -> None:
    arrays = step["arrays"]
    after = dict(step["model"].named_parameters())
    for i, key in enumerate(arrays[f"param_keys/{module}"]):
        total = after[our_name(f"{module}/{key}")].sum().item()
        assert total == pytest.approx(arrays[f"epoch0/after/sum/{module}"][i], rel=TOLERANCE, abs=1e-9), key


def test_full_tensors_after_the_step_are_the_released_ones(step: dict[str, Any]) -> None:
    arrays = step["arrays"]
    after = dict(step["model"].named_parameters())
    prefix = "epoch0/after/tensor/"
    keys = [key for key in arrays if key.startswith(prefix)]
    assert keys
    for key in keys:
        assert relative_error(after[our_name(key.removeprefix(prefix))], arrays[key]) < TOLERANCE


def test_the_codebook_moved_as_released(step: dict[str, Any]) -> None:
    arrays, codebook = step["arrays"], step["model"].codebook
    for name, theirs in {
        "embedding": "embedding",
        "ema_count": "ema_count",
        "ema_weight": "ema_weight",
        "idle": "unactivated_count",
    }.items():
        assert relative_error(getattr(codebook, name), arrays[f"epoch0/after/quantizer/{theirs}"]) < TOLERANCE
