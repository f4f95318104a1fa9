"""Finite scalars: grid points between two learned projections, and no codebook."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unicode_cmg.codebook import (
    CodebookConfig,
    FiniteScalar,
    ReleasedSharedCodebook,
    SharedCodebook,
    build_quantizer,
)
from unicode_cmg.errors import InputError


def finite(levels: tuple[int, ...] = (5, 4, 3), dim: int = 6) -> FiniteScalar:
    torch.manual_seed(0)
    return FiniteScalar(levels, dim).double()


def test_codes_are_grid_points_seen_through_the_second_projection() -> None:
    quantizer = finite()
    z = torch.randn(4, 5, 6).double()
    q = quantizer.quantize(z, distances=True)
    projected = z @ quantizer.fsq.project_in.weight.T + quantizer.fsq.project_in.bias
    for b in range(4):
        for t in range(5):
            grid, index, base = [], 0, 1
            for value, levels in zip(projected[b, t].tolist(), (5, 4, 3), strict=True):
                half = (levels - 1) * (1 + 1e-3) / 2
                offset = 0.5 if levels % 2 == 0 else 0.0
                level = round(math.tanh(value + math.atanh(offset / half)) * half - offset)
                grid.append(level / (levels // 2))
                index += (level + levels // 2) * base
                base *= levels
            point = torch.tensor(grid).double()
            expected = point @ quantizer.fsq.project_out.weight.T + quantizer.fsq.project_out.bias
            assert q.indices[b, t, 0] == index
            torch.testing.assert_close(q.codes[b, t], expected)
    torch.testing.assert_close(q.codewords, q.codes)


def test_distances_are_to_every_codeword_and_lead_back_to_the_features() -> None:
    quantizer = finite()
    z = torch.randn(2, 3, 6).double().requires_grad_()
    q = quantizer.quantize(z, distances=True)
    own = q.lookups[0].squared_distances.gather(-1, q.indices)[..., 0]
    torch.testing.assert_close(own, (z - q.codewords).square().sum(-1))
    assert q.lookups[0].squared_distances.shape == (2, 3, 60)
    assert torch.autograd.gradcheck(
        lambda x: quantizer.quantize(x, distances=True).lookups[0].squared_distances, (z,)
    )


def test_both_projections_and_the_features_learn_from_the_codes() -> None:
    quantizer = finite()
    z = torch.randn(2, 3, 6).double().requires_grad_()
    quantizer.quantize(z).codes.square().sum().backward()
    assert z.grad is not None
    assert z.grad.abs().sum() > 0
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in quantizer.parameters())


@settings(max_examples=20)
@given(levels=st.lists(st.integers(3, 9), min_size=1, max_size=4), scale=st.floats(0.1, 100))
def test_indices_stay_below_the_number_of_codes(levels: list[int], scale: float) -> None:
    quantizer = FiniteScalar(levels, 5)
    indices = quantizer.quantize(scale * torch.randn(8, 4, 5)).indices
    assert quantizer.sizes == (math.prod(levels),)
    assert indices.min() >= 0
    assert indices.max() < math.prod(levels)


def test_there_is_no_codebook_and_an_update_changes_nothing() -> None:
    quantizer = finite()
    z = {"audio": torch.randn(2, 3, 6).double()}
    before = {k: v.clone() for k, v in quantizer.state_dict().items()}
    quantizer.update(z, {m: quantizer.quantize(x).indices for m, x in z.items()})
    assert quantizer.codebooks() == ()
    assert all(torch.equal(v, before[k]) for k, v in quantizer.state_dict().items())


def test_features_in_half_precision_are_rounded_in_the_quantizers_own() -> None:
    quantizer = FiniteScalar((5, 4, 3), 6)
    z = torch.randn(2, 3, 6).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        half = quantizer.quantize(z)
    full = quantizer.quantize(z.float())
    assert half.codes.dtype == torch.bfloat16
    assert torch.equal(half.indices, full.indices)


def test_wrong_widths_and_levels_are_refused() -> None:
    with pytest.raises(InputError, match="width 4; expected width 6"):
        finite().quantize(torch.randn(1, 2, 4).double())
    for levels in ((), (5, 2)):
        with pytest.raises(InputError, match="each at least 3"):
            FiniteScalar(levels, 6)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"quantizer": "rvq"}, "'codebooks' is missing"),
        ({"quantizer": "fsq"}, "'levels' is missing"),
        ({"codebooks": 4}, "'codebooks' is for the quantizer rvq, but 'quantizer' is mm_ema"),
        ({"quantizer": "rvq", "codebooks": 2, "levels": [5, 5]}, "'levels' is for the quantizer fsq"),
        ({"quantizer": "fsq", "levels": [8, 2]}, "each at least 3"),
        ({"quantizer": "vq"}, "quantizer"),
    ],
)
def test_settings_of_another_quantizer_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        CodebookConfig.parse(values, where="config.yaml")


def test_the_configuration_chooses_the_quantizer_and_its_rule_before_the_default() -> None:
    for values, rule, kind, sizes in (
        ({"quantizer": "fsq", "levels": (5, 5, 4)}, "corrected", FiniteScalar, (100,)),
        ({}, "corrected", SharedCodebook, (7,)),
        ({}, "released", ReleasedSharedCodebook, (7,)),
        ({"rule": "corrected"}, "released", SharedCodebook, (7,)),
    ):
        made = build_quantizer(CodebookConfig(**values), num_codes=7, dim=6, modalities=("audio",), rule=rule)
        assert type(made) is kind
        assert made.sizes == sizes
    with pytest.raises(InputError, match="'init' is data under the released rule"):
        build_quantizer(
            CodebookConfig(init="data"), num_codes=7, dim=6, modalities=("audio",), rule="released"
        )


@pytest.mark.parametrize("rule", ["corrected", "released"])
def test_every_setting_of_the_configuration_reaches_the_codebook(rule: str) -> None:
    values = {"decay": 0.5, "own_weight": 0.75, "revive_after": 7}
    if rule == "corrected":
        values["init"] = "data"
    noise = (-0.5, 0.25)
    made = build_quantizer(
        CodebookConfig(**values), num_codes=7, dim=6, modalities=("audio",), rule=rule, revive_noise=noise
    )
    assert all(getattr(made, name) == value for name, value in values.items())
    assert rule == "corrected" or made.revive_noise == noise


@pytest.mark.parametrize("levels", [(256, 256, 3), (10**9,), (8,) * 400])
def test_levels_that_make_too_many_codes_are_refused_before_anything_is_built(
    levels: tuple[int, ...],
) -> None:
    with pytest.raises(InputError, match="a product of at most 65536, the number of codes"):
        FiniteScalar(levels, 6)
    with pytest.raises(InputError, match=r"makes more than 65536 codes \(their product\)"):
        CodebookConfig.parse({"quantizer": "fsq", "levels": list(levels)}, where="mine.yaml")
