"""Which clips have which modality: counted, printed, logged, and left out where the settings ask for it."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_method import tiny_config, write_tiny_store

from unicode_cmg.batch import FeatureBatch
from unicode_cmg.errors import InputError
from unicode_cmg.training import fit
from unicode_cmg.training.config import DataConfig
from unicode_cmg.training.presence import ClipCounts, Presence

NAMES = ("audio", "video", "text")


def kept_of(present: Any, seed: int = 0, **data: Any) -> np.ndarray:
    there = {m: np.asarray(column) for m, column in zip(NAMES, np.asarray(present).T, strict=False)}
    presence = Presence(there, DataConfig(store="s", **data), seed=seed)
    clips = np.arange(len(next(iter(there.values()))))
    batch = FeatureBatch.of({m: torch.zeros(len(clips), 2, 1) for m in there})
    reduced = presence.reduce(batch, clips)
    assert all(torch.equal(mask[:, 0], mask[:, 1]) for mask in reduced.masks.values())
    left = np.stack([reduced.masks[m][:, 0].numpy() for m in there], axis=1)
    counts = presence.counts(clips)
    there_and_left = np.stack(list(there.values()), axis=1) & left
    assert list(counts.modalities.values()) == there_and_left.sum(0).tolist()
    for a, b in combinations(range(len(there)), 2):
        pair = (list(there)[a], list(there)[b])
        assert counts.pairs[pair] == (there_and_left[:, a] & there_and_left[:, b]).sum()
    return there_and_left


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 99),
    shares=st.tuples(st.floats(0, 0.99), st.floats(0, 0.99)).map(sorted),
    unpaired=st.lists(st.sampled_from(list(combinations(NAMES, 2))), max_size=3),
)
def test_a_clip_keeps_a_modality_and_a_smaller_share_leaves_out_less(
    seed: int, shares: list[float], unpaired: list[tuple[str, str]]
) -> None:
    rng = np.random.default_rng(seed)
    present = rng.random((40, 3)) < 0.8
    present[np.arange(40), rng.integers(0, 3, 40)] = True
    less, more = (kept_of(present, seed, missing=share, unpaired=unpaired) for share in shares)
    assert more.any(1).all()
    assert not (more & ~less).any()
    assert not (less & ~present).any()
    for a, b in unpaired:
        assert not (less[:, NAMES.index(a)] & less[:, NAMES.index(b)]).any()


def test_the_share_is_met_and_the_seed_decides() -> None:
    whole = np.ones((4000, 3), bool)
    kept = kept_of(whole, missing=0.3)
    assert abs(1 - kept.mean() - (0.3 - 0.3**3 / 3)) < 0.02  # a clip that would lose all three keeps one
    assert (kept_of(whole, missing=0.3) == kept).all()
    assert (kept_of(whole, seed=1, missing=0.3) != kept).any()
    parted = kept_of(whole, unpaired=[("audio", "video")])
    assert parted[:, 2].all()
    assert abs(parted[:, 0].mean() - 0.5) < 0.04
    assert kept_of(whole).all()


def test_counts_say_in_words_what_is_missing_and_what_nothing_connects() -> None:
    pairs = {("audio", "video"): 0, ("audio", "text"): 3, ("video", "text"): 2}
    counts = ClipCounts(5, {"audio": 3, "video": 2, "text": 5}, pairs)
    assert counts.summary() == (
        "of 5 clips 3 have audio, 2 have video, 5 have text, "
        "0 have audio and video, 3 have audio and text, 2 have video and text"
    )
    assert counts.groups == (NAMES,)  # audio and video meet through text
    alone = ClipCounts(5, counts.modalities, {**pairs, ("audio", "text"): 0})
    assert alone.groups == (("audio",), ("video", "text"))
    assert alone.summary().splitlines()[1] == (
        "no clip connects audio with video, text: nothing aligns them with each other"
    )
    complete = ClipCounts(5, dict.fromkeys(NAMES, 5), dict.fromkeys(pairs, 5))
    assert complete.summary() == "5 clips, each with audio, video, text"


def test_a_run_with_missing_modalities_prints_and_logs_its_counts_and_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = write_tiny_store(tmp_path / "store")
    fit(tiny_config(store, data__missing=0.5), tmp_path / "run")
    logged = json.loads((tmp_path / "run/data.json").read_text())
    assert logged["clips"] == 22
    assert all(0 < count < 22 for count in (*logged["modalities"].values(), *logged["pairs"].values()))
    first = capsys.readouterr().err.splitlines()[0]
    assert first.startswith(f"of 22 clips {logged['modalities']['audio']} have audio, ")
    assert f"{logged['pairs']['audio-video']} have audio and video" in first


def test_the_counts_are_those_of_the_clips_that_are_trained_on(tmp_path: Path) -> None:
    store = write_tiny_store(tmp_path / "store")
    fit(tiny_config(store, data__limit=16, data__fraction=0.5), tmp_path / "run", progress=False)
    assert json.loads((tmp_path / "run/data.json").read_text()) == {
        "clips": 8,
        "modalities": {"audio": 8, "video": 8},
        "pairs": {"audio-video": 8},
    }


def test_wrong_settings_and_a_modality_that_never_occurs_are_named(tmp_path: Path) -> None:
    store = write_tiny_store(tmp_path / "store")
    with pytest.raises(InputError, match=r"data\.unpaired: unknown modality 'vidio'.*did you mean 'video'"):
        fit(tiny_config(store, data__unpaired=[["audio", "vidio"]]), tmp_path / "run")
    with pytest.raises(InputError, match=r"data\.unpaired: 'audio' is paired with itself"):
        fit(tiny_config(store, data__unpaired=[["audio", "audio"]]), tmp_path / "run")
    with pytest.raises(InputError, match=r"missing.*less than 1"):
        tiny_config(store, data__missing=1)
    counts = ClipCounts(5, {"audio": 5, "video": 0}, {("audio", "video"): 0})
    with pytest.raises(InputError, match="none of the 5 clips to train on has the modality 'video'"):
        counts.check(store)
