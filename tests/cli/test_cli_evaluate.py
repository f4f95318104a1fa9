"""What `unicode-cmg evaluate` does with tasks, protocols and code layers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from toy_world import AUDIO, VIDEO

from unicode_cmg.data.layouts.avvp import Event, EventRow, write_avvp


@pytest.fixture(scope="module")
def avvp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty clips in which audio and video have an event each, in the sizes of the toy model."""
    root, rng = tmp_path_factory.mktemp("avvp"), np.random.default_rng(0)
    names = [f"video-{i:05d}_0_10" for i in range(20)]
    write_avvp(
        root / "AVVP",
        {m: {n: rng.normal(size=(10, d)) for n in names} for m, d in (("audio", AUDIO), ("video", VIDEO))},
        ("bell", "drum"),
        {
            m: [
                EventRow(n, (Event(("bell", "drum")[i % 2], i % 7, i % 7 + shift),))
                for i, n in enumerate(names)
            ]
            for m, shift in (("audio", 2), ("video", 3))
        },
        {
            "train": {"no-times-here": ["bell"]},
            "val": dict.fromkeys(names[:14], ()),
            "test": dict.fromkeys(names[14:], ()),
        },
    )
    return root


def arguments(toy, data: Path, *more: str) -> tuple[object, ...]:
    return ("evaluate", toy.run, "--task", "avvp", "--data", data, "--seeds", "0", "--no-continuous", *more)


@pytest.mark.slow
def test_events_are_localized(command, toy, avvp: Path, tmp_path: Path) -> None:
    outcome = command(*arguments(toy, avvp, "--to", tmp_path / "avvp.json", "--json"))
    result = json.loads(outcome.out)
    assert result == json.loads((tmp_path / "avvp.json").read_text())
    assert (result["task"], result["protocol"]) == ("avvp", "held-out")
    assert [row["metric"] for row in result["directions"]] == ["f1_micro"] * 4
    assert "| video -> audio" in command(*arguments(toy, avvp)).out


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["paper", "paper-f1"])
def test_the_protocols_of_the_papers_say_what_they_leak(command, toy, avvp: Path, protocol: str) -> None:
    assert "LEAK P4" in command(*arguments(toy, avvp, "--protocol", protocol)).out


@pytest.mark.slow
def test_layers_are_chosen_by_name(command, toy, avvp: Path) -> None:
    result = json.loads(command(*arguments(toy, avvp, "--code-layers", "layer0", "--json")).out)
    assert result["code_layers"] == ["layer0"]
    error = command(*arguments(toy, avvp, "--code-layers", "layer0, layer7")).error
    assert error == "unknown code layer 'layer7'; expected one of layer0; did you mean 'layer0'?"


def test_a_protocol_of_another_task_is_refused(command, toy) -> None:
    error = command("evaluate", toy.run, "--task", "ave", "--data", toy.ave, "--protocol", "paper-f1").error
    assert (
        error
        == "task ave: unknown protocol 'paper-f1'; expected one of held-out, paper; did you mean 'paper'?"
    )


@pytest.mark.slow
def test_codebooks_are_refined_on_the_way_and_codes_chosen_anew(command, toy, avvp: Path) -> None:
    options = ("--toc", "auto", "--toc-use", "requantize", "--json")
    result = json.loads(command(*arguments(toy, avvp, *options)).out)
    assert [(kept["code_layer"], kept["use"]) for kept in result["toc"]] == [("layer0", "requantize")]
    error = command(*arguments(toy, avvp, "--toc-use", "requantize")).error
    assert error == "toc_use is 'requantize', and there is no TOC selection; give the selection, or 'auto'"
