from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from benchmarks.encoding import EncodedClips
from benchmarks.heads import HeadConfig, Heads, LabelledCodes, fit_heads

CLASSES, TIME = 3, 4


def clips(count: int = 30, dims: tuple[int, ...] = (6,), seed: int = 0) -> LabelledCodes:
    g = torch.Generator().manual_seed(seed)
    tables = tuple(torch.randn(7 + k, dim, generator=g) for k, dim in enumerate(dims))
    indices = torch.stack([torch.randint(0, len(t), (count, TIME), generator=g) for t in tables], dim=-1)
    labels = indices[:, 0, 0] % CLASSES
    return LabelledCodes(tables, indices, labels)


def dense(data: LabelledCodes) -> Tensor:
    return torch.cat([t[data.indices[..., k]] for k, t in enumerate(data.tables)], dim=-1)


class PlainHead(nn.Module):
    """The head as one would write it for one seed."""

    def __init__(self, heads: Heads, seed: int) -> None:
        super().__init__()
        dim, classes = heads.class_weight.shape[1:]
        self.hidden, self.classes = nn.Linear(dim, dim), nn.Linear(dim, classes)
        with torch.no_grad():
            self.hidden.weight.copy_(heads.hidden_weight[seed].T)
            self.hidden.bias.copy_(heads.hidden_bias[seed])
            self.classes.weight.copy_(heads.class_weight[seed].T)
            self.classes.bias.copy_(heads.class_bias[seed])

    def forward(self, codes: Tensor) -> Tensor:
        return self.classes(self.hidden(codes).max(dim=1).values)


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


@pytest.mark.parametrize("dims", [(6,), (4, 3)])
def test_looking_up_after_the_first_layer_is_the_same_head(dims: tuple[int, ...]) -> None:
    data = clips(dims=dims)
    heads = Heads.initial(sum(dims), CLASSES, generators(0, 1))
    logits = heads.logits(data.tables, data.indices.expand(2, -1, -1, -1))
    for seed in range(2):
        torch.testing.assert_close(logits[seed], PlainHead(heads, seed)(dense(data)))


def test_the_gradients_are_those_of_the_plain_head() -> None:
    data = clips()
    heads = Heads(*(p.requires_grad_() for p in Heads.initial(6, CLASSES, generators(3)).parameters))
    plain = PlainHead(heads, 0)
    heads.logits(data.tables, data.indices[None])[0].square().sum().backward()
    plain(dense(data)).square().sum().backward()
    torch.testing.assert_close(heads.hidden_weight.grad[0].T, plain.hidden.weight.grad)
    torch.testing.assert_close(heads.hidden_bias.grad[0], plain.hidden.bias.grad)
    torch.testing.assert_close(heads.class_weight.grad[0].T, plain.classes.weight.grad)
    torch.testing.assert_close(heads.class_bias.grad[0], plain.classes.bias.grad)


def test_heads_start_as_linear_layers_do() -> None:
    heads = Heads.initial(64, CLASSES, generators(0))
    for parameter in heads.parameters:
        assert parameter.abs().max() <= 1 / 8
    assert heads.hidden_weight.std() == pytest.approx(nn.Linear(64, 64).weight.std().item(), rel=0.05)


@pytest.mark.parametrize("clip", [0.5, 0.01])
def test_training_is_that_of_a_plain_loop(clip: float) -> None:
    """Adam on batches of the clips, gradients clipped head by head; the whole loop written for one seed."""
    data, seed = clips(), 5
    config = HeadConfig(lr=0.01, epochs=3, batch_size=8, clip=clip, milestones=(2,), select="last")
    ours = fit_heads(data, {"a": data}, classes=CLASSES, seeds=(4, seed), config=config)["a"]

    generator = torch.Generator().manual_seed(seed)
    head = PlainHead(Heads.initial(6, CLASSES, [generator]), 0)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.01)
    for epoch in range(3):
        for group in optimizer.param_groups:
            group["lr"] = 0.01 if epoch < 2 else 0.005
        order = torch.randperm(len(data), generator=generator)
        for start in range(0, len(data), 8):
            rows = order[start : start + 8]
            loss = nn.functional.cross_entropy(head(dense(data)[rows]), data.labels[rows])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(head.parameters(), clip)
            optimizer.step()
    expected = PlainHead(ours.heads, 1)
    for name, parameter in head.named_parameters():
        torch.testing.assert_close(expected.get_parameter(name), parameter, rtol=1e-4, atol=1e-5)


