"""What FCID adds to what every method keeps to: any valid split of roles, clips and segments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from places import SHIPPED
from tiny_models import SIZES, SPEECH, TOUCH, WORDS, batch_of, losses_of

from unicode_cmg import load_pretrained
from unicode_cmg.batch import FeatureBatch
from unicode_cmg.checkpoints.tensors import read_tensors
from unicode_cmg.codebook import ReleasedSharedCodebook, SharedCodebook
from unicode_cmg.config import apply_overrides, load_yaml
from unicode_cmg.data.store import FeatureStore
from unicode_cmg.errors import InputError
from unicode_cmg.losses import info_nce
from unicode_cmg.methods.dcid import Draws
from unicode_cmg.methods.fcid import FCID, FCIDConfig
from unicode_cmg.training import PretrainConfig, fit

MODALITIES = {"speech": SPEECH, "image": {"dim": 4, "grid": [5, 5]}, "words": WORDS, "touch": TOUCH}
PAPER = ("speech", "image"), ("words",)
SPLITS = [
    PAPER,
    (("speech", "image"), ()),
    ((), ("image", "words")),
    (("words", "speech", "image"), ("touch",)),
    (("speech", "touch"), ("words", "image")),
    (("speech", "image", "words", "touch"), ()),
    ((), ("speech", "image", "words", "touch")),
]
Split = tuple[tuple[str, ...], tuple[str, ...]]


def values_of(split: Split, **changes: Any) -> dict[str, Any]:
    fine, coarse = split
    modalities = {m: spec for m, spec in MODALITIES.items() if m in (*fine, *coarse)}
    return {**tiny_models.values_of("fcid", modalities, fine=list(fine), coarse=list(coarse)), **changes}


def model_of(split: Split = PAPER, **changes: Any) -> FCID:
    torch.manual_seed(0)
    return FCID(FCIDConfig.parse(values_of(split, **changes), where="test"))


def draws_of(model: FCID, clips: int = 3) -> Draws:
    """The same negatives every time; CPC predicts from the first step."""
    fine = {m: torch.arange(clips).roll(1) for m in model.config.fine}
    coarse = {g: torch.arange(len(ms) * clips).roll(1) for g, ms in model.config.groups.items()}
    return Draws(fine | coarse, step=0)


def terms_of(fine: tuple[str, ...], coarse: tuple[str, ...]) -> set[str]:
    """What the paper's objective consists of, written out for any split."""
    both = (*fine, *coarse) if coarse else ()
    groups = [*(["+".join(fine)] if fine else []), *coarse] if coarse else []
    pairs = [(a, b) for i, a in enumerate(both) for b in both[i + 1 :] if not (a in fine and b in fine)]
    return {
        *(f"reconstruction/fine/{m}" for m in fine),
        *(f"reconstruction/coarse/{m}" for m in both),
        *(f"club/fine/{m}" for m in fine),
        *(f"club/coarse/{group}" for group in groups),
        *(["cpc"] if fine else []),
        *(f"info_nce/{a}-{b}" for a, b in pairs),
        *(f"commitment/{m}" for m in (*fine, *coarse)),
        "cmcm",
    }


@pytest.mark.parametrize("fidelity", ["corrected", "released"])
@pytest.mark.parametrize("split", SPLITS, ids=lambda s: "+".join(s[0]) + "|" + "+".join(s[1]))
def test_any_valid_split_of_roles_trains(split: Split, fidelity: str) -> None:
    fine, coarse = split
    model = model_of(split, fidelity=fidelity)
    losses = losses_of(model, batch_of(model))
    assert set(losses) == terms_of(fine, coarse)
    assert all(loss.isfinite() for loss in losses.values())
    sum(losses.values()).backward()
    for m in model.modalities:
        reached = [p for p in model.general[m].parameters() if p.grad is not None and p.grad.abs().sum() > 0]
        assert reached, m


def test_the_terms_of_the_paper_have_the_names_its_ablations_need() -> None:
    model = model_of()
    terms = losses_of(model, batch_of(model))
    weights = ["club", "reconstruction", "commitment", "club/fine", "club/coarse"]
    weights += ["club/fine/speech", "club/fine/image", "club/coarse/speech+image", "club/coarse/words"]
    for name in weights:
        assert any(term == name or term.startswith(f"{name}/") for term in terms), name
    critics = {name.removeprefix("critic/") for name in model.critic_losses(model.represent(batch_of(model)))}
    assert critics == {name.removeprefix("club/") for name in terms if name.startswith("club/")}


