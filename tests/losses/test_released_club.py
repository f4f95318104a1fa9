"""CLUB against numbers recorded from the released code (float64)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from places import GOLDEN

from unicode_cmg.losses import CLUB


@pytest.fixture(scope="module")
def arrays() -> dict[str, torch.Tensor]:
    with np.load(GOLDEN / "club_public.npz") as file:
        return {key: torch.from_numpy(file[key]) for key in file.files}


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
