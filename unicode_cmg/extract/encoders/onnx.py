"""`onnx`: networks in ONNX files, through onnxruntime."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
from PIL import Image
from pydantic import Field

from unicode_cmg.errors import InputError, SetupError, unknown
from unicode_cmg.extract.encoders.base import Array, Encoder, EncoderConfig, mean_per_step
from unicode_cmg.extract.encoders.pretrained.loading import fetch, transformers
from unicode_cmg.extract.encoders.weights import sha256, weights_file
from unicode_cmg.extract.faults import MediaError, setup_error
from unicode_cmg.extract.front_ends import VGGISH_FRAMES, on_clock, torchaudio, vggish_windows
from unicode_cmg.extract.media import Frames, Grid, Kind, Media, Sound, Text

_AT_ONCE = 32
_FLOATS = (np.float32, np.float16, np.float64)
_TYPES: dict[str, Any] = {
    "tensor(double)": np.float64,
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(uint8)": np.uint8,
}
_SIDE = 224  # of images where the file does not say


class OnnxConfig(EncoderConfig):
    """Settings of `onnx`; `model` is the file."""

    places: ClassVar[tuple[str, ...]] = ("model", "tokenizer")
    output: str | None = Field(default=None, description="name of the output that is read; null: the first")
    rate: int = Field(default=16_000, ge=1_000, le=192_000, description="audio: samples per second")
    frames: int = Field(default=1, ge=1, le=64, description="video: images of each step, averaged")
    mean: tuple[float, float, float] = Field(
        default=(0.485, 0.456, 0.406),
        description="images: what is subtracted from red, green and blue in 0..1",
    )
    std: tuple[float, float, float] = Field(
        default=(0.229, 0.224, 0.225), description="images: what they are divided by then"
    )
    tokenizer: str | None = Field(default=None, description="text: folder or name of the tokenizer")


class OnnxEncoder(Encoder):
    """The input that the file declares says what it gets.

    Audio: the samples of each step, `[n]` or `[batch, n]`, or VGGish's log-mel spectra, `[batch, 96, 64]` or
    `[batch, 1, 96, 64]`. Images: `[batch, 3, height, width]` or channels last, raw
    if the file declares bytes. Text: `input_ids` and whatever
    else the tokenizer makes. Of the output, every axis of frames or tokens is averaged; maps
    `[batch, dim, height, width]` stay, channels last.
    """

    name = "onnx"
    kinds = ("audio", "video", "image", "text")
    config_class = OnnxConfig

    def __init__(self, kind: Kind, settings: EncoderConfig) -> None:
        super().__init__(kind, settings)
        self.values = cast("OnnxConfig", settings)
        self.file = weights_file(settings.model, self.name, "a network")
        self.load()
        self.inputs = {
            i.name: [d if isinstance(d, int) else None for d in i.shape] for i in self.model.get_inputs()
        }
        self.types = {i.name: _TYPES.get(i.type) for i in self.model.get_inputs()}
        outputs = [output.name for output in self.model.get_outputs()]
        self.output = self.values.output or outputs[0]
        if self.output not in outputs:
            raise unknown("output", self.output, outputs, where=self.file)
        self.tokenizer = self._load_tokenizer() if kind == "text" else None
        self._check()

    @property
    def frames_per_step(self) -> int:
        return self.values.frames

    def load(self, device: str = "cpu") -> None:
        """Open the file."""
        runtime = _onnxruntime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 4
        cuda = ["CUDAExecutionProvider"] if device.startswith("cuda") else []
        try:
            self.model = runtime.InferenceSession(
                self.file, options, providers=[*cuda, "CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's errors have no common class
            reason = str(error).splitlines()[0][:200]
            raise InputError(f"not a network that onnxruntime can open ({reason})", where=self.file) from None

    def prepare(self, media: Media, grid: Grid) -> Any:
        """The inputs of each row, the step of each row, and the number of steps."""
        if self.kind == "audio":
            rows = self._sound(cast("Sound", media), grid)
            return rows, np.repeat(np.arange(grid.steps), len(rows) // grid.steps), grid.steps
        if self.kind == "text":
            sentences = cast("Text", media).sentences
            rows = [self._tokens(sentence) for sentence in sentences]
            return rows, np.arange(len(rows)), len(rows)
        frames = cast("Frames", media)
        rows = [{next(iter(self.inputs)): self._image(image)} for image in frames.images]
        return rows, grid.step_of(frames.seconds), grid.steps

    def encode(self, prepared: Sequence[Any]) -> list[Array]:
        """Features `[steps, dim]`, or maps `[steps, height, width, dim]`; 0 for a step without an image."""
        return [
            mean_per_step(np.stack(self._features(rows)), steps, count) for rows, steps, count in prepared
        ]

    def provenance(self) -> dict[str, Any]:
        return {**super().provenance(), "output": self.output, "onnxruntime": _onnxruntime().__version__}

    def content(self, place: str) -> str | dict[str, str] | None:
        """Also of files such as `model.onnx.data`, in which large networks keep their weights."""
        path = Path(place).expanduser()
        files = sorted(path.parent.glob(f"{glob.escape(path.name)}?*")) if path.is_file() else []
        if not files:
            return super().content(place)
        return {file.name: sha256(file) for file in (path, *files) if file.is_file()}

    def _features(self, rows: list[dict[str, Array]]) -> list[Array]:
        """The features of each row; together where the file takes any number of equal rows at once."""
        batched = all(len(shape) > rows[0][key].ndim for key, shape in self.inputs.items())
        together = batched and all(shape[0] is None for shape in self.inputs.values())
        together = together and len({value.shape for row in rows for value in row.values()}) == 1
        size = _AT_ONCE if together else 1
        found: list[Array] = []
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            inputs = {
                key: np.stack([row[key] for row in part]) if batched else part[0][key] for key in part[0]
            }
            output = self._run(inputs)
            found += [_averaged(one) for one in output] if batched else [_averaged(output)]
        return found

    def _run(self, inputs: dict[str, Array]) -> Array:
        try:
            cast_to = {key: value.astype(self.types[key]) for key, value in inputs.items()}
            (found,) = self.model.run([self.output], cast_to)
        except Exception as error:  # onnxruntime's errors have no common class
            reason = str(error).splitlines()[0][:200]
            told = InputError(f"it cannot read its input ({reason})", where=self.file)
            raise setup_error(error, self.file) or told from None
        features = np.asarray(found, np.float32)
        if features.ndim == 0 or features.size == 0:
            raise InputError(f"its output '{self.output}' is {list(features.shape)}", where=self.file)
        return features

    def _sound(self, sound: Sound, grid: Grid) -> list[dict[str, Array]]:
        name, shape = next(iter(self.inputs.items()))
        if len(shape) > 2:
            windows = vggish_windows(sound, grid).flatten(0, 1).numpy()
            return [{name: window[None] if len(shape) == 4 else window} for window in windows]
        rate = self.values.rate
        length = shape[-1] or round(rate / grid.per_second)
        samples = on_clock(sound, rate, grid, tail=length / rate).numpy()
        starts = [round(start * rate) for start in grid.starts]
        return [{name: samples[start : start + length]} for start in starts]

    def _image(self, image: Array) -> Array:
        shape = next(iter(self.inputs.values()))
        last = shape[-1] == 3 and shape[1] != 3
        height, width = shape[1:3] if last else shape[2:4]
        size = (width or _SIDE, height or _SIDE)
        scaled = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
        if next(iter(self.types.values())) is not np.uint8:
            scaled = ((scaled / 255 - self.values.mean) / self.values.std).astype(np.float32)
        return np.ascontiguousarray(scaled if last else np.moveaxis(scaled, -1, 0))

    def _tokens(self, sentence: str) -> dict[str, Array]:
        if not sentence.strip():
            raise MediaError("empty", "a text without words")
        encoded = cast("Any", self.tokenizer)(sentence, truncation=True)
        made = {key: np.array(value, np.int64) for key, value in encoded.items() if key in self.inputs}
        return {**{key: np.zeros_like(made["input_ids"]) for key in self.inputs}, **made}

    def _load_tokenizer(self) -> Any:
        place = self.values.tokenizer
        if place is None:
            raise InputError(
                "a text needs a tokenizer", where=self.file, fix="set tokenizer to its folder or name"
            )
        auto = transformers().AutoTokenizer
        return fetch("tokenizer", place, lambda: auto.from_pretrained(place, trust_remote_code=False))

    def _check(self) -> None:
        """Refuse a file whose input is of another kind."""
        shape = next(iter(self.inputs.values()))
        fits = {
            "audio": len(shape) <= 2 or (shape[-2:] == [VGGISH_FRAMES, 64] and len(shape) <= 4),
            "text": "input_ids" in self.inputs,
        }.get(self.kind, len(shape) == 4 and 3 in (shape[1], shape[3]))
        numbers = {"audio": _FLOATS, "text": (np.int64, np.int32)}.get(self.kind, (*_FLOATS, np.uint8))
        if wrong := [name for name, kind in self.types.items() if kind not in numbers]:
            raise InputError(
                f"its input '{wrong[0]}' is of another type",
                where=self.file,
                expected=f"one of {', '.join(kind.__name__ for kind in numbers)}",
            )
        if not fits:
            raise InputError(
                f"its inputs are {self.inputs}",
                where=self.file,
                expected={
                    "audio": "samples [n] or [batch, n], or log-mel spectra [batch, 96, 64]",
                    "text": "'input_ids' [batch, tokens]",
                }.get(self.kind, "images [batch, 3, height, width] or [batch, height, width, 3]"),
            )
        if self.kind == "audio" and len(shape) > 2:
            torchaudio()  # before the first clip


def _averaged(features: Array) -> Array:
    """`[dim]`, or maps `[height, width, dim]` as they are."""
    if features.ndim == 3:
        return np.moveaxis(features, 0, -1)
    means: Array = features.reshape(-1, features.shape[-1]).mean(0)
    return means


def _onnxruntime() -> Any:
    try:
        return import_module("onnxruntime")
    except ImportError as error:
        raise SetupError(
            f"'onnx' needs onnxruntime, which cannot be imported ({error})",
            fix="pip install 'unicode-cmg[onnx]'",
        ) from None
