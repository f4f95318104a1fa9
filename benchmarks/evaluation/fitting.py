"""Train one head per seed, all in one stack, and choose each head's epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.optim.adam import adam

from benchmarks.evaluation.heads import Heads, Labelled
from benchmarks.evaluation.objectives import Objective
from unicode_cmg.results import HeadConfig

_CLIPS_AT_ONCE = 512


@dataclass(frozen=True)
class FittedHeads:
    """Trained heads, and how each of them was chosen.

    Attributes:
        heads: A stack of S.
        epochs: The epoch (from 1) each was taken from.
        reached: The metric, in percent, of each on the clips that chose its epoch; empty where none did.
    """

    heads: Heads
    epochs: tuple[int, ...]
    reached: tuple[float, ...] = ()


def fit_heads(
    train: Labelled,
    selection: Mapping[str, Labelled],
    *,
    objective: Objective,
    classes: int,
    seeds: Sequence[int],
    config: HeadConfig,
    hidden: int | None = None,
) -> dict[str, FittedHeads]:
    """Train one head per seed and keep, for each selection set, the epoch in which each head does best on it.

    "Best" is the highest value of the objective's metric; of equal ones, the lowest loss. A head depends on
    its own seed only, not on the others in the stack.

    Args:
        train: Training clips.
        selection: Name -> clips that choose the epoch; looked at, never trained on. Ignored for
            `select="last"`.
        objective: What the heads learn.
        classes: Number of classes.
        seeds: One head each: its initial weights and the order of its batches.
        config: How to train.
        hidden: Width between the two maps of a head; that of a step by default.

    Returns:
        Name of the selection set -> heads.
    """
    device = train.labels.device
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    initial = Heads.initial(train.dim, objective.columns(classes), generators, hidden)
    heads = Heads(*(p.to(device).requires_grad_() for p in initial.parameters))
    extra = [p.requires_grad_() for p in objective.loss_parameters(heads)]
    learned = [*heads.parameters, *extra]
    optimizer = _Adam(learned)
    best = {name: _Best(heads, objective) for name in selection}
    for epoch in range(1, config.epochs + 1):
        lr = config.lr * 0.5 ** sum(epoch > milestone for milestone in config.milestones)
        orders = torch.stack([torch.randperm(len(train), generator=g) for g in generators]).to(device)
        for rows in torch.split(orders, config.batch_size, dim=1):
            logits = objective.logits(heads, *train.seen(rows))
            loss = objective.training_losses(logits, train.labels[rows], extra).sum()
            gradients = [g.contiguous() for g in torch.autograd.grad(loss, learned)]
            _clip_each(gradients[: len(heads.parameters)], config.clip)
            if objective.clips_loss_parameters:
                _clip_each(gradients[len(heads.parameters) :], config.clip)
            optimizer.step(gradients, lr)
        if config.select == "best-val":
            for name, data in selection.items():
                best[name].update(heads, data, epoch)
    if config.select == "last":
        last = FittedHeads(Heads(*(p.detach() for p in heads.parameters)), (config.epochs,) * len(seeds))
        return dict.fromkeys(selection, last)
    return {name: kept.fitted() for name, kept in best.items()}


@torch.no_grad()
def head_logits(
    objective: Objective,
    heads: Heads,
    data: Labelled,
    permutations: Sequence[Int64[Tensor, "heads _"]] | None = None,
) -> Float[Tensor, "heads clips *axes"]:
    """What each head says about all clips.

    Args:
        objective: What the heads learned.
        heads: Trained heads.
        data: Clips; their labels are not used.
        permutations: Of codes, for each code layer, what each head takes code i for: the control
            experiment of `evaluate`.
    """
    count = len(heads.class_bias)
    logits = []
    for rows in torch.split(torch.arange(len(data), device=data.labels.device), _CLIPS_AT_ONCE):
        tables, indices = data.seen_by_all(rows, count)
        if permutations is not None:
            columns = [column.flatten(1) for column in indices.unbind(dim=-1)]
            renamed = [p.gather(1, column) for p, column in zip(permutations, columns, strict=True)]
            indices = torch.stack(renamed, dim=-1).view_as(indices)
        logits.append(objective.logits(heads, tables, indices))
    return torch.cat(logits, dim=1)


class _Best:
    """The best epoch so far of every head in a stack."""

    def __init__(self, heads: Heads, objective: Objective) -> None:
        self._objective = objective
        self._parameters = [p.detach().clone() for p in heads.parameters]
        device, count = heads.class_bias.device, len(heads.class_bias)
        self._value = torch.full((count,), -torch.inf, dtype=torch.float64, device=device)
        self._loss = torch.full((count,), torch.inf, device=device)
        self._epoch = torch.zeros(count, dtype=torch.int64, device=device)

    @torch.no_grad()
    def update(self, heads: Heads, data: Labelled, epoch: int) -> None:
        logits = head_logits(self._objective, heads, data)
        value = self._objective.choose(logits, data.labels)
        loss = self._objective.losses(logits, data.labels.expand(len(logits), *data.labels.shape))
        better = (value > self._value) | ((value == self._value) & (loss < self._loss))
        self._value = torch.where(better, value, self._value)
        self._loss = torch.where(better, loss, self._loss)
        self._epoch = torch.where(better, epoch, self._epoch)
        for kept, new in zip(self._parameters, heads.parameters, strict=True):
            kept[better] = new.detach()[better]

    def fitted(self) -> FittedHeads:
        return FittedHeads(Heads(*self._parameters), tuple(self._epoch.tolist()), tuple(self._value.tolist()))


@torch.no_grad()
def _clip_each(gradients: Sequence[Tensor], largest: float) -> None:
    """Scale the gradient of each head of a stack to a norm of at most `largest`."""
    norms = torch.stack([torch.linalg.vector_norm(g.flatten(1), dim=1) for g in gradients])
    scale = (largest / (torch.linalg.vector_norm(norms, dim=0) + 1e-6)).clamp(max=1)
    for gradient in gradients:
        gradient.mul_(scale.view(-1, *[1] * (gradient.ndim - 1)))


class _Adam:
    """Adam with PyTorch's default settings.

    It calls the function: the class imports the compiler of PyTorch, which takes seconds.
    """

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self._parameters = list(parameters)
        self._first, self._second = ([torch.zeros_like(p) for p in parameters] for _ in range(2))
        self._steps = [torch.zeros((), device=p.device) for p in parameters]

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], lr: float) -> None:
        """One step, in place."""
        adam(
            self._parameters,
            list(gradients),
            self._first,
            self._second,
            [],
            self._steps,
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=lr,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )
