"""`fidelity: paper`: every loss as a slow loop over the printed equations."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
import torch
from tiny_models import IMAGE, SPEECH, TOUCH, WORDS, batch_of, losses_of, model_of
from torch import Tensor
from torch.distributions import Normal
from torch.nn import functional

from unicode_cmg.codebook.paper_rule import PaperSharedCodebook
from unicode_cmg.losses import CLUB, cmcm_loss
from unicode_cmg.methods import method_class
from unicode_cmg.methods.dcid import Draws

THREE = {"audio": SPEECH, "video": IMAGE, "text": TOUCH}
ROLES = {"fcid": {"fine": ["audio", "video"], "coarse": ["text"]}}


def paper(method: str, modalities: dict[str, Any] = THREE, **settings: Any) -> Any:
    settings = {"dropout": 0.0, **ROLES.get(method, {}), **settings}
    return model_of(method, modalities, fidelity="paper", **settings).double()


def club_by_loops(critic: CLUB, z: Tensor, zbar: Tensor) -> Tensor:
    """TOC paper, eq A6; FCID paper, eqs 12 and 15: the negatives of a clip are all clips of the batch."""
    mean, deviation = critic.p_mu(z), (critic.p_logvar(z) / 2).exp()
    clips, steps = z.shape[:2]

    def log_q(j: int, i: int, t: int) -> Tensor:
        return Normal(mean[i, t], deviation[i, t]).log_prob(zbar[j, t]).sum()

    total = torch.zeros((), dtype=z.dtype)
    for i in range(clips):
        positive = sum(log_q(i, i, t) for t in range(steps)) / steps
        negative = sum(log_q(j, i, t) for j in range(clips) for t in range(steps)) / (clips * steps)
        total = total + positive - negative
    return total / clips


def cpc_by_loops(cpc: Any, general: dict[str, Tensor], step: int, horizon: int) -> Tensor:
    """TOC paper, eqs 2 and A7: the mean over R of pairs of different modalities, all clips as candidates."""
    total = torch.zeros((), dtype=torch.float64)
    for m, n in permutations(general, 2):
        assert cpc.contexts[m].num_layers == 1
        context = cpc.contexts[m](general[m][:, : step + 1])[0][:, -1]
        for r in range(1, horizon + 1):
            predicted = cpc.predictors[m][r - 1](context)
            for i in range(len(context)):
                scores = torch.stack([z[step + r] @ predicted[i] for z in general[n]])
                total = total - scores.log_softmax(0)[i] / horizon / len(context)
    return total


@pytest.mark.parametrize("horizon", [1, 2])
def test_the_losses_of_dcid_are_the_printed_ones(horizon: int) -> None:
    model = paper("dcid", cpc_horizon=horizon)
    batch = batch_of(model, steps=5).to("cpu", torch.float64)
    r, step = model.represent(batch), 2
    losses = losses_of(
        model, batch, representation=r, draws=Draws(model.layer.draw(r, torch.Generator()).permutations, step)
    )
    layer = model.layer
    for m, z in r.general.items():
        expected = club_by_loops(layer.critic[m], z, r.summary[m])
        torch.testing.assert_close(losses[f"club/{m}"], expected)
        others = [r.quantized[n].codewords for n in r.general if n != m]
        own = functional.mse_loss(z, r.quantized[m].codewords)
        expected = 0.25 * own + sum(0.125 * functional.mse_loss(z, e) for e in others)
        torch.testing.assert_close(losses[f"commitment/{m}"], expected)
    torch.testing.assert_close(losses["cpc"], cpc_by_loops(layer.cpc, r.general, step, horizon))
    distances = {m: q.lookups[0].squared_distances for m, q in r.quantized.items()}
    torch.testing.assert_close(losses["cmcm"], cmcm_loss(distances))


def test_club_of_the_paper_reads_z_and_trains_both_encoders() -> None:
    model = paper("dcid")
    batch = batch_of(model).to("cpu", torch.float64)
    losses_of(model, batch)["club/audio"].backward()
    for encoder in (model.layer.general["audio"], model.layer.specific["audio"]):
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters())


def test_the_steps_that_the_paper_draws_leave_room_for_the_horizon() -> None:
    model = paper("dcid", cpc_horizon=3)
    generator = torch.Generator().manual_seed(0)
    r = model.represent(batch_of(model, steps=10).to("cpu", torch.float64))
    assert {model.layer.draw_step(r, generator) for _ in range(200)} == set(range(1, 7))


def test_the_features_and_the_codebook_are_those_of_the_paper() -> None:
    model = paper("dcid")
    assert not model.front.standardization
    assert type(model.layer.codebook) is PaperSharedCodebook
    assert model.layer.codebook.assignment == "own"
    together = paper("dcid", codebook={"assignment": "joint"})
    assert together.layer.codebook.assignment == "joint"
    mixed = model_of("dcid", THREE, codebook={"rule": "paper"})
    assert mixed.layer.codebook.assignment == "own"
    assert mixed.config.club_form == "scale_free"


def test_both_layers_of_hdcid_weigh_the_same_and_club_and_cpc_are_means_over_them() -> None:
    model = paper("hdcid")
    model.begin_step(step=0, epoch=3)
    factors = model.loss_factors()
    terms = losses_of(model, batch_of(model).to("cpu", torch.float64))
    assert set(factors) <= set(terms)
    for name in terms:
        expected = 0.5 if name.split("/")[0] in ("club", "cpc") else 1.0
        assert factors.get(name, 1.0) == expected, name
    model.begin_step(step=0, epoch=0)
    assert model.loss_factors()["cpc"] == 0.5
    assert model.loss_factors()["cpc/layer1"] == 0
    assert model.loss_factors()["reconstruction/layer1/text"] == 0


def test_the_losses_of_fcid_are_the_printed_ones() -> None:
    model = paper("fcid", {"audio": SPEECH, "video": IMAGE, "text": WORDS})
    batch = batch_of(model).to("cpu", torch.float64)
    r = model.represent(batch)
    losses = losses_of(model, batch, representation=r)
    assert "cmcm" not in losses
    for m, z in r.fine.general.items():
        torch.testing.assert_close(
            losses[f"club/fine/{m}"], club_by_loops(model.fine.critic[m], z, r.fine.summary[m])
        )
    for group, members in (("audio+video", ("audio", "video")), ("text", ("text",))):
        c, cbar = (torch.cat([x[m] for m in members]) for x in (r.coarse.general, r.coarse.specific))
        expected = club_by_loops(model.coarse.critic[group], c, cbar)
        torch.testing.assert_close(losses[f"club/coarse/{group}"], expected)
    for m, z in r.coarse.general.items():
        expected = 0.25 * functional.mse_loss(z, r.quantized[m].codewords)
        torch.testing.assert_close(losses[f"commitment/{m}"], expected)
    a, b = (functional.normalize(r.coarse.general[m][:, 0], dim=-1) for m in ("audio", "text"))
    forth = -sum((a[i] @ b.t()).log_softmax(0)[i] for i in range(len(a))) / len(a)
    back = -sum((b[i] @ a.t()).log_softmax(0)[i] for i in range(len(a))) / len(a)
    torch.testing.assert_close(losses["info_nce/audio-text"], (forth + back) / 2)


@pytest.mark.parametrize("method", ["dcid", "hdcid", "fcid"])
def test_every_switch_has_a_value_for_each_preset_and_the_preset_survives_a_file(method: str) -> None:
    switches = method_class(method).config_class.switches
    config = paper(method).config
    for name, (_, _, printed) in switches.items():
        assert getattr(config, name) == printed, name
    assert type(config).parse(config.model_dump(mode="json"), where="round trip") == config
