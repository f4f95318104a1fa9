"""`unicode-cmg toc` on checkpoints of every kind, and what `evaluate` says to its selections."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from places import DOCS, GOLDEN
from toy_world import CLIPS, STEPS, write_toy_ave

from toc import TOCSelection
from unicode_cmg.commands.refinement import dimensions_in

CODES = np.random.default_rng(0).normal(0.3, 1, size=(10, 8)).astype(np.float32)
SUMMARY = "{name}: {kept} of 8 dimensions kept; offset share 0."


@pytest.fixture(scope="module")
def released_ave(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An AVE folder in the feature sizes of the released checkpoints in `tests/golden`."""
    root, rng = tmp_path_factory.mktemp("released"), np.random.default_rng(0)
    sign, shapes = np.where(np.arange(CLIPS) % 2, 1.0, -1.0), {"audio": (16,), "video": (7, 7, 24)}
    write_toy_ave(
        root,
        {
            m: (sign[:, *(None,) * (len(s) + 1)] + rng.normal(0, 0.2, (CLIPS, STEPS, *s))).astype(np.float32)
            for m, s in shapes.items()
        },
    )
    return root


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """A state dict of a residual quantizer with two layers."""
    torch.manual_seed(0)
    from vector_quantize_pytorch import ResidualVQ

    torch.save(ResidualVQ(dim=8, codebook_size=10, num_quantizers=2).state_dict(), tmp_path / "stack.pt")
    return tmp_path / "stack.pt"


@pytest.mark.parametrize(
    ("text", "value"), [("3", 3), ("0.25", 0.25), ("1.0", 1.0), ("auto", "auto"), ("-1", -1)]
)
def test_an_amount_of_dimensions_is_a_number_a_fraction_or_auto(text: str, value: object) -> None:
    read = dimensions_in(text)
    assert (read, type(read)) == (value, type(value))


