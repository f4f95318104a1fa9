"""Encoders by name, by mapping, by entry point and as plain functions."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unicode_cmg.errors import InputError
from unicode_cmg.extract.encoders import FunctionEncoder, available_encoders, load_encoder
from unicode_cmg.extract.media import ONE_STEP, Grid, Sound, Text

PACKAGE = """
from unicode_cmg.extract.encoders import Encoder, EncoderConfig

class GainConfig(EncoderConfig):
    gain: float = 1.0

class Gain(Encoder):
    name = "gain"
    kinds = ("audio",)
    config_class = GainConfig
    def prepare(self, media, grid):
        return media.samples.reshape(grid.steps, -1) * self.settings.gain
    def encode(self, prepared):
        return list(prepared)

class Kindless(Gain):
    name = "kindless"
    kinds = ()
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "gain_encoders.py").write_text(PACKAGE)
    info = tmp_path / "gain_encoders-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gain-encoders\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[unicode_cmg.encoders]\ngain = gain_encoders:Gain\nkindless = gain_encoders:Kindless\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("gain_encoders", None)


def sound(grid: Grid) -> Sound:
    return Sound(np.ones((1, 10 * grid.steps), np.float32), rate=10)


@pytest.mark.usefixtures("package")
def test_an_installed_package_adds_an_encoder_with_settings() -> None:
    assert "gain" in available_encoders()
    grid = Grid(3, 1)
    encoder = load_encoder({"name": "gain", "gain": 2.0}, "audio")
    (features,) = encoder.encode([encoder.prepare(sound(grid), grid)])
    assert features.shape == (3, 10)
    assert (features == 2).all()
    assert encoder.provenance() == {"encoder": "gain", "gain": 2.0}
    assert load_encoder("gain:some/file", "audio").settings.model == "some/file"


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("spec", "kind", "message"),
    [
        ("gian", "audio", r"--audio: unknown encoder 'gian'.*did you mean 'gain'\?"),
        ("gain", "text", "--audio: the encoder 'gain' reads audio, not text"),
        ("kindless", "audio", "'kindless' of gain-encoders does not say in 'kinds' what it reads"),
        ({"name": "gain", "gian": 1}, "audio", r"--audio: unknown key 'gian'; did you mean 'gain'\?"),
        ({"gain": 1}, "audio", "--audio: no 'name' of an encoder"),
    ],
)
def test_a_wrong_specification_is_refused(spec: Any, kind: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_encoder(spec, kind, where="--audio")


def test_a_plain_function_is_an_encoder() -> None:
    def loudness(media: Sound, grid: Grid) -> Any:
        return media.samples.reshape(grid.steps, -1).mean(1, keepdims=True)

    encoder = load_encoder(loudness, "audio")
    grids = [Grid(3, 1), Grid(2, 1)]
    features = encoder.encode([encoder.prepare(sound(grid), grid) for grid in grids])
    assert [f.shape for f in features] == [(3, 1), (2, 1)]
    assert features[0].dtype == np.float32
    assert encoder.provenance() == {"encoder": "function", "model": "loudness"}
    assert load_encoder(encoder, "audio") is encoder
    with pytest.raises(InputError, match="reads audio, not video"):
        load_encoder(encoder, "video")


def test_a_function_must_return_one_row_per_step() -> None:
    encoder = FunctionEncoder(lambda media, grid: np.zeros((2, 4)), kind="audio", name="two")
    with pytest.raises(
        InputError, match=r"'two': it returned an array of shape \[2, 4\]; expected \[3, \.\.\., dim\]"
    ):
        encoder.encode([encoder.prepare(sound(Grid(3, 1)), Grid(3, 1))])
    words = FunctionEncoder(lambda media, grid: np.zeros((5, 4)), kind="text", name="words")
    assert words.encode([words.prepare(Text(("a b c d e",)), ONE_STEP)])[0].shape == (5, 4)


def test_an_encoder_is_pickled_without_its_model() -> None:
    encoder = FunctionEncoder(np.zeros, kind="audio")
    encoder.model = object()
    assert pickle.loads(pickle.dumps(encoder)).model is None
