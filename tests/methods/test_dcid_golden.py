"""The released DCID, number for number: outputs, loss terms, gradients and one full training step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from released_models import golden, golden_batch, relative_error, released_model, released_step

from unicode_cmg.checkpoints.released import LAYOUTS
from unicode_cmg.methods.dcid import Draws

MODALITIES = ("audio", "video", "text")
TOLERANCE = 1e-6

our_name = LAYOUTS["dcid"].our_name


def test_representations_match_the_released_forward_pass() -> None:
    io = golden("dcid_io_public")
    model = released_model("dcid").eval()
    with torch.no_grad():
        r = model.represent(golden_batch(io))
    for m in MODALITIES:
        assert relative_error(r.general[m], io[f"forward/{m}_semantic_result"]) < TOLERANCE
        assert relative_error(r.quantized[m].codes, io[f"forward/{m}_vq"]) < TOLERANCE
        assert np.array_equal(r.quantized[m].indices.flatten().numpy(), io[f"forward/indices_{m}"])
    assert relative_error(r.inputs["text"], io["out/text_feature"]) < TOLERANCE
    assert relative_error(r.specific["audio"], io["forward/audio_encoder_result"]) < TOLERANCE
    assert relative_error(r.specific["text"], io["forward/text_encoder_result"]) < TOLERANCE
    assert relative_error(r.specific["video"][:1], io["forward/video_encoder_result"]) < TOLERANCE
    assert relative_error(r.summary["video"], io["forward/video_club_feature"]) < TOLERANCE
    reconstruction = model.layer.decoder["video"](r.quantized["video"].codes, r.specific["video"])
    assert relative_error(reconstruction[:1, :2], io["decoder/video_recon"]) < TOLERANCE


@pytest.mark.parametrize("modality", MODALITIES)
def test_encode_matches_the_released_downstream_entry_point(modality: str) -> None:
    io = golden("dcid_io_public")
    model = released_model("dcid").eval()
    with torch.no_grad():
        encoding = model.encode(modality, golden_batch(io).features[modality])
    assert relative_error(encoding.codes, io[f"out/{modality.capitalize()}_VQ_Encoder"]) < TOLERANCE


@pytest.fixture(scope="module")
def step() -> dict[str, object]:
    """One released training step."""
    arrays = golden("dcid_train_step_public")
    order = ("video", "text", "audio")
    draws = Draws(
        permutations={m: torch.from_numpy(arrays[f"epoch0/draw/randperm{i}"]) for i, m in enumerate(order)},
        step=int(arrays["epoch0/draw/randint0"][0]) + 1,
    )
    return released_step(released_model("dcid").train(), arrays, draws)


@pytest.mark.parametrize("modality", MODALITIES)
def test_every_loss_term_of_a_modality_is_the_released_one(step: dict, modality: str) -> None:
    arrays, losses = step["arrays"], step["losses"]
    names = {"reconstruction": "recon_loss", "commitment": "embed_loss", "club": "mine_loss"}
    for ours, theirs in names.items():
        assert (
            relative_error(losses[f"{ours}/{modality}"], arrays[f"epoch0/loss/{modality}_{theirs}"])
            < TOLERANCE
        )
    expected = arrays[f"epoch0/loss/lld_{modality}_loss"]
    assert step["log_likelihoods"][modality] == pytest.approx(expected, rel=TOLERANCE)


def test_shared_terms_and_their_sum_are_the_released_ones(step: dict) -> None:
    arrays, losses = step["arrays"], step["losses"]
    assert relative_error(losses["cpc"], arrays["epoch0/loss/cpc_loss"]) < TOLERANCE
    assert relative_error(losses["cmcm"], arrays["epoch0/loss/cmcm_loss"]) < TOLERANCE
    assert relative_error(sum(losses.values()), arrays["epoch0/loss/total"]) < TOLERANCE


def test_gradient_norms_before_clipping_are_the_released_ones(step: dict) -> None:
    arrays = step["arrays"]
    theirs = dict(
        zip(arrays["epoch0/grad/module_names"], arrays["epoch0/grad/module_norm_before_clip"], strict=True)
    )
    pairs = {"context": "Text_ar_lstm", "encoder": "Encoder", "cpc": "CPC", "decoder": "Decoder"}
    assert set(step["norms"]) == set(pairs)
    for ours, module in pairs.items():
        assert step["norms"][ours] == pytest.approx(theirs[module], rel=TOLERANCE), module


@pytest.mark.parametrize("module", ["Text_ar_lstm", "Encoder", "CPC", "Decoder"])
def test_every_parameter_has_the_released_gradient_and_update(step: dict, module: str) -> None:
    arrays, before = step["arrays"], step["before"]
    after = dict(step["model"].named_parameters())
    keys = arrays[f"param_keys/{module}"]
    compared = 0
    for i, key in enumerate(keys):
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
        compared += 1
    assert compared > len(keys) / 2


@pytest.mark.parametrize("modality", MODALITIES)
def test_critics_end_where_the_released_inner_steps_end(step: dict, modality: str) -> None:
    arrays = step["arrays"]
    module = f"{modality.capitalize()}_mi_net"
    after = dict(step["model"].named_parameters())
    for i, key in enumerate(arrays[f"param_keys/{module}"]):
        total = after[our_name(f"{module}/{key}")].sum().item()
        assert total == pytest.approx(arrays[f"epoch0/after/sum/{module}"][i], rel=TOLERANCE, abs=1e-9), key


def test_full_tensors_after_the_step_are_the_released_ones(step: dict) -> None:
    arrays = step["arrays"]
    after = dict(step["model"].named_parameters())
    prefix = "epoch0/after/tensor/"
    keys = [key for key in arrays if key.startswith(prefix)]
    assert keys
    for key in keys:
        assert relative_error(after[our_name(key.removeprefix(prefix))], arrays[key]) < TOLERANCE


def test_the_codebook_moved_as_released(step: dict) -> None:
    arrays, codebook = step["arrays"], step["model"].layer.codebook
    for name in ("embedding", "ema_count", "ema_weight"):
        assert relative_error(getattr(codebook, name), arrays[f"epoch0/after/quantizer/{name}"]) < TOLERANCE
