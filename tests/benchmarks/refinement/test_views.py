"""Views show heads the kept dimensions, and requantizing is what the quantizer does with fewer dimensions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.evaluation.clip_codes import EncodedClips, encode_clips
from benchmarks.refinement.views import KeptDims, Projected, Requantized, refined, view_of
from toc import optimize, requantize
from unicode_cmg.methods import method_class

SIZES = {"dim": 8, "num_codes": 36, "heads": 2, "transformer_layers": 1, "feedforward": 16}
MODALITIES = {"audio": {"dim": 6}, "video": {"dim": 5}, "text": {"dim": 4}}
RESIDUAL = {"quantizer": "rvq", "codebooks": 3}
FCID_SIZES = {key: value for key, value in SIZES.items() if key != "transformer_layers"}
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "dcid": ("dcid", SIZES),
    "dcid with residual codebooks": ("dcid", {**SIZES, "codebook": RESIDUAL}),
    "hdcid": ("hdcid", SIZES),
    "hdcid with residual codebooks": ("hdcid", {**SIZES, "codebook": RESIDUAL}),
    "fcid": ("fcid", {**FCID_SIZES, "fine": ["audio", "video"], "coarse": ["text"]}),
    "fcid with residual codebooks": (
        "fcid",
        {**FCID_SIZES, "fine": ["audio", "video"], "coarse": ["text"], "codebook": RESIDUAL},
    ),
}
CLIPS, STEPS = 150, 4


def encoded_by(name: str) -> tuple[Any, EncodedClips, torch.Tensor]:
    """A model with random codebooks, its codes of some clips, and the clips."""
    torch.manual_seed(0)
    method, values = METHODS[name]
    model = method_class(method).from_values({**values, "modalities": MODALITIES}, where="test").eval()
    for book in model.codebooks().values():
        book.normal_()
    x = 3 * np.random.default_rng(0).normal(size=(CLIPS, STEPS, 6)).astype(np.float32)
    x[:, 2:] = x[:, :2]  # equal steps are as good as any, and let padding hide nothing
    mask = np.ones((CLIPS, STEPS), dtype=bool)
    encoded = encode_clips(
        *(model, "audio", np.arange(CLIPS), lambda _, rows: x[rows], lambda _, rows: mask[rows]),
        with_unquantized=True,
    )
    return model, encoded, torch.from_numpy(x)


def numbers(clips: EncodedClips) -> torch.Tensor:
    return torch.stack([used[clips.indices[..., k]] for k, used in enumerate(clips.used)], dim=-1)


@pytest.mark.parametrize("name", METHODS)
def test_requantizing_in_all_dimensions_gives_the_codes_of_the_encoder(name: str) -> None:
    model, encoded, x = encoded_by(name)
    views = [Requantized(np.arange(book.shape[1]), book) for book in model.codebooks().values()]
    seen = refined(encoded, views)
    assert torch.equal(numbers(seen), numbers(encoded))
    assert torch.equal(
        numbers(seen), torch.cat([model.encode("audio", part).indices for part in x.split(64)])
    )
    assert all(torch.equal(a, b) for a, b in zip(seen.tables, encoded.tables, strict=True))
    assert min(len(used) for used in seen.used) > 3, "a few codes only: the case would not tell"


@pytest.mark.parametrize("use", ["slice", "requantize"])
def test_of_a_centred_selection_heads_see_codewords_less_their_mean_and_steps_keep_their_codes(use) -> None:
    _, encoded, _ = encoded_by("dcid")
    book = 0.1 * torch.randn(36, 8, generator=torch.Generator().manual_seed(0)) + 5
    for center in (False, "auto"):
        selection = optimize(book.numpy(), 3, center=center)
        view = view_of(selection, use, book)
        plain = view_of(replace(selection, scores=replace(selection.scores, centered=False)), use, book)
        shift = book.mean(dim=0)[view.dims] if center == "auto" else 0
        torch.testing.assert_close(view.vectors(book), book[:, view.dims] - shift)
        if use == "requantize":
            assert torch.equal(view.numbers(encoded, 0), plain.numbers(encoded, 0))


@pytest.mark.parametrize("name", ["dcid", "dcid with residual codebooks", "hdcid"])
def test_requantizing_in_some_dimensions_is_what_toc_says(name: str) -> None:
    model, encoded, _ = encoded_by(name)
    dims = np.array([1, 2, 6])
    books = list(model.codebooks().values())
    seen = refined(encoded, [Requantized(dims, book) for book in books])
    for k, book in enumerate(books):
        expected = requantize(encoded.unquantized[k].numpy(), book.numpy(), dims)
        assert np.array_equal(numbers(seen)[..., k].numpy(), expected)
        torch.testing.assert_close(seen.tables[k][seen.indices[..., k]], book[expected][..., dims])
    assert not torch.equal(numbers(seen), numbers(encoded))


def test_each_residual_codebook_decides_for_what_the_codes_of_all_dimensions_left_over() -> None:
    model, encoded, x = encoded_by("dcid with residual codebooks")
    left = model.encode("audio", x).general
    for k, book in enumerate(model.codebooks().values()):
        torch.testing.assert_close(encoded.unquantized[k], left, rtol=1e-4, atol=1e-5)
        left = left - book[numbers(encoded)[..., k]]


def test_slicing_leaves_the_codes_and_drops_dimensions() -> None:
    _, encoded, _ = encoded_by("hdcid")
    seen = refined(encoded, [KeptDims(np.array([0, 3])), None])
    assert torch.equal(seen.tables[0], encoded.tables[0][:, [0, 3]])
    assert torch.equal(seen.tables[1], encoded.tables[1])
    assert torch.equal(seen.indices, encoded.indices)


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.integers(1, 5))
def test_projected_codewords_are_coordinates_about_the_centre(seed: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    codes, centre, axes = rng.normal(size=(7, 5)), rng.normal(size=5), rng.normal(size=(5, width))
    view = Projected(centre, axes)
    expected = [
        [sum((c - o) * w for c, o, w in zip(code, centre, axis, strict=True)) for axis in axes.T]
        for code in codes
    ]
    torch.testing.assert_close(view.vectors(torch.from_numpy(codes)), torch.tensor(expected))
    assert view.width == width
