"""`import unicode_cmg as uc`: what it offers, what it loads, and files of the user that have our names."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path

import pytest
from places import ROOT

import unicode_cmg as uc
from unicode_cmg import siblings

SCRIPT = Path(sys.executable).with_name("unicode-cmg")
OURS = [str(ROOT / name / "__init__.py") for name in ("toc", "benchmarks")]
FOREIGN = {
    "package": ("benchmarks/__init__.py", "benchmarks/speed.py"),
    "module": ("benchmarks.py",),
    "folder": ("benchmarks/speed.py",),
    "toc": ("toc.py",),
    "all": ("benchmarks/__init__.py", "toc.py", "cli.py"),
}


@pytest.fixture
def foreign(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A working directory with files of the user, which cannot stand in for ours."""
    for name in FOREIGN[request.param]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine = True\n")
    return tmp_path


def run(folder: Path, *command: object, **variables: str) -> str:
    """What a process in this working directory prints on stdout and stderr."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONSAFEPATH")}
    done = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env=environment | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout


def python(folder: Path, *arguments: str) -> str:
    """Python that searches the working directory first, as in a notebook, and then the repository."""
    return run(folder, sys.executable, *arguments, PYTHONPATH=str(ROOT))


@pytest.mark.slow
def test_extract_is_called_whichever_is_imported_first(tmp_path: Path) -> None:
    call = "try: uc.extract('nowhere', {}, 'store')\nexcept uc.InputError as error: print(error.what)"
    for first in ("unicode_cmg as uc", "unicode_cmg.extract.media, unicode_cmg as uc"):
        told = python(tmp_path, "-c", f"import {first}\n{call}\n{call}")
        assert told.count("no such file or folder") == 2, told


def test_the_package_shows_its_public_names_and_no_helpers() -> None:
    classes = "Callback FeatureStore InputError Method Model PretrainConfig"
    functions = (
        "available_methods encode evaluate extract fit load_pretrained load_published merge_codes optimize"
        " report save_pretrained"
    )
    assert dir(uc) == f"{classes} __version__ {functions}".split(" ")
    for name in dir(uc):
        assert getattr(uc, name).__doc__, name
    with pytest.raises(AttributeError, match="no_such"):
        uc.no_such  # noqa: B018


def test_the_packages_are_imported_without_heavy_libraries(tmp_path: Path) -> None:
    code = (
        "import sys, unicode_cmg, benchmarks\n"
        "assert 'numpy' not in sys.modules\n"
        "import toc\n"
        "print([name for name in ('torch', 'sklearn', 'matplotlib', 'jaxtyping') if name in sys.modules])"
    )
    assert python(tmp_path, "-c", code) == "[]\n"


@pytest.mark.parametrize("foreign", ["package", "module", "folder", "toc"], indirect=True)
def test_our_packages_are_found_although_the_working_directory_has_their_names(foreign: Path) -> None:
    where = "import toc, benchmarks; print(toc.__file__, benchmarks.__file__)"
    assert python(foreign, "-c", f"import unicode_cmg as uc; uc.optimize; {where}").split() == OURS
    assert python(foreign, "-P", "-c", where).split() == OURS


@pytest.mark.slow
@pytest.mark.parametrize("foreign", ["all"], indirect=True)
def test_evaluation_and_report_work_beside_files_with_our_names(foreign: Path) -> None:
    code = "import unicode_cmg as uc; print(uc.evaluate.__module__); uc.report('.')"
    first, *_, last = python(foreign, "-c", code).splitlines()
    assert first == "benchmarks.evaluation.evaluate"
    assert "no config.yaml" in last


@pytest.mark.slow
@pytest.mark.skipif(not SCRIPT.is_file(), reason="the command is not installed beside this Python")
@pytest.mark.parametrize("foreign", ["all"], indirect=True)
def test_the_command_works_beside_files_with_our_names(foreign: Path) -> None:
    assert "no such file or folder" in run(foreign, SCRIPT, "toc", "nowhere", "--list")
    assert "no config.yaml" in run(foreign, SCRIPT, "report", ".")


@pytest.mark.parametrize("foreign", ["package", "module", "folder"], indirect=True)
def test_a_module_of_the_user_that_is_imported_already_is_named_and_left_alone(
    foreign: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = PathFinder.find_spec("benchmarks", [str(foreign)])
    assert spec is not None
    theirs = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "benchmarks", theirs)
    with pytest.raises(uc.InputError) as error:
        uc.evaluate  # noqa: B018
    where, what = str(error.value).split(": ", 1)
    assert where.startswith(str(foreign / "benchmarks"))
    assert what.startswith("another module 'benchmarks' has been imported already; expected 'benchmarks' of")
    assert str(ROOT) in what
    assert sys.modules["benchmarks"] is theirs


def test_a_package_that_cannot_be_imported_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.py").write_text("1 / 0")
    monkeypatch.setattr(siblings, "_PARENT", str(tmp_path))
    with pytest.raises(ZeroDivisionError):
        siblings.import_siblings("broken")
    assert "broken" not in sys.modules