@pytest.mark.slow
@pytest.mark.parametrize(("keep", "kept"), [("4", 4), ("0.25", 2), ("1.0", 8)])
def test_a_run_is_refined_to_a_number_or_a_fraction_of_its_dimensions(
    command, toy, tmp_path: Path, keep: str, kept: int
) -> None:
    done = command("toc", toy.run, "--keep", keep, "--to", tmp_path / "toc")
    assert done.code == 0
    assert done.out.startswith(SUMMARY.format(name="layer0", kept=kept))
    assert len(done.out.splitlines()) == 1
    selection = TOCSelection.load(tmp_path / "toc")
    assert (len(selection.indices), selection.lam, selection.variant) == (kept, 0.3, "corrected")
    assert np.load(tmp_path / "toc" / "codebook.npy").shape == (6, kept)
    assert (tmp_path / "toc" / "toc.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_result_as_json_is_the_record_and_the_similarities(command, toy, tmp_path: Path) -> None:
    arguments = ("--keep", "auto", "--lam", "0.4", "--variant", "released", "--json")
    printed = json.loads(command("toc", toy.run, "--to", tmp_path / "toc", *arguments).out)
    assert printed.pop("toc") == str(tmp_path / "toc" / "toc.json")
    assert set(printed.pop("mean_similarity")) == {"before", "after"}
    assert printed == json.loads((tmp_path / "toc" / "toc.json").read_text())
    assert (printed["asked"], printed["lam"], printed["variant"]) == ("auto", 0.4, "released")


def test_listing_prints_what_is_there_and_needs_no_folder(command, stack: Path) -> None:
    out = command("toc", stack, "--list").out
    assert [line.split()[0] for line in out.splitlines()[2:]] == ["layer0", "layer1"]
    printed = json.loads(command("toc", stack, "--list", "--json").out)
    assert [book["shape"] for book in printed["codebooks"]] == [[10, 8]] * 2
    assert printed["codebooks"][1]["key"] == "layers.1._codebook.embed"


def test_the_listing_in_the_documentation_is_printed(command, tmp_path: Path, monkeypatch) -> None:
    page = (DOCS / "guide" / "toc.md").read_text(encoding="utf-8")
    shutil.copyfile(GOLDEN / "hdcid_ckpt_public.pt", tmp_path / "HDCID-model-3.pt")
    monkeypatch.chdir(tmp_path)
    assert f"\n```\n{command('toc', 'HDCID-model-3.pt', '--list').out}```\n" in page
    error = command("toc", "HDCID-model-3.pt", "--to", "toc").error
    assert f"`{error.removeprefix('HDCID-model-3.pt: ')}`" in page


@pytest.mark.slow
def test_of_several_codebooks_one_is_chosen(command, stack: Path, tmp_path: Path) -> None:
    error = command("toc", stack, "--to", tmp_path / "toc").error
    assert "holds layer0, layer1; choose one by its name (--codebook NAME)" in error
    done = command("toc", stack, "--codebook", "layers.1._codebook.embed", "--to", tmp_path / "toc")
    assert done.out.startswith(SUMMARY.format(name="layer1", kept=4))


@pytest.mark.slow
@pytest.mark.parametrize(("method", "layers"), [("dcid", 1), ("hdcid", 2), ("fcid", 1)])
def test_a_selection_of_a_released_file_is_accepted_by_its_evaluation(
    command, released_ave: Path, tmp_path: Path, method: str, layers: int
) -> None:
    file = GOLDEN / f"{method}_ckpt_public.pt"
    names = [f"layer{k}" for k in range(layers)]
    done = command("toc", file, "--codebook", "all", "--keep", "5", "--to", tmp_path / "toc", "--json")
    printed = [(book["layer"], book["toc"]) for book in json.loads(done.out)["codebooks"]]
    assert printed == [(name, str(tmp_path / "toc" / name / "toc.json")) for name in names]
    refinements = [part for name in names for part in ("--toc", tmp_path / "toc" / name)]
    arguments = (
        "evaluate",
        file,
        "--task",
        "ave",
        "--data",
        released_ave,
        "--seeds",
        "0",
        "--no-continuous",
        "--json",
    )
    result = json.loads(command(*arguments, *refinements).out)
    assert [(used["code_layer"], used["kept"], used["n_dims"]) for used in result["toc"]] == [
        (n, 5, 16) for n in names
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "says"),
    [((6, 8), "another codebook"), ((32, 16), "another codebook (layer0 of shape [32, 16]")],
)
def test_a_selection_of_another_codebook_is_refused_by_evaluation(
    command, toy, tmp_path: Path, shape: tuple[int, int], says: str
) -> None:
    np.save(tmp_path / "layer0.npy", np.random.default_rng(0).normal(size=shape).astype(np.float32))
    command("toc", tmp_path / "layer0.npy", "--to", tmp_path / "toc")
    assert (
        says
        in command("evaluate", toy.run, "--task", "ave", "--data", toy.ave, "--toc", tmp_path / "toc").error
    )


def spoilt(row: int, value: float) -> np.ndarray:
    codes = CODES.copy()
    codes[row] = value
    return codes


@pytest.mark.parametrize(
    ("codes", "says"),
    [
        (spoilt(3, np.nan), "code 3 of the codebook holds NaN"),
        (spoilt(5, 0), "code 5 is zero and has no direction"),
        (CODES.astype(object), "pickled objects"),
        (np.stack([CODES, CODES]), "holds codes.0, codes.1; choose one by its name (--codebook NAME)"),
    ],
    ids=["NaN", "zero", "objects", "three axes"],
)
def test_bad_codes_are_refused(command, tmp_path: Path, codes: np.ndarray, says: str) -> None:
    np.save(tmp_path / "codes.npy", codes)
    error = command("toc", tmp_path / "codes.npy", "--to", tmp_path / "toc").error
    assert "codes.npy" in error
    assert says in error
    assert not (tmp_path / "toc").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--keep", "9"], "n_dims is 9; expected between 1 and 8"),
        (["--keep", "0"], "n_dims is 0; expected between 1 and 8"),
        (["--keep", "-1"], "n_dims is -1"),
        (["--keep", "1.5"], "n_dims is 1.5"),
        (["--keep", "0.0"], "n_dims is 0.0"),
        (["--keep", "most"], "--keep: cannot read 'most'; expected a number such as 128 or 0.5, or auto"),
        (["--lam", "nan"], "lam"),
        (["--variant", "best"], "unknown variant 'best'; expected one of corrected, paper, released"),
        (["--variant", "released-similarity", "--lam", "0.5"], "has lam = 0; leave lam out"),
        (["--codebook", "code"], "no codebook 'code'; did you mean 'codes'?"),
        (["--codebook", "codes.0"], "no codebook 'codes.0'"),
    ],
)
def test_bad_options_are_refused(command, tmp_path: Path, arguments: list[str], says: str) -> None:
    np.save(tmp_path / "codes.npy", CODES)
    assert says in command("toc", tmp_path / "codes.npy", "--to", tmp_path / "toc", *arguments).error
    assert not (tmp_path / "toc").exists()


