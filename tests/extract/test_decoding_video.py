"""Frames of videos by their times."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_media import write_video

from unicode_cmg.extract.decoding import read_frames, read_sound, video_seconds
from unicode_cmg.extract.faults import MediaError

av = pytest.importorskip("av")

TIMES = np.arange(6) + 0.5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("videos")
    write_video(folder / "clip.mp4")
    write_video(folder / "clip.mkv")
    write_video(folder / "clip.avi", beep=None)
    return folder


def flashes(path: Path, start: float = 0.0, times: object = TIMES) -> list[float]:
    """The times at which the picture is white."""
    frames = read_frames(path, path.parent, start, np.asarray(times))
    return [float(s) for s, image in zip(frames.seconds, frames.images, strict=True) if image.mean() > 200]


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.avi"])
def test_a_flash_in_second_3_is_seen_at_three_and_a_half(folder: Path, name: str) -> None:
    assert flashes(folder / name) == [3.5]


@settings(max_examples=30)
@given(start=st.floats(0, 3.4), name=st.sampled_from(["clip.mp4", "clip.mkv", "clip.avi"]))
def test_a_clip_that_starts_later_shows_the_frames_of_its_own_time(
    folder: Path, start: float, name: str
) -> None:
    whole = read_frames(folder / name, folder, 0.0, start + np.array([0.0, 0.3, 1.1]))
    part = read_frames(folder / name, folder, start, np.array([0.0, 0.3, 1.1]))
    assert np.array_equal(whole.images, part.images)


def test_a_time_shows_the_last_frame_before_it_also_at_a_variable_rate(tmp_path: Path) -> None:
    path = write_video(tmp_path / "variable.mp4", times=[0, 0.1, 0.2, 2.9, 3.0, 4.2, 5.8], beep=None)
    assert flashes(path, times=[0.5, 2.8, 2.95, 3.0, 3.5, 4.1, 4.2, 5.0]) == [3.0, 3.5, 4.1]


def test_times_after_the_end_have_no_frame(folder: Path) -> None:
    frames = read_frames(folder / "clip.mp4", folder, 0.0, np.arange(9) + 0.5)
    assert frames.seconds.tolist() == TIMES.tolist()


def test_pictures_that_start_after_the_sound_are_on_the_clock_of_the_sound(tmp_path: Path) -> None:
    path = write_video(tmp_path / "late.mp4", late=1.0, seconds=5, flash=3, beep=4)
    frames = read_frames(path, tmp_path, 0.0, TIMES)
    assert frames.seconds[0] == 1.5
    assert flashes(path) == [4.5]
    sound = read_sound(path, tmp_path, 0.0, 6.0)
    loud = np.flatnonzero(np.abs(sound.samples[0]) > 0.1) / sound.rate + sound.start
    assert loud.min() == pytest.approx(4.0, abs=0.1)


@pytest.mark.parametrize(("rotation", "corner"), [(0, "00"), (90, "10"), (180, "11"), (-90, "01")])
def test_a_video_is_turned_as_it_says(tmp_path: Path, rotation: int, corner: str) -> None:
    path = write_video(tmp_path / "turned.mp4", rotation=rotation, seconds=1, beep=None)
    image = read_frames(path, tmp_path, 0.0, np.array([0.5])).images[0].astype(int)
    height, width = image.shape[:2]
    assert (height < width) == (rotation % 180 == 0)
    red = image[..., 0] - image[..., 1]
    rows, columns = red[:, :4].max(axis=1), red[:, -4:].max(axis=1)
    corners = {"00": rows[:4], "10": rows[-4:], "01": columns[:4], "11": columns[-4:]}
    assert max(corners, key=lambda name: corners[name].mean()) == corner


def test_large_frames_are_reduced_in_their_proportions(tmp_path: Path) -> None:
    path = write_video(tmp_path / "large.mp4", seconds=1, flash=0, beep=None, size=(1280, 800))
    image = read_frames(path, tmp_path, 0.0, np.array([0.5])).images[0]
    assert image.shape == (512, 819, 3)
    assert image[300, 600].min() > 240
    assert image[20, 20].argmax() == 0


def test_the_length_is_that_of_the_header_or_of_the_packets(folder: Path, tmp_path: Path) -> None:
    assert video_seconds(folder / "clip.mp4", folder) == pytest.approx(6, abs=0.2)
    data = (folder / "clip.mkv").read_bytes()
    (tmp_path / "headless.mkv").write_bytes(data.replace(b"DURATION", b"DURATIOM"))
    assert video_seconds(tmp_path / "headless.mkv", tmp_path) == pytest.approx(6, abs=0.3)


@pytest.mark.parametrize(
    ("share", "options", "kind"),
    [(0.5, {}, "unreadable"), (0.7, {"movflags": "faststart"}, "truncated"), (0.0, {}, "empty")],
)
def test_a_truncated_video_is_refused(
    tmp_path: Path, share: float, options: dict[str, str], kind: str
) -> None:
    whole = write_video(tmp_path / "whole.mp4", options=options, beep=None).read_bytes()
    path = tmp_path / "clip.mp4"
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(MediaError) as found:
        read_frames(path, tmp_path, 0.0, TIMES)
    assert found.value.kind == kind


def test_a_video_of_one_frame_is_too_short_for_a_step_and_long_enough_for_a_shorter_one(
    tmp_path: Path,
) -> None:
    path = write_video(tmp_path / "a.mp4", seconds=0.2, beep=None)
    with pytest.raises(MediaError, match="less than half a step") as found:
        read_frames(path, tmp_path, 0.0, TIMES)
    assert found.value.kind == "too short"
    assert read_frames(path, tmp_path, 0.0, np.array([0.1])).seconds.tolist() == [0.1]
    with pytest.raises(MediaError, match=r"no frame after second 3") as found:
        read_frames(path, tmp_path, 3.0, TIMES)
    assert found.value.kind == "empty"


def test_a_part_before_the_damage_of_a_video_is_read(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "w.mp4", options={"movflags": "faststart"}, beep=None).read_bytes()
    path = tmp_path / "clip.mp4"
    path.write_bytes(whole[: int(len(whole) * 0.9)])
    assert read_frames(path, tmp_path, 0.0, np.array([0.5, 1.5])).seconds.tolist() == [0.5, 1.5]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"not a video at all" * 100, "unreadable"),
        (b"#EXTM3U\n#EXTINF:6,\nclip.mp4\n#EXT-X-ENDLIST\n", "unreadable"),
        (b"ffconcat version 1.0\nfile 'clip.mp4'\n", "unreadable"),
    ],
)
def test_other_files_and_playlists_that_name_files_are_refused(
    folder: Path, tmp_path: Path, content: bytes, kind: str
) -> None:
    (tmp_path / "clip.mp4").write_bytes((folder / "clip.mp4").read_bytes())
    path = tmp_path / "list.mp4"
    path.write_bytes(content)
    with pytest.raises(MediaError) as found:
        read_frames(path, tmp_path, 0.0, TIMES)
    assert found.value.kind == kind


def test_sound_alone_has_no_frames(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(MediaError, match="no video") as found:
        read_frames(path, tmp_path, 0.0, TIMES)
    assert found.value.kind == "no picture"
    with pytest.raises(MediaError, match="no sound") as found:
        read_sound(folder / "clip.avi", folder, 0.0, None)
    assert found.value.kind == "no sound"
