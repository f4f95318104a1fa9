"""The examples in docstrings of all packages print what they say."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest
from places import ROOT

PACKAGES = ("unicode_cmg", "toc", "benchmarks")


def _modules(package: str) -> list[str]:
    files = sorted((ROOT / package).rglob("*.py"))
    return [_name(file) for file in files if ">>> " in file.read_text(encoding="utf-8")]


def _name(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("module", [module for package in PACKAGES for module in _modules(package)])
def test_examples_of_a_module_print_what_they_say(module: str) -> None:
    failed, tried = doctest.testmod(importlib.import_module(module), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert tried
    assert not failed


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_has_examples(package: str) -> None:
    assert _modules(package)
