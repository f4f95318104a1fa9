"""The `released` rule against numbers recorded from the released code (float64)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from places import GOLDEN

from unicode_cmg.codebook import ReleasedSharedCodebook, clip_agreement, perplexity
from unicode_cmg.losses import cmcm_loss, commitment_loss

STATE = {
    "embedding": "embedding",
    "ema_count": "ema_count",
    "ema_weight": "ema_weight",
    "idle": "unactivated_count",
}


class Recording:
    """One call of a released quantizer: arrays below a prefix, with one layer picked where there are two."""

    def __init__(self, name: str, prefix: str, layer: int | None = None) -> None:
        with np.load(GOLDEN / f"{name}_public.npz") as file:
            self.arrays = {k.removeprefix(prefix): file[k] for k in file.files if k.startswith(prefix)}
        self.layer = layer
        self.modalities = [m for m in ("audio", "video", "text") if f"in/{m}" in self.arrays]

    def tensor(self, key: str) -> torch.Tensor:
        return torch.from_numpy(self.arrays[key])

    def state(self, when: str) -> dict[str, torch.Tensor]:
        arrays = {ours: self.arrays[f"{when}/{theirs}"] for ours, theirs in STATE.items()}
        if self.layer is not None:
            arrays = {name: array[self.layer] for name, array in arrays.items()}
        return {
            name: torch.from_numpy(array).to(torch.int64 if name == "idle" else torch.float64)
            for name, array in arrays.items()
        }

    def codebook(
        self, kind: type[ReleasedSharedCodebook] = ReleasedSharedCodebook, **options: object
    ) -> ReleasedSharedCodebook:
        state = self.state("before")
        codebook = kind(*state["embedding"].shape, self.modalities, **options).double()
        codebook.load_state_dict({**state, "seeded": torch.tensor(True)})
        return codebook

    def features(self) -> dict[str, torch.Tensor]:
        return {m: self.tensor(f"in/{m}").requires_grad_() for m in self.modalities}

    def assert_state(self, codebook: ReleasedSharedCodebook) -> None:
        for name, expected in self.state("after").items():
            torch.testing.assert_close(codebook.get_buffer(name), expected, rtol=1e-10, atol=1e-13)


CALLS = [
    *[
        pytest.param(f"mm_ema_{kind}_{state}", call, None, id=f"{kind}-{state}-{call}")
        for kind in ("avt", "av")
        for state in ("init", "warm")
        for call in ("step0", "step1", "step2", "eval")
    ],
    *[
        pytest.param("mm_ema_ml", f"step{step}/layer{layer}", layer, id=f"ml-{step}-{layer}")
        for step in (0, 1)
        for layer in (0, 1)
    ],
]


@pytest.mark.parametrize(("name", "call", "layer"), CALLS)
def test_quantize_and_update_reproduce_the_released_quantizer(
    name: str, call: str, layer: int | None
) -> None:
    recorded = Recording(name, f"{call}/", layer)
    codebook = recorded.codebook().train(call != "eval")
    features = recorded.features()
    quantized = codebook.quantize_each(features, distances=True)
    indices = {m: q.indices[..., 0] for m, q in quantized.items()}

    commitments = commitment_loss(
        features, {m: q.codewords for m, q in quantized.items()}, own_weight=0.5, cross_weight=0.25
    )
    matching = cmcm_loss({m: q.lookups[0].squared_distances for m, q in quantized.items()}, form="released")
    if name == "mm_ema_ml":  # H-DCID has switched code matching off
        matching = matching * 0
    else:
        torch.testing.assert_close(matching, recorded.tensor("out/cmcm_loss"), rtol=1e-10, atol=0)
    for m, q in quantized.items():
        assert torch.equal(q.indices.flatten(), recorded.tensor(f"out/indices_{m}"))
        torch.testing.assert_close(q.codes, recorded.tensor(f"out/q_{m}"), rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(commitments[m], recorded.tensor(f"out/{m}_loss"), rtol=1e-10, atol=0)
        if f"out/perplexity_{m}" in recorded.arrays:
            ours = perplexity(q.indices, codebook.num_codes)
            torch.testing.assert_close(ours, recorded.tensor(f"out/perplexity_{m}"), rtol=1e-7, atol=0)
    assert clip_agreement(indices) == recorded.arrays["out/equal_num"]

    (sum(commitments.values()) + matching).backward()
    if call != "eval":
        for m, z in features.items():
            torch.testing.assert_close(z.grad, recorded.tensor(f"grad/{m}"), rtol=1e-9, atol=1e-14)

    codebook.update(features, indices)
    recorded.assert_state(codebook)


class RecordedRevivals(ReleasedSharedCodebook):
    """Takes the random numbers the released code drew instead of drawing."""

    recorded: Recording

    def _draws(self, generator: torch.Generator | None) -> tuple[torch.Tensor, torch.Tensor]:
        draws, noise = super()._draws(generator)
        dead = self._dead()
        active = int((self.idle < 100).sum())
        draws[dead] = ((self.recorded.tensor("draw/randint").double() + 0.5) / active).float()
        low, high = self.revive_noise
        expected = self.recorded.tensor("draw/noise").float()
        if low == high:
            torch.testing.assert_close(noise[dead], expected, rtol=0, atol=0)
        assert bool(((expected >= low) & (expected <= high)).all())
        noise[dead] = expected
        return draws, noise


@pytest.mark.parametrize(
    ("code", "noise"),
    [("dcid", (-1 / 1024, 1 / 1024)), ("fcid", (-1 / 1024, -1 / 1024))],
    ids=["dcid", "fcid"],
)
def test_dead_codes_restart_for_one_assignment_as_in_the_released_code(
    code: str, noise: tuple[float, float]
) -> None:
    for step in range(3):
        recorded = Recording(f"deadcode_{code}", f"step{step}/")
        codebook = recorded.codebook(RecordedRevivals, revive_noise=noise)
        codebook.recorded = recorded
        features = {m: recorded.tensor(f"in/{m}") for m in recorded.modalities}
        indices = {m: recorded.tensor(f"out/indices_{m}").view(z.shape[:2]) for m, z in features.items()}
        for m, z in features.items():  # two codes revived from one are equal: compare what was looked up
            torch.testing.assert_close(codebook.quantize(z).codewords, codebook.embedding[indices[m]])
        codebook.update(features, indices)
        recorded.assert_state(codebook)


def test_looking_up_one_modality_alone_gives_the_same_codes() -> None:
    recorded = Recording("mm_ema_avt_warm", "eval/")
    codebook = recorded.codebook().eval()
    for m in ("audio", "video"):
        codes = codebook.quantize(recorded.tensor(f"in/{m}")).codewords
        torch.testing.assert_close(codes, recorded.tensor(f"lookup/{m}"), rtol=1e-12, atol=1e-14)


def test_the_released_start_is_reproduced_from_construction() -> None:
    recorded = Recording("mm_ema_avt_init", "step0/")
    codebook = ReleasedSharedCodebook(32, 16, recorded.modalities).double()
    start = recorded.state("before")
    assert torch.equal(codebook.ema_count, start["ema_count"])
    assert torch.equal(codebook.idle, start["idle"])
    assert torch.equal(codebook.ema_weight, codebook.embedding)
    assert codebook.embedding.abs().max() <= 1 / 32


def test_eval_calls_count_idle_codes_and_revive_but_move_no_average() -> None:
    codebook = ReleasedSharedCodebook(4, 2, ["a"], revive_after=1).eval()
    before = {k: v.clone() for k, v in codebook.state_dict().items()}
    z = torch.tensor([[[0.0, 0.0]]])
    for _ in range(3):
        codebook.update({"a": z}, {"a": torch.zeros(1, 1, dtype=torch.int64)})
    assert torch.equal(codebook.ema_count, before["ema_count"])
    assert torch.equal(codebook.ema_weight, before["ema_weight"])
    assert codebook.idle.tolist() == [0, 0, 0, 0]
    others = codebook.embedding[1:]
    assert not torch.equal(others, before["embedding"][1:])
    assert bool(torch.isfinite(others).all())
