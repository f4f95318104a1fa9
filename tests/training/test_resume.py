from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_method import Tiny, tiny_config, write_tiny_store

from unicode_cmg import load_pretrained
from unicode_cmg.errors import InputError
from unicode_cmg.training import Interrupted, PretrainConfig, fit
from unicode_cmg.training.run_folder import locked


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return write_tiny_store(tmp_path / "store")


def logged(run: Path) -> list[dict]:
    """The metrics without the times, the only thing two runs may differ in."""
    entries = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    timed = ("seconds", "data_wait")
    return [{key: value for key, value in entry.items() if key not in timed} for entry in entries]


def state_values(checkpoint: Path) -> dict[str, Any]:
    state = json.loads((checkpoint / "training_state.json").read_text())
    del state["random"]["python"]  # beartype draws from it to pick what it checks
    return {key: value for key, value in state.items() if key not in ("seconds", "config")}


def assert_same_run(a: Path, b: Path, *, step: int) -> None:
    for name in ("model", f"checkpoints/step-{step:08d}"):
        for file in sorted((a / name).glob("*.safetensors")):
            left, right = load_file(file), load_file(b / name / file.name)
            assert left.keys() == right.keys()
            for key, tensor in left.items():
                assert tensor.dtype == right[key].dtype
                assert torch.equal(tensor, right[key]), (file.name, key)
    last = f"checkpoints/step-{step:08d}"
    assert state_values(a / last) == state_values(b / last)
    assert logged(a) == logged(b)


def interrupt_after(
    monkeypatch: pytest.MonkeyPatch, cls: type, step: int, number: int = signal.SIGTERM
) -> None:
    """Let a real signal arrive in the middle of that step."""
    update, done = cls.update_codebooks, [0]

    def update_codebooks(self: Any, representation: Any, *, generator: torch.Generator) -> None:
        done[0] += 1
        if done[0] == step:
            os.kill(os.getpid(), number)
        update(self, representation, generator=generator)

    monkeypatch.setattr(cls, "update_codebooks", update_codebooks)


