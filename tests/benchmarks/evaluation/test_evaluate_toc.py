"""Evaluation with TOC: sizes that are found, and codes that are chosen anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_ave import DIM, tiny_model
from tiny_avvp import tiny_localizer
from tiny_codes_method import TinyMethod

from benchmarks import HeadConfig, TaskResult, evaluate
from benchmarks.evaluation.clip_codes import encode_clips
from benchmarks.refinement import refined, view_of
from benchmarks.tasks import read_task
from toc import optimize, requantize
from unicode_cmg.errors import InputError

FAST = HeadConfig(lr=0.02, epochs=8, batch_size=16)


def run(model: TinyMethod, root: Path, task: str = "ave", **options: Any) -> TaskResult:
    return evaluate(model, task, root, **{"head": FAST, "directions": ["video->audio"], **options})


@pytest.mark.parametrize("task", ["ave", "avvp"])
def test_requantizing_in_all_dimensions_changes_nothing(ave: Path, avvp: Path, task: str) -> None:
    model, root = (tiny_model(layers=2), ave) if task == "ave" else (tiny_localizer(), avvp)
    whole = [optimize(b.numpy(), DIM, layer=name) for name, b in model.codebooks().items()]
    anew = run(model, root, task, toc=whole, toc_use="requantize")
    assert anew.directions == run(model, root, task).directions
    assert anew.toc is not None
    assert {kept.use for kept in anew.toc} == {"requantize"}


def test_requantized_heads_see_the_codes_that_are_nearest_in_the_kept_dimensions(ave: Path) -> None:
    model, task = tiny_model(), read_task("ave", ave)
    book = model.codebooks()["layer0"]
    selection = optimize(book.numpy(), 2)
    clips = encode_clips(
        *(model, "audio", task.rows("audio", "train"), task.features, task.mask), with_unquantized=True
    )
    seen = refined(clips, [view_of(selection, "requantize", book)])
    codes = requantize(clips.unquantized[0].numpy(), book.numpy(), selection)
    expected = book.numpy()[codes][..., sorted(selection.indices)]
    torch.testing.assert_close(seen.tables[0][seen.indices[..., 0]], torch.from_numpy(expected))
    assert not np.array_equal(codes, clips.used[0][clips.indices[..., 0]].numpy())
    sliced, anew = (run(model, ave, toc=selection, toc_use=use) for use in ("slice", "requantize"))
    assert sliced.directions != anew.directions
    assert "codes chosen anew in them" in anew.table()
    assert "anew" not in sliced.table()


def test_requantizing_is_refused_without_a_selection_or_under_another_name(ave: Path) -> None:
    with pytest.raises(InputError, match="'requantize', and there is no TOC selection; give"):
        run(tiny_model(), ave, toc_use="requantize")
    with pytest.raises(InputError, match="'cut'; expected 'slice' or 'requantize'"):
        run(tiny_model(), ave, toc="auto", toc_use="cut")


def test_auto_is_the_selection_toc_makes_of_each_layer(ave: Path) -> None:
    model = tiny_model(layers=2)
    auto = run(model, ave, toc="auto")
    made = [optimize(b.numpy(), "auto", layer=name) for name, b in model.codebooks().items()]
    assert auto.toc is not None
    assert [(t.code_layer, t.kept, t.use) for t in auto.toc] == [
        (s.layer, len(s.indices), "slice") for s in made
    ]
    assert auto.directions == run(model, ave, toc=made).directions
    first = run(model, ave, toc="auto", code_layers=["layer1"])
    assert [kept.code_layer for kept in first.toc or ()] == ["layer1"]


def test_auto_needs_a_codebook_that_can_be_scored(ave: Path) -> None:
    model = tiny_model()
    with torch.no_grad():
        model.books[0].embedding[3] = 0
    with pytest.raises(InputError, match="code layer layer0: code 3 is zero"):
        run(model, ave, toc="auto")
    model.hide_codebooks()
    with pytest.raises(InputError, match="'layer0' has no codebook"):
        run(model, ave, toc="auto")