@pytest.mark.parametrize("steps", [1, 2, 3, 10])
@pytest.mark.parametrize("split", [PAPER, SPLITS[1], SPLITS[2]], ids=["both", "fine", "coarse"])
def test_any_length_trains_and_encodes(split: Split, steps: int) -> None:
    model = model_of(split)
    batch = batch_of(model, steps=steps)
    assert all(loss.isfinite() for loss in losses_of(model, batch).values())
    for m in model.modalities:
        for level, count in (("segment", steps), ("clip", 1)):
            encoding = model.eval().encode(m, batch.features[m], level=level)
            assert encoding.general.shape == encoding.codes.shape == (3, count, 8)
            assert encoding.indices.shape == (3, count, 1)


def test_only_the_fine_modalities_need_the_same_number_of_steps() -> None:
    model = model_of(SPLITS[4])
    losses = losses_of(model, batch_of(model, speech=6, touch=6, words=2, image=9))
    assert all(loss.isfinite() for loss in losses.values())
    with pytest.raises(InputError, match="speech 6, touch 4 steps"):
        model.represent(batch_of(model, speech=6))
    alone = model_of(SPLITS[2])
    assert all(loss.isfinite() for loss in losses_of(alone, batch_of(alone, words=2)).values())


def test_the_fine_modalities_share_their_coarse_networks() -> None:
    model = model_of(SPLITS[3])
    assert set(model.coarse.general) == {"words+speech+image", "touch"}
    assert set(model.coarse.decoder) == {"words", "speech", "image", "touch"}
    assert model.codebook.modalities == ("words", "speech", "image", "touch")


def test_a_clip_is_encoded_from_the_mean_over_its_valid_steps() -> None:
    model = model_of().eval()
    batch = batch_of(model)
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 1, 0]]).bool()
    steps = model.encode_fine("speech", batch.features["speech"], mask)
    mean = torch.stack([x[valid].mean(0) for x, valid in zip(steps, mask, strict=True)])[:, None]
    shared = "speech+image"
    expected = model.coarse.general[shared](model.coarse.project[shared](mean))
    clip = model.encode("speech", batch.features["speech"], mask, level="clip")
    torch.testing.assert_close(clip.general, expected)
    segment = model.encode("speech", batch.features["speech"], mask, level="segment")
    torch.testing.assert_close(
        segment.general, model.coarse.general[shared](model.coarse.project[shared](steps))
    )
    r = model.represent(FeatureBatch(batch.features, dict.fromkeys(model.modalities, mask)))
    torch.testing.assert_close(r.quantized["speech"].codewords, clip.codes)


@pytest.mark.parametrize("level", ["segment", "clip"])
def test_the_config_names_the_level_of_codes_that_are_not_asked_for(level: str) -> None:
    model = model_of(level=level).eval()
    x = batch_of(model).features["words"]
    default, asked = model.encode("words", x), model.encode("words", x, level=level)
    assert torch.equal(default.codes, asked.codes)
    assert level in FCID.levels


def test_a_clip_without_words_takes_no_part_in_their_terms() -> None:
    model = model_of(dropout=0.0)
    batch = batch_of(model, clips=4)
    masks = {**batch.masks, "words": torch.tensor([1, 1, 1, 0]).bool()[:, None].expand(4, 4)}
    losses = [
        losses_of(
            model,
            FeatureBatch({**batch.features, "words": batch.features["words"] * scale}, masks),
            draws=draws_of(model, clips=4),
        )
        for scale in (torch.ones(4, 1, 1), torch.tensor([1.0, 1, 1, 9]).view(4, 1, 1))
    ]
    assert set(losses[0]) == terms_of(*PAPER)
    for name in losses[0]:
        torch.testing.assert_close(losses[0][name], losses[1][name], msg=name)


def test_fine_features_are_decoded_as_they_are_and_as_codes_where_nothing_coarse_follows() -> None:
    for split, decoded_as_codes in ((PAPER, False), (SPLITS[1], True)):
        model = model_of(split)
        r = model.represent(batch_of(model))
        kept = r.fine.general["speech"], r.fine.specific["speech"]
        prediction = model.fine.decoder["speech"](*kept)
        if decoded_as_codes:
            prediction = model.fine.decoder["speech"](r.quantized["speech"].codes, kept[1])
        loss = (prediction - r.fine.inputs["speech"]).square().mean()
        assert torch.equal(
            losses_of(model, batch_of(model), representation=r)["reconstruction/fine/speech"], loss
        )


