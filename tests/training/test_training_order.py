"""What a run sees, and in which order: batches and random numbers."""

from __future__ import annotations

import json
import random
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_method import tiny_config, write_tiny_store

from unicode_cmg.data.store import FeatureStore
from unicode_cmg.errors import InputError
from unicode_cmg.training.batches import BatchPlan, read_ahead, rows_of_split
from unicode_cmg.training.randomness import (
    capture,
    epoch_order,
    preserved,
    restore,
    step_generator,
    subset,
    validation_generator,
)


@given(
    clips=st.integers(1, 60),
    batch_size=st.integers(1, 20),
    ranks=st.integers(1, 4),
    drop_last=st.booleans(),
    seed=st.integers(0, 3),
)
def test_an_epoch_shows_every_clip_once_and_ranks_share_each_batch(
    clips: int, batch_size: int, ranks: int, drop_last: bool, seed: int
) -> None:
    plans = [BatchPlan(clips, batch_size, drop_last, seed, ranks, rank) for rank in range(ranks)]
    whole = BatchPlan(clips, batch_size, drop_last, seed)
    steps = plans[0].steps_per_epoch
    for epoch in (0, 2):
        seen = []
        for step in range(epoch * steps, (epoch + 1) * steps):
            parts = [plan.indices(step) for plan in plans]
            assert len(set(map(len, parts))) == 1
            assert len(parts[0]) >= 1
            rows = np.concatenate(parts)
            seen.append(rows[rows >= 0])
            assert len(rows) - len(seen[-1]) < ranks or len(parts[0]) == 1
            assert len(seen[-1]) == plans[0].clips_of(step)
            assert len(seen[-1]) == batch_size or step % steps == steps - 1
            assert (seen[-1] == whole.indices(step)).all()
        flat = np.concatenate(seen) if seen else np.array([], dtype=np.int64)
        assert len(set(flat.tolist())) == len(flat)
        if batch_size >= ranks:
            assert len(flat) == clips - (clips % batch_size if drop_last else 0)


@settings(max_examples=30)
@given(clips=st.integers(2, 60), seed=st.integers(0, 3), less=st.floats(0.05, 0.5), more=st.floats(0.5, 1.0))
def test_a_share_of_the_clips_is_drawn_by_the_seed_and_part_of_a_larger_share(
    clips: int, seed: int, less: float, more: float
) -> None:
    def seen(fraction: float, epoch: int) -> set[int]:
        config = tiny_config(Path("s"), data__fraction=fraction, training__seed=seed, training__batch_size=7)
        plan = BatchPlan.of(config, clips)
        steps = range(epoch * plan.steps_per_epoch, (epoch + 1) * plan.steps_per_epoch)
        return set(np.concatenate([plan.indices(step) for step in steps]).tolist())

    assert seen(less, 0) == seen(less, 1)
    assert len(seen(less, 0)) == max(1, round(less * clips))
    assert seen(less, 0) <= seen(more, 0) <= set(range(clips))
    assert seen(1.0, 0) == set(range(clips))


def test_two_seeds_draw_different_shares() -> None:
    assert (subset(0, 100, 20) != subset(1, 100, 20)).any()


def test_epochs_differ_in_order_and_the_order_cannot_be_changed() -> None:
    assert (epoch_order(0, 0, 50) != epoch_order(0, 1, 50)).any()
    assert (epoch_order(0, 0, 50) != epoch_order(1, 0, 50)).any()
    with pytest.raises(ValueError, match="read-only"):
        epoch_order(0, 0, 50)[0] = 1


def test_reading_ahead_gives_the_same_batches_in_the_same_order(tmp_path: Path) -> None:
    store = FeatureStore.open(write_tiny_store(tmp_path / "s"))
    chunks = [np.array([i, 21 - i]) for i in range(7)]
    batches = list(read_ahead(store, iter(chunks), ("video",), torch.device("cpu")))
    assert len(batches) == 7
    for chunk, batch in zip(chunks, batches, strict=True):
        assert set(batch.features) == {"video"}
        assert torch.equal(batch.features["video"], store.batch(chunk).features["video"])


def test_a_reader_that_is_left_early_leaves_no_thread(tmp_path: Path) -> None:
    store = FeatureStore.open(write_tiny_store(tmp_path / "s"))
    batches = read_ahead(store, (np.array([0]) for _ in range(1000)), ("audio",), torch.device("cpu"))
    next(batches)
    assert any("read-ahead" in thread.name for thread in threading.enumerate())
    batches.close()
    assert not any("read-ahead" in thread.name for thread in threading.enumerate())


def test_an_error_of_the_store_reaches_the_loop(tmp_path: Path) -> None:
    store = FeatureStore.open(write_tiny_store(tmp_path / "s"))
    with pytest.raises(InputError, match="rows 99 to 99"):
        list(read_ahead(store, [np.array([0]), np.array([99])], ("audio",), torch.device("cpu")))


def test_generators_depend_on_seed_step_and_purpose_alone() -> None:
    keys = [(step_generator, s, n) for s in (0, 1) for n in (0, 1)] + [(validation_generator, 0, 0)]
    draws = [torch.rand(3, generator=make(s, n)) for make, s, n in keys]
    again = [torch.rand(3, generator=make(s, n)) for make, s, n in keys]
    assert all(torch.equal(a, b) for a, b in zip(draws, again, strict=True))
    assert len({tuple(d.tolist()) for d in draws}) == len(keys)


def test_random_states_survive_json_and_come_back() -> None:
    np.random.standard_normal()  # noqa: NPY002 - leaves a cached second value
    random.gauss(0, 1)
    tensors, values = capture()
    values = json.loads(json.dumps(values))
    expected = torch.rand(3), np.random.standard_normal(3)  # noqa: NPY002
    restore(tensors, values)
    assert random.getstate() == (values["python"][0], tuple(values["python"][1]), values["python"][2])
    assert torch.equal(torch.rand(3), expected[0])
    assert (np.random.standard_normal(3) == expected[1]).all()  # noqa: NPY002


def test_preserved_restores_after_an_error_too() -> None:
    before = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError), preserved():
        _ = torch.rand(3) + 1 / 0
    assert torch.equal(torch.get_rng_state(), before)


def test_only_clips_of_the_named_splits_are_trained_on(tmp_path: Path) -> None:
    features = {m: np.zeros((12, 2, 3), np.float32) for m in ("audio", "video")}
    ids, names = [str(k) for k in range(12)], ["train", "test", "val"] * 4
    FeatureStore.write(tmp_path / "named", features, ids, columns={"split": names})
    store = FeatureStore.open(tmp_path / "named")
    rows = rows_of_split(store, ["train", "val"])
    assert [names[row] for row in rows] == ["train", "val"] * 4
    plan = BatchPlan(8, 3, False, seed=0, rows=rows)
    seen = np.concatenate([plan.indices(step) for step in range(plan.steps_per_epoch)])
    assert sorted(seen) == sorted(rows)
    with pytest.raises(InputError, match=r"unknown split 'trian'.*did you mean 'train'"):
        rows_of_split(store, ["trian"])
    FeatureStore.write(tmp_path / "bare", features, ids)
    with pytest.raises(InputError, match="no column 'split'"):
        rows_of_split(FeatureStore.open(tmp_path / "bare"), ["train"])
