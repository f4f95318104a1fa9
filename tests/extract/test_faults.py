"""What is wrong with the machine or with an encoder stops the run; what is wrong with a clip is listed."""

from __future__ import annotations

import errno
import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_media import word_lengths

from unicode_cmg.data import FeatureStore
from unicode_cmg.errors import InputError, SetupError
from unicode_cmg.extract import extract
from unicode_cmg.extract.encoders import Encoder, EncoderConfig, FunctionEncoder
from unicode_cmg.extract.faults import MediaError


class Words(Encoder):
    """Lengths of words; one of its methods raises at the clips with a certain word."""

    name = "words"
    kinds = ("text",)

    def __init__(self, fault: Callable[[], Any], at: str, word: str = "w03") -> None:
        super().__init__("text", EncoderConfig())
        self.fault, self.at, self.word = fault, at, word

    def load(self, device: str = "cpu") -> None:
        if self.at == "load":
            self.fault()

    def prepare(self, media: Any, grid: Any) -> Any:
        if self.at == "prepare" and self.word in media.sentences[0]:
            self.fault()
        return media

    def encode(self, prepared: Sequence[Any]) -> list[Any]:
        if self.at == "encode" and any(self.word in text.sentences[0] for text in prepared):
            self.fault()
        return [word_lengths(text, None) for text in prepared]  # type: ignore[arg-type]


def no_package() -> None:
    importlib.import_module("no_such_package")


def hidden_package() -> None:
    try:
        no_package()
    except ImportError as error:
        raise RuntimeError("cannot work") from error


def raises(error: BaseException) -> Callable[[], None]:
    def fault() -> None:
        raise error

    return fault


MACHINE = [
    (no_package, "a package cannot be imported (No module named 'no_such_package'); install it, then run"),
    (hidden_package, "No module named 'no_such_package'"),
    (raises(ImportError("cannot import name 'x'")), "cannot import name 'x'"),
    (raises(MemoryError("5 GiB")), "there is not enough memory (5 GiB); set a smaller --batch-size"),
    (raises(torch.OutOfMemoryError("on the GPU")), "not enough memory (on the GPU)"),
    (
        raises(torch.AcceleratorError("CUDA error: launch failed")),
        "the GPU fails (CUDA error: launch failed)",
    ),
    (raises(OSError(errno.ENOSPC, "No space left on device")), "No space left on device; free some space"),
    (raises(OSError(errno.EMFILE, "Too many open files")), "Too many open files; raise the limits"),
    (raises(SetupError("sound needs a driver")), "sound needs a driver"),
]


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    (tmp_path / "texts").mkdir()
    for number in range(6):
        (tmp_path / "texts" / f"{number}.txt").write_text(f"dog w{number:02d}")
    return tmp_path / "texts"


def listed(folder: Path, clips: int) -> Path:
    """A list of clips with two texts each."""
    rows = "".join(f"{number},dog w{number:02d},a dog\n" for number in range(clips))
    (folder / "clips.csv").write_text(f"id,text,other\n{rows}")
    return folder / "clips.csv"


@pytest.mark.parametrize("at", ["prepare", "encode", "load"])
@pytest.mark.parametrize(("fault", "told"), MACHINE)
def test_a_fault_of_the_machine_stops_the_run_and_what_was_written_resumes(
    texts: Path, tmp_path: Path, fault: Callable[[], Any], told: str, at: str
) -> None:
    with pytest.raises(SetupError) as found:
        extract(texts, {"text": Words(fault, at)}, tmp_path / "store", batch_size=1, workers=1)
    assert told in str(found.value)
    assert not (tmp_path / "store" / "broken.csv").exists()
    if at != "load":
        assert FeatureStore.open(tmp_path / "store").ids == ("0", "1", "2")
    again = extract(texts, {"text": Words(fault, "nowhere")}, tmp_path / "store")
    assert (again.before, again.modalities) == (0 if at == "load" else 3, {"text": 6})


