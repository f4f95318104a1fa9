"""`unicode-cmg toc merge`, and `--merge` of the commands that use codes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest


@pytest.fixture
def books(tmp_path: Path) -> Path:
    """Two codebooks with groups, and one without."""
    rng = np.random.default_rng(0)
    grouped = np.repeat(rng.normal(size=(4, 8)), 5, axis=0) + 0.05 * rng.normal(size=(20, 8))
    np.savez(tmp_path / "books.npz", layer0=grouped, layer1=2 * grouped, plain=rng.normal(size=(30, 8)))
    return tmp_path / "books.npz"


@pytest.mark.slow
def test_codes_are_merged_and_the_ratio_is_printed(command, books: Path, tmp_path: Path) -> None:
    done = command("toc", "merge", books, "--codebook", "layer0", "--to", tmp_path / "m")
    assert (done.code, done.err) == (0, "")
    record = json.loads((tmp_path / "m" / "merge.json").read_text())
    assert done.out.startswith(
        f"layer0: 20 codes merged to 4; ratio of merge heights {record['ratio']:.2f}; "
    )
    assert sorted(file.name for file in (tmp_path / "m").iterdir()) == [
        "codebook.npy",
        "merge.json",
        "merge.png",
    ]
    assert np.load(tmp_path / "m" / "codebook.npy").shape == (4, 8)
    printed = json.loads(
        command("toc", "merge", books, "--codebook", "layer0", "--to", tmp_path / "m", "--json").out
    )
    assert printed == {"merge": str(tmp_path / "m" / "merge.json"), "warning": None, **record}


@pytest.mark.slow
def test_a_weak_elbow_is_refused_and_accepted_with_a_warning(command, books: Path, tmp_path: Path) -> None:
    arguments = ("toc", "merge", books, "--codebook", "plain", "--to", tmp_path / "m")
    refused = command(*arguments)
    assert (refused.code, len(refused.error.splitlines())) == (2, 1)
    assert "books.npz (plain): the elbow is weak" in refused.error
    assert not (tmp_path / "m").exists()
    for option in (("--force",), ("--codes", "7")):
        done = command(*arguments, *option)
        assert done.code == 0
        assert done.err.startswith("warning: plain: the ")
        assert len(done.err.splitlines()) == 1
    assert "30 codes merged to 7" in done.out
    assert command("toc", "merge", books, "--codebook", "all", "--to", tmp_path / "all").code == 2
    assert not (tmp_path / "all").exists()


def test_wrong_arguments_are_one_line_and_exit_code_2(command, books: Path, tmp_path: Path) -> None:
    for arguments, says in (
        ((books, "--to", tmp_path / "m"), "holds layer0, layer1, plain; choose one by its name"),
        ((books, "--codebook", "layer0", "--codes", "20", "--to", tmp_path / "m"), "between 2 and 19"),
        ((books, "--codebook", "layer0", "--codes", "many", "--to", tmp_path / "m"), "between 2 and 19"),
        ((tmp_path / "none.npz", "--to", tmp_path / "m"), "no such file"),
        ((books,), "--to"),
    ):
        failed = command("toc", "merge", *arguments)
        assert (failed.code, len(failed.error.splitlines())) == (2, 1)
        assert says in failed.error


@pytest.mark.slow
def test_commands_that_use_codes_take_the_merged_ones(command, toy, tmp_path: Path) -> None:
    merge = tmp_path / "m"
    assert command("toc", "merge", toy.run, "--codes", "3", "--to", merge).code == 0
    evaluate = (
        "evaluate",
        toy.run,
        "--task",
        "ave",
        "--data",
        toy.ave,
        "--seeds",
        "0",
        "--no-continuous",
        "--json",
    )
    result = json.loads(command(*evaluate, "--merge", merge, "--toc", "auto").out)
    assert [(m["code_layer"], m["n_codes"], m["n_groups"]) for m in result["merge"]] == [("layer0", 6, 3)]
    encode = ("encode", toy.run, toy.store, "--to", tmp_path / "codes.parquet", "--vectors")
    done = command(*encode, "--merge", merge)
    assert "layer0 of 3 codes (merged from 6)" in done.out
    table = pq.read_table(tmp_path / "codes.parquet")
    assert max(table["index"].to_pylist()) < 3
    means = np.load(merge / "codebook.npy")
    np.testing.assert_allclose(table["vector"].to_pylist(), means[table["index"].to_pylist()], rtol=1e-5)
    notes = json.loads(table.schema.metadata[b"unicode_cmg"])
    assert (notes["code_layers"], notes["merged"]) == ({"layer0": 3}, {"layer0": 6})
    done = command("codes", toy.run, toy.store, "--to", tmp_path / "codes", "--merge", merge)
    assert "layer0: 3 codes (merged from 6) on" in done.out
    np.save(tmp_path / "layer0.npy", np.random.default_rng(0).normal(size=(6, 8)).astype(np.float32))
    command("toc", "merge", tmp_path / "layer0.npy", "--codes", "3", "--to", tmp_path / "other")
    for arguments in (evaluate, encode):
        failed = command(*arguments, "--merge", tmp_path / "other")
        assert failed.code == 2
        assert "this record of merged codes was made for another codebook" in failed.error
