"""Merged codes: each step has the group of its code, and heads see the mean codeword of the group."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_ave import CLASSES, tiny_model
from tiny_runs import run

from benchmarks.evaluation.clip_codes import encode_clips
from benchmarks.evaluation.evaluate import file_name
from benchmarks.refinement import MergedModel, match_merges, merged_view, refined, view_of
from benchmarks.report.transfer import transfer_tables, variant
from benchmarks.tasks import read_task
from toc import CodeMerge, merge_codes, optimize, requantize
from unicode_cmg.checkpoints.tensors import state_fingerprint
from unicode_cmg.errors import InputError

GROUPS = len(CLASSES) + 1
"""The codes of each class, and those of background."""


def merged(layer: int = 0, groups: int = GROUPS) -> CodeMerge:
    name, book = list(tiny_model(layers=layer + 1).codebooks().items())[layer]
    return merge_codes(book.numpy(), groups, layer=name)


def clips_of(model, ave: Path, modality: str = "video"):
    task = read_task("ave", ave)
    rows = task.rows(modality, "train")
    return encode_clips(model, modality, rows, task.features, task.mask, with_unquantized=True)


def numbers(clips, layer: int = 0) -> torch.Tensor:
    return clips.used[layer][clips.indices[..., layer]]


def test_the_codes_of_a_class_are_one_group() -> None:
    groups = merged().groups
    assert [len(set(groups[4 * k : 4 * k + 4])) for k in range(len(CLASSES))] == [1] * len(CLASSES)
    assert len(set(groups[16:])) == 1


def test_a_step_has_the_group_of_its_code_and_heads_see_the_mean_codeword(ave: Path) -> None:
    model, merge = tiny_model(), merged()
    book = model.codebooks()["layer0"]
    full = clips_of(model, ave)
    seen = refined(full, [merged_view(merge, book)])
    assert (numbers(seen).numpy() == merge.groups[numbers(full).numpy()]).all()
    means = torch.from_numpy(merge.codewords(book.numpy()))
    torch.testing.assert_close(seen.tables[0], means[seen.used[0]])
    assert len(seen.tables[0]) == GROUPS


@pytest.mark.parametrize("use", ["slice", "requantize"])
def test_toc_applies_to_the_means_and_new_codes_are_chosen_before_merging(ave: Path, use) -> None:
    model, merge = tiny_model(), merged()
    book = model.codebooks()["layer0"]
    selection = optimize(book.numpy(), 3)
    full = clips_of(model, ave)
    seen = refined(full, [merged_view(merge, book, view_of(selection, use, book))])
    chosen = numbers(full).numpy()
    if use == "requantize":
        chosen = requantize(full.unquantized[0].numpy(), book.numpy(), selection)
    assert (numbers(seen).numpy() == merge.groups[chosen]).all()
    means = merge.codewords(book.numpy())[:, sorted(selection.indices)]
    np.testing.assert_allclose(seen.tables[0], means[seen.used[0].numpy()], rtol=1e-6)


@pytest.mark.slow
def test_an_evaluation_records_what_was_merged_and_a_merged_model_scores_the_same(
    ave: Path, tmp_path: Path
) -> None:
    model, merge, options = tiny_model(), merged(), {"directions": ["video->audio"]}
    result = run("ave", ave, model=model, merge=merge, **options)
    assert result.merge is not None
    [summary] = result.merge
    assert (summary.code_layer, summary.n_codes, summary.n_groups) == ("layer0", 24, GROUPS)
    assert f"merged: layer0 24 codes to {GROUPS} (ratio {merge.ratio:.2f})" in result.table()
    assert (variant(result), file_name(result)) == (f"merged, {GROUPS} of 24 codes", "ave-merge.json")
    path = merge.save(tmp_path)
    for other in (path, str(tmp_path), [path], "auto"):
        assert run("ave", ave, model=model, merge=other, **options).directions == result.directions
    plain = run("ave", ave, model=model, **options)
    assert plain.merge is None
    assert plain.checkpoint == result.checkpoint
    assert run("ave", ave, model=MergedModel(model, merge), **options).directions == result.directions
    [table] = transfer_tables([result, plain])
    assert [score.gain for score in table.cells["video", "audio"]] == [
        None,
        pytest.approx(result.directions[0].mean - plain.directions[0].mean),
    ]


def test_a_merged_model_returns_groups_and_means(ave: Path) -> None:
    model, merge = tiny_model(layers=2), merged()
    whole = MergedModel(model, merge)
    assert (whole.name, whole.modalities) == (model.name, model.modalities)
    assert whole.code_layers() == {**model.code_layers(), "layer0": GROUPS}
    assert whole.merged == {"layer0": 24}
    assert state_fingerprint(whole) == state_fingerprint(model)
    full, seen = clips_of(model, ave), clips_of(whole, ave)
    assert (numbers(seen).numpy() == merge.groups[numbers(full).numpy()]).all()
    assert torch.equal(numbers(seen, 1), numbers(full, 1))
    assert torch.equal(whole.codebooks()["layer1"], model.codebooks()["layer1"])
    assert whole.codebooks()["layer0"].shape == (GROUPS, 8)


def test_what_was_merged_of_another_codebook_or_code_layer_is_refused(ave: Path) -> None:
    model, merge = tiny_model(layers=2), merged()
    books, layers = model.codebooks(), tuple(model.code_layers())
    assert list(match_merges([merged(1, 3), merge], books, layers)) == ["layer0", "layer1"]
    with pytest.raises(InputError, match="a second one for code layer"):
        match_merges([merge, merge], books, layers)
    with pytest.raises(InputError, match="made for code layer 'layer0'; expected one of layer1"):
        match_merges(merge, books, ("layer1",))
    with pytest.raises(InputError, match="made for another codebook"):
        match_merges(merge, {**books, "layer0": books["layer0"] + 1}, layers)
    with pytest.raises(InputError, match="'layer1' has no codebook"):
        match_merges("auto", {"layer0": books["layer0"]}, layers)
    weak = {"layer0": torch.from_numpy(np.random.default_rng(0).normal(size=(40, 8)))}
    with pytest.raises(InputError, match="code layer layer0: the elbow is weak"):
        match_merges("auto", weak, ("layer0",))
    with pytest.raises(InputError, match="no-such"):
        run("ave", ave, merge="no-such.json")
