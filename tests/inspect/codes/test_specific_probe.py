"""The probe of disentanglement, on features that are planted, and on every method."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lookup_method import Lookup
from tiny_ave import tiny_model, write_tiny_ave
from tiny_models import IMAGE, SPEECH, WORDS, batch_of, model_of
from torch import Tensor

from unicode_cmg.data import FeatureStore, LabelledClips
from unicode_cmg.inspect.codes.readings import halves
from unicode_cmg.inspect.codes.specific import explained_by, probe_specific


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> LabelledClips:
    return LabelledClips.open(write_tiny_ave(tmp_path_factory.mktemp("tiny")), "train")


def with_specific(kind: str) -> Lookup:
    """The tiny model, whose specific features are the planted ones: [clips, time, channels]."""
    model = tiny_model()

    def specific(modality: str, features: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        noise = torch.randn(*features.shape[:2], 5, generator=torch.Generator().manual_seed(len(features)))
        if kind == "noise":
            return {"planted": noise}
        if kind == "constant":
            return {"planted": torch.ones_like(noise)}
        codes = model.encode(modality, features, mask).indices[..., 0]
        return {"planted": 1e-3 * torch.nn.functional.one_hot(codes, 24).float() + 1e-5 * noise[..., :1]}

    model.specific = specific
    return model


def probe(kind: str, clips: LabelledClips) -> dict[str, float]:
    found = probe_specific(with_specific(kind), clips, code_layer=0, modalities=["video"])
    assert [(p.modality, p.part) for p in found] == [("video", "planted")]
    return found[0].model_dump()


def test_specific_features_that_are_the_code_tell_it_however_small_they_are(clips: LabelledClips) -> None:
    found = probe("code", clips)
    assert found["code"] > 0.9  # a code that only one half has cannot be named
    assert found["explained"] > 0.9
    assert found["label"] > found["label_chance"] + 0.1


def test_noise_tells_nothing_and_nothing_of_it_is_explained(clips: LabelledClips) -> None:
    found = probe("noise", clips)
    assert abs(found["code"] - found["code_chance"]) < 0.1
    assert found["explained"] < 0.02


def test_constants_are_at_chance(clips: LabelledClips) -> None:
    found = probe("constant", clips)
    assert found["code"] <= found["code_chance"]
    assert found["explained"] == 0


def test_a_method_without_specific_features_has_no_probe(clips: LabelledClips) -> None:
    assert probe_specific(tiny_model(), clips, code_layer=0, modalities=["video", "audio"]) == ()


def test_explained_variance_equals_a_loop_over_the_steps() -> None:
    rng = np.random.default_rng(0)
    codes, x = rng.integers(0, 5, 60), rng.standard_normal((60, 3))
    x += codes[:, None]
    side = halves([f"clip-{i // 6}" for i in range(60)])
    left = total = 0.0
    for i in range(60):
        others = side != side[i]
        mean = x[others].mean(0)
        alike = others & (codes == codes[i])
        left += ((x[i] - (x[alike].mean(0) if alike.any() else mean)) ** 2).sum()
        total += ((x[i] - mean) ** 2).sum()
    assert explained_by(codes, x, side) == pytest.approx(1 - left / total)


PARTS = {
    "dcid": {"audio": ["layer0"], "video": ["layer0"], "text": ["layer0"]},
    "hdcid": {m: ["layer0", "layer1"] for m in ("audio", "video", "text")},
    "fcid": {"audio": ["fine", "coarse"], "video": ["fine", "coarse"], "text": ["coarse"]},
}


@pytest.mark.parametrize("name", PARTS)
def test_every_method_shows_the_specific_features_of_a_training_step(name: str) -> None:
    roles = {"fine": ("video", "audio"), "coarse": ("text",)} if name == "fcid" else {}
    model = model_of(name, {"audio": SPEECH, "video": IMAGE, "text": WORDS}, **roles).eval()
    batch = batch_of(model)
    with torch.no_grad():
        r = model.represent(batch)
        for modality, parts in PARTS[name].items():
            found = model.specific(modality, batch.features[modality], batch.masks[modality])
            assert list(found) == parts
            assert {(z.shape[:2], z.ndim) for z in found.values()} == {((3, 4), 3)}
            layers = {"dcid": (r,), "hdcid": r}.get(name) or ((r.fine,) if "fine" in found else ())
            for z, layer in zip(found.values(), layers, strict=False):
                wanted = layer.specific[modality]
                wanted = wanted.mean(dim=(2, 3)) if wanted.ndim == 5 else wanted
                torch.testing.assert_close(z, wanted)


@pytest.mark.slow
def test_a_store_without_labels_is_probed_for_codes(store: FeatureStore, model: Lookup) -> None:
    model.specific = lambda modality, features, mask=None: {"all": features}
    found = probe_specific(model, store, code_layer=0, modalities=["audio", "text"])
    assert [p.modality for p in found] == ["audio", "text"]
    assert all(p.label is None and p.label_chance is None for p in found)
    assert all(p.code > p.code_chance for p in found)  # codes are near linear in the features


def test_codes_of_clips_are_probed_with_average_features(clip_model: Lookup, store: FeatureStore) -> None:
    clip_model.specific = lambda modality, features, mask=None: {"all": features}
    (found,) = probe_specific(clip_model, store, code_layer=0, modalities=["audio"], level="clip")
    assert 0 <= found.code <= 1
