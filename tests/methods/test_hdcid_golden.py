"""The released H-DCID, number for number: outputs, and one training step before and after the warm start."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from released_hdcid import StepRecord, released_step
from released_models import golden, golden_batch, relative_error, released_model
from torch import Tensor

from unicode_cmg.checkpoints.released import LAYOUTS
from unicode_cmg.methods.dcid import Draws
from unicode_cmg.methods.hdcid import HDCID

MODALITIES = ("audio", "video", "text")
LAYERS = (0, 1)
SUFFIXES = ("", "_2")
TOLERANCE = 1e-6

our_name = LAYOUTS["hdcid"].our_name


def our_term(kind: str, layer: int, modality: str | None = None) -> str:
    return "/".join(part for part in (kind, f"layer{layer}" if layer else None, modality) if part)


@pytest.mark.parametrize("layer", LAYERS)
def test_representations_match_the_released_forward_pass(layer: int) -> None:
    io = golden("hdcid_io_public")
    model = released_model("hdcid").eval()
    with torch.no_grad():
        r = model.represent(golden_batch(io))[layer]
        reconstructed = model.training_losses(golden_batch(io), generator=torch.Generator())
    suffix = SUFFIXES[layer]
    for m in MODALITIES:
        assert relative_error(r.general[m], io[f"forward/{m}_semantic_result{suffix}"]) < TOLERANCE
        assert relative_error(r.quantized[m].codes, io[f"forward/{m}_vq{suffix}"]) < TOLERANCE
        assert np.array_equal(r.quantized[m].indices.flatten().numpy(), io[f"forward/indices_{m}{suffix}"])
        specific = r.specific[m][:1] if (m, layer) == ("video", 0) else r.specific[m]
        assert relative_error(specific, io[f"forward/{m}_encoder_result{suffix}"]) < TOLERANCE
        loss = reconstructed[our_term("reconstruction", layer, m)]
        assert relative_error(loss, io[f"decoder/{m}_recon_loss{suffix}"]) < TOLERANCE
    if layer == 0:
        assert relative_error(r.summary["video"], io["forward/video_club_feature"]) < TOLERANCE


@pytest.mark.parametrize("modality", MODALITIES)
def test_encode_matches_the_released_downstream_entry_point(modality: str) -> None:
    io = golden("hdcid_io_public")
    model = released_model("hdcid").eval()
    features = golden_batch(io).features[modality]
    with torch.no_grad():
        encoding = model.encode(modality, features)
        parts = [model.encode(modality, features, code_layers=[layer]) for layer in LAYERS]
    name = f"out/{modality.capitalize()}_VQ_Encoder"
    expected = io[name] if modality == "text" else np.concatenate([io[f"{name}/vq"], io[f"{name}/vq_2"]], -1)
    assert relative_error(encoding.codes, expected) < TOLERANCE
    assert torch.equal(encoding.codes, torch.cat([part.codes for part in parts], -1))
    if modality != "text":
        for layer, suffix in enumerate(SUFFIXES):
            assert np.array_equal(encoding.indices[..., layer].flatten(), io[f"{name}/indices{suffix}"])


@dataclass(frozen=True)
class Step:
    epoch: str
    arrays: dict[str, np.ndarray]
    model: HDCID
    before: dict[str, Tensor]
    record: StepRecord


@pytest.fixture(scope="module", params=[0, 3])
def step(request: pytest.FixtureRequest) -> Step:
    """One released training step: six encodings, each of which moves both codebooks; the last one counts."""
    arrays, epoch = golden("hdcid_train_step_public"), f"epoch{request.param}"
    model = released_model("hdcid").train()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    order = ("video", "text", "audio")
    draws = [
        Draws(
            permutations={
                m: torch.from_numpy(arrays[f"{epoch}/draw/randperm{3 * layer + i}"])
                for i, m in enumerate(order)
            },
            step=int(arrays[f"{epoch}/draw/randint{layer}"][0]) + 1,
        )
        for layer in LAYERS
    ]
    record = released_step(
        model, golden_batch(arrays), request.param, generator=torch.Generator(), draws=draws
    )
    return Step(epoch, arrays, model, before, record)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("modality", MODALITIES)
def test_every_loss_term_of_a_modality_is_the_released_one(step: Step, modality: str, layer: int) -> None:
    names = {"reconstruction": "recon_loss", "commitment": "embed_loss", "club": "mine_loss"}
    for ours, theirs in names.items():
        expected = step.arrays[f"{step.epoch}/loss/{modality}_{theirs}{SUFFIXES[layer]}"]
        assert relative_error(step.record.losses[our_term(ours, layer, modality)], expected) < TOLERANCE


@pytest.mark.parametrize("layer", LAYERS)
def test_the_terms_of_all_modalities_are_the_released_ones(step: Step, layer: int) -> None:
    losses = {
        key: step.arrays[f"{step.epoch}/loss/{key}{SUFFIXES[layer]}"] for key in ("cpc_loss", "cmcm_loss")
    }
    assert relative_error(step.record.losses[our_term("cpc", layer)], losses["cpc_loss"]) < TOLERANCE
    assert losses["cmcm_loss"] == 0
    assert our_term("cmcm", layer) not in step.record.losses


@pytest.mark.parametrize("layer", LAYERS)
def test_critics_learn_as_released_and_only_in_layers_that_have_joined(step: Step, layer: int) -> None:
    after = dict(step.model.named_parameters())
    waiting = layer == 1 and step.epoch == "epoch0"
    for m in MODALITIES:
        loss = step.record.critic_losses.get(our_term("critic", layer, m))
        assert (loss is None) == waiting
        expected = step.arrays[f"{step.epoch}/loss/lld_{m}_loss{SUFFIXES[layer]}"]
        assert (loss or 0) == pytest.approx(expected, rel=TOLERANCE)
        module = f"{m.capitalize()}_mi_net{SUFFIXES[layer]}"
        for i, key in enumerate(step.arrays[f"param_keys/{module}"]):
            total = after[our_name(f"{module}/{key}")].sum().item()
            expected = step.arrays[f"{step.epoch}/after/sum/{module}"][i]
            assert total == pytest.approx(expected, rel=TOLERANCE, abs=1e-9), key


def test_the_total_is_the_released_one_and_what_the_factors_give(step: Step) -> None:
    # the released total is float32
    assert relative_error(step.record.total, step.arrays[f"{step.epoch}/loss/total"]) < TOLERANCE
    factors = step.model.loss_factors()
    weighted = sum(factors.get(name, 1.0) * loss for name, loss in step.record.losses.items())
    assert relative_error(weighted, step.record.total.item()) < TOLERANCE


def test_gradient_norms_before_clipping_are_the_released_ones(step: Step) -> None:
    prefix = f"{step.epoch}/grad"
    norms = zip(
        step.arrays[f"{prefix}/module_names"], step.arrays[f"{prefix}/module_norm_before_clip"], strict=True
    )
    theirs = {str(name): norm for name, norm in norms if "mi_net" not in name}
    pairs = {
        "context": "Text_ar_lstm",
        "encoder": "Encoder",
        "cpc/layer0": "CPC",
        "cpc/layer1": "CPC_2",
        "decoder": "Decoder",
    }
    assert set(step.record.norms) == set(pairs)
    assert set(theirs) == set(pairs.values())
    for ours, module in pairs.items():
        assert step.record.norms[ours] == pytest.approx(theirs[module], rel=TOLERANCE), module


@pytest.mark.parametrize("module", ["Text_ar_lstm", "Encoder", "CPC", "CPC_2", "Decoder"])
def test_every_parameter_has_the_released_gradient_and_update(step: Step, module: str) -> None:
    after, prefix = dict(step.model.named_parameters()), step.epoch
    keys, compared = step.arrays[f"param_keys/{module}"], 0
    for i, key in enumerate(keys):
        ours = our_name(f"{module}/{key}")
        gradient = step.arrays[f"{prefix}/grad/per_param_norm_before_clip/{module}"][i]
        if ours is None:
            assert np.isnan(gradient) or gradient == 0, key
            continue
        assert (ours not in step.record.gradients) == np.isnan(gradient), key
        if not np.isnan(gradient):
            assert step.record.gradients[ours] == pytest.approx(gradient, rel=TOLERANCE, abs=1e-12), key
        change = (after[ours] - step.before[ours]).norm().item()
        # where the gradient is zero but for rounding, Adam's step is rounding too, hence the 1e-10
        expected = step.arrays[f"{prefix}/after/delta_norm/{module}"][i]
        assert change == pytest.approx(expected, rel=TOLERANCE, abs=1e-10), key
        expected = step.arrays[f"{prefix}/after/sum/{module}"][i]
        assert after[ours].sum().item() == pytest.approx(expected, rel=TOLERANCE, abs=1e-9), key
        compared += 1
    assert compared > len(keys) / 2


def test_full_tensors_after_the_step_are_the_released_ones(step: Step) -> None:
    after, prefix = dict(step.model.named_parameters()), f"{step.epoch}/after/tensor/"
    keys = [key for key in step.arrays if key.startswith(prefix)]
    assert keys
    for key in keys:
        assert relative_error(after[our_name(key.removeprefix(prefix))], step.arrays[key]) < TOLERANCE


@pytest.mark.parametrize("layer", LAYERS)
def test_both_codebooks_moved_six_times_also_before_the_second_layer_joins(step: Step, layer: int) -> None:
    codebook, prefix = step.model.layers[layer].codebook, f"{step.epoch}/after/quantizer"
    for name in ("embedding", "ema_count", "ema_weight"):
        assert relative_error(getattr(codebook, name), step.arrays[f"{prefix}/{name}"][layer]) < TOLERANCE
    assert np.array_equal(codebook.idle, step.arrays[f"{prefix}/unactivated_count"][layer])
    started = golden("hdcid_params_public")["Encoder/Cross_quantizer.unactivated_count"][layer]
    unused = codebook.idle.numpy() > 5
    assert unused.any()
    assert np.array_equal(codebook.idle.numpy()[unused], started[unused] + 6)