@pytest.mark.parametrize("step", [1, 3, 4])
def test_an_interrupted_and_resumed_run_ends_with_the_same_bits(
    step: int, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(store, optimizer__schedule="cosine", optimizer__warmup_steps=2)
    fit(config, tmp_path / "whole", progress=False)
    with monkeypatch.context() as patch:
        interrupt_after(patch, Tiny, step)
        with pytest.raises(Interrupted) as caught:
            fit(config, tmp_path / "parts", progress=False)
    assert (caught.value.signal, caught.value.step) == (signal.SIGTERM, step)
    assert caught.value.checkpoint == tmp_path / f"parts/checkpoints/step-{step:08d}"
    assert not (tmp_path / "parts/model").exists()
    torch.rand(7)  # the state of the process that resumes must not matter
    fit(config, tmp_path / "parts", resume="auto", progress=False)
    assert_same_run(tmp_path / "whole", tmp_path / "parts", step=6)


@pytest.mark.slow
def test_dcid_resumes_with_the_same_bits(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unicode_cmg.methods.dcid import DCID

    values = {
        "name": "dcid",
        "modalities": {"audio": {"dim": 6, "context": 8}, "video": {"dim": 4}},
        "dim": 8,
        "num_codes": 12,
        "heads": 2,
        "transformer_layers": 1,
        "feedforward": 16,
        "codebook": {"init": "data", "revive_after": 2},
    }
    config = tiny_config(store, method=values)
    fit(config, tmp_path / "whole", progress=False)
    interrupt_after(monkeypatch, DCID, 4)
    with pytest.raises(Interrupted):
        fit(config, tmp_path / "parts", progress=False)
    monkeypatch.undo()
    fit(config, tmp_path / "parts", resume="auto", progress=False)
    assert_same_run(tmp_path / "whole", tmp_path / "parts", step=6)


def test_a_run_continued_from_a_checkpoint_of_another_run_ends_the_same(store: Path, tmp_path: Path) -> None:
    config = tiny_config(store, training__checkpoint_every=2, training__keep_checkpoints=9)
    fit(config, tmp_path / "whole", progress=False)
    fit(config, tmp_path / "branch", resume=tmp_path / "whole/checkpoints/step-00000002", progress=False)
    left, right = (load_file(tmp_path / run / "model/model.safetensors") for run in ("whole", "branch"))
    assert all(torch.equal(left[key], right[key]) for key in left)
    assert [entry["step"] for entry in logged(tmp_path / "branch")] == [4, 6]


def test_going_back_to_an_older_checkpoint_drops_what_came_later(store: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    config = tiny_config(store, training__checkpoint_every=2, training__keep_checkpoints=9)
    fit(config, run, progress=False)
    before = logged(run)
    shutil.copytree(run, tmp_path / "copy")
    fit(config, run, resume=run / "checkpoints/step-00000002", progress=False)
    assert logged(run) == before
    assert_same_run(tmp_path / "copy", run, step=6)


def test_more_epochs_continue_a_finished_run(store: Path, tmp_path: Path) -> None:
    fit(tiny_config(store), tmp_path / "run", progress=False)
    result = fit(tiny_config(store, training__epochs=3), tmp_path / "run", resume="auto", progress=False)
    assert result.steps == 9
    fit(tiny_config(store, training__epochs=3), tmp_path / "whole", progress=False)
    assert_same_run(tmp_path / "whole", tmp_path / "run", step=9)


def test_a_finished_run_is_left_as_it_is_but_a_lost_model_is_written_again(
    store: Path, tmp_path: Path
) -> None:
    first = fit(tiny_config(store), tmp_path / "run", progress=False)
    weights = load_file(first.model / "model.safetensors")
    shutil.rmtree(first.model)
    again = fit(tiny_config(store), tmp_path / "run", resume="auto", progress=False)
    assert (again.steps, again.last) == (first.steps, first.last)
    assert all(torch.equal(t, weights[k]) for k, t in load_file(again.model / "model.safetensors").items())


def test_auto_starts_afresh_where_there_is_no_run(store: Path, tmp_path: Path) -> None:
    assert fit(tiny_config(store), tmp_path / "run", resume="auto", progress=False).steps == 6


def test_auto_passes_over_the_scratch_of_a_killed_write(store: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    fit(tiny_config(store, training__log_every=3), tmp_path / "whole", progress=False)
    fit(tiny_config(store, training__log_every=3, training__epochs=1), run, progress=False)
    scratch = run / "checkpoints/.step-00000005.partial-abcdefgh"
    scratch.mkdir()
    (scratch / "model.safetensors").write_bytes(b"half a fi")
    fit(tiny_config(store, training__log_every=3), run, resume="auto", progress=False)
    assert not scratch.exists()
    assert_same_run(tmp_path / "whole", run, step=6)


def test_a_log_line_cut_short_by_a_kill_is_dropped(store: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    fit(tiny_config(store), tmp_path / "whole", progress=False)
    fit(tiny_config(store, training__epochs=1), run, progress=False)
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    # the epoch-long run logged its last step, which the longer one does not
    (run / "metrics.jsonl").write_text(lines[0] + '{"step": 4, "epoch": 2, "lo')
    fit(tiny_config(store), run, resume="auto", progress=False)
    assert [entry["step"] for entry in logged(run)] == [2, 4, 6]


def test_the_store_may_move_and_the_logging_may_change(store: Path, tmp_path: Path) -> None:
    fit(tiny_config(store), tmp_path / "whole", progress=False)
    fit(tiny_config(store, training__epochs=1), tmp_path / "run", progress=False)
    moved = store.rename(tmp_path / "moved")
    config = tiny_config(
        moved, training__checkpoint_every=1, training__keep_checkpoints=1, training__log_every=1
    )
    fit(config, tmp_path / "run", resume="auto", progress=False)
    left, right = (load_file(tmp_path / run / "model/model.safetensors") for run in ("whole", "run"))
    assert all(torch.equal(left[key], right[key]) for key in left)
    assert [p.name for p in (tmp_path / "run/checkpoints").iterdir()] == ["step-00000006"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer__lr": 0.02}, r"'optimizer.lr' is 0.02, but the run was started with 0.01"),
        ({"method": {"name": "tiny", "dim": 9}}, r"'method.dim' is 9, but the run was started with 8"),
        ({"training__seed": 3}, r"'training.seed' is 3, but the run was started with 0"),
        ({"loss_weights": {"club": 2}}, r"'loss_weights.club' is 2.0, but .* with no such setting"),
        ({"data__limit": 9}, r"'data.limit' is 9, but the run was started with None"),
    ],
)
def test_other_settings_are_refused_by_name(
    changes: dict[str, Any], message: str, store: Path, tmp_path: Path
) -> None:
    fit(tiny_config(store, training__epochs=1), tmp_path / "run", progress=False)
    with pytest.raises(InputError, match=message):
        fit(tiny_config(store, **changes), tmp_path / "run", resume="auto", progress=False)


def test_other_data_are_refused(store: Path, tmp_path: Path) -> None:
    fit(tiny_config(store, training__epochs=1), tmp_path / "run", progress=False)
    shutil.rmtree(store)
    write_tiny_store(store, seed=1)
    with pytest.raises(InputError, match=r"store: the data changed since the run was started"):
        fit(tiny_config(store), tmp_path / "run", resume="auto", progress=False)


def test_a_path_without_a_checkpoint_cannot_be_resumed(store: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: there is no complete checkpoint to resume from"):
        fit(tiny_config(store), tmp_path / "run", resume=tmp_path / "nowhere", progress=False)


def test_another_run_is_not_continued_over_this_one(store: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        fit(tiny_config(store, training__epochs=1), tmp_path / name, progress=False)
    with pytest.raises(InputError, match="already holds another run"):
        fit(tiny_config(store), tmp_path / "a", resume=tmp_path / "b", progress=False)


@pytest.mark.parametrize("name", ["model.safetensors", "training_state.safetensors", "training_state.json"])
def test_a_truncated_checkpoint_is_named_and_nothing_is_trained(
    name: str, store: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    fit(tiny_config(store, training__epochs=1), run, progress=False)
    damaged = run / "checkpoints/step-00000003" / name
    damaged.write_bytes(damaged.read_bytes()[:100])
    before = (run / "metrics.jsonl").read_bytes()
    with pytest.raises(InputError, match=rf"step-00000003/{name}: not .*truncated"):
        fit(tiny_config(store), run, resume="auto", progress=False)
    assert (run / "metrics.jsonl").read_bytes() == before


def test_ctrl_c_saves_and_the_handlers_come_back(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    interrupt_after(monkeypatch, Tiny, 2, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match="interrupted after step 2; continue from") as caught:
        fit(tiny_config(store), tmp_path / "run", progress=False)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert isinstance(caught.value, Interrupted)
    assert load_pretrained(tmp_path / "run").name == "tiny"


def test_a_second_ctrl_c_leaves_at_once_without_saving(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def twice(self: Any, representation: Any, *, generator: torch.Generator) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(Tiny, "update_codebooks", twice)
    with pytest.raises(KeyboardInterrupt) as caught:
        fit(tiny_config(store), tmp_path / "run", progress=False)
    assert not isinstance(caught.value, Interrupted)
    assert not (tmp_path / "run/checkpoints").exists()
    assert signal.getsignal(signal.SIGINT) is before


def test_a_signal_in_the_last_step_does_not_spoil_the_end(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_after(monkeypatch, Tiny, 6)
    assert fit(tiny_config(store), tmp_path / "run", progress=False).steps == 6


def test_the_configuration_of_a_resumed_run_is_the_new_one(store: Path, tmp_path: Path) -> None:
    import yaml

    fit(tiny_config(store, training__epochs=1), tmp_path / "run", progress=False)
    longer = tiny_config(store)
    fit(longer, tmp_path / "run", resume="auto", progress=False)
    values = yaml.safe_load((tmp_path / "run/config.yaml").read_text())
    assert PretrainConfig.parse(values, where="config.yaml") == longer


def test_two_processes_cannot_train_in_one_folder(store: Path, tmp_path: Path) -> None:
    with (
        locked(tmp_path / "run"),
        pytest.raises(InputError, match="another process is training in this folder"),
    ):
        fit(tiny_config(store), tmp_path / "run", resume="auto", progress=False)
    fit(tiny_config(store), tmp_path / "run", resume="auto", progress=False)


def test_fewer_epochs_than_a_run_has_train_nothing_and_its_config_stays(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = fit(tiny_config(store, training__epochs=2), tmp_path / "run", progress=False)
    before = {file: file.read_bytes() for file in (tmp_path / "run" / "config.yaml", result.metrics)}
    again = fit(tiny_config(store, training__epochs=1), tmp_path / "run", resume="auto")
    assert again.steps == result.steps
    assert {file: file.read_bytes() for file in before} == before
    said = capsys.readouterr()
    half = result.steps // 2
    assert f"the run has {result.steps} steps, the configuration asks for {half}: nothing to train" in (
        said.out + said.err
    )
    fit(tiny_config(store, training__epochs=3), tmp_path / "run", resume="auto", progress=False)
    assert "epochs: 3" in (tmp_path / "run" / "config.yaml").read_text()