def test_a_folder_to_write_is_asked_for(command, tmp_path: Path) -> None:
    np.save(tmp_path / "codes.npy", CODES)
    error = command("toc", tmp_path / "codes.npy").error
    assert error == "--to is missing; expected a folder to write; only --list needs none"


@pytest.mark.parametrize("name", ["cut.pt", "none", "empty"])
def test_files_without_a_codebook_are_refused(command, stack: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    if name.startswith("cut"):
        (tmp_path / name).write_bytes(stack.read_bytes()[:600])
    for arguments in (("--to", tmp_path / "toc"), ("--list",)):
        assert str(tmp_path) in command("toc", tmp_path / name, *arguments).error
    assert not (tmp_path / "toc").exists()


class MakesAFolder:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder),)


def test_a_malicious_checkpoint_is_not_run_and_its_codebook_is_refined(command, tmp_path: Path) -> None:
    content = {"codebook.embed": torch.randn(4, 3), "hook": MakesAFolder(tmp_path / "owned")}
    torch.save(content, tmp_path / "bad.pt")
    for arguments in (("--to", tmp_path / "toc"), ("--list",)):
        assert "layer0" in command("toc", tmp_path / "bad.pt", *arguments).out
        assert not (tmp_path / "owned").exists()


@pytest.fixture
def protected(tmp_path: Path) -> Iterator[Path]:
    """A folder that cannot be written, not even by root."""
    folder = tmp_path / "protected"
    folder.mkdir()
    if os.geteuid() != 0:
        folder.chmod(0o500)
        yield folder
        folder.chmod(0o700)
        return
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("root can write everywhere, and nothing can be mounted")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_protected_folder_is_named(command, toy, protected: Path) -> None:
    for target in (protected, protected / "toc"):
        assert f"{target}: cannot be written (" in command("toc", toy.run, "--to", target).error


def test_all_refines_what_is_only_likely_to_be_a_codebook_too(command, tmp_path: Path) -> None:
    torch.save({"my_codebooks": torch.randn(2, 6, 4), "other": torch.randn(3, 3)}, tmp_path / "own.pt")
    assert command("toc", tmp_path / "own.pt", "--codebook", "all", "--to", tmp_path / "toc").code == 0
    assert sorted(folder.name for folder in (tmp_path / "toc").iterdir()) == [
        "my_codebooks.0",
        "my_codebooks.1",
    ]


@pytest.mark.slow
def test_the_mean_is_subtracted_where_it_would_decide_or_as_asked(command, tmp_path: Path) -> None:
    np.save(tmp_path / "codes.npy", CODES + 4)
    for arguments, centered in (((), True), (("--center", "false"), False), (("--variant", "paper"), False)):
        done = command("toc", tmp_path / "codes.npy", "--to", tmp_path / "toc", *arguments)
        assert (", mean subtracted" in done.out) == centered
        assert json.loads((tmp_path / "toc" / "toc.json").read_text())["centered"] == centered
    refused = command(
        "toc", tmp_path / "codes.npy", "--to", tmp_path / "toc", "--variant", "released", "--center", "true"
    )
    assert "the variant 'released' has center = False; leave center out" in refused.error
