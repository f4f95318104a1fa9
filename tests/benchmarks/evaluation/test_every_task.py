"""What every task owes to a user, whatever it asks."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from places import DOCS
from tiny_ave import tiny_model
from tiny_avvp import tiny_localizer
from tiny_codes_method import TinyMethod

from benchmarks import HeadConfig, TaskResult, available_protocols, available_tasks, evaluate
from benchmarks.tasks import read_task, resolve_protocol
from toc import optimize
from unicode_cmg.errors import InputError

ROOTS = {"ave": "ave", "avvp": "avvp", "ave-avvp": "across", "ucf-vgg": "ucf_vgg"}
TASKS = [*ROOTS, "retrieval-clotho", "retrieval-coco", "retrieval-flickr-sound"]
CASES = [(task, protocol) for task in TASKS for protocol in available_protocols(task)]
FAST = HeadConfig(lr=0.03, epochs=2, batch_size=16)


@pytest.fixture(params=TASKS)
def task(request: pytest.FixtureRequest) -> tuple[str, Path]:
    """Name and data."""
    return request.param, root_of(request, request.param)


def root_of(request: pytest.FixtureRequest, name: str) -> Path:
    root = request.getfixturevalue(ROOTS.get(name, "retrieval"))
    assert isinstance(root, Path)
    return root


def model_of(name: str) -> TinyMethod:
    return tiny_localizer() if "avvp" in name else tiny_model()


def run(name: str, root: Path, protocol: str = "held-out", **options: object) -> TaskResult:
    head = {} if name.startswith("retrieval") else {"head": FAST}
    return evaluate(model_of(name), name, root, protocol, **{"seeds": (0,), **head, **options})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def plain() -> Callable[[str, Path], TaskResult]:
    """Held-out results with all dimensions, each made once."""
    return cache(run)


@pytest.mark.parametrize(("name", "protocol"), CASES)
def test_a_result_records_how_it_came_about(request: pytest.FixtureRequest, name: str, protocol: str) -> None:
    result = run(name, root_of(request, name), protocol)
    assert (result.task, result.protocol) == (name, protocol)
    assert bool(result.leaks) == (protocol != "held-out")
    assert all(
        text.split(":")[0] in NUMBERS for text in (*result.leaks, *result.departures, *result.cautions)
    )
    assert len(result.data.fingerprint) == len(result.checkpoint.fingerprint) == 64
    assert sum(result.data.counts.values()) > 0
    assert result.seconds.total >= result.seconds.encode + result.seconds.heads - 1e-6
    assert (result.bootstrap is None) == (protocol != "held-out")
    for row in result.directions:
        assert (row.interval is None) == (protocol != "held-out")
    assert TaskResult.from_json(json.loads(json.dumps(result.to_json(), allow_nan=False))) == result
    assert all(leak in result.table() for leak in result.leaks)


NUMBERS = {f"P{n}" for n in range(1, 20)}


def test_the_same_again_is_the_same(task: tuple[str, Path], plain: Callable[..., TaskResult]) -> None:
    assert run(*task).directions == plain(*task).directions


def test_toc_goes_through(task: tuple[str, Path], plain: Callable[..., TaskResult]) -> None:
    name, root = task
    codebook = model_of(name).codebooks()["layer0"].numpy()
    whole = optimize(codebook, codebook.shape[1])
    assert run(name, root, toc=whole, toc_use="requantize").directions == plain(*task).directions
    automatic = run(name, root, toc="auto")
    assert automatic.toc is not None
    assert automatic.toc[0].kept < codebook.shape[1] or automatic.directions == plain(*task).directions
    assert any(caution.startswith("P11") for caution in automatic.cautions)
    assert not any(caution.startswith("P11") for caution in plain(*task).cautions)


def test_every_leak_is_explained_on_the_page_of_the_protocols() -> None:
    page = (DOCS / "results" / "protocols.md").read_text(encoding="utf-8")
    explained = {line.split("|")[1].strip() for line in page.splitlines() if line.startswith("| P")}
    assert explained == NUMBERS
    evaluation = (DOCS / "guide" / "evaluation.md").read_text(encoding="utf-8")
    for name in available_tasks():
        assert f"`{name}`" in evaluation
        for protocol in available_protocols(name):
            assert f"`{protocol}`" in evaluation
            assert resolve_protocol(protocol, name).name == protocol


def test_labels_splits_and_names_agree_in_number(task: tuple[str, Path]) -> None:
    name, root = task
    for protocol in available_protocols(name):
        rule = resolve_protocol(protocol, name)
        data = read_task(name, root).under(rule)
        for modality in data.modalities:
            assert len(data.names(modality)) == len(data.videos(modality))
            for split in rule.splits:
                rows = data.rows(modality, split)
                assert rows.max() < len(data.names(modality))
                assert len(data.labels(modality, rows)) == len(rows)


def test_a_missing_folder_is_one_line(tmp_path: Path) -> None:
    for name in available_tasks():
        with pytest.raises(InputError) as error:
            evaluate(model_of(name), name, tmp_path)
        assert "\n" not in str(error.value)
        assert str(tmp_path) in str(error.value)
