from __future__ import annotations

import errno
import math
import os
import resource
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from unicode_cmg import files
from unicode_cmg._scratch import sweep_folder
from unicode_cmg.errors import InputError
from unicode_cmg.files import (
    atomic_directory,
    atomic_file,
    check_writable,
    disk_errors,
    inside,
    parse_json,
    read_json,
    read_text,
    write_json,
    write_text,
)


def contents(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let the system refuse to write files beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_is_replaced_as_a_whole_and_parents_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a/b/c.txt"
    write_text(path, "one")
    write_text(path, "zwei ä")
    assert path.read_bytes() == "zwei ä".encode()
    assert contents(tmp_path) == ["a", "a/b", "a/b/c.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failed_write_leaves_the_old_file_and_no_scratch(
    error: type[BaseException], tmp_path: Path
) -> None:
    path = tmp_path / "f.txt"
    path.write_text("old")

    def fail() -> None:
        with atomic_file(path) as scratch:
            scratch.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_text() == "old"
    assert contents(tmp_path) == ["f.txt"]


def test_files_and_folders_get_the_permissions_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "f", "x")
        with atomic_directory(tmp_path / "d"):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == 0o750


def test_a_folder_takes_the_place_of_the_old_one_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "d"
    for name in ("old", "new"):
        with atomic_directory(path) as scratch:
            (scratch / "sub").mkdir()
            (scratch / "sub" / name).write_text(name)
            assert not (path / "sub" / name).exists()
    assert contents(tmp_path) == ["d", "d/sub", "d/sub/new"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failed_folder_leaves_the_old_one_and_no_scratch(
    error: type[BaseException], tmp_path: Path
) -> None:
    with atomic_directory(tmp_path / "d") as scratch:
        (scratch / "old").write_text("old")

    def fail() -> None:
        with atomic_directory(tmp_path / "d") as scratch:
            (scratch / "new").write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert contents(tmp_path) == ["d", "d/old"]


def test_the_old_folder_comes_back_when_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with atomic_directory(tmp_path / "d") as scratch:
        (scratch / "old").write_text("old")
    replace, calls = Path.replace, []

    def interrupted(self: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr("unicode_cmg._scratch._exchange", lambda *paths: False)
    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt), atomic_directory(tmp_path / "d") as scratch:
        (scratch / "new").write_text("new")
    assert contents(tmp_path) == ["d", "d/old"]


def test_a_write_the_system_refuses_is_an_input_error_and_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "f.txt"
    path.write_text("old")
    with largest_file(1000), pytest.raises(InputError, match=r"f.txt: cannot write here \(File too large\)"):
        write_text(path, "x" * 5000)
    assert path.read_text() == "old"
    assert contents(tmp_path) == ["f.txt"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_an_input_error_that_says_so(code: int, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the disk is full, nothing was replaced"), disk_errors(tmp_path):
        raise OSError(code, os.strerror(code))


def test_other_system_errors_pass_through(tmp_path: Path) -> None:
    with pytest.raises(BlockingIOError), disk_errors(tmp_path):
        raise OSError(errno.EAGAIN, "again")


def test_a_path_through_a_file_or_onto_a_folder_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    (tmp_path / "d").mkdir()
    with pytest.raises(InputError, match="cannot write here"):
        write_text(tmp_path / "f" / "g", "x")
    with pytest.raises(InputError, match=r"cannot write here \(Is a directory\)"):
        write_text(tmp_path / "d", "x")
    assert contents(tmp_path) == ["d", "f"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir(mode=0o500)
    with pytest.raises(InputError, match=r"cannot write here \(Permission denied\)"):
        write_text(tmp_path / "d" / "f", "x")


def test_json_round_trips_and_refuses_what_json_cannot_say(tmp_path: Path) -> None:
    path = tmp_path / "v.json"
    value = {"a": [1, 2.5, None, "ä"], "b": {"c": True}}
    write_json(path, value)
    assert read_json(path) == value
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"a": math.nan})
    assert read_json(path) == value


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b" \n", "the file is empty"),
        (b"\xff\xfe\x00", "not a text file; expected UTF-8 text"),
        (b'{"a": 1,\n "b": ', r"not valid JSON at line 2 .*truncated"),
    ],
)
def test_a_damaged_file_is_an_input_error(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "v.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_json(path)


def test_reading_what_is_not_there_or_a_folder_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file; check the path"):
        read_text(tmp_path / "none")
    with pytest.raises(InputError, match="this is a folder; expected a file"):
        read_text(tmp_path)


def test_everything_is_on_the_disk_before_it_is_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    sync = files._sync
    monkeypatch.setattr(files, "_sync", lambda path: (synced.append(path.name), sync(path)))
    with atomic_directory(tmp_path / "d") as scratch:
        (scratch / "sub").mkdir()
        (scratch / "sub" / "f").write_text("x")
    assert synced[:-2] == ["sub", "f"] or synced[:-2] == ["f", "sub"]
    assert synced[-2].startswith(".d.")
    assert synced[-1] == tmp_path.name


def test_scratch_of_a_killed_process_is_swept_by_the_next_writer_and_that_of_a_living_one_is_not(
    tmp_path: Path,
) -> None:
    path = tmp_path / "store"
    with atomic_directory(path) as living:
        killed = tmp_path / ".store.partial-abcdefgh"
        killed.mkdir()
        (killed / "half").write_text("half")
        other = tmp_path / ".others.partial-abcdefgh"
        other.mkdir()
        with atomic_directory(path) as second:
            (second / "whole").write_text("second")
        assert living.is_dir()
        assert not killed.exists()
        assert other.is_dir()
        (living / "whole").write_text("first")
    assert contents(tmp_path) == [".others.partial-abcdefgh", "store", "store/whole"]
    sweep_folder(tmp_path)
    assert contents(tmp_path) == ["store", "store/whole"]


@pytest.mark.parametrize("exchange", [True, False])
def test_a_folder_is_whole_at_every_step_of_its_replacement(
    exchange: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model"
    with atomic_directory(path) as scratch:
        (scratch / "version").write_text("1")
    if not exchange:
        monkeypatch.setattr("unicode_cmg._scratch._exchange", lambda *paths: False)
    seen: list[str | None] = []

    def look() -> None:
        seen.append((path / "version").read_text() if path.exists() else None)

    for owner, name in ((Path, "replace"), (shutil, "rmtree")):
        original = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *a, o=original, **k: (look(), o(*a, **k), look())[1])
    with atomic_directory(path) as scratch:
        (scratch / "version").write_text("2")
    assert seen
    assert (None in seen) is not exchange
    assert contents(tmp_path) == ["model", "model/version"]


def test_a_version_that_was_moved_aside_when_the_process_was_killed_is_put_back(tmp_path: Path) -> None:
    aside = tmp_path / ".model.previous-abcdefgh"
    aside.mkdir()
    (aside / "version").write_text("1")
    with pytest.raises(KeyboardInterrupt), atomic_directory(tmp_path / "model"):
        raise KeyboardInterrupt
    assert (tmp_path / "model/version").read_text() == "1"
    assert contents(tmp_path) == ["model", "model/version"]


def test_names_of_almost_any_length_are_written_and_longer_ones_refused(tmp_path: Path) -> None:
    write_text(tmp_path / ("ä" * 125), "x")
    for write in (lambda p: write_text(p, "x"), check_writable):
        with pytest.raises(InputError, match=r"File name too long"):
            write(tmp_path / ("a" * 300))
    check_writable(tmp_path / "new/result.json")
    assert contents(tmp_path) == ["ä" * 125]


@pytest.mark.parametrize("node", ["pipe", "/dev/zero"])
def test_a_pipe_or_a_device_is_refused_before_it_is_opened(node: str, tmp_path: Path) -> None:
    path = tmp_path / "pipe" if node == "pipe" else Path(node)
    if node == "pipe":
        os.mkfifo(path)
    with pytest.raises(InputError, match=rf"{path}: this is a (named pipe|device); expected a file"):
        read_text(path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ('{"a": ' * 100 + "1" + "}" * 100, "nested too deeply"),
        ("1" * 5000, "is too large"),
        ('{"a": 99999999999999999999}', "is too large"),
        ("[1e999]", "is not finite"),
        ("NaN", "is not finite"),
        (r'"\ud800"', "not valid Unicode"),
        ('{"a": 1', "line 1"),
    ],
)
def test_json_that_could_do_harm_later_is_refused(text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        parse_json(text, where="data.json")
    assert parse_json(r'{"a": [1, -2.5e3, "\ud83d\ude00", 18446744073709551615]}', where="") == {
        "a": [1, -2500.0, "\U0001f600", 2**64 - 1]
    }


def test_a_text_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "long").write_text("x" * 2048)
    with pytest.raises(InputError, match=r"larger than 0\.000976562 MiB"):
        read_text(tmp_path / "long", most=1024)


def test_only_what_lies_in_a_folder_is_inside_even_through_links(tmp_path: Path) -> None:
    folder, secret = tmp_path / "run", tmp_path / "secret"
    folder.mkdir()
    secret.write_text("x")
    (folder / "plain").write_text("x")
    (folder / "link").symlink_to(secret)
    assert inside(folder, folder / "plain") == folder / "plain"
    for outside in (folder / "link", folder / "../secret", secret, folder / "a\0b"):
        with pytest.raises(InputError, match="leads out of the folder"):
            inside(folder, outside)
