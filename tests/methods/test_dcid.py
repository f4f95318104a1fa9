"""DCID works for any modalities, lengths and masks, and says clearly what it cannot take."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unicode_cmg.batch import FeatureBatch
from unicode_cmg.codebook import ReleasedSharedCodebook, SharedCodebook
from unicode_cmg.errors import InputError
from unicode_cmg.methods.dcid import DCID, DCIDConfig

SIZES = {
    "dim": 8,
    "num_codes": 12,
    "heads": 2,
    "transformer_layers": 1,
    "feedforward": 16,
    "pooling_dim": 4,
    "critic_hidden": 8,
}
SPEECH = {"dim": 5}
IMAGE = {"dim": 4, "grid": (7, 7)}
WORDS = {"dim": 6, "context": 8}


def model_of(modalities: dict[str, Any], **settings: Any) -> DCID:
    torch.manual_seed(0)
    return DCID(DCIDConfig.parse({**SIZES, "modalities": modalities, **settings}, where="test"))


def batch_of(model: DCID, clips: int = 3, steps: int = 4, seed: int = 0) -> FeatureBatch:
    generator = torch.Generator().manual_seed(seed)
    shapes = {m: (clips, steps, *(spec.grid or ()), spec.dim) for m, spec in model.config.modalities.items()}
    return FeatureBatch.of({m: torch.randn(shape, generator=generator) for m, shape in shapes.items()})


def losses_of(model: DCID, batch: FeatureBatch, seed: int = 0) -> dict[str, torch.Tensor]:
    return model.training_losses(batch, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("fidelity", ["corrected", "released"])
@pytest.mark.parametrize("steps", [1, 2, 3, 10])
@pytest.mark.parametrize("count", [2, 3, 4])
def test_any_number_of_modalities_and_any_length_trains(fidelity: str, steps: int, count: int) -> None:
    four = {"speech": SPEECH, "image": IMAGE, "words": WORDS, "touch": {"dim": 3}}
    model = model_of(dict(itertools.islice(four.items(), count)), fidelity=fidelity)
    batch = batch_of(model, steps=steps)
    losses = losses_of(model, batch)
    expected = {f"{term}/{m}" for term in ("reconstruction", "commitment", "club") for m in model.modalities}
    assert set(losses) == expected | {"cpc", "cmcm"}
    sum(losses.values()).backward()
    reached = [
        name
        for name, p in model.layer.general.named_parameters()
        if p.grad is not None and p.grad.abs().sum() > 0
    ]
    assert reached
    assert all(loss.isfinite() for loss in losses.values())
    for m in model.modalities:
        encoding = model.eval().encode(m, batch.features[m])
        assert encoding.general.shape == encoding.codes.shape == (3, steps, 8)
        assert encoding.indices.shape == (3, steps, 1)


QUANTIZERS = {
    "mm_ema": ({"quantizer": "mm_ema"}, {"layer0": 12}),
    "rvq": ({"quantizer": "rvq", "codebooks": 2}, {"layer0.0": 12, "layer0.1": 12}),
    "fsq": ({"quantizer": "fsq", "levels": [3, 3, 4]}, {"layer0": 36}),
}


@pytest.mark.parametrize("name", QUANTIZERS)
def test_every_quantizer_trains_and_names_its_layers(name: str) -> None:
    codebook, layers = QUANTIZERS[name]
    model = model_of({"audio": SPEECH, "video": IMAGE}, codebook=codebook)
    batch = batch_of(model)
    losses = losses_of(model, batch)
    sum(losses.values()).backward()
    r = model.represent(batch)
    model.update_codebooks(r, generator=torch.Generator().manual_seed(0))
    assert model.code_layers() == layers
    assert {key.rpartition("/")[0] for key in model.codebook_statistics(r) if key.endswith("active")} == set(
        layers
    )
    encoding = model.eval().encode("audio", batch.features["audio"])
    assert encoding.indices.shape == (3, 4, len(layers))
    assert encoding.codes.shape == (3, 4, 8 * len(layers))
    assert list(model.codebooks()) == list(model.codebook_keys()) == ([] if name == "fsq" else list(layers))
    for k, (layer, key) in enumerate(model.codebook_keys().items()):
        assert torch.equal(model.state_dict()[key], model.codebooks()[layer])
        codes = encoding.codes.chunk(len(layers), dim=-1)[k]
        torch.testing.assert_close(codes, model.codebooks()[layer][encoding.indices[..., k]])
    ids = [id(p) for p in (*model.trained_parameters(), *model.critic_parameters())]
    assert sorted(ids) == sorted(id(p) for p in model.parameters())


def test_finite_scalars_learn_to_say_what_the_features_are_and_leave_the_features_alone() -> None:
    model = model_of({"audio": SPEECH, "video": IMAGE}, codebook=QUANTIZERS["fsq"][0], dropout=0.0)
    batch = batch_of(model)
    r = model.represent(batch)
    losses = model.training_losses(batch, generator=torch.Generator(), representation=r)
    z, codes = r.general["audio"], r.quantized["audio"].codes
    torch.testing.assert_close(losses["codebook/audio"], (codes - z).square().mean())
    (losses["codebook/audio"] + losses["codebook/video"]).backward()
    reached = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert reached == {name for name, _ in model.named_parameters() if name.startswith("layer.codebook.")}
    assert not any(
        name.startswith("codebook") for name in losses_of(model_of({"audio": SPEECH, "video": IMAGE}), batch)
    )


@pytest.mark.parametrize("pooling", ["conv", "attention", "sum"])
def test_pooled_and_gridded_video_both_work(pooling: str) -> None:
    for video in ({"dim": 4, "grid": (3, 5)}, {"dim": 4}):
        model = model_of({"audio": SPEECH, "video": video}, pooling=pooling)
        assert all(loss.isfinite() for loss in losses_of(model, batch_of(model)).values())


def test_codes_are_rows_of_the_codebook() -> None:
    model = model_of({"audio": SPEECH, "video": IMAGE}).eval()
    encoding = model.encode("video", batch_of(model).features["video"])
    rows = model.codebooks()["layer0"][encoding.indices[..., 0]]
    torch.testing.assert_close(encoding.codes, rows, atol=1e-6, rtol=1e-5)
    assert model.codebook_keys()["layer0"] in model.state_dict()


def test_encoding_changes_no_state() -> None:
    model = model_of({"audio": SPEECH, "video": IMAGE}).train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    batch = batch_of(model)
    model.encode("audio", batch.features["audio"])
    losses_of(model, batch)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_updating_moves_the_codebook_in_training_and_not_in_evaluation() -> None:
    model = model_of({"audio": SPEECH, "video": IMAGE})
    representation = model.represent(batch_of(model))
    before = model.layer.codebook.embedding.clone()
    model.eval().update_codebooks(representation, generator=torch.Generator())
    assert torch.equal(model.layer.codebook.embedding, before)
    model.train().update_codebooks(representation, generator=torch.Generator())
    assert not torch.equal(model.layer.codebook.embedding, before)


@settings(max_examples=15)
@given(valid=st.integers(2, 5), garbage=st.floats(-1e3, 1e3))
def test_what_stands_in_the_padding_does_not_matter(valid: int, garbage: float) -> None:
    model = model_of({"audio": SPEECH, "words": WORDS}).eval()
    batch = batch_of(model, steps=5)
    mask = (torch.arange(5) < valid).expand(3, 5)
    filled = {m: x.masked_fill(~mask[..., None], garbage) for m, x in batch.features.items()}
    for m in model.modalities:
        clean = model.encode(m, batch.features[m], mask)
        dirty = model.encode(m, filled[m], mask)
        cut = model.encode(m, batch.features[m][:, :valid])
        torch.testing.assert_close(dirty.general[:, :valid], clean.general[:, :valid])
        torch.testing.assert_close(cut.general, clean.general[:, :valid], atol=1e-5, rtol=1e-4)
    draws = model.layer.draw(model.represent(batch), torch.Generator().manual_seed(1))
    masks = dict.fromkeys(model.modalities, mask)
    terms = [
        model.training_losses(FeatureBatch(features, masks), generator=torch.Generator(), draws=draws)
        for features in (batch.features, filled)
    ]
    for name in terms[0]:
        torch.testing.assert_close(terms[0][name], terms[1][name], msg=name)


def test_the_generator_alone_decides_the_random_choices() -> None:
    model = model_of({"audio": SPEECH, "video": IMAGE}, dropout=0.0)
    batch = batch_of(model, clips=6, steps=8)
    first, again, other = (losses_of(model, batch, seed) for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_critic_losses_teach_the_critics_and_nothing_else() -> None:
    model = model_of({"audio": SPEECH, "video": IMAGE})
    sum(model.critic_losses(model.represent(batch_of(model))).values()).backward()
    with_gradient = {name for name, p in model.named_parameters() if p.grad is not None}
    assert with_gradient == {name for name, _ in model.named_parameters() if name.startswith("layer.critic.")}


def test_every_parameter_belongs_to_exactly_one_optimizer() -> None:
    model = model_of({"audio": SPEECH, "video": IMAGE, "words": WORDS})
    ids = [id(p) for p in (*model.trained_parameters(), *model.critic_parameters())]
    assert len(ids) == len(set(ids))
    assert set(ids) == {id(p) for p in model.parameters()}


def test_a_constant_target_keeps_the_context_lstm_from_shrinking_it() -> None:
    gradients = {}
    for detach in (True, False):
        model = model_of({"audio": SPEECH, "words": WORDS}, detach_context=detach, dropout=0.0)
        r = model.represent(batch_of(model))
        model.training_losses(batch_of(model), generator=torch.Generator(), representation=r)[
            "reconstruction/words"
        ].backward()
        gradients[detach] = next(model.context.parameters()).grad.clone()
    assert not torch.allclose(gradients[True], gradients[False])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"modalities": {"audio": SPEECH}}, "modalities"),
        ({"heads": 3}, "heads must divide dim"),
        ({"num_code": 4}, "did you mean 'num_codes'"),
        ({"modalities": {"audio": SPEECH, "video": {"dmi": 3}}}, "did you mean 'modalities.video.dim'"),
        ({"codebook": {"rule": "new"}}, "codebook.rule"),
        ({"modalities": {"audio": SPEECH, "video": {**IMAGE, "context": 4}}}, "remove one of them"),
        ({"fidelity": "exact"}, "fidelity"),
    ],
)
def test_a_wrong_config_names_the_key(change: dict[str, Any], message: str) -> None:
    values = {**SIZES, "modalities": {"audio": SPEECH, "video": IMAGE}, **change}
    with pytest.raises(InputError, match=message) as caught:
        DCIDConfig.parse(values, where="dcid.yaml")
    assert "dcid.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_wrong_features_are_named_with_what_was_expected() -> None:
    model = model_of({"audio": SPEECH, "video": IMAGE})
    batch = batch_of(model)
    cases = [
        ({**batch.features, "audio": torch.randn(3, 4, 9)}, r"'audio' features of shape \[3, 4, 9\].*5\]"),
        ({**batch.features, "video": torch.randn(3, 4, 4)}, "'video' features"),
        ({**batch.features, "audio": torch.randn(3, 0, 5)}, "time >= 1"),
        ({"audio": batch.features["audio"]}, "'video' is missing"),
        ({**batch.features, "smell": torch.randn(3, 4, 2)}, "'smell' is unknown"),
        ({**batch.features, "audio": torch.randn(3, 5, 5)}, "different lengths"),
    ]
    for features, message in cases:
        with pytest.raises(InputError, match=message):
            model.represent(FeatureBatch.of(features))
    with pytest.raises(InputError, match="unknown modality 'smell'"):
        model.encode("smell", torch.randn(1, 1, 1))


def test_presets_set_every_switch_and_single_settings_override_them() -> None:
    modalities = {"audio": SPEECH, "video": IMAGE}
    released = model_of(modalities, fidelity="released")
    assert released.config.pooling == "sum"
    assert isinstance(released.layer.codebook, ReleasedSharedCodebook)
    mixed = model_of(modalities, fidelity="released", pooling="conv", codebook={"rule": "corrected"})
    assert mixed.config.pooling == "conv"
    assert mixed.config.cpc_normalize == "prediction"
    assert type(mixed.layer.codebook) is SharedCodebook
    assert DCIDConfig.parse(mixed.config.model_dump(), where="round trip") == mixed.config
