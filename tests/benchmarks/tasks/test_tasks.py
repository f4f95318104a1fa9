"""What every task owes to a user, whatever it asks."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from places import DOCS
from tiny_avvp import tiny_localizer
from tiny_runs import ROOTS, TASKS, copy_of, model_of, run

from benchmarks import TaskResult, available_protocols, available_tasks, evaluate
from benchmarks.evaluation.protocols import HeadProtocol
from benchmarks.tasks import read_task, task_class
from toc import optimize
from unicode_cmg.errors import InputError

Results = Callable[..., TaskResult]
Roots = Callable[[str], Path]
BOTH = ("held-out", "paper")
OWN = ("labels", "zero-shot", "retrieval-store")
PROTOCOLS = {
    task: ("held-out",) if task in OWN else (*BOTH, *["paper-f1"] * (task == "avvp"))
    for task in available_tasks()
}
CASES = [(task, protocol) for task in TASKS for protocol in PROTOCOLS[task]]
EACH_TASK = pytest.mark.parametrize("task", TASKS)
NUMBERS = {f"P{n}" for n in range(1, 20)}


def test_the_tasks_and_their_protocols_are_listed() -> None:
    assert available_tasks() == (
        *("ave", "avvp", "ave-avvp", "ucf-vgg"),
        *(f"retrieval-{name}" for name in ("clotho", "coco", "flickr-sound", "msvd", "valor")),
        *("labels", "zero-shot", "retrieval-store"),
    )
    assert {task: available_protocols(task) for task in available_tasks()} == PROTOCOLS


@pytest.mark.slow
@pytest.mark.parametrize(("task", "protocol"), CASES)
def test_a_result_records_how_it_came_about(result_of: Results, task: str, protocol: str) -> None:
    result = result_of(task, protocol)
    assert (result.task, result.protocol) == (task, protocol)
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


@pytest.mark.slow
@EACH_TASK
def test_the_same_again_is_the_same(root_of: Roots, result_of: Results, task: str) -> None:
    assert run(task, root_of(task)).directions == result_of(task).directions


@pytest.mark.slow
@EACH_TASK
def test_toc_goes_through(root_of: Roots, result_of: Results, task: str) -> None:
    codebook, plain = model_of(task).codebooks()["layer0"].numpy(), result_of(task)
    whole = optimize(codebook, codebook.shape[1], center=False)  # of a centred one, heads see other vectors
    assert run(task, root_of(task), toc=whole, toc_use="requantize").directions == plain.directions
    automatic = run(task, root_of(task), toc="auto")
    assert automatic.toc is not None
    same = automatic.directions == plain.directions
    assert automatic.toc[0].kept < codebook.shape[1] or automatic.toc[0].centered or same
    assert any(caution.startswith("P11") for caution in automatic.cautions)
    assert not any(caution.startswith("P11") for caution in plain.cautions)
    assert TaskResult.from_json(json.loads(json.dumps(automatic.to_json(), allow_nan=False))) == automatic


def test_every_leak_is_explained_on_the_page_of_the_protocols() -> None:
    page = (DOCS / "results" / "protocols.md").read_text(encoding="utf-8")
    explained = {line.split("|")[1].strip() for line in page.splitlines() if line.startswith("| P")}
    assert explained == NUMBERS
    evaluation = (DOCS / "guide" / "evaluation.md").read_text(encoding="utf-8")
    for name in available_tasks():
        assert f"`{name}`" in evaluation
        for protocol in available_protocols(name):
            assert f"`{protocol}`" in evaluation
            assert task_class(name).protocols[protocol].name == protocol


@EACH_TASK
def test_labels_splits_and_names_agree_in_number(root_of: Roots, task: str) -> None:
    for protocol in PROTOCOLS[task]:
        rule = task_class(task).protocols[protocol]
        data = read_task(task, root_of(task)).under(rule)
        for modality in data.modalities:
            assert len(data.names(modality)) == len(data.videos(modality))
            for split in rule.splits:
                rows = data.rows(modality, split)
                assert rows.max() < len(data.names(modality))
                assert len(data.labels(modality, rows)) == len(rows)


@EACH_TASK
def test_a_fingerprint_does_not_follow_the_place_of_the_data(
    root_of: Roots, tmp_path: Path, task: str
) -> None:
    copy = copy_of(root_of(task), tmp_path)
    assert read_task(task, copy).fingerprint() == read_task(task, root_of(task)).fingerprint()


def test_a_missing_folder_is_one_line(tmp_path: Path) -> None:
    for name in available_tasks():
        with pytest.raises(InputError) as error:
            evaluate(model_of(name), name, tmp_path)
        assert "\n" not in str(error.value)
        assert str(tmp_path) in str(error.value)


def test_a_protocol_of_another_task_is_refused(ave: Path) -> None:
    with pytest.raises(InputError, match="task ave: unknown protocol 'paper-f1'"):
        evaluate(tiny_localizer(), "ave", ave, "paper-f1")


@pytest.mark.slow
@pytest.mark.parametrize("task", ROOTS)
def test_renaming_the_codes_of_the_target_brings_transfer_down_to_a_constant_answer(
    root_of: Roots, task: str
) -> None:
    plain, control = (
        run(task, root_of(task), seeds=tuple(range(8)), permute_codes_seed=seed) for seed in (None, 3)
    )
    transfers = [row for row in control.directions if row.kind == "transfer"]
    assert all(row.constant is not None and row.mean < row.constant + 10 < 50 for row in transfers)
    mean = statistics.fmean(row.mean for row in transfers)
    assert control.chance is None or mean > control.chance - 12
    assert mean < statistics.fmean(row.mean for row in plain.directions if row.kind == "transfer") - 30
    assert control.directions[len(transfers) :] == plain.directions[len(transfers) :]
    assert "CONTROL" in control.table()
    assert "CONTROL" not in plain.table()
    assert TaskResult.from_json(json.loads(json.dumps(control.to_json(), allow_nan=False))) == control


@pytest.mark.slow
@EACH_TASK
def test_the_encoder_sees_each_needed_clip_once_in_evaluation_mode(root_of: Roots, task: str) -> None:
    model = model_of(task).train()
    counts = run(task, root_of(task), model=model, seeds=(0,)).data.counts
    encoded: Counter[str] = Counter()
    for modality, clips, training, gradient in model.encoded:
        assert not training
        assert not gradient
        encoded[modality] += clips
    for modality, clips in encoded.items():
        assert clips == sum(n for name, n in counts.items() if name.endswith(modality) or " " not in name)
    assert model.training


@pytest.mark.parametrize(("task", "protocol"), [case for case in CASES if case[1] != "held-out"])
def test_epochs_of_the_papers_are_chosen_on_the_reported_rows(task: str, protocol: str) -> None:
    rule = task_class(task).protocols[protocol]
    if isinstance(rule, HeadProtocol):
        assert (rule.select, rule.select_on) == (rule.report, "target")
        assert any(leak.startswith("P3") for leak in rule.leaks)
