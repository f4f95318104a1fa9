from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_sets import Runs, pack

from unicode_cmg.data.layouts import read_clip, write_clip
from unicode_cmg.data.layouts.zips import read_clips, read_padded
from unicode_cmg.errors import InputError


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", ">f4", "uint8", "int64", "bool"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_written_clip_is_read_back(tmp_path: Path, dtype: str, order: Any) -> None:
    values = np.asarray(np.arange(24).reshape(4, 3, 2) % 5, dtype=dtype, order=order)
    write_clip(tmp_path / "a.zip", values)
    read = read_clip(tmp_path / "a.zip")
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, values.astype(np.float32))


def module_names(protocol: int) -> Iterator[tuple[bytes, bytes]]:
    module = b".multiarray" if protocol == 4 else b".numeric"
    return ((package, module) for package in (b"numpy._core", b"numpy.core"))


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("package", [b"numpy._core", b"numpy.core"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_pickles_of_every_protocol_and_of_numpy_1_are_read(
    tmp_path: Path, protocol: int, package: bytes, order: Any
) -> None:
    values = np.asarray(np.random.default_rng(0).random((4, 3, 2)), order=order)
    content = pickle.dumps(values, protocol=protocol)
    if protocol < 4:
        content = content.replace(b"numpy._core", package)
    elif package == b"numpy.core":  # here names carry their length, and the frame its own
        old, new = ((bytes([len(p) + len(m)]) + p + m) for p, m in module_names(protocol))
        content = content.replace(b"\x8c" + old, b"\x8c" + new)
        content = content[:3] + (len(content) - 11).to_bytes(8, "little") + content[11:]
    path = pack(tmp_path / "a.zip", ("a.pkl", content))
    np.testing.assert_array_equal(read_clip(path), values.astype(np.float32))


def test_a_pickle_of_python_2_is_read(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((2, 3))
    content = pickle.dumps(values, protocol=3)
    as_string = content.replace(b"C0" + values.tobytes(), b"U0" + values.tobytes())
    assert as_string != content
    np.testing.assert_array_equal(
        read_clip(pack(tmp_path / "a.zip", ("a.pkl", as_string))), values.astype(np.float32)
    )


def test_a_written_clip_names_numpy_as_both_of_its_generations_know_it(tmp_path: Path) -> None:
    write_clip(tmp_path / "abc.zip", np.zeros((2, 3)))
    with zipfile.ZipFile(tmp_path / "abc.zip") as archive:
        assert archive.namelist() == ["abc.pkl"]
        content = archive.read("abc.pkl")
    assert b"numpy.core.multiarray" in content
    assert b"_core" not in content


def test_equal_clips_make_equal_files(tmp_path: Path) -> None:
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        write_clip(tmp_path / name / "a.zip", np.ones((2, 3), np.float32))
    assert (tmp_path / "x/a.zip").read_bytes() == (tmp_path / "y/a.zip").read_bytes()


def test_the_last_pickle_counts_and_other_members_do_not(tmp_path: Path) -> None:
    one, two = (pickle.dumps(np.full((2, 3), v)) for v in (1.0, 2.0))
    path = pack(tmp_path / "a.zip", ("a/1.pkl", one), ("a/2.pkl", two), ("readme.txt", b"x"))
    assert (read_clip(path) == 2).all()


class RunsInAList:
    def __reduce__(self) -> tuple[Any, ...]:
        return (eval, ("__import__('os').mkdir('made-by-a-pickle')",))


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "value",
    [
        Runs(),
        [np.zeros((2, 3)), RunsInAList()],
        np.array([[Runs()]], dtype=object),
        np.array([[None]], dtype=object),
        np.zeros((2, 3), dtype=[("a", "f4"), ("b", "O")]),
        np.zeros((2, 3), dtype="S5"),
        np.zeros((2, 3), dtype="datetime64[s]"),
        np.zeros((2, 3), dtype=complex),
        np.float64(3),
        {"features": np.zeros((2, 3))},
        [[1.0, 2.0]],
        None,
    ],
    ids=lambda value: type(value).__name__ + str(getattr(value, "dtype", "")),
)
def test_a_pickle_of_anything_but_numbers_is_refused_and_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: object, protocol: int
) -> None:
    monkeypatch.chdir(tmp_path)
    path = pack(tmp_path / "a.zip", ("a.pkl", pickle.dumps(value, protocol=protocol)))
    with pytest.raises(InputError, match=r"a.zip: not a plain array of numbers"):
        read_clip(path)
    assert not (tmp_path / "made-by-a-pickle").exists()


def test_a_pickle_cannot_change_what_stands_in_for_numpy(tmp_path: Path) -> None:
    # BUILD on a stand-in: loads numpy.ndarray's, dtype's or _frombuffer's, then sets attributes on it
    for module, name in (("numpy", "dtype"), ("numpy", "ndarray"), ("numpy._core.numeric", "_frombuffer")):
        content = f"c{module}\n{name}\n(N(dV__code__\nI1\nstb.".encode()
        with pytest.raises(InputError, match="not a plain array"):
            read_clip(pack(tmp_path / "a.zip", ("a.pkl", content)))
    write_clip(tmp_path / "b.zip", np.ones((2, 3)))
    assert (read_clip(tmp_path / "b.zip") == 1).all()


@pytest.mark.parametrize(
    ("module", "name"),
    [("numpy._core.numeric", "_frombuffer"), ("numpy.core.numeric", "_frombuffer"), ("_codecs", "encode")],
)
def test_a_pickle_cannot_give_attributes_to_a_function(tmp_path: Path, module: str, name: str) -> None:
    for attribute in ("__defaults__", "__kwdefaults__", "note"):
        content = f"c{module}\n{name}\n(N(dV{attribute}\nI1\nstb.".encode()
        with pytest.raises(InputError, match="it changes a function"):
            read_clip(pack(tmp_path / "a.zip", ("a.pkl", content)))


def test_a_pickle_that_would_fill_the_memory_is_refused_before_it_is_run(tmp_path: Path) -> None:
    far = b"\x80\x02]r\xff\xff\xff\x7f."  # a list, kept in slot 2**31 - 1 of a table
    doubling = (
        b"\x80\x02X\x01\x00\x00\x00aq\x00"
        + b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R" * 100
        + b"."
    )
    for content in (far, doubling):
        with pytest.raises(InputError, match="a longer program than an array needs"):
            read_clip(pack(tmp_path / "a.zip", ("a.pkl", content)))


def test_a_zip_damaged_anywhere_is_refused_or_read_whole(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((4, 5)).astype(np.float32)
    write_clip(tmp_path / "a.zip", values)
    whole = (tmp_path / "a.zip").read_bytes()
    path = tmp_path / "b.zip"
    messages = []
    for place in range(len(whole)):
        change = (1, 0x80, 0xFF)[place % 3]
        path.write_bytes(whole[:place] + bytes([whole[place] ^ change]) + whole[place + 1 :])
        try:
            np.testing.assert_array_equal(read_clip(path), values)
        except InputError as error:
            messages.append(str(error))
    assert len(messages) > len(whole) // 2
    assert all(message.startswith(f"{path}: ") for message in messages)


def test_clips_padded_with_zeros_tell_which_steps_are_real(tmp_path: Path) -> None:
    for name, length in (("a", 2), ("b", 4)):
        write_clip(tmp_path / f"{name}.zip", np.ones((length, 3)) * length)
    paths = [tmp_path / "a.zip", tmp_path / "b.zip"]
    padded = read_padded(paths)
    assert padded.values[..., 0].tolist() == [[2, 2, 0, 0], [4, 4, 4, 4]]
    assert padded.mask.tolist() == [[True, True, False, False], [True] * 4]
    cut = read_padded(paths, 3)
    assert cut.values[..., 0].tolist() == [[2, 2, 0], [4, 4, 4]]
    assert cut.mask.tolist() == [[True, True, False], [True] * 3]
    assert read_padded(paths[:1], 5).mask.tolist() == [[True, True, False, False, False]]


def test_a_shape_that_its_bytes_do_not_fill_is_refused(tmp_path: Path) -> None:
    content = pickle.dumps(np.zeros((2, 3)), protocol=2).replace(b"K\x02K\x03\x86", b"K\x63K\x63\x86")
    with pytest.raises(InputError, match="not a plain array"):
        read_clip(pack(tmp_path / "a.zip", ("a.pkl", content)))


def test_damaged_and_missing_files_are_named(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.zip", np.random.default_rng(0).random((10, 30)))
    whole = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.zip").write_bytes(b"")
    (tmp_path / "bent.zip").write_bytes(whole[:200] + bytes(50) + whole[250:])
    pack(tmp_path / "none.zip", ("readme.txt", b"x"))
    for name, message in (
        ("cut", "not a readable zip"),
        ("empty", "not a readable zip"),
        ("bent", "not a readable zip"),
        ("none", "no .pkl member"),
        ("absent", "no such file"),
    ):
        with pytest.raises(InputError, match=f"{name}.zip: {message}"):
            read_clip(tmp_path / f"{name}.zip")


@pytest.mark.parametrize("values", [np.zeros(5), np.zeros((0, 5)), np.zeros((5, 0)), np.array(1.0)])
def test_arrays_without_time_or_features_are_refused(tmp_path: Path, values: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"expected \[time"):
        read_clip(pack(tmp_path / "a.zip", ("a.pkl", pickle.dumps(values))))


def test_values_that_are_not_finite_are_counted(tmp_path: Path) -> None:
    values = np.zeros((3, 4))
    values[1, :2] = np.nan
    write_clip(tmp_path / "clip7.zip", values)
    with pytest.raises(InputError, match="2 values are NaN or infinite in clip 'clip7'"):
        read_clip(tmp_path / "clip7.zip")


@pytest.mark.parametrize("length", [1, 4, 5, 9])
def test_short_clips_repeat_their_last_row_and_long_ones_are_cut(tmp_path: Path, length: int) -> None:
    values = np.arange(length, dtype=float)[:, None] + [0, 100]
    write_clip(tmp_path / "a.zip", values)
    read = read_clips([tmp_path / "a.zip"], 5)[0]
    wanted = list(values[:5])
    while len(wanted) < 5:
        wanted.append(values[-1])
    np.testing.assert_array_equal(read, np.array(wanted))


def test_clips_of_different_dimensions_are_refused(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.zip", np.zeros((3, 4)))
    write_clip(tmp_path / "b.zip", np.zeros((3, 5)))
    with pytest.raises(InputError, match=r"b.zip: features of \[5\] a step; expected \[4\]"):
        read_clips([tmp_path / "a.zip", tmp_path / "b.zip"], 5)
    with pytest.raises(InputError, match="no clip"):
        read_clips([], 5)


def test_values_beyond_single_precision_are_refused(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.zip", np.full((3, 4), 1e300))
    with pytest.raises(InputError, match=r"a.zip: 12 values are NaN or infinite"):
        read_clip(tmp_path / "a.zip")
