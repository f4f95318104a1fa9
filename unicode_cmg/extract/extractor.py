"""Clips to features: decoding and preparation of one clip, and encoding of several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray

from unicode_cmg.errors import InputError, SetupError
from unicode_cmg.extract.clips import Broken, Clip
from unicode_cmg.extract.decoding import (
    Location,
    read_frames,
    read_picture,
    read_sentences,
    read_sound,
    sound_seconds,
    video_seconds,
)
from unicode_cmg.extract.decoding.file import name_of
from unicode_cmg.extract.encoders import Encoder
from unicode_cmg.extract.faults import (
    NOT_FINITE,
    REFUSED,
    MediaError,
    encoder_faults,
    refusal,
    setup_error,
)
from unicode_cmg.extract.media import ONE_STEP, Frames, Grid, Media, Sound

_BATCH_BYTES = 256 << 20
LONGEST = 3600.0
"""Seconds of the longest clip."""

Features = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Prepared:
    """A clip, decoded and prepared.

    Attributes:
        clip: The clip.
        media: Modality -> what its encoder has prepared, and `[T]`, True where a step is valid; None if all
            of them are.
        broken: What could not be used.
    """

    clip: Clip
    media: Mapping[str, tuple[Any, Bool[np.ndarray, " steps"] | None]]
    broken: tuple[Broken, ...]


@dataclass
class Encoded:
    """Some clips with their features.

    Attributes:
        clips: The n clips.
        features: Modality -> for each of them `[T, ...]`, or None.
        masks: Modality -> for each of them `[T]`.
        words: Modality -> number of a clip -> its words, one for each step; only of modalities with words.
        broken: What could not be used.
    """

    clips: list[Clip] = field(default_factory=list)
    features: dict[str, list[Features | None]] = field(default_factory=dict)
    masks: dict[str, list[Bool[np.ndarray, " steps"] | None]] = field(default_factory=dict)
    words: dict[str, dict[int, Sequence[str]]] = field(default_factory=dict)
    broken: list[Broken] = field(default_factory=list)


class Extractor:
    """Makes features of clips. It can be pickled; its encoders load their weights at the first `encode`.

    Args:
        encoders: Modality -> its encoder.
        root: The folder that files may not leave.
        steps_per_second: Steps per second of sound and video; None: one step for each file, as long as it is.
        seconds: Length of a clip: what is longer is cut, what is shorter has fewer valid steps. None: clips
            are as long as they are, up to an hour.
        dtype: Of the features.
        device: On which encoders compute; "auto" is a GPU where there is one.
    """

    def __init__(
        self,
        encoders: Mapping[str, Encoder],
        root: Path,
        *,
        steps_per_second: float | None,
        seconds: float | None,
        dtype: Literal["float16", "float32"] = "float32",
        device: str = "auto",
    ) -> None:
        self.encoders = dict(encoders)
        self._root, self._per_second, self._seconds = root, steps_per_second, seconds
        self._dtype, self.device = dtype, device
        self._loaded = False

    def prepare(self, clip: Clip) -> Prepared:
        """Decode and prepare one clip, in any thread. What is damaged is listed, and not an error.

        Raises:
            SetupError: The machine is at fault, such as a package that is not installed.
        """
        media: dict[str, tuple[Any, Bool[np.ndarray, " steps"] | None]] = {}
        broken: list[Broken] = []
        common = None if self._per_second is None else self._grid(clip, clip.media)
        for name, place in clip.media.items():
            encoder = self.encoders[name]
            grid = common or self._grid(clip, (name,))
            try:
                found, mask = self._decode(encoder, place, clip, grid)
                timed = encoder.kind in ("audio", "video")
                media[name] = (_prepare(encoder, found, grid if timed else ONE_STEP, name), mask)
            except MediaError as error:
                broken.append(Broken(clip.id, name, name_of(place), error.kind, str(error)))
        return Prepared(clip, media, tuple(broken))

    def chunk(self, clips: Sequence[Clip]) -> Encoded:
        """Decode, prepare and encode some clips; errors as in `encode`."""
        return self.encode(map(self.prepare, clips))

    def encode(self, clips: Iterable[Prepared]) -> Encoded:
        """Encode clips, as many at once as fit into memory.

        Raises:
            InputError: Weights are missing or cannot be loaded.
            SetupError: The machine is at fault, such as a GPU that fails.
        """
        if not self._loaded:
            device = device_of(self.device)
            for name, encoder in self.encoders.items():
                with encoder_faults(f"the encoder of '{name}'", "cannot be loaded"):
                    encoder.load(device)
            self._loaded = True
        result = Encoded()
        waiting: dict[str, list[tuple[int, Clip, Any]]] = {name: [] for name in self.encoders}
        sizes = dict.fromkeys(self.encoders, 0)
        for row, prepared in enumerate(clips):
            result.clips.append(prepared.clip)
            result.broken += prepared.broken
            for name in self.encoders:
                result.features.setdefault(name, []).append(None)
                result.masks.setdefault(name, []).append(None)
                if name in prepared.media:
                    value, result.masks[name][row] = prepared.media[name]
                    waiting[name].append((row, prepared.clip, value))
                    sizes[name] += _bytes(value)
                    if sizes[name] > _BATCH_BYTES:
                        self._encode(name, waiting[name], result)
                        waiting[name], sizes[name] = [], 0
        for name, batch in waiting.items():
            self._encode(name, batch, result)
        return result

    def _grid(self, clip: Clip, names: Iterable[str]) -> Grid:
        """The steps of a clip, as long as the longest of these modalities if no length is set."""
        length = None if clip.end is None else clip.end - clip.start
        if self._per_second is None:
            held = max((self._length(clip, name) for name in names), default=0.0)
            whole = max(min(held, length or held, self._seconds or held), 1e-3)
            return Grid(whole, 1 / whole)
        if self._seconds is not None:
            return Grid(self._seconds, self._per_second)
        if length is None:
            length = max((self._length(clip, name) for name in names), default=0.0)
        return Grid(max(length, 1e-3), self._per_second)

    def _length(self, clip: Clip, name: str) -> float:
        """Seconds of a modality; 0 if it has none, or is damaged, which decoding will say."""
        kind, place = self.encoders[name].kind, clip.media[name]
        if kind not in ("audio", "video") or isinstance(place, tuple):
            return 0.0
        read = sound_seconds if kind == "audio" else video_seconds
        try:
            return read(place, self._root) - clip.start
        except MediaError:
            return 0.0

    def _decode(
        self, encoder: Encoder, place: Location, clip: Clip, grid: Grid
    ) -> tuple[Media, Bool[np.ndarray, " steps"] | None]:
        if encoder.kind == "text":
            return read_sentences(place, self._root), None
        if isinstance(place, tuple):
            raise MediaError("unreadable", "a text in place of a file")
        if encoder.kind == "image":
            return read_picture(place, self._root), None
        if grid.seconds > LONGEST:
            what = f"{grid.seconds:.0f} s are too long for one clip; give a length of clips, or start and end"
            raise MediaError("too long", what)
        seconds = grid.seconds if clip.end is None else min(grid.seconds, clip.end - clip.start)
        media: Sound | Frames
        if encoder.kind == "audio":
            media = read_sound(place, self._root, clip.start, seconds)
        else:
            times = grid.frame_seconds(encoder.frames_per_step)
            media = read_frames(place, self._root, clip.start, times[times < seconds])
        mask = media.covers(grid)
        if not mask.any():
            raise MediaError("too short", "it lasts for less than half a step")
        return media, mask

    def _encode(self, name: str, batch: Sequence[tuple[int, Clip, Any]], result: Encoded) -> None:
        """Encode some clips, one by one if they fail together; a clip that fails alone is listed."""
        if not batch:
            return
        encoder = self.encoders[name]
        try:
            encoded: list[Any] = encoder.encode([value for _, _, value in batch])
            if len(encoded) != len(batch):
                raise InputError(f"it returned {len(encoded)} features of {len(batch)} clips")
        except Exception:
            encoded = [_alone(encoder, value, name) for _, _, value in batch]
        for (row, clip, value), features in zip(batch, encoded, strict=True):
            mask = result.masks[name][row]
            found = features if isinstance(features, MediaError) else self._checked(features, mask, encoder)
            words = None
            if not isinstance(found, MediaError):
                with encoder_faults(f"the encoder of '{name}'", "cannot name the words of its rows"):
                    words = encoder.words(value)
                if words is not None and len(words) != len(found):
                    found = MediaError(REFUSED, f"its features have {len(found)} rows of {len(words)} words")
            if isinstance(found, MediaError):
                file = name_of(clip.media[name])
                result.broken.append(Broken(clip.id, name, file, found.kind, str(found)))
            else:
                result.features[name][row] = found
                result.masks[name][row] = np.ones(len(found), dtype=bool) if mask is None else mask
                if words is not None:
                    result.words.setdefault(name, {})[row] = words

    def _checked(
        self, features: Any, mask: Bool[np.ndarray, " steps"] | None, encoder: Encoder
    ) -> Features | MediaError:
        """The features of one clip as an array, or what is wrong with them."""
        try:
            with np.errstate(over="ignore"):
                found: Features = np.asarray(features).astype(self._dtype)
        except Exception as error:
            return refusal(error)
        if found.ndim < 2 or 0 in found.shape:
            return MediaError(REFUSED, f"its features are {list(found.shape)}, not [steps, ...]")
        if mask is not None and len(found) != len(mask):
            return MediaError(REFUSED, f"its features have {len(found)} steps, not {len(mask)}")
        if not np.isfinite(found if mask is None else found[mask]).all():
            what = f"the features of '{encoder.name}' have NaN or infinite values"
            return MediaError(NOT_FINITE, what)
        return found


def _prepare(encoder: Encoder, media: Media, grid: Grid, name: str) -> Any:
    try:
        return encoder.prepare(media, grid)
    except Exception as error:
        raise setup_error(error, f"the encoder of '{name}'") or refusal(error) from error


def _alone(encoder: Encoder, value: Any, name: str) -> Any:
    """The features of one clip, or why there are none."""
    try:
        (features,) = encoder.encode([value])
    except Exception as error:
        if stopping := setup_error(error, f"the encoder of '{name}'"):
            raise stopping from error
        return refusal(error)
    return features


def _bytes(value: Any) -> int:
    """The size of what an encoder has prepared."""
    if isinstance(value, Mapping):
        return sum(map(_bytes, value.values()))
    if isinstance(value, (list, tuple)):
        return sum(map(_bytes, value))
    if is_dataclass(value):
        return sum(map(_bytes, vars(value).values()))
    return int(getattr(value, "nbytes", 0))


def device_of(name: str) -> str:
    """The device that a setting names; "auto" is a GPU where there is one.

    Raises:
        SetupError: There is no such device, or it cannot be used.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name)
    except Exception as error:  # of many kinds, as the device and the build of torch have it
        reason = str(error).splitlines()[0][:200]
        expected = "cpu, cuda or auto"
        raise SetupError(f"'{name}' cannot be used ({reason})", where="device", expected=expected) from None
    return name