@pytest.mark.parametrize("detach", [True, False])
def test_constant_targets_keep_the_projector_from_shrinking_them(detach: bool) -> None:
    model = model_of(detach_targets=detach)
    decoder = model.coarse.decoder["words"]
    for p in decoder.parameters():
        p.data.zero_()  # a decoder that knows nothing: only the target can move
    losses_of(model, batch_of(model))["reconstruction/coarse/words"].backward()
    gradient = model.coarse.project["words"].weight.grad
    assert (gradient is None or not gradient.any()) == detach


@pytest.mark.parametrize(("fidelity", "temperature"), [("corrected", 0.3), ("released", 0.1)])
def test_info_nce_joins_each_fine_modality_with_each_coarse_one(fidelity: str, temperature: float) -> None:
    model = model_of(fidelity=fidelity, temperature=temperature)
    batch = batch_of(model, clips=5)
    r = model.represent(batch)
    losses = losses_of(model, batch, representation=r)
    words = r.coarse.general["words"][:, 0]
    for m in ("speech", "image"):
        query = r.coarse.general[m][:, 0]
        expected = info_nce(query, words, temperature)
        if fidelity == "corrected":
            expected = (expected + info_nce(words, query, temperature)) / 2
        torch.testing.assert_close(losses[f"info_nce/{m}-words"], expected)


def test_presets_set_every_switch_and_single_settings_override_them() -> None:
    released = model_of(fidelity="released")
    assert released.config.pooling == "sum"
    assert not released.config.info_nce_symmetric
    assert isinstance(released.codebook, ReleasedSharedCodebook)
    assert released.codebook.revive_noise == (-1 / 1024, -1 / 1024)
    mixed = model_of(fidelity="released", temperature=0.5, codebook={"rule": "corrected"}, cmcm_form="none")
    assert mixed.config.cpc_normalize == "prediction"
    assert type(mixed.codebook) is SharedCodebook
    assert "cmcm" not in losses_of(mixed, batch_of(mixed))
    for mode in ("python", "json"):
        assert FCIDConfig.parse(mixed.config.model_dump(mode=mode), where="round trip") == mixed.config


@pytest.mark.parametrize(
    ("fine", "coarse", "message"),
    [
        (["speech"], ["words"], r"'fine' is \['speech'\] and 'coarse' is \['words'\]"),
        ([], ["words"], "modality 'speech' is neither fine nor coarse"),
        (["speech", "image"], [], "modality 'words' is neither"),
        (["speech", "image"], ["words", "image"], "modality 'image' is named 2 times"),
        (["speech", "speech", "image"], ["words"], "modality 'speech' is named 2 times"),
        (["speech", "image"], ["words", "smell"], "'smell' is coarse but not one of 'modalities'"),
        ([], [], "modality 'speech' is neither"),
    ],
)
def test_wrong_roles_are_one_line_that_says_what_fcid_is_for(
    fine: list[str], coarse: list[str], message: str
) -> None:
    modalities = {m: MODALITIES[m] for m in ("speech", "image", "words")}
    if len(fine) + len(coarse) == 2 and "speech" in fine and "words" in coarse:
        del modalities["image"]
    with pytest.raises(InputError, match=message) as caught:
        FCIDConfig.parse(
            {**SIZES, "modalities": modalities, "fine": fine, "coarse": coarse}, where="fcid.yaml"
        )
    text = str(caught.value)
    assert text.startswith("fcid.yaml: ")
    assert "with two modalities only the fine or the coarse half of FCID applies" in text
    assert "\n" not in text


@pytest.mark.parametrize(("role", "other"), [("fine", "coarse"), ("coarse", "fine")])
def test_a_single_modality_is_refused_in_either_role(role: str, other: str) -> None:
    values = {**SIZES, "modalities": {"speech": MODALITIES["speech"]}, role: ["speech"], other: []}
    with pytest.raises(InputError, match="with two modalities only the fine or the coarse half"):
        FCIDConfig.parse(values, where="fcid.yaml")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature": 0}, "'temperature' is 0"),
        ({"level": "word"}, "'level' is 'word'"),
        ({"finer": ["speech"]}, "did you mean 'fine'"),
        ({"heads": 3}, "heads must divide dim"),
        ({"modalities": {"a.b": {"dim": 3}}}, "modalities: 'a.b' cannot name a modality"),
        ({"modalities": {"keys": {"dim": 3}}}, "modalities: 'keys' cannot name a modality"),
        (
            {"modalities": {**values_of(PAPER)["modalities"], "words": {"dim": 6, "specific_dim": 4}}},
            "'modalities.words.specific_dim' is for fine modalities, but 'words' is coarse; remove it",
        ),
    ],
)
def test_a_wrong_setting_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        FCIDConfig.parse(values_of(PAPER, **change), where="fcid.yaml")


