"""Regularizers of other packages, found as they would be after `pip install`: by a dist-info on the path."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from unicode_cmg.errors import InputError
from unicode_cmg.regularizers import available_regularizers, regularizer_class
from unicode_cmg.regularizers.registry import OURS

GOOD = """
from typing import ClassVar
from unicode_cmg.regularizers import Regularizer, RegularizerConfig

class Quiet(Regularizer):
    name = "quiet"
    config_class = RegularizerConfig
    def losses(self, view, *, generator):
        return {}

class Misnamed(Quiet):
    name = "loud"

class Unset(Regularizer):
    name = "unset"
    def losses(self, view, *, generator):
        return {}

number = 3
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "strangers.py").write_text(GOOD)
    (tmp_path / "broken_strangers.py").write_text("import a_module_that_is_not_there\n")
    info = tmp_path / "strangers-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: strangers\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[unicode_cmg.regularizers]\n"
        "quiet = strangers:Quiet\n"
        "named = strangers:Misnamed\n"
        "unset = strangers:Unset\n"
        "number = strangers:number\n"
        "broken = broken_strangers:Thing\n"
        "gram = strangers:Quiet\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("strangers", None)


def test_an_installed_package_adds_regularizers(package: Path) -> None:
    assert available_regularizers()[: len(OURS)] == tuple(OURS)
    assert {"quiet", "broken"} <= set(available_regularizers())
    assert regularizer_class("quiet", where="x").__name__ == "Quiet"


def test_ours_come_before_those_of_a_package(package: Path) -> None:
    assert available_regularizers().count("gram") == 1
    assert regularizer_class("gram", where="x").__module__.startswith("unicode_cmg.")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "broken",
            "'broken' of strangers cannot be imported .*a_module_that_is_not_there.*reinstall strangers",
        ),
        ("named", "'named' of strangers calls itself 'loud'"),
        ("unset", "'unset' of strangers has no 'config_class'"),
        ("number", "'number' of strangers is strangers:number, not a subclass"),
        ("quite", r"unknown regularizer 'quite'.*did you mean 'quiet'\?"),
    ],
)
def test_what_is_wrong_with_a_package_is_said(name: str, message: str, package: Path) -> None:
    with pytest.raises(InputError, match=message):
        regularizer_class(name, where="x")
