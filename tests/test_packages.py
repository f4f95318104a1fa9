"""What is built for users: the wheel holds what runs, the source distribution what contributors need too."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from places import ROOT

pytestmark = pytest.mark.slow

BUILD = """
import sys, setuptools.build_meta as backend
folder = sys.argv[1]  # setuptools changes the arguments
backend.build_sdist(folder)
backend.build_wheel(folder)
"""
SCRATCH = shutil.ignore_patterns(
    "__pycache__", ".*_cache", ".venv*", ".git", ".hypothesis", "build", "dist", "runs", "*.egg-info"
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository, so that building leaves nothing in it."""
    copy: Path = shutil.copytree(ROOT, tmp_path_factory.mktemp("build") / "tree", ignore=SCRATCH)
    return copy


@pytest.fixture(scope="module")
def built(tree: Path) -> Path:
    folder = tree.parent / "dist"
    folder.mkdir()
    command = [sys.executable, "-W", "ignore", "-c", BUILD, str(folder)]
    subprocess.run(command, cwd=tree, check=True, capture_output=True, timeout=240)
    return folder


def _files(tree: Path, folder: str) -> set[str]:
    found = (path for path in (tree / folder).rglob("*") if path.is_file())
    return {path.relative_to(tree).as_posix() for path in found if "__pycache__" not in path.parts}


def test_the_source_distribution_holds_the_whole_repository(tree: Path, built: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    top = "README.md LICENSE CHANGELOG.md CONTRIBUTING.md CITATION.cff constraints.txt mkdocs.yml .ci/run"
    expected = set(top.split())
    for folder in ("configs", "docs", "tests", "examples", "unicode_cmg", "toc", "benchmarks"):
        expected |= _files(tree, folder)
    assert expected - names == set()


def test_a_wheel_finds_the_shipped_configurations_by_name(built: Path, tmp_path: Path) -> None:
    (archive,) = built.glob("*.whl")
    shutil.unpack_archive(archive, tmp_path / "site", "zip")
    run = "import sys, cli; [cli.run(['pretrain', n, '--set', 'data.store=nowhere']) for n in sys.argv[1:]]"
    done = subprocess.run(
        [sys.executable, "-c", run, "dcid", "hdcid", "fcid"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site"), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == 3 * "error: nowhere: no such folder; expected a feature store\n"


def test_the_wheel_holds_what_runs_and_no_experiments_or_tests(tree: Path, built: Path) -> None:
    (archive,) = built.glob("*.whl")
    with zipfile.ZipFile(archive) as packed:
        names = {name for name in packed.namelist() if ".dist-info/" not in name}
    assert {name.partition("/")[0] for name in names} == {"cli.py", "unicode_cmg", "toc", "benchmarks"}
    expected = {"cli.py"} | _files(tree, "unicode_cmg") | _files(tree, "toc") | _files(tree, "benchmarks")
    assert names == {name for name in expected if not name.startswith("benchmarks/experiments/")}