def test_a_coarse_modality_cannot_take_the_name_of_the_fine_ones_together() -> None:
    values = values_of(PAPER)
    values["modalities"] = {**values["modalities"], "speech+image": {"dim": 3}}
    with pytest.raises(InputError, match="choose another name"):
        FCIDConfig.parse({**values, "coarse": ["words", "speech+image"]}, where="fcid.yaml")


def test_wrong_requests_are_named_with_what_was_expected() -> None:
    model = model_of()
    x = batch_of(model).features
    cases = [
        (lambda: model.encode("speech", x["speech"], level="word"), "unknown level 'word'.*segment, clip"),
        (lambda: model.encode("smell", x["speech"]), "unknown modality 'smell'"),
        (lambda: model.encode("speech", x["image"]), "'speech' features"),
        (lambda: model.encode_fine("words", x["words"]), "'words' is not a fine modality.*speech, image"),
        (lambda: model_of(SPLITS[2]).encode_fine("words", x["words"]), "the model has no fine half"),
        (lambda: model.represent(FeatureBatch.of({"speech": x["speech"]})), "is missing"),
    ]
    for request, message in cases:
        with pytest.raises(InputError, match=message):
            request()


@pytest.mark.slow
def test_a_run_trains_saves_and_resumes_with_the_same_bits(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    meaning = rng.standard_normal((20, 1, 2))
    shapes = {"speech": (4, 5), "touch": (4, 3), "words": (2, 6)}  # words have a length of their own
    features = {
        m: np.concatenate([meaning.repeat(t, 1), rng.standard_normal((20, t, c - 2))], -1).astype(np.float32)
        for m, (t, c) in shapes.items()
    }
    FeatureStore.write(tmp_path / "store", features, [f"clip{i}" for i in range(20)])
    method = values_of((("speech", "touch"), ("words",)), codebook={"init": "data"})
    config = PretrainConfig.parse(
        {
            "method": {"name": "fcid", **method},
            "data": {"store": str(tmp_path / "store")},
            "loss_weights": {"club/coarse/speech+touch": 0.5, "info_nce/speech-words": 2},
            "critics": {"steps": 2},
            "training": {"epochs": 2, "batch_size": 8, "log_every": 3, "checkpoint_every": 2},
        },
        where="test",
    )
    whole = fit(config, tmp_path / "whole", progress=False)
    parts = fit(
        config,
        tmp_path / "parts",
        resume=tmp_path / "whole/checkpoints/step-00000004",
        progress=False,
    )
    assert whole.steps == parts.steps == 6
    left, right = (read_tensors(result.model / "model.safetensors") for result in (whole, parts))
    assert left.keys() == right.keys()
    assert all(torch.equal(tensor, right[key]) for key, tensor in left.items())
    assert set(whole.last["gradient_norm"]) == {"context", "encoder", "cpc", "decoder"}
    model = load_pretrained(whole.model)
    assert isinstance(model, FCID)
    words = torch.from_numpy(features["words"])
    assert model.encode("words", words).indices.shape == (20, 2, 1)


def test_the_shipped_configuration_has_the_sizes_of_the_papers() -> None:
    path = SHIPPED / "fcid.yaml"
    config = PretrainConfig.parse(load_yaml(path), where=path)
    assert config.method.settings.fine == ("video", "audio")
    assert config.method.settings.coarse == ("text",)
    released = PretrainConfig.parse(
        apply_overrides(load_yaml(path), ["method.fidelity=released"]), where=path
    )
    with torch.device("meta"):
        model = FCID(released.method.settings)
    unused = 3 * 789_760 + 262_913  # transformer templates, and the attention without effect
    millions = (sum(p.numel() for p in model.parameters()) + unused) / 1e6
    assert round(millions, 1) == 118.8  # counted in the released networks
