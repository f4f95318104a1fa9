"""H-DCID works for any modalities, lengths, masks and quantizers, layer by layer."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from places import CONFIGS

from unicode_cmg.batch import FeatureBatch
from unicode_cmg.config import load_yaml
from unicode_cmg.errors import InputError
from unicode_cmg.methods.dcid import DCID, DCIDConfig
from unicode_cmg.methods.hdcid import HDCID, HDCIDConfig
from unicode_cmg.methods.hdcid.standardizer import Standardizer
from unicode_cmg.training import PretrainConfig
from unicode_cmg.training.objective import LossWeights

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
IMAGE = {"dim": 4, "grid": (7, 7), "specific_dim": 6}
WORDS = {"dim": 6, "context": 8}
QUANTIZERS: dict[str, dict[str, Any]] = {
    "mm_ema": {},
    "rvq": {"quantizer": "rvq", "codebooks": 2},
    "fsq": {"quantizer": "fsq", "levels": [3, 3, 4]},
}


def config_of(modalities: dict[str, Any], **settings: Any) -> HDCIDConfig:
    return HDCIDConfig.parse({**SIZES, "modalities": modalities, **settings}, where="test")


def model_of(modalities: dict[str, Any], **settings: Any) -> HDCID:
    torch.manual_seed(0)
    return HDCID(config_of(modalities, **settings))


def batch_of(model: HDCID, clips: int = 3, steps: int = 4, seed: int = 0) -> FeatureBatch:
    generator = torch.Generator().manual_seed(seed)
    shapes = {m: (clips, steps, *(spec.grid or ()), spec.dim) for m, spec in model.config.modalities.items()}
    return FeatureBatch.of({m: torch.randn(shape, generator=generator) for m, shape in shapes.items()})


def losses_of(model: HDCID, batch: FeatureBatch, seed: int = 0) -> dict[str, torch.Tensor]:
    return model.training_losses(batch, generator=torch.Generator().manual_seed(seed))


def terms_of(modalities: tuple[str, ...], layer: str = "") -> set[str]:
    single = {f"{kind}{layer}/{m}" for kind in ("reconstruction", "commitment", "club") for m in modalities}
    return single | {f"cpc{layer}", f"cmcm{layer}"}


@pytest.mark.parametrize("fidelity", ["corrected", "released"])
@pytest.mark.parametrize("steps", [1, 2, 10])
@pytest.mark.parametrize("count", [2, 3, 4])
def test_any_number_of_modalities_and_any_length_trains(fidelity: str, steps: int, count: int) -> None:
    four = {"speech": SPEECH, "image": IMAGE, "words": WORDS, "touch": {"dim": 3}}
    model = model_of(dict(itertools.islice(four.items(), count)), fidelity=fidelity)
    batch = batch_of(model, steps=steps)
    losses = losses_of(model, batch)
    expected = terms_of(model.modalities) | terms_of(model.modalities, "/layer1")
    assert set(losses) == {term for term in expected if fidelity == "corrected" or "cmcm" not in term}
    assert set(model.loss_factors()) == {term for term in losses if "layer1" in term}
    assert all(loss.isfinite() for loss in losses.values())
    sum(losses.values()).backward()
    for layer in model.layers:
        gradients = [p.grad for p in layer.general.parameters()]
        assert any(g is not None and g.abs().sum() > 0 for g in gradients)
    for m in model.modalities:
        encoding = model.eval().encode(m, batch.features[m])
        assert encoding.general.shape == (3, steps, 8)
        assert encoding.codes.shape == (3, steps, 16)
        assert encoding.indices.shape == (3, steps, 2)


@pytest.mark.parametrize(
    ("quantizer", "names"),
    [
        ("mm_ema", {"layer0": 12, "layer1": 12}),
        ("rvq", {"layer0.0": 12, "layer0.1": 12, "layer1.0": 12, "layer1.1": 12}),
        ("fsq", {"layer0": 36, "layer1": 36}),
    ],
)
def test_every_quantizer_names_its_layers_and_gives_their_codes(
    quantizer: str, names: dict[str, int]
) -> None:
    model = model_of({"audio": SPEECH, "video": IMAGE}, codebook=QUANTIZERS[quantizer])
    batch, generator = batch_of(model), torch.Generator()
    r = model.represent(batch)
    sum(model.training_losses(batch, generator=generator, representation=r).values()).backward()
    model.update_codebooks(r, generator=generator)
    assert {key.split("/")[0] for key in model.codebook_statistics(r)} == set(names)

    assert model.code_layers() == names
    encoding = model.eval().encode("video", batch.features["video"])
    assert encoding.indices.shape[-1] == len(names)
    assert encoding.codes.shape[-1] == 8 * len(names)
    assert (
        model.codebooks().keys()
        == model.codebook_keys().keys()
        == (names if quantizer != "fsq" else {}).keys()
    )
    for k, name in enumerate(names):
        assert 0 <= encoding.indices[..., k].min() <= encoding.indices[..., k].max() < names[name]
        if quantizer != "fsq":
            codebook = model.codebooks()[name]
            assert torch.equal(codebook, model.state_dict()[model.codebook_keys()[name]])
            rows = codebook[encoding.indices[..., k]]
            torch.testing.assert_close(encoding.codes[..., 8 * k : 8 * (k + 1)], rows, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("standardize", [True, False])
def test_the_second_layer_reads_the_summaries_of_the_first(standardize: bool) -> None:
    model = model_of({"audio": SPEECH, "video": IMAGE}, dropout=0.0, standardize_deeper=standardize).double()
    batch = batch_of(model).to("cpu", torch.float64)
    model.update_codebooks(model.represent(batch), generator=torch.Generator())
    first, second = model.represent(batch)
    for m in model.modalities:
        summary = first.summary[m]
        if standardize:
            summary = (summary - summary.mean((0, 1))) / (summary.var((0, 1), correction=0) + 1e-6).sqrt()
        torch.testing.assert_close(second.inputs[m], summary)
        alone = model.encode(m, batch.features[m], code_layers=[1])
        torch.testing.assert_close(alone.general, second.general[m])
        assert torch.equal(alone.indices[..., 0], second.quantized[m].lookups[0].indices)
    assert first.summary["video"].shape == (3, 4, 6)
    losses_of(model, batch)["cpc/layer1"].backward()
    assert all(p.grad is not None for p in model.layers[0].specific.parameters())
    assert all(p.grad is None for p in model.layers[0].general.parameters())


def test_standardizing_leaves_the_gradient_of_the_layer_before_as_it_is() -> None:
    standardizer = Standardizer(3)
    x = (torch.randn(4, 5, 3) * 0.01 + 7).requires_grad_()
    mask = torch.ones(4, 5, dtype=torch.bool)
    standardizer.update(x, mask)
    (standardizer(x) * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    torch.testing.assert_close(x.grad, torch.tensor([1.0, 2.0, 3.0]).expand(4, 5, 3))


def test_standardizing_follows_the_valid_steps_of_training_batches() -> None:
    generator = torch.Generator().manual_seed(0)
    batches = torch.randn(400, 4, 5, 3, generator=generator) * 0.01 + torch.tensor([7.0, -3.0, 0.0])
    mask = torch.arange(5).expand(4, 5) < 3
    standardizer = Standardizer(3)
    for number, batch in enumerate(batches):
        standardizer.update(batch.masked_fill(~mask[..., None], float("nan")), mask)
        if number == 9:  # the plain average so far, before it becomes a moving one
            torch.testing.assert_close(
                standardizer.mean, batches[:10, :, :3].mean((0, 1, 2)), rtol=1e-4, atol=1e-5
            )
    scaled = standardizer(batches.flatten(0, 1)[:, :3])
    assert scaled.mean((0, 1)).abs().max() < 0.1
    assert (scaled.std((0, 1)) - 1).abs().max() < 0.1

    before = [buffer.clone() for buffer in standardizer.buffers()]
    standardizer.update(batches[0], torch.zeros(4, 5, dtype=torch.bool))
    standardizer.eval().update(batches[0], mask)
    assert all(torch.equal(a, b) for a, b in zip(before, standardizer.buffers(), strict=True))


def test_the_first_layer_is_dcid() -> None:
    modalities = {"audio": SPEECH, "video": IMAGE, "words": WORDS}
    model = model_of(modalities, dropout=0.0)
    dcid = DCID(DCIDConfig.parse({**SIZES, "modalities": modalities, "dropout": 0.0}, where="test"))
    dcid.layer.load_state_dict(model.layers[0].state_dict())
    dcid.context.load_state_dict(model.context.state_dict())
    batch = batch_of(model)
    model.begin_step(step=0, epoch=0)
    ours, theirs = losses_of(model, batch), losses_of(dcid, batch)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_chosen_layers_are_slices_of_all_layers() -> None:
    model = model_of({"audio": SPEECH, "video": IMAGE}, code_layers=3).eval()
    x = batch_of(model).features["video"]
    whole = model.encode("video", x)
    for layers in ([0], [1], [2], [0, 2], [2, 0]):
        part = model.encode("video", x, code_layers=layers)
        assert torch.equal(part.indices, whole.indices[..., layers])
        assert torch.equal(part.codes, torch.cat([whole.codes[..., 8 * k : 8 * k + 8] for k in layers], -1))
        assert torch.equal(part.general, model.encode("video", x, code_layers=layers[:1]).general)
    assert torch.equal(whole.general, model.encode("video", x, code_layers=[0]).general)
    for layers in ([], [3], [-1], [0, 0]):
        with pytest.raises(InputError, match=r"layers are .*0, 1, 2"):
            model.encode("video", x, code_layers=layers)


def test_layers_join_one_after_another() -> None:
    model = model_of({"audio": SPEECH, "video": IMAGE}, code_layers=3, warm_start_epochs=2)
    batch = batch_of(model)
    assert len(model.represent(batch)) == 3  # never told of a step
    for epoch, joined in ((0, 1), (1, 1), (2, 2), (3, 2), (4, 3), (9, 3)):
        model.begin_step(step=0, epoch=epoch)
        assert len(model.represent(batch)) == joined
        factors = model.loss_factors()
        assert set(factors) == terms_of(model.modalities, "/layer1") | terms_of(model.modalities, "/layer2")
        for name, factor in factors.items():
            assert factor == (0.3 if int(name.split("/")[1][-1]) < joined else 0.0)


@pytest.mark.parametrize(("steps", "joined"), [(4, [1, 1, 1, 1, 2]), (1, [1, 2, 2]), (0, [2, 2])])
def test_the_warm_start_can_be_given_in_steps(steps: int, joined: list[int]) -> None:
    model = model_of({"audio": SPEECH, "video": IMAGE}, warm_start_steps=steps)
    batch = batch_of(model)
    for step, expected in enumerate(joined):
        model.begin_step(step=step, epoch=0)
        assert len(model.represent(batch)) == expected


def total_of(model: HDCID, losses: dict[str, torch.Tensor], **weights: float) -> torch.Tensor:
    return LossWeights({name.replace("__", "/"): w for name, w in weights.items()}).total(
        losses, model.loss_factors()
    )


@pytest.mark.parametrize("fidelity", ["corrected", "released"])
def test_a_layer_that_has_not_joined_learns_nothing(fidelity: str) -> None:
    model = model_of({"audio": SPEECH, "video": IMAGE}, fidelity=fidelity)
    batch, generator = batch_of(model), torch.Generator()
    model.begin_step(step=0, epoch=0)
    r = model.represent(batch)
    assert set(model.critic_losses(r)) == {"critic/audio", "critic/video"}
    losses = model.training_losses(batch, generator=generator, representation=r)
    total = total_of(model, losses)
    assert total.item() == pytest.approx(sum(v.item() for k, v in losses.items() if "layer1" not in k))
    total.backward()
    second = model.layers[1]
    assert all(p.grad is None for p in second.parameters())
    assert any(p.grad is not None for p in model.layers[0].parameters())

    codes = second.codebook.embedding.clone()
    model.update_codebooks(r, generator=generator)
    runs = fidelity == "released"  # the released second layer encodes and moves its codes meanwhile
    assert torch.equal(codes, second.codebook.embedding) == (not runs)
    assert any("layer1" in name for name in losses) == runs
    assert any("layer1" in name for name in model.codebook_statistics(r)) == runs
    model.begin_step(step=0, epoch=3)
    joined = {"critic/audio", "critic/video", "critic/layer1/audio", "critic/layer1/video"}
    assert set(model.critic_losses(model.represent(batch))) == joined


def test_after_the_warm_start_deeper_terms_count_less() -> None:
    model = model_of({"audio": SPEECH, "video": IMAGE}, deeper_weight=0.25, warm_start_epochs=1)
    model.begin_step(step=10, epoch=1)
    losses = losses_of(model, batch_of(model))

    def expected(*left_out: str) -> float:
        kept = {k: v.item() for k, v in losses.items() if not k.startswith(left_out)}
        return sum(v * (0.25 if "layer1" in k else 1) for k, v in kept.items())

    assert total_of(model, losses).item() == pytest.approx(expected("no term"))
    assert total_of(model, losses, club=0.0).item() == pytest.approx(expected("club"))
    assert total_of(model, losses, club__layer1=0.0).item() == pytest.approx(expected("club/layer1"))
    LossWeights({"cpc/layer1": 0.0, "club/layer1/audio": 0.5}).check(losses, model.loss_factors())
    model.begin_step(step=0, epoch=0)
    first = losses_of(model, batch_of(model))
    LossWeights({"cpc/layer1": 0.0, "club/layer1/audio": 0.5}).check(first, model.loss_factors())
    with pytest.raises(InputError, match=r"no loss term 'cpc/layer2'.*did you mean 'cpc/layer1'"):
        LossWeights({"cpc/layer2": 0.0}).check(first, model.loss_factors())


@pytest.mark.parametrize("constant", [True, False])
def test_the_target_of_a_deeper_layer_can_be_a_constant(constant: bool) -> None:
    model = model_of({"audio": SPEECH, "video": IMAGE}, detach_deeper=constant, dropout=0.0)
    for decoder in model.layers[1].decoder.values():
        torch.nn.init.zeros_(decoder.linear.weight)  # so that the input reaches the term as target alone
    losses_of(model, batch_of(model))["reconstruction/layer1/audio"].backward()
    gradient = model.layers[0].specific["audio"].linear.weight.grad
    assert (gradient is None or not gradient.any()) == constant


@pytest.mark.parametrize("valid", [2, 4])
def test_what_stands_in_the_padding_does_not_matter(valid: int) -> None:
    model = model_of({"audio": SPEECH, "video": IMAGE, "words": WORDS}).eval()
    batch = batch_of(model, steps=5)
    mask = (torch.arange(5) < valid).expand(3, 5)
    masks = dict.fromkeys(model.modalities, mask)
    filled = {m: x.masked_fill(~mask.view(3, 5, *[1] * (x.ndim - 2)), 1e3) for m, x in batch.features.items()}
    for m in model.modalities:
        clean, dirty = (model.encode(m, x[m], mask) for x in (batch.features, filled))
        assert torch.equal(clean.indices[:, :valid], dirty.indices[:, :valid])
        cut = model.encode(m, batch.features[m][:, :valid], code_layers=[1])
        one = model.encode(m, batch.features[m], mask, code_layers=[1])
        torch.testing.assert_close(cut.general, one.general[:, :valid], atol=1e-5, rtol=1e-4)
    generator = torch.Generator().manual_seed(1)
    draws = [layer.draw(r, generator) for layer, r in zip(model.layers, model.represent(batch), strict=True)]
    gradients, terms = [], []
    for features in (batch.features, filled):
        model.zero_grad()
        losses = model.training_losses(FeatureBatch(features, masks), generator=generator, draws=draws)
        sum(losses.values()).backward()
        terms.append(losses)
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    for name in terms[0]:
        torch.testing.assert_close(terms[0][name], terms[1][name], msg=name)
    for name in gradients[0]:
        torch.testing.assert_close(gradients[0][name], gradients[1][name], rtol=1e-3, atol=1e-5, msg=name)


def test_critic_losses_teach_the_critics_and_nothing_else() -> None:
    model = model_of({"audio": SPEECH, "video": IMAGE})
    sum(model.critic_losses(model.represent(batch_of(model))).values()).backward()
    with_gradient = {name for name, p in model.named_parameters() if p.grad is not None}
    assert with_gradient == {name for name, _ in model.named_parameters() if ".critic." in name}


@pytest.mark.parametrize("quantizer", QUANTIZERS)
def test_every_parameter_belongs_to_exactly_one_optimizer(quantizer: str) -> None:
    modalities = {"audio": SPEECH, "video": IMAGE, "words": WORDS}
    model = model_of(modalities, codebook=QUANTIZERS[quantizer], code_layers=3)
    ids = [id(p) for p in (*model.trained_parameters(), *model.critic_parameters())]
    assert len(ids) == len(set(ids))
    assert set(ids) == {id(p) for p in model.parameters()}
    assert list(model.trained_modules()) == [
        "context",
        "encoder",
        "cpc/layer0",
        "cpc/layer1",
        "cpc/layer2",
        "decoder",
    ]


def test_the_generator_alone_decides_the_random_choices() -> None:
    model = model_of({"audio": SPEECH, "video": IMAGE}, dropout=0.0)
    batch = batch_of(model, clips=6, steps=8)
    first, again, other = (losses_of(model, batch, seed) for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first if "layer1" in name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"code_layers": 1}, "code_layers"),
        ({"deeper_weight": 0}, "deeper_weight"),
        ({"warm_start_epoch": 2}, "did you mean 'warm_start_epochs'"),
        ({"waiting_code_layers": "sleep"}, "waiting_code_layers"),
        ({"cmcm_form": "off"}, "cmcm_form"),
    ],
)
def test_a_wrong_config_names_the_key(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        config_of({"audio": SPEECH, "video": IMAGE}, **change)
    assert "\n" not in str(caught.value)


def test_presets_set_every_switch_and_single_settings_override_them() -> None:
    modalities = {"audio": SPEECH, "video": IMAGE}
    corrected, released = config_of(modalities), config_of(modalities, fidelity="released")
    assert (corrected.cmcm_form, released.cmcm_form) == ("corrected", "none")
    assert (corrected.waiting_code_layers, released.waiting_code_layers) == ("rest", "run")
    assert (corrected.repeat_encoding, released.repeat_encoding) == (False, True)
    assert (corrected.detach_deeper, released.detach_deeper) == (True, False)
    assert released.pooling == DCIDConfig.switches["pooling"][1]
    mixed = config_of(modalities, fidelity="released", repeat_encoding=False)
    assert (mixed.repeat_encoding, mixed.waiting_code_layers) == (False, "run")
    assert HDCIDConfig.parse(mixed.model_dump(mode="json"), where="round trip") == mixed


def test_the_shipped_configuration_has_the_sizes_of_the_papers() -> None:
    path = CONFIGS / "hdcid.yaml"
    config = PretrainConfig.parse(load_yaml(path), where=path).method.settings
    assert (config.num_codes, config.dim, config.feedforward, config.code_layers) == (400, 256, 1024, 2)
    video = config.modalities["video"]
    assert (video.dim, video.grid, video.specific_width) == (512, (7, 7), 2048)
    assert {m: spec.dim for m, spec in config.modalities.items()} == {"audio": 128, "video": 512, "text": 768}
