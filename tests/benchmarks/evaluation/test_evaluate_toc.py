"""Evaluation with TOC: sizes that are found, and codes that are chosen anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_ave import CODES, DIM, tiny_model
from tiny_runs import run

from benchmarks.evaluation.clip_codes import encode_clips
from benchmarks.refinement import refined, view_of
from benchmarks.tasks import read_task
from toc import optimize, requantize
from unicode_cmg.errors import InputError


@pytest.mark.slow
def test_keeping_all_dimensions_changes_nothing_and_keeping_few_does(ave: Path) -> None:
    model, options = tiny_model(), {"directions": ["video->audio"]}
    plain = run("ave", ave, model=model, **options)
    codebook = model.codebooks()["layer0"].numpy()
    whole = run("ave", ave, model=model, toc=optimize(codebook, DIM), **options)
    assert whole.directions == plain.directions
    few = optimize(codebook, 1)
    refined = run("ave", ave, model=model, toc=few, **options)
    assert refined.directions[0].mean < plain.directions[0].mean
    assert refined.toc is not None
    assert (refined.toc[0].kept, refined.toc[0].n_dims) == (1, DIM)
    assert "layer0 1 of 8 dimensions" in refined.table()
    assert plain.toc is None


def test_heads_see_exactly_the_kept_dimensions(ave: Path) -> None:
    model, task = tiny_model(), read_task("ave", ave)
    book = model.codebooks()["layer0"]
    selection = optimize(book.numpy(), 5)
    full = encode_clips(model, "video", task.rows("video", "train"), task.features, task.mask)
    seen = refined(full, [view_of(selection, "slice", book)])
    torch.testing.assert_close(seen.tables[0], full.tables[0][:, sorted(selection.indices)])
    assert torch.equal(seen.indices, full.indices)
    assert run("ave", ave, model=model, toc=selection, directions=["video->audio"]).directions[0].mean > 50


@pytest.mark.slow
def test_a_selection_is_read_from_its_file(ave: Path, tmp_path: Path) -> None:
    model = tiny_model()
    selection = optimize(model.codebooks()["layer0"].numpy(), 6)
    path = selection.save(tmp_path)
    options = {"directions": ["video->audio"]}
    expected = run("ave", ave, model=model, toc=selection, **options).directions
    for toc in (path, str(tmp_path), [path]):
        assert run("ave", ave, model=model, toc=toc, **options).directions == expected


@pytest.mark.slow
def test_each_layer_of_codes_is_refined_by_its_own_selection(ave: Path) -> None:
    model = tiny_model(layers=2)
    first, second = (
        optimize(book.numpy(), keep, layer=name)
        for (name, book), keep in zip(model.codebooks().items(), (6, 2), strict=True)
    )
    result = run("ave", ave, model=model, toc=[second, first])
    assert result.toc is not None
    assert [(t.code_layer, t.kept) for t in result.toc] == [("layer0", 6), ("layer1", 2)]
    assert min(row.mean for row in result.directions) > 60
    with pytest.raises(InputError, match="a second one for code layer"):
        run("ave", ave, model=model, toc=[first, first])


def test_a_selection_for_another_codebook_is_refused(ave: Path) -> None:
    book = np.random.default_rng(0).normal(size=(CODES, DIM))
    with pytest.raises(InputError, match="another codebook"):
        run("ave", ave, toc=optimize(book, 4))
    with pytest.raises(InputError, match="shape"):
        run("ave", ave, toc=optimize(book[:, :5], 4))
    with pytest.raises(InputError, match="made for code layer 'coarse'"):
        run("ave", ave, toc=optimize(book, 4, layer="coarse"))


@pytest.mark.slow
def test_requantizing_two_code_layers_in_all_dimensions_changes_nothing(ave: Path) -> None:
    model, options = tiny_model(layers=2), {"directions": ["video->audio"]}
    whole = [optimize(b.numpy(), DIM, layer=name) for name, b in model.codebooks().items()]
    anew = run("ave", ave, model=model, toc=whole, toc_use="requantize", **options)
    assert anew.directions == run("ave", ave, model=model, **options).directions
    assert anew.toc is not None
    assert {kept.use for kept in anew.toc} == {"requantize"}


@pytest.mark.slow
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
    sliced, anew = (
        run("ave", ave, model=model, directions=["video->audio"], toc=selection, toc_use=use)
        for use in ("slice", "requantize")
    )
    assert sliced.directions != anew.directions
    assert "codes chosen anew in them" in anew.table()
    assert "anew" not in sliced.table()


def test_requantizing_is_refused_without_a_selection_or_under_another_name(ave: Path) -> None:
    with pytest.raises(InputError, match="'requantize', and there is no TOC selection; give"):
        run("ave", ave, toc_use="requantize")
    with pytest.raises(InputError, match="'cut'; expected 'slice' or 'requantize'"):
        run("ave", ave, toc="auto", toc_use="cut")


@pytest.mark.slow
def test_auto_is_the_selection_toc_makes_of_each_layer(ave: Path) -> None:
    model = tiny_model(layers=2)
    auto = run("ave", ave, model=model, directions=["video->audio"], toc="auto")
    made = [optimize(b.numpy(), "auto", layer=name) for name, b in model.codebooks().items()]
    assert auto.toc is not None
    assert [(t.code_layer, t.kept, t.use) for t in auto.toc] == [
        (s.layer, len(s.indices), "slice") for s in made
    ]
    assert auto.directions == run("ave", ave, model=model, directions=["video->audio"], toc=made).directions
    first = run("ave", ave, model=model, directions=["video->audio"], toc="auto", code_layers=["layer1"])
    assert [kept.code_layer for kept in first.toc or ()] == ["layer1"]


def test_auto_needs_a_codebook_that_can_be_scored(ave: Path) -> None:
    model = tiny_model()
    with torch.no_grad():
        model.books[0].embedding[3] = 0
    with pytest.raises(InputError, match="code layer layer0: code 3 is zero"):
        run("ave", ave, model=model, directions=["video->audio"], toc="auto")


def test_toc_of_a_layer_without_codebook_is_refused(ave: Path) -> None:
    model = tiny_model()
    selection = optimize(model.codebooks()["layer0"].numpy(), 2)
    model.hide_codebooks()
    for toc in ("auto", selection):
        with pytest.raises(InputError, match="'layer0' has no codebook, and TOC refines codebooks") as error:
            run("ave", ave, model=model, directions=["video->audio"], toc=toc)
        assert "\n" not in str(error.value)
