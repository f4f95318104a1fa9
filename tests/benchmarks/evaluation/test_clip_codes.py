"""Heads see the code layers they were asked to see, whatever quantizer they come from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_runs
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_ave import CODES, DIM, tiny_model
from tiny_avvp import tiny_localizer
from tiny_codes_method import TinyMethod
from tiny_runs import one_code_a_clip

from benchmarks import TaskResult
from benchmarks.evaluation.clip_codes import CodeTable, encode_clips
from toc import optimize
from unicode_cmg.data import LabelledClips
from unicode_cmg.errors import InputError
from unicode_cmg.inspect import describe_codes
from unicode_cmg.methods import method_class

QUANTIZERS = {
    "mm_ema": {},
    "rvq": {"quantizer": "rvq", "codebooks": 3},
    "fsq": {"quantizer": "fsq", "levels": [4, 3, 3]},
}


def bookless(model: TinyMethod) -> TinyMethod:
    model.hide_codebooks()
    return model


def run(model: TinyMethod, ave: Path, **options: Any) -> TaskResult:
    return tiny_runs.run("ave", ave, model=model, **{"directions": ["video->audio"], **options})


@pytest.mark.slow
@pytest.mark.parametrize("quantizer", QUANTIZERS)
def test_tables_and_indices_give_back_the_codes_of_the_encoder(quantizer: str) -> None:
    torch.manual_seed(0)
    values = {
        "modalities": {"audio": {"dim": 6}, "video": {"dim": 5}},
        **{"dim": 8, "num_codes": 36, "heads": 2, "transformer_layers": 1, "feedforward": 16},
        "codebook": QUANTIZERS[quantizer],
    }
    model = method_class("dcid").from_values(values, where="test")
    assert (quantizer == "fsq") == (model.codebooks() == {})
    x = 3 * np.random.default_rng(0).normal(size=(150, 4, 6)).astype(np.float32)
    mask = np.ones((150, 4), dtype=bool)
    encoded = encode_clips(
        model, "audio", np.arange(150), lambda _, rows: x[rows], lambda _, rows: mask[rows]
    )
    expected = model.eval().encode("audio", torch.from_numpy(x))
    assert len(encoded.tables) == len(model.code_layers()) == (3 if quantizer == "rvq" else 1)
    for k, (table, used) in enumerate(zip(encoded.tables, encoded.used, strict=True)):
        torch.testing.assert_close(used[encoded.indices[..., k]], expected.indices[..., k])
        codes = expected.codes.chunk(len(encoded.tables), dim=-1)[k]
        torch.testing.assert_close(table[encoded.indices[..., k]], codes.detach(), rtol=1e-4, atol=1e-5)
    assert len(encoded.used[0]) > 3, "one code only: the case would not tell"


@pytest.mark.slow
@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_an_observed_table_knows_every_code_it_has_seen(seed: int, batches: int) -> None:
    g = torch.Generator().manual_seed(seed)
    vectors, table = torch.randn(50, 3, generator=g), CodeTable()
    seen = [torch.randint(0, 50, (9,), generator=g) for _ in range(batches)]
    for numbers in seen:
        table.observe(numbers, vectors[numbers])
    known = torch.cat(seen).unique()
    torch.testing.assert_close(table.vectors(known), vectors[known])


def test_two_vectors_under_one_number_are_a_fault_of_ours() -> None:
    table = CodeTable()
    table.observe(torch.tensor([3, 1, 3]), torch.tensor([[1.0, 2.0], [0.0, 0.0], [1.0, 2.0]]))
    with pytest.raises(RuntimeError, match="not the codewords"):
        table.observe(torch.tensor([3]), torch.tensor([[1.0, 1.0]]))


@pytest.mark.slow
def test_a_layer_without_codebook_is_evaluated_as_one_with(ave: Path) -> None:
    shown, hidden = run(tiny_model(layers=2), ave), run(bookless(tiny_model(layers=2)), ave)
    assert shown.directions == hidden.directions
    assert shown.directions[0].mean > 95


def test_the_codes_of_a_layer_without_codebook_are_described_as_those_with(ave: Path) -> None:
    clips = LabelledClips.open(ave, "val")
    for layer, size in (("layer0", CODES), ("layer1", 6)):
        shown, hidden = (
            describe_codes(model, clips, code_layer=layer)
            for model in (tiny_model(layers=2), bookless(tiny_model(layers=2)))
        )
        assert shown.num_codes == hidden.num_codes == size
        used = [entry.model_copy(update={"similar": ()}) for entry in shown.codes if entry.kind != "unused"]
        assert used == [entry.model_copy(update={"similar": ()}) for entry in hidden.codes]
        assert (shown.kinds, shown.modalities) == (hidden.kinds, hidden.modalities)
        assert (shown.agreement, shown.labels) == (hidden.agreement, hidden.labels)


@pytest.mark.slow
def test_heads_see_only_the_chosen_layers(ave: Path) -> None:
    """The first of two layers alone is the model of one layer; the second knows nothing of the classes."""
    two, one = tiny_model(layers=2), run(tiny_model(), ave)
    first, second, both = (run(two, ave, code_layers=names) for names in (["layer0"], ["layer1"], None))
    assert first.directions == one.directions
    assert second.directions[0].mean < 50 < 95 < both.directions[0].mean
    assert (first.code_layers, second.code_layers, both.code_layers) == (
        ("layer0",),
        ("layer1",),
        ("layer0", "layer1"),
    )
    assert second.checkpoint.code_layers == {"layer0": CODES, "layer1": 6}
    assert TaskResult.from_json(json.loads(json.dumps(second.to_json()))) == second
    assert "codes: layer1 of layer0, layer1" in second.table()
    assert "codes:" not in both.table()


@pytest.mark.slow
def test_layers_are_seen_in_the_order_of_the_model(ave: Path) -> None:
    two = tiny_model(layers=2)
    backwards, both = run(two, ave, code_layers=["layer1", "layer0", "layer1"]), run(two, ave)
    assert backwards.code_layers == both.code_layers
    assert backwards.directions == both.directions


@pytest.mark.slow
def test_a_selection_is_needed_for_the_chosen_layers_only(ave: Path) -> None:
    model = tiny_model(layers=2)
    first, second = (optimize(b.numpy(), DIM, layer=name) for name, b in model.codebooks().items())
    refined = run(model, ave, code_layers=["layer0"], toc=first)
    assert refined.directions == run(model, ave, code_layers=["layer0"]).directions
    assert refined.toc is not None
    assert [t.code_layer for t in refined.toc] == ["layer0"]
    with pytest.raises(InputError, match="made for code layer 'layer1'; expected one of layer0"):
        run(model, ave, code_layers=["layer0"], toc=[first, second])
    with pytest.raises(InputError, match="no TOC selection for code layer 'layer1'"):
        run(model, ave, toc=first)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (["layer0", "fine"], "unknown code layer 'fine'; expected one of layer0, layer1"),
        ([], "no code layer to evaluate; expected one or more of layer0, layer1"),
    ],
)
def test_unknown_layers_are_refused(ave: Path, layers: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        run(tiny_model(layers=2), ave, code_layers=layers)


def test_an_encoder_with_other_layers_than_it_declares_is_a_fault_of_ours(ave: Path) -> None:
    class Silent(TinyMethod):
        def code_layers(self) -> dict[str, int]:
            return {"layer0": CODES}

    model = tiny_model(layers=2)
    model.__class__ = Silent
    with pytest.raises(RuntimeError, match="2 code layers, not 1"):
        run(model, ave)


@pytest.mark.slow
def test_one_code_a_clip_is_enough_to_classify_it(ave: Path) -> None:
    result = run(one_code_a_clip(tiny_model()), ave, directions=["text->video", "audio->video"])
    assert min(row.mean for row in result.directions) > 90
    codes = describe_codes(one_code_a_clip(tiny_model()), LabelledClips.open(ave, "val"))
    assert {use.steps for use in codes.modalities.values()} == {codes.clips}
    assert min(use.purity for use in codes.modalities.values()) > 0.9


def test_one_code_a_clip_cannot_say_when_an_event_is(avvp: Path) -> None:
    with pytest.raises(InputError, match="1 code for a clip of audio, but the task labels 10 steps"):
        tiny_runs.run("avvp", avvp, model=one_code_a_clip(tiny_localizer()))
