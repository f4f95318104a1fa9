"""`unicode-cmg extract`, with an encoder of an installed package."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unicode_cmg.data import FeatureStore
from unicode_cmg.extract.encoders import Encoder, registry
from unicode_cmg.extract.media import Sound, Text

soundfile = pytest.importorskip("soundfile")


class Peaks(Encoder):
    """The largest amplitude of a clip, or the number of its words."""

    name = "peaks"
    kinds = ("audio", "text")

    def prepare(self, media: Any, grid: Any) -> Any:
        if isinstance(media, Text):
            return np.full((1, 1), len(media.sentences[0].split()), np.float32)
        assert isinstance(media, Sound)
        return np.full((grid.steps, 1), np.abs(media.samples).max(), np.float32)

    def encode(self, prepared: Sequence[Any]) -> list[Any]:
        return list(prepared)


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(registry, "OURS", {**registry.OURS, "peaks": (__name__, "Peaks")})
    folder = tmp_path / "clips"
    folder.mkdir()
    for clip in ("a", "b"):
        soundfile.write(folder / f"{clip}.wav", np.array([0.0, 0.5] * 8000), 8000)
        (folder / f"{clip}.txt").write_text("a dog")
    (folder / "c.wav").write_bytes(b"RIFF, damaged")
    return folder


def test_a_folder_becomes_a_store(command: Callable[..., Any], clips: Path, tmp_path: Path) -> None:
    options = ("--to", tmp_path / "store", "--audio", "peaks", "--encode", "words=text:peaks", "--seconds", 2)
    done = command("extract", clips, *options, "--steps-per-second", 2)
    assert done.code == 0
    assert (
        "store: 2 clips written, 1 left out\n  audio        2 clips\n  words        2 clips\n1 entry in"
        in done.out
    )
    assert "extracted 3/3 clips" in done.err
    assert FeatureStore.open(tmp_path / "store").modalities == {"audio": (4, 1), "words": (1, 1)}
    again = json.loads(command("extract", clips, *options, "--steps-per-second", 2, "--json").out)
    assert (again["added"], again["before"], again["left_out"], again["broken"]) == (
        0,
        2,
        1,
        {"unreadable": 1},
    )
    other = command("extract", clips, *options)
    assert (other.code, other.err.count("\n")) == (2, 1)
    assert "steps_per_second: 2.0; expected steps_per_second: 1.0" in other.err
    assert command("extract", clips, *options, "--steps-per-second", 2, "--strict").code == 2


def test_options_go_before_the_file(command: Callable[..., Any], clips: Path, tmp_path: Path) -> None:
    config = tmp_path / "extract.yaml"
    config.write_text("seconds: all\nmodalities: {audio: peaks, text: no-such-encoder}\n")
    done = command("extract", clips, "--config", config, "--to", tmp_path / "store", "--text", "peaks")
    assert done.code == 0, done.err
    assert FeatureStore.open(tmp_path / "store").modalities["audio"] == (2, 1)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "no encoder is named"),
        (("--audio", "peak"), "unknown encoder 'peak'"),
        (("--video", "peaks"), "reads audio and text, not video"),
        (("--encode", "x=peaks"), "--encode: 'x=peaks'; expected NAME=KIND:ENCODER"),
        (("--encode", "x"), "--encode: 'x'; expected NAME=VALUE"),
        (("--audio", "peaks", "--seconds", "soon"), "seconds is soon"),
        (("--audio", "peaks", "--seconds", "0"), "seconds is 0"),
        (("--audio", "peaks", "--shard", "2"), "--shard: '2'; expected I/N"),
        (("--audio", "peaks", "--shard", "2/2"), "shard 2 of 2; expected 0 to 1"),
        (("--audio", "peaks", "--config", "vgg"), "unknown recipe 'vgg'"),
        (("--audio", "peaks", "--config", "none.yaml"), "no such file"),
        (("--audio", "peaks", "--root", "x"), "no list of clips"),
    ],
)
def test_wrong_options_are_one_line(
    command: Callable[..., Any], clips: Path, tmp_path: Path, options: tuple[str, ...], told: str
) -> None:
    done = command("extract", clips, "--to", tmp_path / "store", *options)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert told in done.err
    assert not (tmp_path / "store").exists()
