"""What DCID adds to what every method keeps to, and how it says what it cannot take."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import tiny_models
import torch
from tiny_models import IMAGE, QUANTIZERS, SPEECH, WORDS, batch_of, losses_of

from unicode_cmg.batch import FeatureBatch
from unicode_cmg.codebook import ReleasedSharedCodebook, SharedCodebook
from unicode_cmg.errors import InputError
from unicode_cmg.methods.dcid import DCIDConfig

model_of = partial(tiny_models.model_of, "dcid")


def test_finite_scalars_learn_to_say_what_the_features_are_and_leave_the_features_alone() -> None:
    model = model_of({"audio": SPEECH, "video": IMAGE}, codebook=QUANTIZERS["fsq"], dropout=0.0)
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


def test_a_constant_target_keeps_the_context_lstm_from_shrinking_it() -> None:
    gradients = {}
    for detach in (True, False):
        model = model_of({"audio": SPEECH, "words": WORDS}, detach_context=detach, dropout=0.0)
        r = model.represent(batch_of(model))
        model.training_losses(batch_of(model), generator=torch.Generator(), representation=r)[
            "reconstruction/words"
        ].backward()
        gradients[detach] = next(model.front.parameters()).grad.clone()
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
    values = {**tiny_models.values_of("dcid", {"audio": SPEECH, "video": IMAGE}), **change}
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
