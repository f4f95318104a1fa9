"""Cross-modal CPC against numbers recorded from the released code (float64)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from places import GOLDEN

from unicode_cmg.losses import CrossModalCPC

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
def test_loss_gradients_and_accuracies_are_the_released_ones(code: str, variant: str) -> None:
    with np.load(GOLDEN / f"cpc_{code}_public.npz") as file:
        prefix = f"{variant}/"
        arrays = {
            k.removeprefix(prefix): torch.from_numpy(file[k]) for k in file.files if k.startswith(prefix)
        }
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
