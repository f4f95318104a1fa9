"""CLUB and cross-modal CPC against numbers recorded from the released code (float64)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from places import GOLDEN

from unicode_cmg.losses import CLUB, CrossModalCPC

# (source, target) in the order the released code reports accuracies
ORDER = {
    "cross_cpc_av": [("audio", "video"), ("video", "audio"), ("video", "video"), ("audio", "audio")],
    "cross_cpc_avt": [
        ("video", "audio"),
        ("text", "audio"),
        ("text", "video"),
        ("audio", "video"),
        ("audio", "text"),
        ("video", "text"),
        ("audio", "audio"),
        ("video", "video"),
        ("text", "text"),
    ],
}


def recorded(name: str, prefix: str = "") -> dict[str, torch.Tensor]:
    """The recorded arrays whose keys begin with a prefix, without it."""
    with np.load(GOLDEN / f"{name}_public.npz") as file:
        return {k.removeprefix(prefix): torch.from_numpy(file[k]) for k in file.files if k.startswith(prefix)}


@pytest.fixture(scope="module")
def arrays() -> dict[str, torch.Tensor]:
    return recorded("club")


@pytest.fixture
def critic(arrays: dict[str, torch.Tensor]) -> CLUB:
    _, _, x_dim, y_dim, hidden = arrays["meta/B_T_X_Y_H"].tolist()
    critic = CLUB(x_dim, y_dim, hidden).double()
    critic.load_state_dict({k.removeprefix("param/"): v for k, v in arrays.items() if k.startswith("param/")})
    return critic


@pytest.mark.parametrize("kind", ["seq", "flat"])
def test_the_bound_its_likelihood_and_their_gradients_are_the_released_ones(
    kind: str, critic: CLUB, arrays: dict[str, torch.Tensor]
) -> None:
    x, y = (arrays[f"{kind}/in/{name}"].clone().requires_grad_() for name in "xy")
    bound = critic.mutual_information(x, y, arrays[f"{kind}/draw/randperm"], form="released")
    torch.testing.assert_close(bound, arrays[f"{kind}/out/mi_est"], rtol=1e-10, atol=0)
    bound.backward()
    torch.testing.assert_close(x.grad, arrays[f"{kind}/grad/mi_est_wrt_x"], rtol=1e-10, atol=1e-15)
    torch.testing.assert_close(y.grad, arrays[f"{kind}/grad/mi_est_wrt_y"], rtol=1e-10, atol=1e-15)

    critic.zero_grad()
    likelihood = critic.log_likelihood(x, y)
    torch.testing.assert_close(likelihood, arrays[f"{kind}/out/loglikeli"], rtol=1e-12, atol=0)
    (-likelihood).backward()
    norms = torch.stack([p.grad.norm() for p in critic.parameters() if p.grad is not None])
    torch.testing.assert_close(norms, arrays[f"{kind}/out/loglikeli_param_grad_norms"], rtol=1e-10, atol=0)


def test_five_inner_steps_move_the_critic_as_released(critic: CLUB, arrays: dict[str, torch.Tensor]) -> None:
    optimizer = torch.optim.Adam(critic.parameters(), lr=1e-3)
    losses = []
    for _ in range(5):
        loss = -critic.log_likelihood(arrays["seq/in/x"], arrays["seq/in/y"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    torch.testing.assert_close(torch.stack(losses), arrays["inner5/lld_losses"], rtol=1e-12, atol=0)
    for name, parameter in critic.state_dict().items():
        torch.testing.assert_close(parameter, arrays[f"inner5/param_after/{name}"], rtol=1e-10, atol=1e-14)


def released_cpc(arrays: dict[str, torch.Tensor], modalities: list[str]) -> CrossModalCPC:
    cpc = CrossModalCPC(modalities, arrays[f"in/{modalities[0]}"].shape[-1], normalize="prediction").double()
    state = {}
    for key, value in arrays.items():
        if key.startswith("param/"):
            module, _, rest = key.removeprefix("param/").partition(".")
            modality, _, kind = module.partition("_")
            state[f"{'contexts' if kind == 'ar_lstm' else 'predictors'}.{modality}.{rest}"] = value
    cpc.load_state_dict(state)
    return cpc


@pytest.mark.parametrize("code", ["dcid", "fcid"])
@pytest.mark.parametrize("variant", ["cross_cpc_av", "cross_cpc_avt"])
def test_cpc_loss_gradients_and_accuracies_are_the_released_ones(code: str, variant: str) -> None:
    arrays = recorded(f"cpc_{code}", f"{variant}/")
    modalities = [m for m in ("audio", "video", "text") if f"in/{m}" in arrays]
    cpc = released_cpc(arrays, modalities)
    for call in ("call0", "call1", "call2"):
        features = {m: arrays[f"in/{m}"].clone().requires_grad_() for m in modalities}
        step = int(arrays[f"{call}/draw/t"])
        result = cpc(features, step)
        torch.testing.assert_close(result.loss, arrays[f"{call}/out/nce"], rtol=1e-12, atol=0)
        result.loss.backward()
        for m, x in features.items():
            torch.testing.assert_close(x.grad, arrays[f"{call}/grad/{m}"], rtol=1e-9, atol=1e-14)
        accuracy = {pair: value.float() for pair, value in result.accuracy.items()}
        if code == "dcid":  # reports the best target of each prediction among scores normalised by target
            accuracy = {
                (a, b): best_target_accuracy(cpc, features[a], features[b], a, step) for a, b in accuracy
            }
        ours = torch.stack([accuracy[pair] for pair in ORDER[variant]])
        torch.testing.assert_close(ours, arrays[f"{call}/out/accuracies"])


def best_target_accuracy(
    cpc: CrossModalCPC, source: torch.Tensor, target: torch.Tensor, modality: str, step: int
) -> torch.Tensor:
    context = cpc.contexts[modality](source[:, : step + 1])[0][:, -1]
    scores = target[:, step + 1] @ cpc.predictors[modality][0](context).t()
    return (scores.log_softmax(1).argmax(0) == torch.arange(len(scores))).float().mean()
