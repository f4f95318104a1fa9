from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from accelerate.state import is_initialized
from safetensors.torch import load_file
from tiny_method import Tiny, tiny_config, write_tiny_store

from unicode_cmg import load_pretrained
from unicode_cmg.data.store import FeatureStore
from unicode_cmg.errors import InputError
from unicode_cmg.training import NonFiniteLoss, PretrainConfig, fit


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return write_tiny_store(tmp_path / "store")


def lines(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_a_run_leaves_the_documented_files(store: Path, tmp_path: Path) -> None:
    result = fit(tiny_config(store, training__checkpoint_every=2), tmp_path / "run", progress=False)
    run = tmp_path / "run"
    names = ["checkpoints", "config.yaml", "data.json", "metrics.jsonl", "model", "verdict.json"]
    assert sorted(p.name for p in run.iterdir()) == names
    assert sorted(p.name for p in (run / "checkpoints").iterdir()) == ["step-00000004", "step-00000006"]
    assert sorted(p.name for p in (run / "checkpoints/step-00000006").iterdir()) == [
        "SHA256SUMS",
        "config.json",
        "model.safetensors",
        "training_state.json",
        "training_state.safetensors",
    ]
    assert (result.run, result.model, result.metrics) == (run, run / "model", run / "metrics.jsonl")
    assert result.steps == 6
    assert result.seconds > 0
    assert result.last == lines(run)[-1]


def test_the_written_configuration_runs_the_same_run_again(store: Path, tmp_path: Path) -> None:
    config = tiny_config(store)
    fit(config, tmp_path / "a", progress=False)
    again = PretrainConfig.parse(
        yaml.safe_load((tmp_path / "a/config.yaml").read_text()), where="config.yaml"
    )
    assert again == config
    fit(again, tmp_path / "b", progress=False)
    a, b = (load_file(tmp_path / run / "model/model.safetensors") for run in "ab")
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_log_lines_hold_every_term_norm_and_codebook_figure(store: Path, tmp_path: Path) -> None:
    fit(tiny_config(store), tmp_path / "run", progress=False)
    logged = lines(tmp_path / "run")
    assert [(line["step"], line["epoch"]) for line in logged] == [(2, 1), (4, 2), (6, 2)]
    assert set(logged[0]) == {
        "step",
        "epoch",
        "seconds",
        "data_wait",
        "lr",
        "loss",
        "gradient_norm",
        "codebook",
    }
    terms = {f"{kind}/{m}" for kind in ("reconstruction", "commitment") for m in ("audio", "video")}
    assert set(logged[0]["loss"]) == {"total", "club", "critic/audio", *terms}
    assert set(logged[0]["gradient_norm"]) == {"encoder", "decoder"}
    assert logged[0]["codebook"]["layer0/active"] >= 1


def test_the_last_step_is_logged_even_between_log_steps(store: Path, tmp_path: Path) -> None:
    fit(tiny_config(store, training__log_every=4), tmp_path / "run", progress=False)
    assert [line["step"] for line in lines(tmp_path / "run")] == [4, 6]


def test_a_logged_loss_is_the_mean_since_the_line_before(store: Path, tmp_path: Path) -> None:
    for every in (1, 3):
        fit(tiny_config(store, training__log_every=every), tmp_path / f"run{every}", progress=False)
    each, window = lines(tmp_path / "run1"), lines(tmp_path / "run3")
    for line, start in zip(window, (0, 3), strict=True):
        for term, value in line["loss"].items():
            mean = np.mean([each[i]["loss"][term] for i in range(start, start + 3)])
            assert value == pytest.approx(mean, rel=1e-6)


def test_one_step_is_the_step_of_the_interface_written_out(store: Path, tmp_path: Path) -> None:
    weights = {"reconstruction": 2.0, "commitment/audio": 0.5, "club": 0.0}
    method = {"name": "tiny", "dropout": 0.0}
    config = tiny_config(
        store, training__epochs=1, training__batch_size=22, loss_weights=weights, method=method
    )
    fit(config, tmp_path / "run", progress=False)
    trained = load_pretrained(tmp_path / "run")

    from unicode_cmg.training.randomness import epoch_order, step_generator

    torch.manual_seed(0)
    method = Tiny(type(trained.config)(dropout=0.0)).train()
    batch = FeatureStore.open(store).batch(epoch_order(0, 0, 22))
    main = torch.optim.Adam(method.trained_parameters(), lr=0.01)
    critics = torch.optim.Adam(method.critic_parameters(), lr=1e-3)
    generator = step_generator(0, 1)
    made = method.represent(batch)
    for _ in range(2):
        critics.zero_grad()
        sum(method.critic_losses(made).values()).backward()
        critics.step()
    losses = method.training_losses(batch, generator=generator, representation=made)
    total = 0.0
    for term, loss in losses.items():
        total = total + loss * {"reconstruction": 2.0, "club": 0.0}.get(
            term.split("/")[0], 0.5 if term == "commitment/audio" else 1.0
        )
    main.zero_grad()
    total.backward()
    norms = {
        n: torch.nn.utils.clip_grad_norm_(m.parameters(), 0.5) for n, m in method.trained_modules().items()
    }
    main.step()
    method.update_codebooks(made, generator=generator)

    for key, value in method.state_dict().items():
        torch.testing.assert_close(trained.state_dict()[key], value, rtol=1e-5, atol=1e-6)
    line = lines(tmp_path / "run")[0]
    assert line["loss"]["total"] == pytest.approx(total.item(), rel=1e-5)
    assert line["loss"]["club"] == pytest.approx(losses["club"].item(), rel=1e-5)
    assert line["gradient_norm"] == {n: pytest.approx(v.item(), rel=1e-5) for n, v in norms.items()}


def test_without_clipping_the_norms_are_still_logged(store: Path, tmp_path: Path) -> None:
    fit(tiny_config(store, optimizer__clip_norm=None), tmp_path / "run", progress=False)
    assert all(norm > 0 for norm in lines(tmp_path / "run")[0]["gradient_norm"].values())


def test_a_method_without_critics_trains(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tiny, "critic_modules", lambda self: {})
    fit(tiny_config(store), tmp_path / "run", progress=False)
    assert "critic/audio" not in lines(tmp_path / "run")[0]["loss"]


def test_the_random_states_of_the_caller_are_left_alone(store: Path, tmp_path: Path) -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    fit(tiny_config(store), tmp_path / "run", progress=False)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002


def test_another_seed_gives_another_model(store: Path, tmp_path: Path) -> None:
    for seed in (0, 1):
        fit(tiny_config(store, training__seed=seed), tmp_path / f"run{seed}", progress=False)
    a, b = (load_pretrained(tmp_path / f"run{seed}").codebooks()["layer0"] for seed in (0, 1))
    assert not torch.equal(a, b)


def test_mixed_precision_trains_on_the_cpu_and_leaves_no_trace(store: Path, tmp_path: Path) -> None:
    result = fit(tiny_config(store, training__precision="bf16"), tmp_path / "bf16", progress=False)
    assert not is_initialized()
    plain = fit(tiny_config(store), tmp_path / "no", progress=False)
    assert result.last["loss"]["total"] != plain.last["loss"]["total"]
    assert result.last["loss"]["total"] == pytest.approx(plain.last["loss"]["total"], rel=0.1)
    assert load_pretrained(result.model).codebooks()["layer0"].dtype == torch.float32


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU can do fp16")
def test_fp16_without_a_gpu_is_an_input_error(store: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"training.precision: 'fp16' cannot be used here.*'bf16' or 'no'"):
        fit(tiny_config(store, training__precision="fp16"), tmp_path / "run", progress=False)
    fit(tiny_config(store), tmp_path / "run", progress=False)


def test_deterministic_kernels_are_asked_for_only_during_the_run(store: Path, tmp_path: Path) -> None:
    fit(tiny_config(store, training__deterministic=True), tmp_path / "run", progress=False)
    assert not torch.are_deterministic_algorithms_enabled()


def test_validation_losses_are_logged_after_each_epoch_and_change_nothing(
    store: Path, tmp_path: Path
) -> None:
    held_out = write_tiny_store(tmp_path / "held-out", clips=11, seed=1)
    fit(tiny_config(store), tmp_path / "without", progress=False)
    fit(tiny_config(store, data__val_store=str(held_out)), tmp_path / "with", progress=False)
    found = [line for line in lines(tmp_path / "with") if "validation" in line]
    assert [(line["step"], line["epoch"]) for line in found] == [(3, 1), (6, 2)]
    a, b = (load_file(tmp_path / run / "model/model.safetensors") for run in ("without", "with"))
    assert all(torch.equal(a[key], b[key]) for key in a)

    method = load_pretrained(tmp_path / "with")
    data = FeatureStore.open(held_out)
    parts = [data.batch(range(8)), data.batch(range(8, 11))]
    term = "commitment/video"
    generator = torch.Generator()
    values = [method.training_losses(part, generator=generator)[term].item() for part in parts]
    assert found[-1]["validation"][term] == pytest.approx((8 * values[0] + 3 * values[1]) / 11, rel=1e-5)


def test_the_first_clips_are_trained_on_where_a_limit_is_set(store: Path, tmp_path: Path) -> None:
    few = write_tiny_store(tmp_path / "few", clips=10)
    FeatureStore.write(
        few,
        {m: FeatureStore.open(store).batch(range(10)).features[m].numpy() for m in ("audio", "video")},
        [f"clip{i}" for i in range(10)],
    )
    fit(tiny_config(store, data__limit=10), tmp_path / "limited", progress=False)
    fit(tiny_config(few), tmp_path / "all", progress=False)
    a, b = (load_pretrained(tmp_path / run).codebooks()["layer0"] for run in ("limited", "all"))
    assert torch.equal(a, b)


def test_progress_is_plain_lines_where_there_is_no_terminal(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(tiny_config(store), tmp_path / "run")
    out, err = capsys.readouterr()
    assert out == ""
    shown = err.splitlines()
    assert shown.pop(0) == "22 clips, each with audio, video"
    assert len(shown) == 3
    assert re.match(r"step 2/6, epoch 1, \d+ s, about \d+ s left: total ", shown[0])
    loss = lines(tmp_path / "run")[0]["loss"]
    both = loss["reconstruction/audio"] + loss["reconstruction/video"]  # a figure for each kind of term
    assert f"reconstruction {both:.4g}, " in shown[0]
    assert "layer0/active " in shown[0]


def test_progress_false_shows_nothing_and_true_shows_a_bar(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(tiny_config(store), tmp_path / "silent", progress=False)
    assert capsys.readouterr().err == ""
    fit(tiny_config(store), tmp_path / "bar", progress=True)
    assert "6/6" in capsys.readouterr().err


# what the user can get wrong


def test_an_exploding_run_stops_with_the_name_of_the_term(store: Path, tmp_path: Path) -> None:
    config = tiny_config(
        store,
        optimizer__lr=1e30,
        training__epochs=50,
        training__checkpoint_every=1,
        training__keep_checkpoints=100,
    )
    with pytest.raises(NonFiniteLoss, match=r"is NaN or infinite at step \d+; lower optimizer.lr") as caught:
        fit(config, tmp_path / "run", progress=False)
    checkpoint = caught.value.checkpoint
    assert checkpoint is not None
    assert checkpoint.name == f"step-{caught.value.step - 1:08d}"
    assert str(checkpoint) in str(caught.value)
    assert all(torch.isfinite(t).all() for t in load_file(checkpoint / "model.safetensors").values())
    assert not (tmp_path / "run/model").exists()


def test_a_store_without_a_modality_is_refused_before_training(store: Path, tmp_path: Path) -> None:
    config = tiny_config(store, method={"name": "tiny", "modalities": {"audio": 6, "text": 4}})
    with pytest.raises(
        InputError, match=r"store: no modality 'text'.*audio, text.*the store has audio, video"
    ):
        fit(config, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("which", ["store", "val_store"])
def test_features_of_another_width_are_refused_before_training(
    which: str, store: Path, tmp_path: Path
) -> None:
    wide = write_tiny_store(tmp_path / "wide", audio=7)
    config = tiny_config(store, **{f"data__{which}": str(wide)})
    with pytest.raises(InputError, match=r"wide: modality 'audio': 7 channels; expected 6"):
        fit(config, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_a_weight_for_no_term_names_the_nearest_and_the_folder_can_be_used_again(
    store: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"no loss term 'comitment'.*did you mean 'commitment'\?"):
        fit(tiny_config(store, loss_weights={"comitment": 1}), tmp_path / "run", progress=False)
    fit(tiny_config(store), tmp_path / "run", progress=False)


def test_a_batch_larger_than_the_data_is_refused_where_smaller_ones_are_dropped(
    store: Path, tmp_path: Path
) -> None:
    config = tiny_config(store, training__batch_size=23, training__drop_last=True)
    with pytest.raises(InputError, match=r"the batch size is 23, but there are 22 clips"):
        fit(config, tmp_path / "run", progress=False)


def test_a_folder_that_holds_a_run_is_not_overwritten(store: Path, tmp_path: Path) -> None:
    fit(tiny_config(store), tmp_path / "run", progress=False)
    with pytest.raises(InputError, match=r"already holds a run; use --resume auto or another --to"):
        fit(tiny_config(store), tmp_path / "run", progress=False, resume="never")


def test_a_cell_that_is_run_again_keeps_its_run_and_refuses_other_settings(
    store: Path, tmp_path: Path
) -> None:
    first = fit(tiny_config(store), tmp_path / "run", progress=False)
    content = first.model.joinpath("model.safetensors").read_bytes()
    again = fit(tiny_config(store), tmp_path / "run", progress=False)
    assert again.steps == first.steps
    assert again.model.joinpath("model.safetensors").read_bytes() == content
    assert repr(again).startswith(f"RunResult('{tmp_path / 'run'}': {first.steps} steps in ")
    assert "\n" not in repr(again)
    with pytest.raises(InputError, match=r"batch_size"):
        fit(tiny_config(store, training__batch_size=3), tmp_path / "run", progress=False)


def test_a_file_cannot_be_a_run(store: Path, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("something")
    with pytest.raises(InputError, match="this is a file; expected a folder"):
        fit(tiny_config(store), tmp_path / "run", progress=False)
