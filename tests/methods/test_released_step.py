"""One training step of each released method, number for number: terms, gradients, critics, codebooks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from released_models import StepRecord, golden, golden_batch, relative_error, released_model, released_step
from torch import Tensor, nn

from unicode_cmg.checkpoints.released import LAYOUTS
from unicode_cmg.methods.base import Method
from unicode_cmg.methods.dcid import Draws

TOLERANCE = 1e-6
MODALITIES = ("audio", "video", "text")


@dataclass(frozen=True)
class Case:
    """Names of ours -> names of the released step.

    Attributes:
        method: Name of the method.
        terms: Loss term, or the start of several terms, that end in "/" -> loss.
        modules: Module clipped as one -> module.
        critics: Critic -> loss of its training, module.
        epoch: The released epoch of the step.
    """

    method: str
    terms: dict[str, str]
    modules: dict[str, str]
    critics: dict[str, tuple[str, str]]
    epoch: int = 0

    def draws(self, arrays: dict[str, np.ndarray]) -> Any:
        """The random choices of the released step."""

        def drawn(number: int) -> Tensor:
            return torch.from_numpy(arrays[f"epoch{self.epoch}/draw/randperm{number}"])

        def step(number: int) -> int:
            return int(arrays[f"epoch{self.epoch}/draw/randint{number}"][0]) + 1

        if self.method == "fcid":
            order = ("video", "audio", "text", "video+audio")
            return Draws(permutations={m: drawn(i) for i, m in enumerate(order)}, step=step(0))
        layers = [
            Draws(
                permutations={m: drawn(3 * k + i) for i, m in enumerate(("video", "text", "audio"))},
                step=step(k),
            )
            for k in range(2 if self.method == "hdcid" else 1)
        ]
        return layers if self.method == "hdcid" else layers[0]


def layer_terms(layer: str = "", suffix: str = "") -> dict[str, str]:
    """The terms of one layer of DCID or H-DCID."""
    kinds = {"reconstruction": "recon", "commitment": "embed", "club": "mine"}
    single = {f"{o}{layer}/{m}": f"{m}_{t}_loss{suffix}" for o, t in kinds.items() for m in MODALITIES}
    return {**single, f"cpc{layer}": f"cpc_loss{suffix}"}


def layer_critics(layer: str = "", suffix: str = "") -> dict[str, tuple[str, str]]:
    return {
        f"critic{layer}/{m}": (f"lld_{m}_loss{suffix}", f"{m.capitalize()}_mi_net{suffix}")
        for m in MODALITIES
    }


DCID = Case(
    "dcid",
    {**layer_terms(), "cmcm": "cmcm_loss"},
    {"context": "Text_ar_lstm", "encoder": "Encoder", "cpc": "CPC", "decoder": "Decoder"},
    layer_critics(),
)
HDCID = Case(
    "hdcid",
    {**layer_terms(), **layer_terms("/layer1", "_2")},
    {
        "context": "Text_ar_lstm",
        "encoder": "Encoder",
        "cpc/layer0": "CPC",
        "cpc/layer1": "CPC_2",
        "decoder": "Decoder",
    },
    {**layer_critics(), **layer_critics("/layer1", "_2")},
)
FCID_CRITICS = {
    "fine/video": "Video",
    "fine/audio": "Audio",
    "coarse/video+audio": "AudioVisual",
    "coarse/text": "Text",
}
FCID = Case(
    "fcid",
    {
        "reconstruction/fine/": "fine_recon_loss",
        "reconstruction/coarse/": "coarse_recon_loss",
        "commitment/": "c_embedding_loss",
        "info_nce/": "infonce_loss",
        "cpc": "cpc_loss",
        "cmcm": "c_cmcm_loss",
        **{f"club/{ours}": f"mi_{theirs.lower()}_loss" for ours, theirs in FCID_CRITICS.items()},
    },
    {"encoder": "Encoder", "cpc": "CPC", "decoder": "Decoder"},
    {
        f"critic/{ours}": (f"lld_{theirs.lower()}_loss", f"{theirs}_mi_net")
        for ours, theirs in FCID_CRITICS.items()
    },
)
WARM_HDCID = Case("hdcid", HDCID.terms, HDCID.modules, HDCID.critics, epoch=3)


@dataclass(frozen=True)
class Step:
    """A released step and ours from the same parameters, batch and draws."""

    case: Case
    released: dict[str, np.ndarray]
    model: Method[Any]
    before: dict[str, Tensor]
    record: StepRecord

    @property
    def after(self) -> dict[str, nn.Parameter]:
        return dict(self.model.named_parameters())

    def our_name(self, key: str) -> str | None:
        return LAYOUTS[self.case.method].our_name(key)


@pytest.fixture(
    scope="module",
    params=[DCID, HDCID, WARM_HDCID, FCID],
    ids=["dcid", "hdcid-before-the-second-layer", "hdcid-with-both-layers", "fcid"],
)
def step(request: pytest.FixtureRequest) -> Step:
    case: Case = request.param
    arrays = golden(f"{case.method}_train_step_public")
    model = released_model(case.method).train()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    record = released_step(model, golden_batch(arrays), epoch=case.epoch, draws=case.draws(arrays))
    prefix = f"epoch{case.epoch}/"
    released = {key.removeprefix(prefix): a for key, a in arrays.items() if key.startswith((prefix, "param"))}
    return Step(case, released, model, before, record)


def test_every_loss_term_and_the_total_are_the_released_ones(step: Step) -> None:
    losses, seen = step.record.losses, set()
    for ours, theirs in step.case.terms.items():
        terms = {name for name in losses if name == ours or (ours.endswith("/") and name.startswith(ours))}
        total = sum(losses[name] for name in terms)
        assert relative_error(total, step.released[f"loss/{theirs}"]) < TOLERANCE, ours
        seen |= terms
    assert seen == set(losses)
    # the released total of H-DCID is float32
    assert relative_error(step.record.total, step.released["loss/total"]) < TOLERANCE
    factors = step.model.loss_factors()
    weighted = sum(factors.get(name, 1.0) * loss for name, loss in losses.items())
    assert relative_error(weighted, step.record.total.item()) < TOLERANCE


def test_the_released_hdcid_has_no_cmcm(step: Step) -> None:
    suffixes = {"hdcid": ("", "_2")}.get(step.case.method, ())
    assert all(step.released[f"loss/cmcm_loss{suffix}"] == 0 for suffix in suffixes)
    assert any("cmcm" in name for name in step.record.losses) == (not suffixes)


def test_critics_learn_as_released_and_only_in_layers_that_have_joined(step: Step) -> None:
    for ours, (theirs, module) in step.case.critics.items():
        loss = step.record.critic_losses.get(ours)
        assert (loss is None) == ("layer1" in ours and step.case.epoch == 0)
        assert (loss or 0) == pytest.approx(step.released[f"loss/{theirs}"], rel=TOLERANCE), ours
        for i, key in enumerate(step.released[f"param_keys/{module}"]):
            total = step.after[step.our_name(f"{module}/{key}")].sum().item()
            expected = step.released[f"after/sum/{module}"][i]
            assert total == pytest.approx(expected, rel=TOLERANCE, abs=1e-9), (module, key)


def test_gradient_norms_before_clipping_are_the_released_ones(step: Step) -> None:
    released = zip(
        step.released["grad/module_names"], step.released["grad/module_norm_before_clip"], strict=True
    )
    theirs = {str(name): norm for name, norm in released if "mi_net" not in name}
    assert step.record.norms.keys() == step.case.modules.keys()
    assert theirs.keys() == set(step.case.modules.values())
    for ours, module in step.case.modules.items():
        assert step.record.norms[ours] == pytest.approx(theirs[module], rel=TOLERANCE), module


@pytest.mark.slow
def test_every_parameter_has_the_released_gradient_and_update(step: Step) -> None:
    for group, module in step.case.modules.items():
        compared = set()
        for i, key in enumerate(step.released[f"param_keys/{module}"]):
            ours = step.our_name(f"{module}/{key}")
            gradient, change, total = (
                step.released[f"{kind}/{module}"][i]
                for kind in ("grad/per_param_norm_before_clip", "after/delta_norm", "after/sum")
            )
            if ours is None:
                assert np.isnan(gradient) or gradient == 0, key
                continue
            assert (ours not in step.record.gradients) == np.isnan(gradient), key
            if not np.isnan(gradient):
                assert step.record.gradients[ours] == pytest.approx(gradient, rel=TOLERANCE, abs=1e-12), key
            # where the gradient is zero but for rounding, Adam's step is rounding too, hence the 1e-10
            moved = (step.after[ours] - step.before[ours]).norm().item()
            assert moved == pytest.approx(change, rel=TOLERANCE, abs=1e-10), key
            assert step.after[ours].sum().item() == pytest.approx(total, rel=TOLERANCE, abs=1e-9), key
            compared.add(ours)
        ids = {id(p) for p in step.model.trained_modules()[group].parameters()}
        assert compared == {name for name, p in step.after.items() if id(p) in ids}, module


def test_full_tensors_after_the_step_are_the_released_ones(step: Step) -> None:
    prefix = "after/tensor/"
    keys = [key for key in step.released if key.startswith(prefix)]
    assert keys
    for key in keys:
        ours = step.after[step.our_name(key.removeprefix(prefix))]
        assert relative_error(ours, step.released[key]) < TOLERANCE, key


def test_the_codebooks_moved_as_released(step: Step) -> None:
    state = step.model.state_dict()
    for layer, key in enumerate(step.model.codebook_keys().values()):
        for ours, theirs in (
            ("embedding", "embedding"),
            ("ema_count", "ema_count"),
            ("ema_weight", "ema_weight"),
            ("idle", "unactivated_count"),
        ):
            released = step.released[f"after/quantizer/{theirs}"]
            released = released[layer] if step.case.method == "hdcid" else released
            moved = state[key.replace("embedding", ours)]
            assert relative_error(moved, released) < TOLERANCE, (key, ours)
        if step.case.method == "hdcid":  # six times, also before the second layer joins
            started = golden("hdcid_params_public")["Encoder/Cross_quantizer.unactivated_count"][layer]
            idle = state[key.replace("embedding", "idle")].numpy()
            unused = idle > 5
            assert unused.any()
            assert np.array_equal(idle[unused], started[unused] + 6)
