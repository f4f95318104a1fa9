"""Refinements score as each would alone, on one pass of the encoder, and are chosen without test labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_ave import DIM, tiny_model
from tiny_avvp import tiny_localizer
from tiny_codes_method import TinyMethod

from benchmarks import HeadConfig, evaluate
from benchmarks.evaluation.encode_task import encode_task
from benchmarks.evaluation.heads import Heads
from benchmarks.evaluation.scoring import EncodedTask
from benchmarks.refinement import (
    ALL,
    Choice,
    RefinedResult,
    Refiner,
    check_choices,
    chosen,
    compare,
    parse_refiners,
)
from benchmarks.tasks import read_task, task_class
from toc import optimize
from unicode_cmg.errors import InputError

FAST = HeadConfig(lr=0.02, epochs=4, batch_size=16)
SEEDS = (0, 1, 2)
DIRECTIONS = ["video->audio", "audio->audio", "audio->video"]


def refiners(**named: dict[str, Any]) -> dict[str, Refiner]:
    return parse_refiners(named)


def encoded(model: TinyMethod, root: Path, task: str = "ave", **options: Any) -> EncodedTask:
    return encode_task(
        model, read_task(task, root), task_class(task).protocols["held-out"], DIRECTIONS, **options
    )


def by_key(rows: list[RefinedResult]) -> dict[tuple[str, object, str], RefinedResult]:
    return {(row.refinement, row.asked, f"{row.source}->{row.target}"): row for row in rows}


@pytest.mark.slow
@pytest.mark.parametrize("task", ["ave", "avvp"])
@pytest.mark.parametrize("use", ["slice", "requantize"])
def test_every_refinement_scores_as_it_does_alone(ave: Path, avvp: Path, task: str, use: str) -> None:
    model, root = (tiny_model(), ave) if task == "ave" else (tiny_localizer(), avvp)
    book = model.codebooks()["layer0"].numpy()
    asked = refiners(
        toc={"refiner": "toc", "keep": [1, 3, DIM], "use": use},
        other={"refiner": "toc", "keep": 3, "lam": 1.0, "use": use},
    )
    seeds, directions = (0, 1), ["video->audio", "video->video"]
    rule = task_class(task).protocols["held-out"]
    together = compare(
        encode_task(model, read_task(task, root), rule, directions, with_unquantized=use == "requantize"),
        asked,
        seeds,
        FAST,
    )
    rows = by_key(together)
    selection = optimize(book, 3, lam=1.0)
    alone = evaluate(
        *(model, task, root, rule, seeds, selection, directions, FAST),
        toc_use=use,  # type: ignore[arg-type]
    )
    for row in alone.directions:
        direction = f"{row.source}->{row.target}"
        found = rows["other", 3, direction]
        assert found.mean == pytest.approx(row.mean, abs=0.8)  # the order of sums differs in a stack
        assert (found.kept, found.n_dims, found.metric) == (3, DIM, row.metric)
        assert rows["toc", DIM, direction].mean == pytest.approx(rows[ALL, None, direction].mean, abs=0.8)
    assert rows["toc", 1, "video->audio"].mean < rows[ALL, None, "video->audio"].mean - 5


@pytest.mark.slow
def test_the_encoder_runs_once_for_all_refinements(ave: Path) -> None:
    model = tiny_model()
    task = encoded(model, ave, with_unquantized=True)
    before = len(model.encoded)
    compare(task, refiners(a={"refiner": "toc", "keep": [2, 4], "use": "requantize"}), (0,), FAST)
    assert len(model.encoded) == before == 2 * -(-len(task.codes["audio"].rows) // 64)


@pytest.mark.slow
def test_the_mean_of_random_draws_is_over_heads_and_their_deviation_over_draws(ave: Path) -> None:
    task = encoded(tiny_model(), ave)
    draws = [
        compare(task, refiners(r={"refiner": "random", "keep": 2, "draws": d}), SEEDS, FAST) for d in (1, 2)
    ]
    one, two = (by_key(rows)["r", 2, "video->audio"] for rows in draws)
    second = 2 * two.mean - one.mean
    assert two.std == pytest.approx(abs(one.mean - second) / np.sqrt(2))
    assert one.std is not None  # of a single draw, over its heads


@pytest.mark.slow
def test_all_layers_are_refined_each_by_its_own_dimensions(ave: Path) -> None:
    asked = refiners(
        toc={"refiner": "toc", "keep": 3}, l1={"refiner": "l1", "keep": 2}, pca={"refiner": "pca", "keep": 5}
    )
    both = by_key(compare(encoded(tiny_model(layers=2), ave), asked, (0,), FAST))
    assert [both[name, size, "video->audio"].kept for name, size in (("toc", 3), ("l1", 2), ("pca", 5))] == [
        *(6, 4, 10)
    ]
    assert both["toc", 3, "video->audio"].n_dims == 2 * DIM
    second = by_key(compare(encoded(tiny_model(layers=2), ave, code_layers=["layer1"]), asked, (0,), FAST))
    assert second["toc", 3, "video->audio"].n_dims == DIM


@pytest.mark.slow
def test_selection_is_what_heads_reach_on_validation_clips_of_their_own_modality(ave: Path) -> None:
    model, asked = tiny_model(), refiners(toc={"refiner": "toc", "keep": 3})
    rows = by_key(compare(encoded(model, ave), asked, SEEDS, FAST))
    rule = task_class("ave").protocols["held-out"].reporting_on("val")
    own = evaluate(
        *(model, "ave", ave, rule, SEEDS, optimize(model.codebooks()["layer0"].numpy(), 3)),
        directions=["audio->audio"],
        head=FAST,
    )
    for target in ("audio", "video"):
        assert rows["toc", 3, f"audio->{target}"].selection == pytest.approx(own.directions[0].mean, abs=1.5)
    last = HeadConfig(lr=0.02, epochs=2, batch_size=16, select="last")
    assert compare(encoded(model, ave), {}, (0,), last)[0].selection is None


def test_a_layer_without_codebook_has_all_dimensions_and_nothing_else(ave: Path) -> None:
    model = tiny_model()
    model.hide_codebooks()
    task = encoded(model, ave)
    assert {row.refinement for row in compare(task, {}, (0,), FAST)} == {ALL}
    with pytest.raises(InputError, match="'layer0' has no codebook to refine"):
        compare(task, refiners(toc={"refiner": "toc", "keep": 2}), (0,), FAST)


def test_codes_that_are_judged_without_heads_are_refined_too(retrieval: Path) -> None:
    model, rule = tiny_model(), task_class("retrieval-clotho").protocols["held-out"]
    task = encode_task(model, read_task("retrieval-clotho", retrieval), rule, with_unquantized=True)
    asked = refiners(
        toc={"refiner": "toc", "keep": [1, DIM]},
        anew={"refiner": "toc", "keep": [1, DIM], "use": "requantize"},
        pca={"refiner": "pca", "keep": 2},
    )
    rows = by_key(compare(task, asked, SEEDS))
    selection = optimize(model.codebooks()["layer0"].numpy(), 1)
    for name, use in (("toc", "slice"), ("anew", "requantize")):
        alone = evaluate(model, "retrieval-clotho", retrieval, toc=selection, toc_use=use)
        for row in alone.directions:
            found = rows[name, 1, f"{row.source}->{row.target}"]
            assert (found.mean, found.std, found.metric, found.selection) == (row.mean, None, "R@10", None)
            assert found.mean < rows[name, DIM, f"{row.source}->{row.target}"].mean == 100
    with pytest.raises(InputError, match="'l1' needs labels that heads learn from"):
        compare(task, refiners(l1={"refiner": "l1", "keep": 2}), SEEDS)


def refined(
    refinement: str, kept: int, mean: float, selection: float | None, target: str = "audio"
) -> RefinedResult:
    return RefinedResult(
        refinement=refinement,
        asked=None if refinement == ALL else kept,
        kept=kept,
        n_dims=8,
        source="video",
        target=target,
        metric="accuracy",
        mean=mean,
        std=None,
        selection=selection,
    )


TABLE = [
    refined(ALL, 8, mean=50, selection=60),
    refined("TOC", 2, mean=70, selection=40),
    refined("TOC", 4, mean=55, selection=65),
    refined("TOC", 6, mean=52, selection=65),
    refined("random", 6, mean=90, selection=99),
]


def test_a_choice_looks_at_validation_clips_and_of_equals_takes_the_largest() -> None:
    (row,) = chosen(TABLE, {"best": Choice(among=("TOC", ALL))})
    assert (row.refinement, row.asked, row.kept, row.mean) == ("best", None, 6, 52)


def test_a_choice_by_the_reported_clips_takes_the_best_of_them_for_each_direction() -> None:
    back = [row.model_copy(update={"target": "text", "mean": 100 - row.mean}) for row in TABLE]
    rows = chosen([*TABLE, *back], {"leak": Choice(among=("TOC",), by="reported")})
    assert [(row.target, row.kept, row.mean) for row in rows] == [("audio", 2, 70), ("text", 6, 48)]


def test_without_validation_clips_nothing_is_chosen_by_them() -> None:
    blind = [row.model_copy(update={"selection": None}) for row in TABLE]
    with pytest.raises(InputError, match="'best' has no clips to choose by"):
        chosen(blind, {"best": Choice(among=("TOC",))})
    assert chosen(blind, {"leak": Choice(among=("TOC",), by="reported")})[0].kept == 2


@pytest.mark.parametrize(
    ("name", "among", "message"),
    [("best", ("tock",), "among 'tock'; expected some of all dimensions, TOC"), ("TOC", (ALL,), "two names")],
)
def test_a_choice_that_cannot_be_made_is_refused(name: str, among: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_choices({name: Choice(among=among)}, ["TOC"])


def test_heads_of_a_stack_see_their_own_tables() -> None:
    """Two heads with the tables of two models give what each gives alone."""
    rng = torch.Generator().manual_seed(0)
    heads = Heads.initial(3, 2, [torch.Generator().manual_seed(s) for s in (4, 5)])
    tables = torch.randn(2, 6, 3, generator=rng)
    indices = torch.randint(0, 6, (2, 7, 4, 1), generator=rng)
    for logits in (Heads.clip_logits, Heads.step_logits):
        together = logits(heads, (tables,), indices)
        for s in range(2):
            alone = Heads(*(p[s : s + 1] for p in heads.parameters))
            torch.testing.assert_close(together[s], logits(alone, (tables[s],), indices[s : s + 1])[0])
