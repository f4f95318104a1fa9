"""Methods of other packages, found as they would be after `pip install`: by a dist-info on the path."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tiny_models import batch_of, model_of

from unicode_cmg import available_methods, load_pretrained, save_pretrained
from unicode_cmg.errors import InputError
from unicode_cmg.methods import method_class
from unicode_cmg.registry import METHODS
from unicode_cmg.training import PretrainConfig

STRANGERS = """
from unicode_cmg.methods.dcid import DCID

class Calm(DCID):
    name = "calm"

class Misnamed(DCID):
    name = "loud"

class Unset(DCID):
    name = "unset"
    config_class = dict

number = 3
"""
LINES = ("calm = strange_methods:Calm", "named = strange_methods:Misnamed", "unset = strange_methods:Unset",
         "number = strange_methods:number", "broken = broken_strange_methods:Thing",
         "dcid = strange_methods:Calm")  # fmt: skip


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "strange_methods.py").write_text(STRANGERS)
    (tmp_path / "broken_strange_methods.py").write_text("import a_module_that_is_not_there\n")
    info = tmp_path / "strange_methods-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: strange-methods\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("\n".join(["[unicode_cmg.methods]", *LINES]) + "\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("strange_methods", None)


def test_a_method_of_an_installed_package_is_configured_saved_and_loaded_by_its_name(tmp_path: Path) -> None:
    assert available_methods()[: len(METHODS)] == tuple(METHODS)
    assert "calm" in available_methods()
    model = model_of("calm", {"a": {"dim": 3}, "b": {"dim": 4}})
    values = {"name": "calm", "modalities": {"a": {"dim": 3}, "b": {"dim": 4}}}
    config = PretrainConfig.parse({"method": values, "data": {"store": "s"}}, where="test")
    assert method_class(config.method.name).__name__ == "Calm"
    save_pretrained(model, tmp_path / "model")
    loaded = load_pretrained(tmp_path / "model")
    x = batch_of(model).features["a"]
    assert torch.equal(loaded.encode("a", x).codes, model.eval().encode("a", x).codes)


def test_ours_come_before_those_of_other_packages() -> None:
    assert method_class("dcid").__module__.startswith("unicode_cmg.")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("named", "the method 'named' of strange-methods calls itself 'loud'"),
        ("unset", "the method 'unset' of strange-methods has no 'config_class'"),
        ("number", "is strange_methods:number, not a subclass of unicode_cmg.model.Model"),
        ("broken", "the method 'broken' of strange-methods cannot be imported"),
        ("clam", "unknown method 'clam'.*calm.*did you mean 'calm'"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_package(name: str, message: str) -> None:
    with pytest.raises(InputError, match=f"mine.yaml: .*{message}"):
        method_class(name, where="mine.yaml")
