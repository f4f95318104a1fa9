"""Compiles the parts of a step without graph breaks; run by `test_one_graph.py` without checks of types."""

from __future__ import annotations

import sys
from typing import Any

import torch
from small_methods import batch, made
from torch._dynamo import config as dynamo

from unicode_cmg.batch import FeatureBatch
from unicode_cmg.draws import ClipDraws


def compiled(function: Any) -> Any:
    """The function as one graph; a break is an error, and so is a second compilation."""
    return torch.compile(function, fullgraph=True, backend="eager", dynamic=False)


def check(name: str) -> None:
    """Encoders, quantizer and critics, then the update of the codebooks, on two batches."""
    method = made(name)
    torch._dynamo.reset()  # the functions below are others now
    method.begin_step(step=0, epoch=1000)

    def forward(features: Any, masks: Any) -> tuple[Any, torch.Tensor]:
        r = method.represent(FeatureBatch(features, masks))
        return r, torch.stack(list(method.critic_losses(r).values()))

    def update(features: Any, indices: Any, masks: Any) -> None:
        method.quantizer("layer0").update(features, indices, masks)

    one_forward, one_update = compiled(forward), compiled(update)
    for seed in (0, 1):
        one = batch(seed)
        _, expected = forward(one.features, one.masks)
        r, losses = one_forward(one.features, one.masks)
        torch.testing.assert_close(losses, expected)
        quantized = method.quantized_batches(r)["layer0"]
        (book,) = method.quantizer("layer0").codebooks()
        before = book.clone()
        one_update(
            {m: q.lookups[0].unquantized.detach() for m, q in quantized.quantized.items()},
            {m: q.indices for m, q in quantized.quantized.items()},
            quantized.masks,
        )
        assert not torch.equal(book, before)


def check_losses() -> None:
    """The losses of DCID, whose random choices are given."""
    method = made("dcid")

    def forward(features: Any, masks: Any, draws: Any) -> torch.Tensor:
        own = FeatureBatch(features, masks)
        r = method.represent(own)
        terms = method.training_losses(own, generator=None, representation=r, draws=draws)
        return torch.stack(list(terms.values())).sum()

    one_forward = compiled(forward)
    for seed in (0, 1):
        one = batch(seed)
        draws = method.layer.draw(method.represent(one), torch.Generator().manual_seed(seed))
        loss = one_forward(one.features, one.masks, draws)
        torch.testing.assert_close(loss, forward(one.features, one.masks, draws))
        loss.backward()


def check_draws() -> None:
    """Dropout drops the same values as without a compiler."""
    draws, x = ClipDraws.of(3, torch.Generator().manual_seed(0)).at(5), torch.rand(3, 7, 9)
    torch.testing.assert_close(compiled(lambda y: draws.dropout(y, 0.3))(x), draws.dropout(x, 0.3))


if __name__ == "__main__":
    with dynamo.patch(allow_rnn=True, error_on_recompile=True):
        for name in sys.argv[1:]:
            check(name)
        check_losses()
        check_draws()
