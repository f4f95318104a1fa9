"""Residual codebooks: codewords add up, each codebook learns on what the ones before left."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unicode_cmg.codebook import CodebookConfig, Quantizer, ResidualCodebook, SharedCodebook, build_quantizer
from unicode_cmg.errors import InputError

NAMES = ("audio", "video")


def residual(layers: int = 3, codes: int = 7, dim: int = 4, **options: object) -> ResidualCodebook:
    torch.manual_seed(0)
    config = CodebookConfig(quantizer="rvq", codebooks=layers, **options)
    made = build_quantizer(config, num_codes=codes, dim=dim, modalities=NAMES, rule="corrected")
    assert isinstance(made, ResidualCodebook)
    for buffer in made.buffers():
        if buffer.is_floating_point() and buffer.ndim == 2:
            buffer.copy_(torch.randn_like(buffer))
    return made.double()


def features(seed: int = 0, batch: int = 3, time: int = 4, dim: int = 4) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {m: torch.randn(batch, time, dim, generator=generator).double() for m in NAMES}


def learn(quantizer: Quantizer, batch: dict[str, torch.Tensor], seed: int = 0) -> None:
    indices = {m: quantizer.quantize(z).indices for m, z in batch.items()}
    quantizer.update(batch, indices, generator=torch.Generator().manual_seed(seed))


def test_each_codebook_names_the_nearest_codeword_of_what_is_left() -> None:
    codebook = residual()
    z = features()["audio"]
    q = codebook.quantize(z, distances=True)
    assert q.indices.shape == (3, 4, 3)
    for b in range(3):
        for t in range(4):
            left = z[b, t]
            for k, book in enumerate(codebook.codebooks()):
                squared = ((left - book) ** 2).sum(-1)
                assert q.indices[b, t, k] == squared.argmin()
                torch.testing.assert_close(q.lookups[k].squared_distances[b, t], squared)
                left = left - book[squared.argmin()]
            torch.testing.assert_close(z[b, t] - left, q.codes[b, t])
    torch.testing.assert_close(q.codewords, q.codes)
    torch.testing.assert_close(q.side_by_side.view(3, 4, 3, 4).sum(2), q.codes)


@pytest.mark.slow
def test_one_more_codebook_never_reconstructs_worse_on_the_whole() -> None:
    codebook = residual(layers=4, codes=64)
    for seed in range(60):
        learn(codebook, features(seed, batch=16), seed)
    z = features(99, batch=64)["audio"]
    lookups = codebook.quantize(z).lookups
    errors, left = [], z
    for lookup in lookups:
        left = left - lookup.codewords
        errors.append(left.square().mean().item())
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.8 * errors[0]


def test_codes_pass_their_gradient_straight_to_the_features() -> None:
    codebook = residual()
    z = features()["audio"].requires_grad_()
    weight = torch.randn_like(z)
    (codebook.quantize(z).codes * weight).sum().backward()
    torch.testing.assert_close(z.grad, weight)
    assert torch.autograd.gradcheck(
        lambda x: codebook.quantize(x, distances=True).lookups[2].squared_distances,
        (features()["video"].requires_grad_(),),
    )


def test_without_cross_terms_it_learns_as_the_residual_quantizer_of_vector_quantize_pytorch() -> None:
    from vector_quantize_pytorch import ResidualVQ

    ours = residual(own_weight=1.0, revive_after=None)
    theirs = ResidualVQ(
        dim=4, num_quantizers=3, codebook_size=7, decay=0.99, threshold_ema_dead_code=0, commitment_weight=0.0
    ).double()
    for stage, layer in zip(ours.stages, theirs.layers, strict=True):
        layer._codebook.embed.data.copy_(stage.embedding[None])
        layer._codebook.embed_avg.data.copy_(stage.embedding[None])
        layer._codebook.cluster_size.fill_(1.0)
        stage.ema_weight.copy_(stage.embedding)
        stage.ema_count.fill_(1.0)
    for seed in range(4):
        batch = features(seed)
        together = torch.cat(list(batch.values()))
        expected, indices, _ = theirs.train()(together)
        ours_together = torch.cat([ours.quantize(z).codes for z in batch.values()])
        assert torch.equal(torch.cat([ours.quantize(z).indices for z in batch.values()]), indices)
        # the library looks codes up in float32
        torch.testing.assert_close(ours_together, expected, atol=1e-5, rtol=1e-5)
        learn(ours, batch)
    for stage, layer in zip(ours.stages, theirs.layers, strict=True):
        torch.testing.assert_close(stage.embedding, layer._codebook.embed[0], atol=1e-5, rtol=1e-5)


def test_modalities_pull_each_others_codes_in_every_codebook() -> None:
    moved = {}
    for own_weight in (1.0, 0.5):
        codebook = residual(own_weight=own_weight, revive_after=None)
        learn(codebook, features())
        moved[own_weight] = [book.clone() for book in codebook.codebooks()]
    assert all(not torch.allclose(a, b) for a, b in zip(*moved.values(), strict=True))


def test_codebooks_are_placed_on_the_data_one_after_the_other() -> None:
    codebook = residual(init="data")
    for placed in (1, 2, 3):
        learn(codebook, features(placed), placed)
        assert [bool(stage.seeded) for stage in codebook.stages] == [k < placed for k in range(3)]
    before = codebook.stages[2].embedding.clone()
    learn(codebook, features(9))
    assert not torch.equal(codebook.stages[2].embedding, before)


def test_nothing_moves_in_eval_mode() -> None:
    codebook = residual().eval()
    before = {k: v.clone() for k, v in codebook.state_dict().items()}
    learn(codebook, features())
    assert all(torch.equal(v, before[k]) for k, v in codebook.state_dict().items())


@pytest.mark.slow
@settings(max_examples=20)
@given(valid=st.integers(1, 4), garbage=st.floats(-1e6, 1e6))
def test_padding_teaches_nothing(valid: int, garbage: float) -> None:
    mask = {m: (torch.arange(4) < valid).expand(3, 4) for m in NAMES}
    states = []
    for fill in (0.0, garbage):
        codebook = residual()
        batch = {m: z.masked_fill(~mask[m][..., None], fill) for m, z in features().items()}
        indices = {m: codebook.quantize(z).indices for m, z in batch.items()}
        codebook.update(batch, indices, mask, generator=torch.Generator().manual_seed(0))
        states.append(codebook.state_dict())
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])


def test_keys_lead_to_the_codebooks_in_the_state_dict() -> None:
    codebook = residual()
    state = codebook.state_dict()
    assert codebook.sizes == (7, 7, 7)
    for key, book in zip(codebook.codebook_keys(), codebook.codebooks(), strict=True):
        assert torch.equal(state[key], book)


def test_codebooks_of_different_widths_are_refused() -> None:
    with pytest.raises(InputError, match=r"widths \[4, 5\]"):
        ResidualCodebook([SharedCodebook(7, 4, NAMES), SharedCodebook(7, 5, NAMES)])
