"""Cross-modal CPC against a loop over clips and pairs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from unicode_cmg.errors import InputError
from unicode_cmg.losses import CrossModalCPC, info_nce

NAMES = ("a", "b", "c")


def make(normalize: str = "target", modalities: tuple[str, ...] = NAMES, **options: object) -> CrossModalCPC:
    torch.manual_seed(0)
    return CrossModalCPC(modalities, 4, normalize=normalize, **options).double()


def features(batch: int, time: int, modalities: tuple[str, ...] = NAMES, seed: int = 0) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(seed)
    return {m: torch.randn(batch, time, 4, generator=g, dtype=torch.float64) for m in modalities}


def slow(
    cpc: CrossModalCPC, x: dict[str, Tensor], step: int, masks: dict[str, Tensor]
) -> tuple[float, dict[tuple[str, str], float]]:
    total, accuracy = 0.0, {}
    horizon = len(cpc.predictors["a"])
    for source in x:
        for target in x:
            loss = hits = 0.0
            for ahead in range(horizon):
                clips = [
                    i
                    for i in range(len(x[source]))
                    if masks[source][i, : step + 1].all() and masks[target][i, step + ahead + 1]
                ]
                wanted = {i: x[target][i, step + ahead + 1] for i in clips}
                predicted = {}
                for i in clips:
                    outputs, _ = cpc.contexts[source](x[source][i : i + 1, : step + 1])
                    predicted[i] = cpc.predictors[source][ahead](outputs[0, -1])
                for i in clips:
                    if cpc.normalize == "target":
                        scores = torch.stack([wanted[j] @ predicted[i] for j in clips])
                    else:
                        scores = torch.stack([wanted[i] @ predicted[j] for j in clips])
                    loss -= scores.log_softmax(0)[clips.index(i)].item() / len(clips) / horizon
                    hits += (clips[int(scores.argmax())] == i) / len(clips) / horizon
            total += (cpc.self_weight if source == target else 1) * loss
            accuracy[source, target] = hits
    return total, accuracy


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("horizon", [1, 2])
@pytest.mark.parametrize("normalize", ["target", "prediction"])
def test_loss_and_accuracy_are_those_of_the_loops(normalize: str, horizon: int, masked: bool) -> None:
    cpc = make(normalize, horizon=horizon)
    x = features(5, 6)
    masks = {m: torch.ones(5, 6, dtype=torch.bool) for m in NAMES}
    if masked:
        masks["a"][1, 3:] = False
        masks["b"][0, 0] = False
    for step in (0, 2):
        loss, accuracy = slow(cpc, x, step, masks)
        result = cpc(x, step, {m: masks[m] for m in ("a", "b")} if masked else None)
        assert result.loss.item() == pytest.approx(loss, rel=1e-10)
        assert {pair: value.item() for pair, value in result.accuracy.items()} == pytest.approx(accuracy)


def test_two_clips_by_hand() -> None:
    cpc = make(modalities=("a", "b"), self_weight=0.0)
    for module in cpc.predictors.values():
        module[0].weight.data.zero_()
        module[0].bias.data.zero_()
    result = cpc(features(2, 4, ("a", "b")), 1)
    torch.testing.assert_close(result.loss, 2 * torch.tensor(2.0).double().log())  # even odds, two pairs
    assert set(result.accuracy) == {("a", "b"), ("b", "a")}


@pytest.mark.slow
@pytest.mark.parametrize("normalize", ["target", "prediction"])
def test_gradients(normalize: str) -> None:
    cpc = make(normalize, ("a", "b"), layers=1)
    mask = torch.tensor([[True] * 4, [True] * 4, [True, True, False, False]])

    def loss(a: Tensor, b: Tensor) -> Tensor:
        return cpc({"a": a, "b": b}, 1, {"a": mask}).loss

    x = features(3, 4, ("a", "b"))
    assert torch.autograd.gradcheck(loss, (x["a"].requires_grad_(), x["b"].requires_grad_()))


def test_only_the_context_and_the_targets_are_read() -> None:
    cpc = make(horizon=1)
    x = {m: z.requires_grad_() for m, z in features(3, 6).items()}
    cpc(x, 2).loss.backward()
    for z in x.values():
        assert z.grad is not None
        used = z.grad.abs().sum((0, 2)) > 0
        assert used.tolist() == [True, True, True, True, False, False]


def test_masks_equal_dropping_padded_steps_and_clips() -> None:
    cpc = make()
    x = features(4, 6)
    long = {m: torch.cat([z, torch.ones(4, 2, 4)], 1) for m, z in x.items()}
    long = {m: torch.cat([z, torch.ones(1, 8, 4)]) for m, z in long.items()}
    mask = torch.zeros(5, 8, dtype=torch.bool)
    mask[:4, :6] = True
    masked, short = cpc(long, 3, dict.fromkeys(NAMES, mask)), cpc(x, 3)
    torch.testing.assert_close(masked.loss, short.loss, rtol=1e-12, atol=0)
    for pair, value in short.accuracy.items():
        torch.testing.assert_close(masked.accuracy[pair], value)


def test_nothing_valid_is_no_loss_and_no_gradient() -> None:
    cpc = make()
    x = {m: z.requires_grad_() for m, z in features(3, 5).items()}
    result = cpc(x, 2, {m: torch.zeros(3, 5, dtype=torch.bool) for m in NAMES})
    assert result.loss.item() == 0
    result.loss.backward()
    assert all(z.grad is not None and not z.grad.any() for z in x.values())


def test_a_single_step_is_contrasted_as_by_info_nce() -> None:
    cpc = make()
    x = features(5, 1)
    expected = sum(info_nce(x[a][:, 0], x[b][:, 0]) for a in NAMES for b in NAMES if a != b)
    result = cpc(x)
    torch.testing.assert_close(result.loss, expected, rtol=1e-12, atol=0)
    assert len(result.accuracy) == 6
    mask = torch.tensor([True, False, True, True, True]).unsqueeze(1)
    few = {m: z[mask[:, 0]] for m, z in x.items()}
    torch.testing.assert_close(
        cpc(x, masks=dict.fromkeys(NAMES, mask)).loss, cpc(few).loss, rtol=1e-12, atol=0
    )


def test_two_steps_predict_the_second_from_the_first() -> None:
    cpc = make()
    x = features(5, 2)
    torch.testing.assert_close(cpc(x).loss, cpc(x, 0).loss, rtol=0, atol=0)


def test_a_horizon_longer_than_the_clip_shrinks() -> None:
    cpc = make(horizon=3)
    x = features(5, 3)
    result = cpc(x)
    cpc.horizon = 2
    torch.testing.assert_close(result.loss, cpc(x, 0).loss, rtol=0, atol=0)


@pytest.mark.slow
def test_steps_are_drawn_from_one_to_two_before_the_end() -> None:
    cpc = make()
    generator = torch.Generator().manual_seed(0)
    assert {cpc.draw_step(10, generator) for _ in range(300)} == set(range(1, 9))
    assert {cpc.draw_step(3, generator) for _ in range(5)} == {1}
    assert cpc.draw_step(2) == 0
    assert {make(horizon=3).draw_step(10, generator) for _ in range(200)} == set(range(1, 7))


def test_drawn_steps_repeat_under_the_same_generator() -> None:
    first, again, other = (make().draw_step(99, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize("masked", [False, True])
def test_without_a_step_the_loss_is_the_mean_over_all_that_could_be_drawn(masked: bool) -> None:
    cpc = make()
    x = features(4, 7)
    masks = None
    if masked:  # every clip is whole in every pair or absent from it, so that each step counts as many clips
        masks = {m: torch.ones(4, 7, dtype=torch.bool) for m in x}
        masks["a"][1] = False
    every = [cpc(x, step, masks) for step in range(1, 6)]
    result = cpc(x, masks=masks)
    torch.testing.assert_close(result.loss, torch.stack([one.loss for one in every]).mean())
    for pair, share in result.accuracy.items():
        torch.testing.assert_close(share, torch.stack([one.accuracy[pair] for one in every]).mean())


@pytest.mark.parametrize("step", [1, 3, None])
def test_other_steps_of_the_clip_are_negatives_between_modalities_that_share_a_clock(
    step: int | None,
) -> None:
    cpc = make(same_clip=("a", "b"), self_weight=0.5)
    x = features(5, 6)
    masks = {m: torch.ones(5, 6, dtype=torch.bool) for m in x}
    masks["b"][2, 4:] = False
    losses = {}
    for target in cpc.modalities:
        for source in cpc.modalities:
            found = []
            for t in range(1, 5) if step is None else [step]:
                for clip in range(5):
                    if not (masks[source][clip, : t + 1].all() and masks[target][clip, t + 1]):
                        continue
                    context = cpc.contexts[source](x[source][:, : t + 1])[0][clip, -1]
                    prediction = cpc.predictors[source][0](context)
                    scores = [
                        prediction @ x[target][other, t + 1]
                        for other in range(5)
                        if masks[source][other, : t + 1].all() and masks[target][other, t + 1]
                    ]
                    if {source, target} <= {"a", "b"}:
                        scores += [
                            prediction @ x[target][clip, s]
                            for s in range(6)
                            if s != t + 1 and masks[target][clip, s]
                        ]
                    found.append(torch.stack(scores).logsumexp(0) - prediction @ x[target][clip, t + 1])
            losses[source, target] = torch.stack(found).mean()
    expected = sum(0.5 * loss if a == b else loss for (a, b), loss in losses.items())
    torch.testing.assert_close(cpc(x, step, masks).loss, expected)


def test_same_clip_negatives_need_the_softmax_over_targets() -> None:
    with pytest.raises(InputError, match="normalize: target"):
        make(same_clip=("a", "b"), normalize="prediction")


def test_steps_beyond_the_shortest_modality_are_not_used() -> None:
    cpc = make(modalities=("a", "b"))
    x = features(4, 6, ("a", "b"))
    uneven = {"a": x["a"], "b": x["b"][:, :4]}
    masks = {"a": torch.ones(4, 6, dtype=torch.bool)}
    even = {m: z[:, :4] for m, z in x.items()}
    torch.testing.assert_close(cpc(uneven, 2, masks).loss, cpc(even, 2).loss)
    with pytest.raises(InputError, match="step is 3 of 4"):
        cpc(uneven, 3)


def test_a_subset_of_the_modalities_will_do() -> None:
    cpc = make()
    x = features(4, 5)
    pair = {m: x[m] for m in ("c", "a")}
    torch.testing.assert_close(
        cpc(pair, 2).loss.item(), slow(cpc, pair, 2, {m: torch.ones(4, 5).bool() for m in pair})[0]
    )


def test_state_survives_saving() -> None:
    first, second = make(), CrossModalCPC(NAMES, 4).double()
    second.load_state_dict(first.state_dict())
    x = features(3, 5)
    assert second(x, 2).loss == first(x, 2).loss


def test_half_precision_is_scored_in_float32() -> None:
    cpc = make().float()
    with torch.autocast("cpu", torch.bfloat16):
        result = cpc({m: z.float() for m, z in features(3, 5).items()}, 2)
    assert result.loss.dtype == torch.float32


@pytest.mark.parametrize(
    ("modalities", "options", "message"),
    [
        (("a",), {}, "two or more"),
        (("a", "a"), {}, "different names"),
        (("a", "b.c"), {}, "cannot name"),
        (("a", "training"), {}, "cannot name"),
        (("a", "b"), {"horizon": 0}, "horizon is 0"),
        (("a", "b"), {"layers": 0}, "layers is 0"),
        (("a", "b"), {"self_weight": -1.0}, "self_weight is -1.0"),
    ],
)
def test_settings_out_of_range_are_refused(
    modalities: tuple[str, ...], options: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        CrossModalCPC(modalities, 4, **options)


def test_features_that_do_not_fit_are_refused() -> None:
    cpc = make()
    x = features(3, 5)
    with pytest.raises(InputError, match="unknown modality 'd'"):
        cpc({"a": x["a"], "d": x["b"]})
    with pytest.raises(InputError, match="modalities is 1; expected at least 2"):
        cpc({"a": x["a"]})
