"""What H-DCID adds to what every method keeps to: the second code layer, its input and its warm start."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import tiny_models
import torch
from places import SHIPPED
from tiny_models import SPEECH, WORDS, batch_of, layer_terms, losses_of, values_of

from unicode_cmg.config import load_yaml
from unicode_cmg.errors import InputError
from unicode_cmg.methods.dcid import DCIDConfig
from unicode_cmg.methods.hdcid import HDCID, HDCIDConfig
from unicode_cmg.methods.hdcid.standardizer import Standardizer
from unicode_cmg.training import PretrainConfig
from unicode_cmg.training.objective import LossWeights

IMAGE = {**tiny_models.IMAGE, "specific_dim": 6}

model_of = partial(tiny_models.model_of, "hdcid")


def config_of(modalities: dict[str, Any], **settings: Any) -> HDCIDConfig:
    return HDCIDConfig.parse(values_of("hdcid", modalities, **settings), where="test")


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
    dcid = tiny_models.model_of("dcid", modalities, dropout=0.0)
    dcid.layer.load_state_dict(model.layers[0].state_dict())
    dcid.front.load_state_dict(model.front.state_dict())
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


def test_every_code_layer_has_cpc_modules_of_its_own() -> None:
    model = model_of({"audio": SPEECH, "video": IMAGE, "words": WORDS}, code_layers=3)
    cpc = [f"cpc/layer{k}" for k in range(3)]
    assert list(model.trained_modules()) == ["context", "encoder", *cpc, "decoder"]
    ids = [id(p) for p in (*model.trained_parameters(), *model.critic_parameters())]
    assert sorted(ids) == sorted(id(p) for p in model.parameters())


def test_layers_join_one_after_another() -> None:
    model = model_of({"audio": SPEECH, "video": IMAGE}, code_layers=3, warm_start_epochs=2)
    batch = batch_of(model)
    assert len(model.represent(batch)) == 3  # never told of a step
    for epoch, joined in ((0, 1), (1, 1), (2, 2), (3, 2), (4, 3), (9, 3)):
        model.begin_step(step=0, epoch=epoch)
        assert len(model.represent(batch)) == joined
        factors = model.loss_factors()
        assert set(factors) == layer_terms(model.modalities, "/layer1") | layer_terms(
            model.modalities, "/layer2"
        )
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
    path = SHIPPED / "hdcid.yaml"
    config = PretrainConfig.parse(load_yaml(path), where=path).method.settings
    assert (config.num_codes, config.dim, config.feedforward, config.code_layers) == (400, 256, 1024, 2)
    video = config.modalities["video"]
    assert (video.dim, video.grid, video.specific_width) == (512, (7, 7), 2048)
    assert {m: spec.dim for m, spec in config.modalities.items()} == {"audio": 128, "video": 512, "text": 768}
