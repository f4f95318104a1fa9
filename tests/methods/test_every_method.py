"""What every method keeps to: lengths, masks, quantizers, optimizers, state and random choices."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from tiny_models import (
    IMAGE,
    QUANTIZERS,
    SPEECH,
    TOUCH,
    WORDS,
    batch_of,
    layer_terms,
    losses_of,
    model_of,
)

THREE = {"speech": SPEECH, "image": IMAGE, "words": WORDS}
METHODS: dict[str, dict[str, Any]] = {
    "dcid": {},
    "hdcid": {},
    "fcid": {"fine": ["speech", "image"], "coarse": ["words"]},
    "fcid fine": {"fine": ["speech", "image", "words"], "coarse": []},
    "fcid coarse": {"fine": [], "coarse": ["speech", "image", "words"]},
}
every_method = pytest.mark.parametrize("name", METHODS)


def build(name: str, **changes: Any) -> Any:
    return model_of(name.split()[0], THREE, **METHODS[name], **changes)


@pytest.mark.slow
@pytest.mark.parametrize("fidelity", ["corrected", "released"])
@pytest.mark.parametrize("steps", [1, 2, 3, 10])
@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("method", ["dcid", "hdcid"])
def test_any_number_of_modalities_and_any_length_trains(
    method: str, count: int, steps: int, fidelity: str
) -> None:
    modalities = dict(itertools.islice({**THREE, "touch": TOUCH}.items(), count))
    model = model_of(method, modalities, fidelity=fidelity)
    batch = batch_of(model, steps=steps)
    losses = losses_of(model, batch)
    expected = layer_terms(model.modalities)
    if method == "hdcid":
        expected |= layer_terms(model.modalities, "/layer1")
        if fidelity == "released":
            expected = {term for term in expected if "cmcm" not in term}
    assert set(losses) == expected
    assert set(model.loss_factors()) == {term for term in losses if "layer1" in term}
    assert all(loss.isfinite() for loss in losses.values())
    sum(losses.values()).backward()
    layers = model.layers if method == "hdcid" else [model.layer]
    for layer in layers:
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in layer.general.parameters())
    for m in model.modalities:
        encoding = model.eval().encode(m, batch.features[m])
        assert encoding.general.shape == (3, steps, 8)
        assert encoding.codes.shape == (3, steps, 8 * len(layers))
        assert encoding.indices.shape == (3, steps, len(layers))


@pytest.mark.parametrize("quantizer", QUANTIZERS)
@every_method
def test_every_quantizer_names_its_code_layers_and_gives_their_codes(name: str, quantizer: str) -> None:
    model = build(name, codebook=QUANTIZERS[quantizer])
    batch, generator = batch_of(model), torch.Generator().manual_seed(0)
    r = model.represent(batch)
    losses = losses_of(model, batch, representation=r)
    assert all(loss.isfinite() for loss in losses.values())
    assert any(term.startswith("codebook") for term in losses) == (quantizer == "fsq")
    sum(losses.values()).backward()
    model.update_codebooks(r, generator=generator)

    layers = ["layer0", "layer1"] if name == "hdcid" else ["layer0"]
    if quantizer == "rvq":
        layers = [f"{layer}.{k}" for layer in layers for k in (0, 1)]
    assert model.code_layers() == dict.fromkeys(layers, 36 if quantizer == "fsq" else 12)
    statistics = model.codebook_statistics(r)
    assert {key.split("/")[0] for key in statistics} == set(layers)
    assert all(value >= 0 for value in statistics.values())
    stored = [] if quantizer == "fsq" else layers
    assert list(model.codebooks()) == list(model.codebook_keys()) == stored
    m = model.modalities[0]
    encoding = model.eval().encode(m, batch.features[m])
    assert encoding.indices.shape == (3, 4, len(layers))
    assert encoding.codes.shape == (3, 4, 8 * len(layers))
    for k, layer in enumerate(layers):
        indices = encoding.indices[..., k]
        assert 0 <= indices.min() <= indices.max() < model.code_layers()[layer]
    for k, (layer, key) in enumerate(model.codebook_keys().items()):
        assert torch.equal(model.state_dict()[key], model.codebooks()[layer])
        rows = model.codebooks()[layer][encoding.indices[..., k]]
        torch.testing.assert_close(encoding.codes[..., 8 * k : 8 * (k + 1)], rows, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("fidelity", ["corrected", "released"])
@pytest.mark.parametrize("quantizer", QUANTIZERS)
@every_method
def test_every_parameter_belongs_to_exactly_one_optimizer(name: str, quantizer: str, fidelity: str) -> None:
    model = build(name, codebook=QUANTIZERS[quantizer], fidelity=fidelity)
    ids = [id(p) for p in (*model.trained_parameters(), *model.critic_parameters())]
    assert len(ids) == len(set(ids))
    assert set(ids) == {id(p) for p in model.parameters()}


@every_method
def test_the_generator_alone_decides_the_random_choices(name: str) -> None:
    # an estimate that is cut off at 0 would hide what was drawn
    model = build(name, dropout=0.0, cpc_steps="one", club_form="paper")
    batch = batch_of(model, clips=6, steps=8)
    first, again, *others = (losses_of(model, batch, seed) for seed in (1, 1, 2, 3, 4))
    assert all(torch.equal(first[term], again[term]) for term in first)
    drawn = {term for term in first if any(not torch.equal(first[term], other[term]) for other in others)}
    assert drawn == {term for term in first if term.startswith(("cpc", "club"))}