def test_memory_that_is_short_for_a_batch_may_do_for_its_clips_one_by_one(
    texts: Path, tmp_path: Path
) -> None:
    class Greedy(Words):
        def encode(self, prepared: Sequence[Any]) -> list[Any]:
            if len(prepared) > 1:
                raise torch.OutOfMemoryError
            return super().encode(prepared)

    done = extract(texts, {"text": Greedy(no_package, "nowhere")}, tmp_path / "store")
    assert (done.modalities, done.broken) == ({"text": 6}, ())


def test_weights_that_cannot_be_loaded_are_one_line(texts: Path, tmp_path: Path) -> None:
    encoder = Words(raises(ValueError("bad magic number")), "load")
    with pytest.raises(InputError, match=r"encoder of 'text': it cannot be loaded \(ValueError: bad magic"):
        extract(texts, {"text": encoder}, tmp_path / "store")


def test_a_device_that_is_not_there_is_refused_before_the_store_is_made(texts: Path, tmp_path: Path) -> None:
    for device in ("cuda:99", "gpu"):
        with pytest.raises(SetupError, match=f"device: '{device}' cannot be used"):
            extract(texts, {"text": word_lengths}, tmp_path / "store", device=device)
    assert not (tmp_path / "store").exists()


def test_what_an_encoder_says_of_one_clip_is_listed_with_the_line_at_which_it_failed(
    texts: Path, tmp_path: Path
) -> None:
    told = []
    for error in (ValueError("odd"), InputError("odd", where="here"), MediaError("odd", "too odd")):
        encoder = Words(raises(error), "prepare")
        (entry,) = extract(texts, {"text": encoder}, tmp_path / type(error).__name__).broken
        told.append((entry.clip, entry.kind, entry.reason.split(" line ")[0]))
    assert told == [
        ("3", "refused by its encoder", "the encoder fails (ValueError: odd, test_faults.py"),
        ("3", "refused by its encoder", "here: odd"),
        ("3", "odd", "too odd"),
    ]


REFUSING: list[Any] = [
    Words(raises(ValueError("odd")), "prepare", "w"),
    Words(raises(ValueError("odd")), "encode", "w"),
    Words(raises(InputError("odd")), "encode", "w"),
    FunctionEncoder(lambda text, grid: np.ones(3), kind="text", name="flat"),
    FunctionEncoder(lambda text, grid: np.full((1, 1), np.nan), kind="text", name="nan"),
    FunctionEncoder(lambda text, grid: [["a"]], kind="text", name="letters"),
]


@pytest.mark.parametrize("encoder", REFUSING)
@pytest.mark.parametrize("clips", [1, 40])
def test_an_encoder_that_refuses_all_clips_of_its_modality_stops_the_run(
    tmp_path: Path, encoder: Any, clips: int
) -> None:
    """The clips that it was given are not written, so that they are extracted when it works."""
    encoders = {"text": encoder, "other": ("text", word_lengths)}
    with pytest.raises(InputError, match=r"the encoder of 'text': it gives no features for .* extract with"):
        extract(listed(tmp_path, clips), encoders, tmp_path / "store", batch_size=3)
    assert not list((tmp_path / "store").glob("part-*"))


def test_clips_that_are_refused_are_written_as_soon_as_their_encoder_has_encoded_another_one(
    tmp_path: Path,
) -> None:
    def late(text: Any, grid: Any) -> Any:
        return word_lengths(text, grid) if "w05" in text.sentences[0] else np.ones(3)

    encoders = {"text": late, "other": ("text", word_lengths)}
    done = extract(listed(tmp_path, 6), encoders, tmp_path / "store", batch_size=2)
    assert (done.modalities, len(done.broken)) == ({"text": 1, "other": 6}, 5)
    assert FeatureStore.open(tmp_path / "store").ids == tuple("012345")