def test_a_head_does_not_depend_on_the_others_in_the_stack() -> None:
    data, config = clips(), HeadConfig(lr=0.01, epochs=4, batch_size=8)
    together = fit_heads(data, {"a": data}, classes=CLASSES, seeds=(0, 1, 2), config=config)["a"]
    alone = fit_heads(data, {"a": data}, classes=CLASSES, seeds=(1,), config=config)["a"]
    assert together.epochs[1] == alone.epochs[0]
    for many, one in zip(together.heads.parameters, alone.heads.parameters, strict=True):
        torch.testing.assert_close(many[1], one[0], rtol=1e-4, atol=1e-5)


def test_the_epoch_is_the_most_accurate_and_of_equals_the_one_of_least_loss() -> None:
    data, judge = clips(), clips(12, seed=1)
    judge = LabelledCodes(data.tables, judge.indices, judge.labels)
    settings = {"lr": 0.02, "batch_size": 8}
    chosen = fit_heads(
        data, {"judge": judge}, classes=CLASSES, seeds=(0,), config=HeadConfig(epochs=6, **settings)
    )["judge"]
    history = []
    for epochs in range(1, 7):
        config = HeadConfig(epochs=epochs, select="last", **settings)
        heads = fit_heads(data, {"judge": judge}, classes=CLASSES, seeds=(0,), config=config)["judge"].heads
        predictions, loss = heads.predict(judge)
        history.append(((predictions[0] == judge.labels).sum().item(), -loss.item(), heads))
    best = max(range(6), key=lambda epoch: history[epoch][:2])
    assert len({accuracy for accuracy, _, _ in history}) < 6, "no tie: the case would not tell"
    assert chosen.epochs == (best + 1,)
    torch.testing.assert_close(chosen.heads.class_weight, history[best][2].class_weight)


def test_selection_clips_are_never_trained_on() -> None:
    data, config = clips(), HeadConfig(epochs=2, select="last")
    one = fit_heads(data, {"a": clips(seed=1)}, classes=CLASSES, seeds=(0,), config=config)["a"]
    other = fit_heads(data, {"a": clips(seed=2)}, classes=CLASSES, seeds=(0,), config=config)["a"]
    torch.testing.assert_close(one.heads.hidden_weight, other.heads.hidden_weight, rtol=0, atol=0)


def test_permuted_codes_are_looked_up_under_their_new_number() -> None:
    data = clips(600)
    heads = Heads.initial(6, CLASSES, generators(0, 1))
    permutation = torch.stack([torch.randperm(7, generator=g) for g in generators(2, 3)])
    predictions, _ = heads.predict(data, [permutation])
    for seed in range(2):
        renamed = LabelledCodes(data.tables, permutation[seed][data.indices], data.labels)
        torch.testing.assert_close(predictions[seed], heads.predict(renamed)[0][seed])


@given(st.integers(0, 10_000))
def test_steps_that_are_not_real_do_not_count(seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    mask = torch.rand(9, TIME, generator=g) < 0.5
    mask[torch.arange(9), torch.randint(0, TIME, (9,), generator=g)] = True
    table = torch.randn(5, 6, generator=g)
    indices = torch.randint(0, 5, (9, TIME, 1), generator=g)
    rows = torch.arange(9).numpy()
    encoded = EncodedClips((table,), (torch.arange(5),), indices, mask, rows)
    data = encoded.labelled(rows[::2], rows[::2] % CLASSES)
    heads = Heads.initial(6, CLASSES, generators(seed))
    hidden = table[indices[::2, :, 0]] @ heads.hidden_weight[0] + heads.hidden_bias[0]
    pooled = torch.stack([h[m].max(dim=0).values for h, m in zip(hidden, mask[::2], strict=True)])
    expected = pooled @ heads.class_weight[0] + heads.class_bias[0]
    torch.testing.assert_close(heads.logits(data.tables, data.indices[None])[0], expected)
