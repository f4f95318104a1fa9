"""ONNX files as encoders: what a file declares as its input says what it gets."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_pretrained
from tiny_onnx import BYTES, FLOAT, INT64, constant, node, write

from unicode_cmg.errors import InputError
from unicode_cmg.extract.encoders import load_encoder
from unicode_cmg.extract.media import ONE_STEP, Frames, Grid, Kind, Media, Sound, Text

RATE = 16_000


@pytest.fixture
def runtime() -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


def energies(tmp_path: Path, shape: list[int | str]) -> Path:
    """Mean absolute samples of 100 samples: `[n]` to `[frames, 1]`, or with an axis of the batch."""
    batch = len(shape) == 2
    nodes = [
        node("Abs", ["samples"], "abs"),
        node("Reshape", ["abs", "to"], "framed"),
        node("ReduceMean", ["framed"], "energy", axes=[-1], keepdims=1),
        node("Neg", ["energy"], "negative"),
    ]
    to = constant("to", [0, -1, 100] if batch else [-1, 100])
    out: list[int | str] = ["batch", "frames", 1] if batch else ["frames", 1]
    outputs = [("energy", FLOAT, out), ("negative", FLOAT, out)]
    return write(tmp_path / "energy.onnx", nodes, [("samples", FLOAT, shape)], outputs, [to])


def beep(second: int) -> Sound:
    samples = np.full((1, 5 * RATE), 0.01, np.float32)
    samples[:, second * RATE : (second + 1) * RATE] = 0.5
    return Sound(samples, RATE)


def encoded(spec: Any, kind: Kind, media: Media, grid: Grid) -> np.ndarray:
    encoder = load_encoder(spec, kind)
    return encoder.encode([encoder.prepare(media, grid)])[0]


@pytest.mark.parametrize("shape", [["n"], ["batch", "n"], ["batch", 16_000], [1, "n"]])
def test_a_network_of_samples_hears_each_step_alone(
    tmp_path: Path, shape: list[int | str], runtime: None
) -> None:
    spec = f"onnx:{energies(tmp_path, shape)}"
    rows = encoded(spec, "audio", beep(3), Grid(5, 1))
    np.testing.assert_allclose(rows, [[0.01]] * 3 + [[0.5], [0.01]], atol=1e-6)
    np.testing.assert_allclose(encoded(spec, "audio", beep(2), Grid(5, 1))[:-1], rows[1:], atol=1e-6)


def test_an_output_is_chosen_by_name(tmp_path: Path, runtime: None) -> None:
    spec = {"name": "onnx", "model": str(energies(tmp_path, ["n"])), "output": "negative"}
    assert encoded(spec, "audio", beep(0), Grid(2, 1))[0] == pytest.approx(-0.5)
    with pytest.raises(InputError, match=r"unknown output 'negativ'; expected one of energy, negative"):
        load_encoder({**spec, "output": "negativ"}, "audio")


@pytest.mark.parametrize("shape", [["batch", 96, 64], ["batch", 1, 96, 64], [1, 96, 64]])
def test_a_network_of_spectra_gets_those_of_vggish(
    tmp_path: Path, shape: list[int | str], runtime: None, torchaudio_here: None
) -> None:
    axes = [1] if len(shape) == 3 else [1, 2]
    nodes = [node("ReduceMean", ["mel"], "bands", axes=axes, keepdims=0)]
    file = write(tmp_path / "bands.onnx", nodes, [("mel", FLOAT, shape)], [("bands", FLOAT, ["batch", 64])])
    rows = encoded(f"onnx:{file}", "audio", beep(3), Grid(5, 1))
    assert rows.shape == (5, 64)
    assert rows.sum(1).argmax() == 3


@pytest.mark.parametrize(
    "shape", [["batch", 3, 8, 12], ["batch", 8, 12, 3], ["batch", 3, "height", "width"], [1, 3, 8, 12]]
)
def test_images_are_scaled_as_the_file_declares(
    tmp_path: Path, shape: list[int | str], runtime: None
) -> None:
    axes = [1, 2] if shape[-1] == 3 else [2, 3]
    nodes = [node("ReduceMean", ["image"], "colours", axes=axes, keepdims=0)]
    file = write(
        tmp_path / "colours.onnx", nodes, [("image", FLOAT, shape)], [("colours", FLOAT, ["batch", 3])]
    )
    images = np.zeros((2, 20, 10, 3), np.uint8)
    images[1] = 51, 102, 255
    spec = {"name": "onnx", "model": str(file), "mean": [0, 0, 0], "std": [1, 1, 0.5]}
    rows = encoded(spec, "video", Frames(images, np.array([0.5, 2.5])), Grid(3, 1))
    np.testing.assert_allclose(rows, [[0, 0, 0], [0, 0, 0], [0.2, 0.4, 2.0]], atol=1e-4)


def test_a_network_of_bytes_gets_the_pixels_as_they_are(tmp_path: Path, runtime: None) -> None:
    nodes = [
        node("Cast", ["image"], "numbers", to=FLOAT),
        node("ReduceMean", ["numbers"], "colours", axes=[1, 2], keepdims=0),
    ]
    shape: list[int | str] = ["batch", 4, 6, 3]
    file = write(
        tmp_path / "bytes.onnx", nodes, [("image", BYTES, shape)], [("colours", FLOAT, ["batch", 3])]
    )
    frames = Frames(np.full((1, 8, 8, 3), [[7, 8, 255]], np.uint8), np.zeros(1))
    assert encoded(f"onnx:{file}", "image", frames, ONE_STEP).tolist() == [[7, 8, 255]]
    mel: list[int | str] = [1, 1, 96, 64]
    file = write(tmp_path / "mel.onnx", nodes, [("image", BYTES, mel)], [("colours", FLOAT, ["batch", 3])])
    with pytest.raises(
        InputError, match="its input 'image' is of another type; expected one of float32, float16"
    ):
        load_encoder(f"onnx:{file}", "audio")


def test_maps_of_an_image_stay_channels_last(tmp_path: Path, runtime: None) -> None:
    nodes = [node("AveragePool", ["image"], "maps", kernel_shape=[4, 4], strides=[4, 4])]
    shapes: tuple[list[int | str], list[int | str]] = (["batch", 3, 8, 12], ["batch", 3, 2, 3])
    file = write(tmp_path / "maps.onnx", nodes, [("image", FLOAT, shapes[0])], [("maps", FLOAT, shapes[1])])
    images = np.zeros((1, 8, 12, 3), np.uint8)
    images[:, :4, 8:, 1] = 255
    maps = encoded(
        {"name": "onnx", "model": str(file), "mean": [0, 0, 0], "std": [1, 1, 1]},
        "image",
        Frames(images, np.zeros(1)),
        ONE_STEP,
    )
    assert maps.shape == (1, 2, 3, 3)
    assert maps[0, 0, 2, 1] == pytest.approx(1)
    assert maps.sum() == pytest.approx(1)


def test_a_text_goes_through_a_tokenizer(tmp_path: Path, runtime: None) -> None:
    nodes = [node("Cast", ["input_ids"], "numbers", to=1), node("Unsqueeze", ["numbers", "axis"], "tokens")]
    ids: list[int | str] = ["batch", "tokens"]
    file = write(
        tmp_path / "ids.onnx",
        nodes,
        [("input_ids", INT64, ids), ("attention_mask", INT64, ids), ("token_type_ids", INT64, ids)],
        [("tokens", FLOAT, ["batch", "tokens", 1])],
        [constant("axis", [-1])],
    )
    tiny_pretrained.tokenizer().save_pretrained(tmp_path)
    spec = {"name": "onnx", "model": str(file), "tokenizer": str(tmp_path)}
    rows = encoded(spec, "text", Text(("a dog", "cat")), ONE_STEP)
    np.testing.assert_allclose(rows, [[np.mean([2, 4, 5, 3])], [np.mean([2, 6, 3])]])
    with pytest.raises(InputError, match="a text needs a tokenizer"):
        load_encoder(f"onnx:{file}", "text")
    with pytest.raises(
        InputError, match=r"its inputs are .*; expected samples \[n\] or \[batch, n\]"
    ) as caught:
        load_encoder(f"onnx:{energies(tmp_path, ['a', 3, 4, 5])}", "audio")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"nothing of the kind", b"\x08\x08"])
def test_a_file_that_is_no_network_is_one_line(tmp_path: Path, content: bytes, runtime: None) -> None:
    file = tmp_path / "broken.onnx"
    file.write_bytes(content)
    with pytest.raises(InputError, match="not a network that onnxruntime can open") as caught:
        load_encoder(f"onnx:{file}", "audio")
    assert "\n" not in str(caught.value)


def test_without_onnxruntime_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    (tmp_path / "a.onnx").write_bytes(b"x")
    with pytest.raises(InputError, match=r"'onnx' needs onnxruntime.*pip install 'unicode-cmg\[onnx\]'"):
        load_encoder(f"onnx:{tmp_path / 'a.onnx'}", "audio")
