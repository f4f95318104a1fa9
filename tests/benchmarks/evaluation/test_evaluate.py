"""Evaluations: what transfers and what does not, what is recorded, and what is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_ave import DIM, tiny_model
from tiny_runs import FAST, run

from benchmarks import TaskResult, evaluate
from benchmarks.evaluation.protocols import HELD_OUT, PAPER
from toc import optimize
from unicode_cmg.errors import InputError


def means(result: TaskResult) -> dict[str, float]:
    return {f"{row.source}->{row.target}": row.mean for row in result.directions}


@pytest.mark.slow
def test_a_shared_space_transfers_in_all_directions(result_of: Callable[..., TaskResult]) -> None:
    result = result_of("ave")
    assert len(result.directions) == 9
    assert min(means(result).values()) > 95
    assert [row.kind for row in result.directions] == ["transfer"] * 6 + ["same-modality"] * 3
    assert result.chance == 25


@pytest.mark.slow
def test_a_modality_that_does_not_share_the_space_gets_no_transfer(ave: Path) -> None:
    result = means(run("ave", ave, model=tiny_model(foreign="audio")))
    assert result["video->text"] > 95
    assert result["video->audio"] < 30
    assert result["audio->audio"] > 60


def test_a_protocol_can_report_on_validation_while_settings_are_chosen(ave: Path) -> None:
    result = run("ave", ave, HELD_OUT.reporting_on("val"), directions=["video->audio"])
    assert result.protocol == "held-out, reported on val"
    assert "test" not in result.data.counts
    assert HELD_OUT.reporting_on("test") is HELD_OUT


@pytest.mark.slow
def test_the_default_head_is_the_protocols(ave: Path) -> None:
    for protocol in (HELD_OUT, PAPER):
        result = evaluate(tiny_model(), "ave", ave, protocol.name, seeds=(0,), directions=["video->video"])
        assert result.head == protocol.head


@pytest.mark.slow
def test_mean_and_deviation_are_over_the_seeds_and_of_the_sample(ave: Path) -> None:
    model = tiny_model()
    options = {"directions": ["video->audio"], "toc": optimize(model.codebooks()["layer0"].numpy(), 2)}
    row = run("ave", ave, model=model, seeds=(4, 1, 7), **options).directions[0]
    assert len(row.per_seed) == len(row.epochs_selected) == 3
    assert row.mean == pytest.approx(np.mean(row.per_seed))
    assert row.std == pytest.approx(np.std(row.per_seed, ddof=1))
    assert row.std > 0
    alone = run("ave", ave, model=model, seeds=(1,), **options).directions[0]
    assert alone.per_seed[0] == row.per_seed[1]
    assert alone.epochs_selected[0] == row.epochs_selected[1]
    assert alone.std is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "avee"}, "unknown task 'avee'"),
        ({"protocol": "fair"}, "task ave: unknown protocol 'fair'; expected one of held-out, paper"),
        ({"data_root": Path("nowhere")}, "nowhere: no such folder"),
        ({"directions": ["video"]}, "cannot read the direction 'video'"),
        ({"directions": ["video->smell"]}, "the model: unknown modality 'smell'"),
        ({"directions": []}, "no direction"),
        ({"seeds": ()}, "seeds"),
        ({"seeds": (1, 1)}, "seeds"),
        ({"seeds": (-1,)}, "seeds"),
        ({"toc": Path("nowhere.json")}, "nowhere.json"),
    ],
)
def test_wrong_requests_are_refused_in_one_line(ave: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        evaluate(**{"model": tiny_model(), "task": "ave", "data_root": ave, "head": FAST, **options})  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def test_data_of_other_sizes_than_the_models_is_refused(ave: Path) -> None:
    model = tiny_model()
    model.maps["video"] = torch.nn.Parameter(torch.eye(DIM + 1)[:, :DIM])
    with pytest.raises(InputError, match="video features have 8 channels"):
        run("ave", ave, model=model)
    assert model.training


def test_a_model_without_common_modalities_is_refused(ave: Path) -> None:
    model = tiny_model()
    model.config = model.config.model_copy(update={"modalities": ("video", "touch")})
    with pytest.raises(InputError, match="at least two modalities"):
        run("ave", ave, model=model)


def test_a_method_whose_codes_are_not_codewords_is_a_fault_of_ours(ave: Path) -> None:
    class Lying(type(tiny_model())):  # type: ignore[misc]
        def encode_batch(self, *args: object) -> object:
            encoding = super().encode_batch(*args)
            return dataclasses.replace(encoding, codes=encoding.codes + 1)

    model = tiny_model()
    model.__class__ = Lying
    with pytest.raises(RuntimeError, match="not the codewords"):
        run("ave", ave, model=model)
