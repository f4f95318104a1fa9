"""Sound of every common kind."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_media import RATE, tone, write_sound, write_video

from unicode_cmg.extract.decoding import read_sound, sound_seconds
from unicode_cmg.extract.faults import MediaError

soundfile = pytest.importorskip("soundfile")
av = pytest.importorskip("av")


def begins(sound: Any) -> float:
    """When the beep is heard."""
    return float(np.flatnonzero(np.abs(sound.samples).max(axis=0) > 0.2)[0] / sound.rate + sound.start)


@pytest.mark.parametrize(
    ("name", "options", "rate"),
    [
        ("a.wav", {"subtype": "PCM_U8"}, 8000),
        ("a.wav", {"subtype": "PCM_24"}, 44100),
        ("a.wav", {"subtype": "FLOAT"}, 16000),
        ("a.flac", {}, 16000),
        ("a.ogg", {}, 22050),
        ("a.mp3", {}, 16000),
        ("a.aiff", {}, 16000),
        ("wrong-name.mp4", {"format": "WAV"}, 16000),
    ],
)
def test_a_beep_at_3_s_is_heard_at_3_s(tmp_path: Path, name: str, options: dict[str, str], rate: int) -> None:
    path = write_sound(tmp_path / name, rate=rate, **options)
    sound = read_sound(path, tmp_path, 0.0, 10.0)
    assert sound.rate == rate
    assert begins(sound) == pytest.approx(3, abs=0.06)
    assert begins(read_sound(path, tmp_path, 1.25, 4.0)) == pytest.approx(1.75, abs=0.06)
    assert sound_seconds(path, tmp_path) == pytest.approx(6, abs=0.2)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_the_sound_of_a_video_is_read(tmp_path: Path, name: str) -> None:
    path = write_video(tmp_path / name)
    assert begins(read_sound(path, tmp_path, 0.0, 10.0)) == pytest.approx(3, abs=0.06)
    assert begins(read_sound(path, tmp_path, 2.2, 3.0)) == pytest.approx(0.8, abs=0.06)
    assert read_sound(path, tmp_path, 0.0, 3.5).samples.shape == (1, round(3.5 * RATE))


@pytest.mark.parametrize("name", ["a.wav", "a.mkv"])
def test_surround_of_48_khz_keeps_its_channels(tmp_path: Path, name: str) -> None:
    samples = np.stack([tone(2, 1, 48000) * scale for scale in (1, 0, 0, 0, 0.5, 0)], axis=1)
    path = write_sound(tmp_path / "a.wav", samples, 48000)
    if name != path.name:
        with av.open(str(path)) as wav, av.open(str(tmp_path / name), "w") as container:
            stream = container.add_stream("pcm_s16le", rate=48000, layout="5.1")
            for frame in wav.decode(audio=0):
                frame.pts = None
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    sound = read_sound(tmp_path / name, tmp_path, 0.0, 10.0)
    assert (sound.samples.shape, sound.rate) == ((6, 96000), 48000)
    assert np.abs(sound.samples).max(axis=1) == pytest.approx([0.5, 0, 0, 0, 0.25, 0], abs=1e-3)


def test_a_file_that_does_not_say_how_long_it_is_is_read_to_its_end(tmp_path: Path) -> None:
    """A stream of AAC, whose first frames are smaller than the others: a guess by its size is too long."""
    path = tmp_path / "a.aac"
    samples = np.random.default_rng(0).normal(size=6 * RATE).astype(np.float32) * 0.1
    samples[: 2 * RATE] = 0
    with av.open(str(path), "w", format="adts") as container:
        stream = container.add_stream("aac", rate=RATE)
        stream.layout = "mono"
        for start in range(0, len(samples), 1024):
            piece = av.AudioFrame.from_ndarray(
                samples[None, start : start + 1024], format="fltp", layout="mono"
            )
            piece.sample_rate, piece.pts = RATE, start
            container.mux(stream.encode(piece))
        container.mux(stream.encode())
    assert read_sound(path, tmp_path, 0.0, None).samples.shape[1] == pytest.approx(6 * RATE, abs=2048)
    assert sound_seconds(path, tmp_path) == pytest.approx(6, abs=0.3)


def test_a_single_sample_is_not_silence(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.wav", np.array([0.5]))
    assert read_sound(path, tmp_path, 0.0, 10.0).samples.shape == (1, 1)


def damaged(tmp_path: Path, case: str) -> Path:
    path = tmp_path / f"{case}.wav"
    match case:
        case "truncated":
            data = write_sound(tmp_path / "whole.wav").read_bytes()
            path.write_bytes(data[: len(data) // 2])
        case "truncated flac" | "truncated mp3":
            ending = case.split()[1]
            noise = np.random.default_rng(0).normal(size=6 * RATE) * 0.1
            data = write_sound(tmp_path / f"whole.{ending}", noise).read_bytes()
            path = tmp_path / f"a.{ending}"
            path.write_bytes(data[: len(data) // 2])
        case "silent":
            write_sound(path, np.zeros(RATE))
        case "no samples":
            write_sound(path, np.zeros(0))
        case "not finite":
            write_sound(path, np.array([0.0, np.nan, 1.0]), subtype="FLOAT")
        case "rate":
            data = bytearray(write_sound(path).read_bytes())
            data[24:28] = (3).to_bytes(4, "little")
            path.write_bytes(data)
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "empty":
            path.touch()
        case "other":
            path.write_text("hello " * 50)
        case "link":
            outside = write_sound(tmp_path.parent / "outside.wav")
            path.symlink_to(outside)
        case "device":
            path.symlink_to("/dev/zero")
    return path


@pytest.mark.parametrize(
    ("case", "kind"),
    [
        ("truncated", "truncated"),
        ("truncated flac", "unreadable"),
        ("truncated mp3", "truncated"),
        ("silent", "silent"),
        ("no samples", "empty"),
        ("not finite", "unreadable"),
        ("rate", "unreadable"),
        ("folder", "unreadable"),
        ("pipe", "unreadable"),
        ("empty", "empty"),
        ("other", "unreadable"),
        ("missing", "missing"),
        ("link", "outside"),
        ("device", "outside"),
    ],
)
def test_damaged_sound_is_refused_with_its_kind(tmp_path: Path, case: str, kind: str) -> None:
    path = damaged(tmp_path, case)
    with pytest.raises(MediaError) as found:
        read_sound(path, tmp_path, 0.0, 10.0)
    assert (found.value.kind, "\n" in str(found.value)) == (kind, False)


def test_a_clip_that_starts_after_the_end_is_empty(tmp_path: Path) -> None:
    for path in (write_sound(tmp_path / "a.wav"), write_video(tmp_path / "a.mp4")):
        with pytest.raises(MediaError, match="after second 9") as found:
            read_sound(path, tmp_path, 9.0, 1.0)
        assert found.value.kind == "empty"
